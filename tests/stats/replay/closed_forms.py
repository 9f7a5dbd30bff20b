"""Closed forms, SciPy and statsmodels on means, ratios, covariates, sequences, quantiles and caps."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from stats import contrasts, inference, lifts
from stats.bandits import rank
from stats.caps import pooled_cap, winsorised
from stats.clusters import cr1_means
from stats.moments import Moments
from stats.proportions import log_relative_statistic
from stats.quantiles import quantile
from stats.ranks import mann_whitney
from stats.references import ConfidenceSequence, StudentT, exact_rho2, msprt, p_value
from stats.regression import ancova, lin_robust
from tests.stats import test_caps, test_clusters, test_cuped, test_quantiles, test_regression
from tests.stats.replay.asked import (
    NORMAL,
    Asked,
    Numbers,
    answers,
    independent,
    one_sided,
    own_theta,
    sequence,
    sibling,
    theta_of_sums,
    theta_of_totals,
)
from tests.stats.replay.growthbook import bandit_arms, posterior


def _bandit(asked: Asked) -> Numbers:
    arms = bandit_arms(asked)
    return {
        "posterior_mean": list(arms.mean),
        "posterior_sd": list(arms.sd),
        "best_arm_probability": list(rank(arms).best),
    }


def _welch(asked: Asked) -> Numbers:
    contrast = asked.contrast
    v, b = asked.arms
    moments = {
        f"{arm}_moments": {
            "m_mean": one.mean[0],
            "d_mean": one.mean[1],
            "var_m": one.cov[0][0],
            "var_d": one.cov[1][1],
            "cov_md": one.cov[0][1],
        }
        for arm, one in (("treatment", v), ("control", b))
        if asked.kind == "ratio"
    }
    return (
        answers(contrast, StudentT(contrast.df), asked.alpha)
        | moments
        | {
            "treatment_mean": v.mean[0],
            "control_mean": b.mean[0],
            "treatment_ratio": contrast.variant,
            "control_ratio": contrast.baseline,
            "treatment_unit_variance": contrast.var_variant * v.n,
            "control_unit_variance": contrast.var_baseline * b.n,
        }
    )


def _scipy_t(asked: Asked) -> Numbers:
    contrast = ancova(*asked.arms) if "equal_var=True" in asked.call else asked.contrast
    return answers(contrast, StudentT(contrast.df), asked.alpha, side=one_sided(asked))


def _relative(name: str) -> Callable[[Asked], Numbers]:
    def replay(asked: Asked) -> Numbers:
        contrast, pair = asked.contrast, lifts.RELATIVE[name]
        error = {"linear_delta": lifts.linear_error, "log_delta": lifts.log_error}[name](contrast)
        if not error > 0:
            return {}
        return {
            "estimate": inference.lift(contrast),
            "se": error,
            "se_log": error,
            "p_value": float(p_value(NORMAL.log10_p(pair.statistic(contrast, 0.0)))),
            "ci": list(pair.interval(contrast, NORMAL, asked.alpha, 2)),
        }

    return replay


def _fieller(asked: Asked) -> Numbers:
    contrast = asked.contrast
    found = {
        "estimate": inference.lift(contrast),
        "g": NORMAL.critical(asked.alpha) ** 2 * contrast.var_baseline / contrast.baseline**2,
    }
    if asked.outputs["bounded"]:
        found["ci"] = list(inference.lift_interval(contrast, NORMAL, asked.alpha))
    return found


def _cuped(asked: Asked) -> Numbers:
    v, b = asked.arms
    if "variance-optimal" in asked.call:
        theta = own_theta(asked)
    else:
        theta = theta_of_sums(v, b) if "unweighted" in asked.call else theta_of_totals(v.merge(b))
    contrast = contrasts.adjusted(v, b, theta=[theta])
    units = [one.cov[0][0] - 2 * theta * one.cov[0][1] + theta**2 * one.cov[1][1] for one in (v, b)]
    found = answers(contrast, StudentT(contrast.df), asked.alpha) | {
        "treatment_adjusted_mean": contrast.variant,
        "control_adjusted_mean": contrast.baseline,
        "treatment_unadjusted_mean": v.mean[0],
        "control_unadjusted_mean": b.mean[0],
        "treatment_ratio_post": v.mean[0],
        "control_ratio_post": b.mean[0],
        "treatment_ratio_pre": v.mean[1],
        "control_ratio_pre": b.mean[1],
        "treatment_unit_variance": units[0],
        "control_unit_variance": units[1],
    }
    within = [(one.n - 1) / (v.n + b.n - 2) for one in (v, b)]
    slope = [sum(w * one.cov[i][1] for w, one in zip(within, (v, b), strict=True)) for i in (0, 1)]
    return found | {
        "theta": theta,
        "theta_pooled": theta,
        "theta_within": slope[0] / slope[1],
        "variance_reduction": contrast.variance_reduction,
    }


def _cuped_relative(name: str) -> Callable[[Asked], Numbers]:
    def replay(asked: Asked) -> Numbers:
        absolute = sibling(asked, test_cuped.REFERENCE)
        whole = contrasts.adjusted(*asked.arms, theta=[absolute["theta_pooled"]])
        alone, pair = independent(whole, absolute, asked), lifts.RELATIVE[name]
        error = {"linear_delta": lifts.linear_error, "log_delta": lifts.log_error}.get(
            name, lifts.linear_error
        )(alone)
        return {
            "estimate": inference.lift(alone),
            "se": error,
            "se_log": error,
            "p_value": float(p_value(NORMAL.log10_p(pair.statistic(alone, 0.0)))),
            "ci": list(pair.interval(alone, NORMAL, asked.alpha, 2)),
            "g": NORMAL.critical(asked.alpha) ** 2 * alone.var_baseline / alone.baseline**2,
        }

    return replay


def _ancova(asked: Asked) -> Numbers:
    found = ancova(*map(test_regression.moments, test_regression.samples(dict(asked.case))))
    v, b = asked.arms
    xy, xx = (sum((one.n - 1) * one.cov[i][1] for one in (v, b)) for i in (0, 1))
    return answers(found, StudentT(found.df), asked.alpha) | {"theta": xy / xx}


def _lin(asked: Asked) -> Numbers:
    found = lin_robust(*test_regression.samples(dict(asked.case)), estimand="sample")
    return answers(found, NORMAL, asked.alpha)


def _clusters(asked: Asked) -> Numbers:
    v, b = test_clusters.both(dict(asked.case))
    found = answers(cr1_means(test_clusters.moments(v), test_clusters.moments(b)), NORMAL, asked.alpha)
    if "naive" in asked.call:
        raw = asked.inputs["raw"]
        single = [Moments.from_columns(np.array(raw[arm])[:, 1]) for arm in ("treatment", "control")]
        plain = ancova(*single)
        return answers(plain, NORMAL if _normal(asked) else StudentT(plain.df), asked.alpha)
    return found if "default" in asked.call else {"estimate": found["estimate"]}


def _normal(asked: Asked) -> bool:
    half = (asked.outputs["ci"][1] - asked.outputs["ci"][0]) / 2
    return math.isclose(half / asked.outputs["se"], NORMAL.critical(asked.alpha), rel_tol=1e-6)


def _katz(asked: Asked) -> Numbers:
    found = _relative("log_delta")(asked)
    if not found:
        return {}
    z = log_relative_statistic(asked.counts)
    return {**found, "p_value": float(p_value(NORMAL.log10_p(z)))}


def _log_lift(asked: Asked) -> Numbers:
    return _katz(asked) if asked.kind == "proportion" else _relative("log_delta")(asked)


def _closed_sequence(asked: Asked) -> Numbers:
    law, contrast = sequence(asked), asked.contrast
    n = sum(arm.n for arm in asked.arms)
    shown = answers(contrast, law, asked.alpha)
    tuned_for = asked.case["params"]["sequential_tuning_parameter"]
    if "exact rho" in asked.call:
        law = ConfidenceSequence(n, tuned_for=tuned_for, alpha=asked.alpha, rho2=exact_rho2)
        rho = math.sqrt(exact_rho2(asked.alpha, tuned_for))
    else:
        log = -2 * math.log(asked.alpha)
        rho = math.sqrt((log + math.log(log + 1)) / tuned_for)
    if "Eppo" in asked.call:
        rho = 1 / rho**2
    return shown | {
        "multiplier": law.critical(asked.alpha),
        "halfwidth": law.critical(asked.alpha) * shown["se"],
        "rho": rho,
    }


def _statsig(asked: Asked) -> Numbers:
    """Its formula is the mixture's at half its level, with the tau of its own."""
    contrast, tau = asked.contrast, asked.outputs["tau"]
    law = msprt(contrast.variance_against(1.0), math.sqrt(tau))
    return {"z_star": law.critical(asked.alpha / 2), "ci": answers(contrast, law, asked.alpha / 2)["ci"]}


def ranks(asked: Asked) -> Numbers:
    raw = asked.inputs["raw"]
    found = mann_whitney(np.array(raw["treatment"]), np.array(raw["control"]))
    return {"statistic": found.u, "p_value": found.p_value}


def _margin_of_ratio(asked: Asked) -> Numbers:
    sign = 1 if asked.case["params"]["preferred"] == "increase" else -1
    z = sign * inference.statistic(asked.contrast, 1 - sign * asked.case["params"]["nim"])
    p = float(p_value(NORMAL.log10_p(z, 1)))
    return {"statistic": z, "p_value": p}


def _margin_as_known(asked: Asked) -> Numbers:
    contrast = asked.contrast
    sign = 1 if asked.case["params"]["preferred"] == "increase" else -1
    null = -sign * asked.case["params"]["nim"] * contrast.baseline
    found = answers(contrast, NORMAL, asked.alpha, null=null, side=sign)
    return found | {"null": null, "statistic": sign * found["statistic"]}


def _capped(asked: Asked) -> Numbers:
    cap = asked.outputs.get("cap_value", math.inf)
    contrast = test_caps.capped_test(dict(asked.case), cap)
    clipped = winsorised(test_caps.arms_of(dict(asked.case)), cap).values
    return answers(contrast, StudentT(contrast.df), asked.alpha) | {
        f"{arm}_{name}": float(value)
        for arm, values in clipped.items()
        for name, value in (("sum", values.sum()), ("sum_squares", np.square(values).sum()))
    }


def _cap(asked: Asked) -> Numbers:
    over = "nonzero" if asked.case["params"].get("ignore_zeros") else "all"
    return {
        "cap_value": pooled_cap(
            test_caps.arms_of(dict(asked.case)).values(), asked.case["params"]["percentile"], over=over
        )
    }


def _outer_interval(asked: Asked) -> Numbers:
    raw, params = asked.inputs["raw"], asked.case["params"]
    v, b = (
        quantile(np.array(raw[arm]), params["quantile"], alpha=asked.alpha)
        for arm in ("treatment", "control")
    )
    found = answers(test_quantiles.compared(v, b), NORMAL, asked.alpha)
    shown = asked.outputs["arms"]
    arms = {
        arm: {**shown[arm], "quantile": one.value, "se": math.sqrt(one.variance)}
        for arm, one in (("treatment", v), ("control", b))
    }
    return found | {"arms": arms}


CALLS: Mapping[str, Callable[[Asked], Numbers]] = {
    "closed form: Welch t": _welch,
    "closed form: delta method, Welch t": _welch,
    "closed form: relative lift, linear delta method on CUPED": _cuped_relative("linear_delta"),
    "closed form: relative lift, Fieller on CUPED": _cuped_relative("fieller"),
    "closed form: relative lift, log delta method on CUPED": _cuped_relative("log_delta"),
    "closed form: relative lift, linear delta": _relative("linear_delta"),
    "closed form: relative lift, log delta": _log_lift,
    "closed form: relative lift, Fieller": _fieller,
    "closed form: CUPED": _cuped,
    "statsmodels OLS y ~ 1 + T + Xc (ANCOVA": _ancova,
    "statsmodels OLS y ~ 1 + T + Xc + T*Xc": _lin,
    "statsmodels OLS y ~ 1 + T,": _clusters,
    "scipy ttest_ind": _scipy_t,
    "scipy mannwhitneyu": ranks,
    "closed form: normal-normal posterior": posterior,
    "closed form posterior N(0,1e4)": _bandit,
    "closed form: asymptotic CS": _closed_sequence,
    "closed form: same, exact rho": _closed_sequence,
    "closed form: Eppo": _closed_sequence,
    "closed form: Statsig": _statsig,
    "closed form: ratio null": _margin_of_ratio,
    "closed form: margin fixed": _margin_as_known,
    "numpy.quantile 'linear'": _capped,
    "uncapped, Welch t": _capped,
    "cap by numpy.quantile method='inverted_cdf'": _cap,
    "closed form: Deng et al. 2018 outer CI": _outer_interval,
}
