"""The code location that `dagster` loads: what `pipelines/defs` has, on the workspace in TENBIN_WORKSPACE."""

from pathlib import Path

import dagster as dg

from pipelines.resources import WorkspaceResource


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors, with the workspace as their resource.

    Steps follow each other within one process: each uses every core by itself, and a process per step would
    spend its time on starting.
    """
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
        dg.Definitions(
            resources={"workspace": WorkspaceResource(root=dg.EnvVar("TENBIN_WORKSPACE"))},
            executor=dg.in_process_executor,
        ),
    )
