"""GrowthBook's gbstats on the work of `benchmarks.comparisons`; runs in its own environment."""

import importlib.metadata
from typing import Any

from gbstats.frequentist.tests import FrequentistConfig, TwoSidedTTest
from gbstats.models.statistics import (
    ProportionStatistic,
    RatioStatistic,
    RegressionAdjustedStatistic,
    SampleMeanStatistic,
)

from benchmarks.peers.session import Arm, Task, serve

Prepared = tuple[str, Any, Any]


def _column(arm: Arm, place: int) -> Any:  # noqa: ANN401 - the engine has no types
    return SampleMeanStatistic(n=arm.n, sum=arm.n * arm.mean[place], sum_squares=_product(arm, place, place))


def _product(arm: Arm, one: int, other: int) -> float:
    return (arm.n - 1) * arm.cov[one][other] + arm.n * arm.mean[one] * arm.mean[other]


def _statistic(kind: str, arm: Arm) -> Any:  # noqa: ANN401
    if kind == "proportion":
        return ProportionStatistic(n=arm.n, sum=round(arm.n * arm.mean[0]))
    if kind == "mean":
        return _column(arm, 0)
    first, second = _column(arm, 0), _column(arm, 1)
    if kind == "ratio":
        return RatioStatistic(
            n=arm.n, m_statistic=first, d_statistic=second, m_d_sum_of_products=_product(arm, 0, 1)
        )
    return RegressionAdjustedStatistic(
        n=arm.n,
        post_statistic=first,
        pre_statistic=second,
        post_pre_sum_of_products=_product(arm, 0, 1),
        theta=0,
    )


def _prepare(task: Task) -> Prepared:
    return task.kind, _statistic(task.kind, task.baseline), _statistic(task.kind, task.variant)


def _analyse(prepared: Prepared) -> object:
    return TwoSidedTTest(*prepared[1:]).compute_result()


def _check(prepared: Prepared) -> dict[str, float]:
    """Lifts by the linear delta method; with a covariate the difference, as 0.8.0's lift of it is wrong."""
    kind, baseline, variant = prepared
    scale = "absolute" if kind == "mean_cuped" else "relative"
    found = TwoSidedTTest(baseline, variant, FrequentistConfig(difference_type=scale)).compute_result()
    return {
        "estimate": found.expected,
        "p_value": float(found.p_value),
        "lower": float(found.ci[0]),
        "upper": float(found.ci[1]),
    }


if __name__ == "__main__":
    serve(importlib.metadata.version("gbstats"), _prepare, _analyse, _check)
