"""Readouts → pages, Markdown, JSON. No SQL, no Dagster.

`readout` is what a page shows; `assemble` gathers it from the lake; `render` and `single` write it.
"""
