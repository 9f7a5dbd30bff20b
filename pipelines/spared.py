"""What one experiment's definitions or values make impossible stops no other experiment.

It is the result of an asset check, which `tenbin run` reads as people do: the check fails, the step does not.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import dagster as dg

from assignments.model import Experiment
from metrics.model import MetricsError
from stats.errors import StatsError

CHECK = "every_experiment"
FAILED = "experiments that failed"


def spec_of(asset: str) -> dg.AssetCheckSpec:
    """The check that the asset has all of its experiments."""
    return dg.AssetCheckSpec(CHECK, asset=asset, description="No experiment had to be left as it was.")


@contextmanager
def spared(experiment: Experiment, failed: dict[str, str]) -> Iterator[None]:
    """Note what its reader must mend of this experiment under its key, and go on."""
    try:
        yield
    except (MetricsError, StatsError) as reason:
        failed[experiment.key] = " ".join(str(reason).split())


def check_of(failed: Mapping[str, str]) -> dg.AssetCheckResult:
    """The check's result, with a sentence for each experiment that failed."""
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={FAILED: dg.MetadataValue.json(dict(failed))},
    )
