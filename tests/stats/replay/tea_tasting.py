"""tea-tasting's calls by our functions: Welch's t or z, lifts by the logarithm, theta from totals."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stats import contrasts, inference, lifts
from stats.caps import winsorised
from stats.clusters import delta_means
from stats.contrasts import Contrast
from stats.exact import fisher
from stats.ranks import superiority
from stats.references import StudentT
from stats.regression import ancova
from tests.stats import test_caps, test_clusters, test_cuped
from tests.stats.replay.asked import NORMAL, Asked, Numbers, answers, independent, sibling, theta_of_totals
from tests.stats.replay.closed_forms import ranks
from tests.stats.replay.designs import adjusted_p, binomial, effect_of, planned, sample_ratios


def _tea_mean(asked: Asked) -> Numbers:
    """Welch's t or z; its interval of the logarithm has degrees of freedom of its own."""
    if asked.kind == "winsor":
        contrast = test_caps.capped_test(dict(asked.case), asked.outputs["cap_value"])
        clipped = winsorised(test_caps.arms_of(dict(asked.case)), asked.outputs["cap_value"]).clipped
        arms = tuple(np.array(asked.inputs["raw"][arm]).size for arm in ("treatment", "control"))
        return _tea_rows(contrast, arms, asked.alpha) | {
            "cap_value": asked.outputs["cap_value"],
            "n_capped_control": clipped["control"],
            "n_capped_treatment": clipped["treatment"],
        }
    if asked.kind == "clustered":
        v, b = test_clusters.both(dict(asked.case))
        contrast = delta_means(test_clusters.moments(v), test_clusters.moments(b))
        return _tea_rows(contrast, (len(v.size), len(b.size)), asked.alpha)
    sizes = tuple(arm.n for arm in asked.arms)
    if asked.kind.startswith("cuped"):
        return _tea_cuped(asked)
    if "equal_var=True" in asked.call:
        pooled = ancova(*asked.arms)
        return {
            name: value
            for name, value in _tea_rows(pooled, sizes, asked.alpha).items()
            if "ci_relative" not in name
        }
    return _tea_rows(asked.contrast, sizes, asked.alpha, use_t="use_t=False" not in asked.call)


def _tea_rows(
    contrast: Contrast, sizes: tuple[int, ...], alpha: float, *, use_t: bool = True
) -> dict[str, Any]:
    absolute = answers(contrast, StudentT(contrast.df) if use_t else NORMAL, alpha)
    parts = zip((contrast.var_variant / contrast.variant**2, contrast.var_baseline / contrast.baseline**2),
                sizes, strict=True)  # fmt: skip
    df = contrasts.satterthwaite(*((variance, n - 1) for variance, n in parts))
    relative = lifts.log_interval(contrast, StudentT(df) if use_t else NORMAL, alpha)
    return {
        "control": contrast.baseline,
        "treatment": contrast.variant,
        "estimate_absolute": contrast.estimate,
        "statistic": absolute["statistic"],
        "p_value": absolute["p_value"],
        "ci_absolute_lower": absolute["ci"][0],
        "ci_absolute_upper": absolute["ci"][1],
        "estimate_relative": inference.lift(contrast),
        "ci_relative_lower": relative.lower,
        "ci_relative_upper": relative.upper,
    }


def _tea_cuped(asked: Asked) -> Numbers:
    """With its theta, from the totals of both arms, and adjusted means as if they shared nothing."""
    if asked.kind == "cuped_ratio":
        together = test_cuped.ratio(asked.inputs["treatment"]).merge(
            test_cuped.ratio(asked.inputs["control"])
        )
        theta = theta_of_totals(contrasts.linearised(together, pairs=2))
    else:
        theta = sibling(asked, test_cuped.REFERENCE)["theta_pooled"]
    contrast = contrasts.adjusted(*asked.arms, theta=[theta])
    units = {
        f"{arm}_unit_variance": one.cov[0][0] - 2 * theta * one.cov[0][1] + theta**2 * one.cov[1][1]
        for arm, one in zip(("treatment", "control"), asked.arms, strict=True)
    }
    alone = independent(contrast, units, asked)
    found = _tea_rows(alone, tuple(arm.n for arm in asked.arms), asked.alpha)
    found |= {"statistic": inference.statistic(contrast)}
    shown = answers(contrast, StudentT(contrast.df), asked.alpha)
    found |= {
        "p_value": shown["p_value"],
        "ci_absolute_lower": shown["ci"][0],
        "ci_absolute_upper": shown["ci"][1],
    }
    if asked.kind == "cuped_ratio":  # it re-centres at the ratio of totals, not at the mean of ratios
        same = ("estimate_absolute", "statistic", "p_value", "ci_absolute_lower", "ci_absolute_upper")
        found = {name: found[name] for name in same}
    return found


def _tea_proportion(asked: Asked) -> Numbers:
    side = -1 if "alternative='less'" in asked.call else 0
    v, b = asked.arms
    unpooled = contrasts.difference_of_proportions(v, b)
    found: dict[str, Any] = {
        "control": unpooled.baseline,
        "treatment": unpooled.variant,
        "estimate_absolute": unpooled.estimate,
        "estimate_relative": inference.lift(unpooled),
    }
    if "correction=True" in asked.call or "log-likelihood" in asked.call:
        return found
    exact = {"fisher": lambda: fisher(asked.counts).p_value}
    for method, of_counts in exact.items():
        if f"method='{method}'" in asked.call:
            return found | {"p_value": of_counts()}
    if "method='pearson'" in asked.call or "equal_var=True" in asked.call:
        pooled = contrasts.pooled_proportions(v, b)
        return found | {"p_value": answers(pooled, NORMAL, asked.alpha, side=side)["p_value"]}
    shown = answers(unpooled, NORMAL, asked.alpha, side=side)
    level = asked.alpha
    log = lifts.log_interval(unpooled, NORMAL, level, 1 if side else 2)
    return found | {
        "p_value": shown["p_value"],
        "ci_absolute_lower": shown["ci"][0],
        "ci_absolute_upper": shown["ci"][1],
        "ci_relative_lower": log.lower if side >= 0 else -math.inf,
        "ci_relative_upper": log.upper,
    }


def _tea_ranks(asked: Asked) -> Numbers:
    raw, found = asked.inputs["raw"], ranks(asked)
    above = superiority(np.array(raw["treatment"]), np.array(raw["control"])).estimate + 0.5
    return {
        "statistic": found["statistic"],
        "pvalue": found["p_value"],
        "treatment": above,
        "control": 1 - above,
        "effect_size": 2 * above - 1,
    }


def _tea_sample_ratio(asked: Asked) -> Numbers:
    if "correction=True" in asked.call:
        return {}
    return sample_ratios(asked) if "norm" in asked.call else binomial(asked)


def _tea_power(asked: Asked) -> Numbers:
    method = "welch_t" if "use_t=True" in asked.call else "z_unpooled"
    return {"n_total": planned(asked, method)["n_total"]} | {
        "power": asked.inputs["power"],
        "effect_size": effect_of(asked),
    }


CALLS: Mapping[str, Callable[[Asked], Numbers]] = {
    "tt.Mean(...": _tea_power,
    "tt.RatioOfMeans(...": _tea_power,
    "tt.Mean": _tea_mean,
    "tt.RatioOfMeans": _tea_mean,
    "cap = ": _tea_mean,
    "tt.Proportion": _tea_proportion,
    "tt.MannWhitneyU": _tea_ranks,
    "tt.SampleRatio": _tea_sample_ratio,
    "tt.adjust": adjusted_p,
}
