"""GrowthBook's calls by our functions: Welch's t, lifts by the linear delta method, theta from totals."""

import math
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from stats import contrasts
from stats.bandits import arm_posterior
from stats.bayes import DEFAULT, Prior, difference_posterior, lift_posterior, probability_better
from stats.contrasts import Arm, Contrast
from stats.moments import Moments
from stats.quantiles import Quantile, quantile, summarised
from stats.references import Reference, StudentT
from stats.strata import post_stratified
from tests.stats import test_quantiles
from tests.stats import test_strata as strata
from tests.stats.replay.asked import (
    Asked,
    Numbers,
    answers,
    linear,
    sequence,
    theta_of_sums,
    theta_of_totals,
    welch_df,
)
from tests.stats.replay.designs import sample_ratios
from tests.stats.test_vectors import mean


def _growthbook(asked: Asked) -> Numbers:
    """Welch's t always, on p (1 - p) for a proportion; lifts by the linear delta method."""
    if asked.kind.startswith("quantile"):
        return _quantile(asked)
    side = {"OneSidedTreatmentGreater": 1, "OneSidedTreatmentLesser": -1}.get(asked.call.split("TTest")[0], 0)
    null = asked.number("test_value") or 0.0
    if asked.kind.startswith("cuped"):
        return _cuped(asked)
    contrast = asked.contrast
    law: Reference = StudentT(welch_df(contrast, asked))
    if "Sequential" in asked.call:
        law = sequence(asked)
    found = (linear if asked.relative else answers)(contrast, law, asked.alpha, null=null, side=side)
    found |= _units(asked, contrast) | {"df": welch_df(contrast, asked)}
    if side < 0 and asked.result["version"].startswith("0.8.0"):
        del found["ci"]
    return found


def _cuped(asked: Asked) -> Numbers:
    """Theta from totals, on the absolute scale; its lift divides by the raw control mean."""
    v, b = asked.arms
    theta = theta_of_sums(v, b) if asked.kind == "cuped_ratio" else theta_of_totals(v.merge(b))
    units = [one.cov[0][0] - 2 * theta * one.cov[0][1] + theta**2 * one.cov[1][1] for one in (v, b)]
    contrast = contrasts.adjusted(v, b, theta=[theta])
    found = {
        "theta": theta,
        "df": contrast.df,
        "treatment_unadjusted_mean": v.mean[0],
        "control_unadjusted_mean": b.mean[0],
        "treatment_unit_variance": units[0],
        "control_unit_variance": units[1],
    }
    if asked.kind == "cuped_prop":
        return {name: value for name, value in found.items() if "mean" in name}
    if asked.relative:
        return found
    law = sequence(asked) if "Sequential" in asked.call else StudentT(contrast.df)
    return answers(contrast, law, asked.alpha) | found


def _quantile(asked: Asked) -> Numbers:
    """Its unit variance belongs to n - 1 of n values."""
    params = asked.case["params"]
    if asked.kind == "quantile_suff":
        found = [
            summarised(one, params["quantile"], alpha=asked.alpha)
            for one in test_quantiles.summaries(dict(asked.case))
        ]
    else:
        raw = asked.inputs["raw"]
        found = [
            quantile(np.array(raw[arm]), params["quantile"], alpha=asked.alpha)
            for arm in ("treatment", "control")
        ]
    if any(one.variance is None for one in found):
        return {}
    shrunk = [Quantile(one.n, one.value, one.variance * (one.n - 1) / one.n) for one in found]
    contrast = test_quantiles.compared(*shrunk)
    law = StudentT(contrast.df)
    shown = (linear if asked.relative else answers)(contrast, law, asked.alpha)
    return shown | {
        "treatment_unadjusted_mean": found[0].value,
        "control_unadjusted_mean": found[1].value,
        "treatment_unit_variance": shrunk[0].variance * shrunk[0].n,
        "control_unit_variance": shrunk[1].variance * shrunk[1].n,
    }


def posterior(asked: Asked) -> Numbers:
    if asked.kind not in ("proportion", "mean", "ratio"):
        return {}
    stated = asked.case["params"].get("prior")
    prior = (
        DEFAULT if stated is None else Prior(stated["mean"], stated["sd"] if stated["proper"] else math.inf)
    )
    posterior = (lift_posterior if asked.relative else difference_posterior)(asked.contrast, prior)
    losses = posterior.losses()
    worse = probability_better(posterior, sign=-1)
    return _units(asked, asked.contrast) | {
        "estimate": posterior.mean,
        "posterior_mean": posterior.mean,
        "se": posterior.sd,
        "posterior_sd": posterior.sd,
        "ci": list(posterior.interval(asked.alpha)),
        "chance_to_win": probability_better(posterior),
        "risk_control": losses.baseline,
        "risk_treatment": losses.variant,
        "log10_one_minus_ctw": math.log10(worse) if worse > 0 else math.nan,
        "log10_risk_treatment": math.log10(losses.variant) if losses.variant > 0 else math.nan,
    }


def bandit_arms(asked: Asked) -> Any:
    arms = [mean(arm) for arm in asked.inputs["arms"]]
    n = np.array([arm.n for arm in arms], dtype=float)
    return arm_posterior(
        Arm(np.array([arm.mean[0] for arm in arms]), np.array([arm.cov[0][0] for arm in arms]), n)
    )


def _bandit(asked: Asked) -> Numbers:
    posterior = bandit_arms(asked)
    return {"posterior_mean": list(posterior.mean), "posterior_variance": list(np.square(posterior.sd))}


def _strata(asked: Asked) -> Numbers:
    kind, cells = asked.inputs["kind"], strata.strata_of(dict(asked.case))
    whole = [reduce(Moments.merge, [one[arm] for one in cells if one[arm].n]) for arm in (0, 1)]
    estimators = {"mean": contrasts.difference_of_means, "ratio": contrasts.difference_of_ratios,
                  "proportion": contrasts.difference_of_means}  # fmt: skip
    plain = estimators[kind](*whole)
    found = post_stratified(cells, kind=kind)
    stratified = "post_stratify=True" in asked.call and "not_stratified" not in found.notes
    contrast = found.contrast if stratified else plain
    if asked.relative:
        return linear(contrast, StudentT(plain.df), asked.alpha)
    return answers(contrast, StudentT(plain.df), asked.alpha)


def _units(asked: Asked, contrast: Contrast) -> dict[str, Any]:
    """Raw means and the variances of a unit."""
    v, b = asked.arms
    return {
        "treatment_unadjusted_mean": v.mean[0] if asked.kind != "ratio" else contrast.variant,
        "control_unadjusted_mean": b.mean[0] if asked.kind != "ratio" else contrast.baseline,
        "treatment_unit_variance": contrast.var_variant * v.n,
        "control_unit_variance": contrast.var_baseline * b.n,
    }


CALLS: Mapping[str, Callable[[Asked], Numbers]] = {
    "TwoSidedTTest(strata": _strata,
    "TwoSidedTTest": _growthbook,
    "OneSided": _growthbook,
    "SequentialTwoSidedTTest": _growthbook,
    "EffectBayesianABTest": posterior,
    "BanditsSimple": _bandit,
    "gbstats.utils.check_srm": sample_ratios,
}
