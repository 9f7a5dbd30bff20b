"""What SciPy and statsmodels say of two proportions from their counts."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from stats import contrasts
from stats.bayes import probability_better
from stats.betas import beta_posterior
from stats.exact import fisher
from stats.proportions import (
    agresti_caffo,
    clopper_pearson,
    log_relative,
    miettinen_nurminen_difference,
    miettinen_nurminen_lift,
    newcombe,
    wilson,
)
from tests.stats.replay.asked import NORMAL, Asked, Numbers, answers, one_sided


def _of_counts(method: Callable[[Asked], Any], estimate: str) -> Callable[[Asked], Numbers]:
    def replay(asked: Asked) -> Numbers:
        counts = asked.counts
        shares = {
            "control": counts.baseline / counts.n_baseline,
            "treatment": counts.variant / counts.n_variant,
        }
        estimates = shares | {
            "difference": shares["treatment"] - shares["control"],
            "lift": (shares["treatment"] / shares["control"] - 1) if shares["control"] else math.nan,
        }
        return {"ci": list(method(asked)), "estimate": estimates[estimate]}

    return replay


def _wald(asked: Asked) -> Numbers:
    contrast = contrasts.difference_of_proportions(*asked.arms)
    side = {"greater": 1, "less": -1}.get(asked.case["params"].get("alternative", ""), 0)
    p = answers(contrast, NORMAL, asked.alpha, side=side)["p_value"]
    return answers(contrast, NORMAL, asked.alpha) | {"p_value": p}


def _pooled_z(asked: Asked) -> Numbers:
    return answers(contrasts.pooled_proportions(*asked.arms), NORMAL, asked.alpha, side=one_sided(asked))


def _chi2(asked: Asked) -> Numbers:
    found = answers(contrasts.pooled_proportions(*asked.arms), NORMAL, asked.alpha)
    return {"statistic": found["statistic"] ** 2, "p_value": found["p_value"]}


def _exact_fisher(asked: Asked) -> Numbers:
    return {"p_value": fisher(asked.counts).p_value}


def _betas(asked: Asked) -> Numbers:
    counts = asked.counts
    found = beta_posterior(*counts)
    losses = found.losses()
    return {
        "chance_to_win": probability_better(found),
        "expected_loss_choose_control": losses.baseline,
        "expected_loss_choose_treatment": losses.variant,
        "posterior_means": [
            (1 + counts.baseline) / (2 + counts.n_baseline),
            (1 + counts.variant) / (2 + counts.n_variant),
        ],
    }


_INDEP = "statsmodels confint_proportions_2indep(treatment, control, compare="
CALLS: Mapping[str, Callable[[Asked], Numbers]] = {
    "closed form: unpooled z (Wald)": _wald,
    "statsmodels proportions_ztest": _pooled_z,
    "scipy chi2_contingency(correction=False)": _chi2,
    f"{_INDEP}'diff', method='wald'": _of_counts(
        lambda a: answers(contrasts.difference_of_proportions(*a.arms), NORMAL, a.alpha)["ci"],
        "difference",
    ),
    f"{_INDEP}'diff', method='agresti-caffo'": _of_counts(
        lambda a: agresti_caffo(a.counts, NORMAL, a.alpha), "difference"
    ),
    f"{_INDEP}'diff', method='newcomb'": _of_counts(
        lambda a: newcombe(a.counts, NORMAL, a.alpha), "difference"
    ),
    f"{_INDEP}'diff', method='score'": _of_counts(
        lambda a: miettinen_nurminen_difference(a.counts, NORMAL, a.alpha), "difference"
    ),
    f"{_INDEP}'ratio', method='log-adjusted'": _of_counts(
        lambda a: log_relative(a.counts, NORMAL, a.alpha, added=0.5), "lift"
    ),
    f"{_INDEP}'ratio', method='log'": _of_counts(lambda a: log_relative(a.counts, NORMAL, a.alpha), "lift"),
    f"{_INDEP}'ratio', method='score'": _of_counts(
        lambda a: miettinen_nurminen_lift(a.counts, NORMAL, a.alpha), "lift"
    ),
    "statsmodels proportion_confint(control, method='wilson')": _of_counts(
        lambda a: wilson(a.counts.baseline, a.counts.n_baseline, NORMAL, a.alpha), "control"
    ),
    "statsmodels proportion_confint(treatment, method='wilson')": _of_counts(
        lambda a: wilson(a.counts.variant, a.counts.n_variant, NORMAL, a.alpha), "treatment"
    ),
    "statsmodels proportion_confint(control, method='beta')": _of_counts(
        lambda a: clopper_pearson(a.counts.baseline, a.counts.n_baseline, a.alpha), "control"
    ),
    "statsmodels proportion_confint(treatment, method='beta')": _of_counts(
        lambda a: clopper_pearson(a.counts.variant, a.counts.n_variant, a.alpha), "treatment"
    ),
    "scipy fisher_exact": _exact_fisher,
    "exact Beta(1,1)-Binomial": _betas,
}
