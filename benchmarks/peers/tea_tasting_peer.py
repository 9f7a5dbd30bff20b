"""tea-tasting on the work of `benchmarks.comparisons`; runs in its own environment."""

import importlib.metadata
from typing import Any

import tea_tasting as tt
from tea_tasting.aggr import Aggregates

from benchmarks.peers.session import Arm, Task, serve

DEFAULTS = {
    "proportion": tt.Proportion("c0"),
    "mean": tt.Mean("c0"),
    "ratio": tt.RatioOfMeans("c0", "c1"),
    "mean_cuped": tt.Mean("c0", "c1"),
    "ratio_cuped": tt.RatioOfMeans("c0", "c1", "c2", "c3"),
}
# By default a proportion's p-value has a continuity correction, which nothing here has.
COMPARED = {**DEFAULTS, "proportion": tt.Proportion("c0", correction=False)}

Prepared = tuple[str, dict[str, Any]]


def _aggregates(arm: Arm) -> Any:  # noqa: ANN401 - the engine has no types
    names = [f"c{place}" for place in range(len(arm.mean))]
    return Aggregates(
        count_=arm.n,
        mean_=dict(zip(names, arm.mean, strict=True)),
        var_={name: arm.cov[place][place] for place, name in enumerate(names)},
        cov_={
            (names[i], names[j]): arm.cov[i][j] for i in range(len(names)) for j in range(i + 1, len(names))
        },
    )


def _prepare(task: Task) -> Prepared:
    return task.kind, {"control": _aggregates(task.baseline), "variant": _aggregates(task.variant)}


def _analyse(prepared: Prepared) -> object:
    kind, arms = prepared
    return DEFAULTS[kind].analyze(arms, "control", "variant")


def _check(prepared: Prepared) -> dict[str, float]:
    kind, arms = prepared
    found = COMPARED[kind].analyze(arms, "control", "variant")
    return {
        "estimate": found.effect_size,
        "p_value": found.pvalue,
        "lower": found.effect_size_ci_lower,
        "upper": found.effect_size_ci_upper,
        "lift_lower": found.rel_effect_size_ci_lower,
        "lift_upper": found.rel_effect_size_ci_upper,
    }


if __name__ == "__main__":
    serve(importlib.metadata.version("tea-tasting"), _prepare, _analyse, _check)
