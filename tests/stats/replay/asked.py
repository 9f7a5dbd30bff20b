"""One call of an engine on one case of the vectors, and what every two-arm test of ours says of it."""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from stats import contrasts, inference, lifts
from stats.contrasts import Contrast
from stats.moments import Moments
from stats.proportions import Counts
from stats.references import ConfidenceSequence, Reference, StudentT, p_value
from tests.stats import test_cuped
from tests.stats.test_vectors import mean, proportion, ratio

NORMAL = StudentT()
Numbers = Mapping[str, Any]


class Asked(NamedTuple):
    """One call of an engine on one case."""

    case: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def call(self) -> str:
        return self.result["call"]

    @property
    def outputs(self) -> Mapping[str, Any]:
        return self.result["outputs"]

    @property
    def inputs(self) -> Mapping[str, Any]:
        return self.case["inputs"]

    @property
    def kind(self) -> str:
        return self.case["kind"]

    @property
    def alpha(self) -> float:
        return self.case["params"].get("alpha", self.inputs.get("alpha", 0.05))

    @property
    def relative(self) -> bool:
        return self.result.get("scale") == "relative"

    @property
    def arms(self) -> tuple[Moments, Moments]:
        """Treatment and control; from the values themselves where they are given."""
        if self.kind.startswith("cuped"):
            return test_cuped.both(dict(self.case))
        of_sums = {"proportion": proportion, "mean": mean, "ratio": ratio}[self.kind]
        raw = self.inputs.get("raw")
        if raw and self.kind == "mean":
            return tuple(Moments.from_columns(raw[arm]) for arm in ("treatment", "control"))
        return tuple(of_sums(self.inputs[arm]) for arm in ("treatment", "control"))

    @property
    def too_small(self) -> bool:
        """Whether an arm has fewer units than a variance needs."""
        arms = [self.inputs.get(arm) for arm in ("treatment", "control")]
        return any(isinstance(arm, dict) and arm.get("n", 2) < 2 for arm in arms)

    @property
    def counts(self) -> Counts:
        v, b = self.inputs["treatment"], self.inputs["control"]
        return Counts(v["sum"], v["n"], b["sum"], b["n"])

    @property
    def contrast(self) -> Contrast:
        """By our default method."""
        estimator = {
            "proportion": contrasts.difference_of_proportions,
            "mean": contrasts.difference_of_means,
            "ratio": contrasts.difference_of_ratios,
        }.get(self.kind, contrasts.adjusted)
        return estimator(*self.arms)

    def number(self, name: str) -> float | None:
        """A number of the call's own text."""
        found = re.search(rf"{name}=(-?[0-9.e-]+)", self.call)
        return float(found.group(1)) if found else None


def answers(
    contrast: Contrast, law: Reference, alpha: float, *, null: float = 0.0, side: int = 0
) -> dict[str, Any]:
    """On the absolute scale; `side` 1 is "greater", -1 "less", each bound at alpha on its own side."""
    error = math.sqrt(contrast.variance_against(1.0))
    z = (contrast.estimate - null) / error
    half = law.critical(alpha, 1 if side else 2) * error
    ends = [
        contrast.estimate - half if side >= 0 else -math.inf,
        contrast.estimate + half if side <= 0 else math.inf,
    ]
    return {
        "estimate": contrast.estimate,
        "se": error,
        "df": contrast.df,
        "statistic": z,
        "p_value": float(p_value(_log10(law, z, side))),
        "log10_p_two_sided": float(law.log10_p(z)),
        "log10_p": float(law.log10_p(z)),
        "ci": ends,
    }


def _log10(law: Reference, z: float, side: int) -> float:
    return law.log10_p(side * z, 1) if side else law.log10_p(z)


def linear(
    contrast: Contrast, law: Reference, alpha: float, *, null: float = 0.0, side: int = 0
) -> dict[str, Any]:
    """A lift by the linear delta method."""
    estimate, error = inference.lift(contrast), lifts.linear_error(contrast)
    half = law.critical(alpha, 1 if side else 2) * error
    z = (estimate - null) / error
    return {
        "estimate": estimate,
        "se": error,
        "df": getattr(law, "df", math.inf),
        "p_value": float(p_value(_log10(law, z, side))),
        "ci": [estimate - half if side >= 0 else -math.inf, estimate + half if side <= 0 else math.inf],
    }


def welch_df(contrast: Contrast, asked: Asked) -> float:
    v, b = asked.arms
    return contrasts.satterthwaite((contrast.var_variant, v.n - 1), (contrast.var_baseline, b.n - 1))


def independent(contrast: Contrast, theirs: Mapping[str, float], asked: Asked) -> Contrast:
    """Adjusted means as if they shared nothing, with the unit variances stated."""
    v, b = asked.arms
    return Contrast(
        method="independent",
        variant=contrast.variant,
        baseline=contrast.baseline,
        var_variant=theirs["treatment_unit_variance"] / v.n,
        var_baseline=theirs["control_unit_variance"] / b.n,
    )


def sibling(asked: Asked, beginning: str) -> Mapping[str, Any]:
    return next(each["outputs"] for each in asked.case["results"] if each["call"].startswith(beginning))


def sequence(asked: Asked) -> ConfidenceSequence:
    return ConfidenceSequence(
        sum(arm.n for arm in asked.arms),
        tuned_for=asked.case["params"]["sequential_tuning_parameter"],
        alpha=asked.alpha,
    )


def theta_of_sums(v: Moments, b: Moments) -> float:
    """The arms' covariances added up, whatever their sizes."""
    return (v.cov[0][1] + b.cov[0][1]) / (v.cov[1][1] + b.cov[1][1])


def theta_of_totals(pooled: Moments) -> float:
    """Both arms as if they were one."""
    return pooled.cov[0][1] / pooled.cov[1][1]


def own_theta(asked: Asked) -> float:
    v, b = asked.arms
    return (v.cov[0][1] / v.n + b.cov[0][1] / b.n) / (v.cov[1][1] / v.n + b.cov[1][1] / b.n)


def one_sided(asked: Asked) -> int:
    """1 for "greater", -1 for "less", 0 for two sides, as the call says."""
    found = re.search(r"alternative='(\w+)'", asked.call)
    return {"greater": 1, "less": -1}.get(found.group(1) if found else "", 0)
