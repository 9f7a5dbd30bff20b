"""One file per topic; each is found and loaded by `pipelines.definitions`."""
