"""Sizes, boundaries, families and sample ratios, whoever asks for them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

from stats import contrasts
from stats.boundaries import (
    OBRIEN_FLEMING,
    POCOCK,
    Region,
    exit_probabilities,
    spending_boundary,
    wang_tsiatis,
)
from stats.measures import Measure, measure_of
from stats.measures import proportion as share_of
from stats.planning import Design, sample_size
from stats.references import p_value
from stats.spending import Power
from stats.srm import chi2_log10_p, sample_ratio
from tests.stats import test_boundaries
from tests.stats.replay.asked import Asked, Numbers
from tests.stats.test_multiplicity import ADJUSTMENTS
from tests.stats.test_vectors import proportion, ratio


def adjusted_p(asked: Asked) -> Numbers:
    for beginning, procedure in ADJUSTMENTS.items():
        if asked.call.startswith(beginning):
            return {"p_adjusted": procedure(asked.inputs["pvalues"])}
    return {}


def sample_ratios(asked: Asked) -> Numbers:
    counts = {str(arm): count for arm, count in enumerate(asked.inputs["counts"])}
    weights = {str(arm): float(weight) for arm, weight in enumerate(asked.inputs["weights"])}
    found = sample_ratio(counts, weights)
    if found.chi2 is None:
        return {}
    if asked.result["library"] == "gbstats" and 0.0 in weights.values():
        return {}
    log = chi2_log10_p(found.chi2, found.df)
    return {"statistic": found.chi2, "df": found.df, "p_value": float(p_value(log)), "log10_p": log}


def binomial(asked: Asked) -> Numbers:
    """Ours is exact where an expected count is below 5; SciPy's test elsewhere, on the same counts."""
    counts = asked.inputs["counts"]
    weights = [float(weight) for weight in asked.inputs["weights"]]
    found = sample_ratio(dict(enumerate(counts)), dict(enumerate(weights)))
    if found.method == "exact":
        return {"p_value": found.p_value}
    return {}


def planned(asked: Asked, method: str) -> dict[str, float]:
    inputs = asked.inputs
    design = Design(
        alpha=inputs["alpha"], power=inputs["power"], sides=inputs["sides"], scale="absolute", method=method,
        weights=(1.0, float(inputs["ratio"])),
    )  # fmt: skip
    measures = {
        "proportion": lambda: share_of(inputs["p1"]),
        "mean": lambda: Measure(kind="mean", mean=inputs.get("mean", 0.0), variance=inputs["sd"] ** 2),
        "ratio": lambda: measure_of(ratio(inputs["suff"]), "ratio"),
    }
    total = sample_size(design, measures[inputs["metric"]](), effect=effect_of(asked))
    control, variant = design.per_arm(total)
    return {"n_control": control, "n_treatment": variant, "n_total": control + variant, "n_per_arm": control}


def effect_of(asked: Asked) -> float:
    inputs = asked.inputs
    if inputs["metric"] == "proportion":
        return inputs["p2"] - inputs["p1"]
    if inputs["metric"] == "mean":
        return inputs["delta"]
    return inputs["rel_delta"] * measure_of(ratio(inputs["suff"]), "ratio").mean


def _sizes(method: str) -> Callable[[Asked], Numbers]:
    def replay(asked: Asked) -> Numbers:
        found = planned(asked, method)
        if asked.inputs["metric"] == "ratio":
            measure = measure_of(ratio(asked.inputs["suff"]), "ratio")
            found |= {"mean": measure.mean, "unit_variance": measure.variance}
        return found

    return replay


def _repeated_looks(asked: Asked) -> Numbers:
    """The boundary, and what it makes of five looks."""
    information = asked.outputs["information"]
    bound = test_boundaries.boundary(Power(2.0), information, 0.05)
    rows, ends, estimates = asked.inputs["rows"], [[], []], []
    for place, critical in enumerate(bound):
        control, treatment = rows[2 * place : 2 * place + 2]
        arms = [proportion({"n": row["den"], "sum": row["num"]}) for row in (treatment, control)]
        contrast = contrasts.difference_of_proportions(*arms)
        half = critical * math.sqrt(contrast.variance_against(1.0))
        estimates.append(contrast.estimate)
        ends[0].append(contrast.estimate - half)
        ends[1].append(contrast.estimate + half)
    return {
        "information": information,
        "z_bounds": list(bound),
        "adjusted_alpha": list(2 * special.ndtr(-bound)),
        "estimate": estimates,
        "ci_lower": ends[0],
        "ci_upper": ends[1],
    }


def _recursion(asked: Asked) -> Numbers:
    inputs = asked.inputs
    if "ks" in inputs:
        return {str(looks): _constant(inputs, looks) for looks in inputs["ks"]}
    t, spending = np.array(inputs["t"]), test_boundaries.spending_of(inputs)
    spent = spending.spent(inputs["alpha"] / inputs["sides"], t)
    side = 1 if "upper bound only" in asked.call else 2
    bound = spending_boundary(t, np.diff(spent, prepend=0), side)
    return {"z_bounds": list(bound), "cumulative_alpha_per_side": list(spent)}


def _constant(inputs: Mapping[str, Any], looks: int) -> float:
    times = test_boundaries.equal(looks)
    if inputs["design"] == "naive":
        z = -special.ndtri(inputs["alpha"] / 2)
        return float(np.sum(exit_probabilities(Region.of(times, np.full(looks, z)))))
    shape = {"pocock": POCOCK, "obf": OBRIEN_FLEMING}[inputs["design"]]
    return float(wang_tsiatis(times, inputs["alpha"], shape, inputs["sides"])[-1])


CALLS: Mapping[str, Callable[[Asked], Numbers]] = {
    "scipy chisquare over arms": sample_ratios,
    "scipy binomtest": binomial,
    "closed form: pooled-null": _sizes("z_pooled"),
    "closed form: unpooled Wald": _sizes("z_unpooled"),
    "closed form: Evan Miller": _sizes("z_baseline"),
    "closed form normal": _sizes("z_unpooled"),
    "statsmodels TTestIndPower": _sizes("welch_t"),
    "statsmodels multipletests": adjusted_p,
    "independent recursion (power family": _repeated_looks,
    "independent recursion": _recursion,
}
