"""The code location that `dagster` loads: everything in `pipelines/defs`, on the workspace in TENBIN_WORKSPACE."""

from pathlib import Path

import dagster as dg

from pipelines.resources import WorkspaceResource


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors, with the workspace as their resource."""
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
        dg.Definitions(resources={"workspace": WorkspaceResource(root=dg.EnvVar("TENBIN_WORKSPACE"))}),
    )
