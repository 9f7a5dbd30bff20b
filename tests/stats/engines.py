"""Every number of the vectors, beside ours: who agrees, who differs, by how much, and the table of it.

`python -m tests.stats.engines` prints the table of `docs/engines.md` from ../shared/stats-vectors.
"""

import functools
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stats import contrasts, inference, lifts
from stats.bandits import rank, thompson_weights
from stats.equivalence import non_inferior_lift
from stats.multiplicity import holm
from stats.references import Reference, StudentT, p_value
from stats.srm import sample_ratio
from stats.strata import post_stratified
from tests.stats import test_quantiles, test_strata
from tests.stats.conftest import VECTORS
from tests.stats.differences import DIFFERENCES, SPOTIFY, Difference, Where
from tests.stats.replay.asked import Asked, answers, own_theta, sequence
from tests.stats.replay.calls import numbers
from tests.stats.replay.designs import planned
from tests.stats.replay.growthbook import bandit_arms

CLOSED, ITERATIVE = 1e-9, 1e-6  # relative
ROUNDING = 5e-16  # what 1 - cdf leaves of a tail, and subtraction of a bound near 0
_LARGE = 1.1  # a factor, below which it is told in per cent
_UNREAD = 1e-12  # a p-value whose factor nobody reads
# What a call was given, repeated in its answer, or the axis of a plot.
_GIVEN = re.compile(r"null_hypothesis|rel_effect_size|arms\.\w+\.(?!quantile|se)")
_ROOTS = re.compile(r".*method='score'")  # relative
_BOUNDARIES = re.compile("independent recursion")  # absolute, as their README says
_TAIL = re.compile(r".*p_value|pvalue")


class Leaf(NamedTuple):
    """One number of one call on one case, and ours by the same method, if we have it."""

    family: str
    case: Mapping[str, Any]
    result: Mapping[str, Any]
    name: str
    theirs: float | None  # None: an error instead of a number
    ours: float | None

    @property
    def agrees(self) -> bool:
        if self.theirs is None or self.ours is None:
            return False
        if math.isnan(self.theirs) or math.isnan(self.ours) or math.isinf(self.theirs):
            return self.theirs == self.ours or (math.isnan(self.theirs) and math.isnan(self.ours))
        near = abs(self.theirs - self.ours)
        if _BOUNDARIES.match(self.result["call"]) and near <= ITERATIVE:
            return True
        close = ITERATIVE if _ROOTS.match(self.result["call"]) else CLOSED
        return near <= close * abs(self.theirs) or (near <= ROUNDING and not _TAIL.match(self.name))

    @property
    def is_rounded_tail(self) -> bool:
        """A p-value that 1 - cdf has rounded."""
        known = self.theirs is not None and self.ours is not None and _TAIL.match(self.name)
        return bool(known) and abs(self.theirs - self.ours) <= ROUNDING

    @property
    def where(self) -> str:
        return (
            f"{self.family}: {self.case['id']}: {self.result['library']} {self.result['call']}: {self.name}"
        )


@functools.cache
def leaves() -> tuple[Leaf, ...]:
    """All numbers of all families but the published ones."""
    found = []
    for path in sorted(VECTORS.glob("*.json")):
        for case in json.loads(path.read_text(encoding="utf-8")).get("cases", ()):
            for result in case["results"]:
                ours = dict(_flat(numbers(case, result)))
                found += [
                    Leaf(path.stem, case, result, name, _number(value), _number(ours.get(name)))
                    for name, value in _flat(result["outputs"])
                    if _counts(name, value)
                ]
    return tuple(found)


def _flat(value: object, at: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _flat(one, f"{at}.{key}" if at else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for place, one in enumerate(value):
            yield from _flat(one, f"{at}[{place}]")
    else:
        yield at, value


def _counts(name: str, value: object) -> bool:
    """Numbers, and errors where numbers should be; not labels, decisions and what was given."""
    if name in ("raised", "error"):
        return bool(value)
    return _number(value) is not None and not _GIVEN.match(name)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return float(value) if value in ("inf", "-inf", "nan") else None
    return float(value)


@functools.cache
def explained() -> Mapping[str, list[Leaf]]:
    """By entry, the numbers behind it: replayed ones for another default, the others where no replay is."""
    found: dict[str, list[Leaf]] = {one.name: [] for one in DIFFERENCES}
    for leaf in leaves():
        for one in DIFFERENCES:
            if one.named is leaf.agrees and _covers(one.where, leaf):
                found[one.name].append(leaf)
    found["tails"] = [leaf for leaf in found["tails"] if leaf.is_rounded_tail]
    return found


def unexplained() -> list[Leaf]:
    """The numbers that are neither ours nor somewhere in the table."""
    known = {id(leaf) for own in explained().values() for leaf in own}
    return [leaf for leaf in leaves() if not leaf.agrees and id(leaf) not in known]


def _covers(places: Sequence[Where], leaf: Leaf) -> bool:
    return any(place.covers(leaf.case, leaf.result, leaf.name) for place in places)


# ── how large a difference is ──


def size(one: Difference) -> str:
    """In words, the largest over its numbers, against our default."""
    worst: dict[str, float] = {}
    for leaf in explained()[one.name]:
        kind, value = _apart(leaf)
        if kind:
            worst[kind] = max(worst.get(kind, 0.0), value)
    shown = [_SAID[kind](value) for kind, value in sorted(worst.items()) if value > 0]
    return "; ".join(shown) or "nothing of ours to measure it by"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"


_SAID: Mapping[str, Callable[[float], str]] = {
    "errors": lambda value: f"estimates and bounds by {value:.2g} standard errors",
    "p": lambda value: f"p by a factor of {value:.3g}" if value > _LARGE else f"p by {_percent(value - 1)}",
    "share": lambda value: f"other numbers by {_percent(value)}",
}


def _apart(leaf: Leaf) -> tuple[str, float]:
    """What is measured, and how far the two are apart; nothing where either is no number."""
    ours = _default(leaf)
    if leaf.ours is not None and not leaf.agrees:  # by the same method, which is closer than the default
        ours = leaf.ours, None if ours is None else ours[1]
    if ours is None or leaf.theirs is None or not (math.isfinite(ours[0]) and math.isfinite(leaf.theirs)):
        return "", 0.0
    value, error = ours
    if _TAIL.match(leaf.name) or leaf.name.startswith("p_adjusted"):
        if min(value, leaf.theirs) <= 0 or max(value, leaf.theirs) < _UNREAD:
            return "", 0.0
        return "p", max(value / leaf.theirs, leaf.theirs / value)
    if error:
        return "errors", abs(value - leaf.theirs) / error
    return "share", abs(value - leaf.theirs) / (max(abs(value), abs(leaf.theirs)) or 1.0)


def _default(leaf: Leaf) -> tuple[float, float | None] | None:
    """Our default number for this one, and its standard error where it is an estimate or a bound."""
    asked = Asked(leaf.case, leaf.result)
    with np.errstate(all="ignore"):
        shown = _defaults(asked)
    name = leaf.name.replace("ci_absolute_", "ci_").replace("adjusted_ci_", "ci_").replace("ci_normal", "ci")
    relative = asked.relative or "relative" in name
    if (name, leaf.result["library"]) == ("se", SPOTIFY):
        relative = False  # its relative rows carry the absolute error
    name = name.replace("ci_relative_", "ci_").replace("estimate_relative", "estimate")
    name = name.replace("estimate_absolute", "estimate")
    name = {"ci[0]": "ci_lower", "ci[1]": "ci_upper"}.get(name, name)
    value = shown.get(("relative " if relative and name != "p_value" else "") + name)
    if value is None:
        return None
    bound = name.startswith("ci_") or name == "estimate"
    return float(value), float(shown["relative se" if relative else "se"]) if bound else None


def _defaults(asked: Asked) -> dict[str, float]:
    kind = asked.case["kind"]
    if kind in ("proportion", "mean", "ratio") or kind.startswith("cuped"):
        return {} if asked.too_small else _two_arms(asked)
    return {
        "quantile_unit": _quantiles, "quantile_suff": _quantiles, "multiplicity": _family,
        "post_stratification": _strata, "power": _sizes, "srm": _sample_ratio, "bandit": _bandit,
    }.get(kind, lambda _: {})(asked)  # fmt: skip


def _two_arms(asked: Asked) -> dict[str, float]:
    contrast, params = asked.contrast, asked.case["params"]
    if not contrast.variance_against(1.0) > 0:
        return {}
    law = sequence(asked) if "sequential_tuning_parameter" in params else StudentT(contrast.df)
    side = {"greater": 1, "less": -1}.get(params.get("alternative", ""), 0)
    found = _both_scales(contrast, law, asked.alpha, side)
    if asked.kind.startswith("cuped"):
        found["theta"] = own_theta(asked)
    if "nim" in params:
        sign = 1 if params["preferred"] == "increase" else -1
        shown = non_inferior_lift(contrast, law, margin=params["nim"], alpha=asked.alpha, sign=sign)
        found["p_value"] = float(p_value(shown.log10_p))
    if "exact rho" in asked.call:
        found["multiplier"] = law.critical(asked.alpha)
        found["halfwidth"] = found["multiplier"] * found["se"]
    return found


def _both_scales(
    contrast: contrasts.Contrast, law: Reference, alpha: float, side: int = 0
) -> dict[str, float]:
    shown = answers(contrast, law, alpha, side=side)
    fieller = inference.lift_interval(contrast, law, alpha, sides=1 if side else 2)
    return {
        "estimate": shown["estimate"],
        "se": shown["se"],
        "p_value": shown["p_value"],
        "ci_lower": shown["ci"][0],
        "ci_upper": shown["ci"][1],
        "relative estimate": inference.lift(contrast),
        "relative se": lifts.linear_error(contrast),
        "relative ci_lower": fieller.lower if side >= 0 else -math.inf,
        "relative ci_upper": fieller.upper if side <= 0 else math.inf,
    }


def _quantiles(asked: Asked) -> dict[str, float]:
    q, raw = asked.case["params"]["quantile"], asked.inputs.get("raw")
    if raw is None:
        found = [
            test_quantiles.summarised(one, q, alpha=asked.alpha)
            for one in test_quantiles.summaries(dict(asked.case))
        ]
    else:
        found = [
            test_quantiles.quantile(np.array(raw[arm]), q, alpha=asked.alpha)
            for arm in ("treatment", "control")
        ]
    if any(one.variance is None for one in found):
        return {}
    contrast = test_quantiles.compared(*found)
    return _both_scales(contrast, StudentT(contrast.df), asked.alpha)


def _strata(asked: Asked) -> dict[str, float]:
    found = post_stratified(test_strata.strata_of(dict(asked.case)), kind=asked.inputs["kind"]).contrast
    return _both_scales(found, StudentT(found.df), 0.05)


def _family(asked: Asked) -> dict[str, float]:
    return {f"p_adjusted[{place}]": p for place, p in enumerate(holm(asked.inputs["pvalues"]))}


def _sizes(asked: Asked) -> dict[str, float]:
    if asked.inputs["metric"] not in ("proportion", "mean", "ratio"):
        return {}
    found = planned(asked, "z_unpooled" if asked.inputs["metric"] == "proportion" else "welch_t")
    return found | {"required_sample_size_for_metric": found["n_total"]}


def _sample_ratio(asked: Asked) -> dict[str, float]:
    counts = dict(enumerate(asked.inputs["counts"]))
    found = sample_ratio(counts, {arm: float(weight) for arm, weight in enumerate(asked.inputs["weights"])})
    return {} if found.p_value is None else {"p_value": found.p_value}


def _bandit(asked: Asked) -> dict[str, float]:
    posterior = bandit_arms(asked)
    found, n = rank(posterior), np.array([arm["n"] for arm in asked.inputs["arms"]], dtype=float)
    shares = (found.best + found.second) / 2 if "top_two=True" in asked.call else found.best
    weights = thompson_weights(shares, n, floor=asked.inputs["min_weight"])
    interval = posterior.interval(0.05)
    return {
        **{f"weights[{place}]": float(weight) for place, weight in enumerate(weights)},
        **{f"best_arm_probability[{place}]": float(share) for place, share in enumerate(found.best)},
        **{f"ci[{place}][{end}]": float(interval[end][place]) for place in range(len(n)) for end in (0, 1)},
    }


# ── the table ──


def table() -> str:
    """The two tables of docs/engines.md."""
    parts = []
    for named, title in ((False, "Numbers that are not ours"), (True, "Other defaults")):
        rows = [one for one in DIFFERENCES if one.named is named]
        parts.append(f"## {title}\n")
        parts.append("| engine | it | we | why | at most, here | numbers |\n|---|---|---|---|---|---|")
        parts += [
            f"| {one.engine} | {one.theirs} | {one.ours} | {one.why} | {size(one)} | "
            f"{len(explained()[one.name]):,} |"
            for one in rows
        ]
        parts.append("")
    return "\n".join(parts)


def counts() -> str:
    """A row per family: cases, numbers, how many agree, how many are explained."""
    lines = ["| family | cases | numbers | the same digits | explained |", "|---|---|---|---|---|"]
    for family in dict.fromkeys(leaf.family for leaf in leaves()):
        own = [leaf for leaf in leaves() if leaf.family == family]
        same = sum(leaf.agrees for leaf in own)
        cases = len({leaf.case["id"] for leaf in own})
        lines.append(f"| {family} | {cases} | {len(own):,} | {same:,} | {len(own) - same:,} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{counts()}\n\n{table()}")
