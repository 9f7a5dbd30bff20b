"""Counting over runs: rates with their Monte-Carlo errors, and what is to be said of them."""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

TOLERANCE = 0.2  # of the nominal rate: Cochran's 1954 criterion, 4 to 6 % for 5 %
ERRORS = 4.0  # Monte-Carlo standard errors

Found = tuple[str, str, npt.ArrayLike]  # method, measure, one number per run (NaN: not defined)
Judgement = Literal["right", "too many", "lopsided", "cautious"]


class Mean(NamedTuple):
    """The mean of a measure over the runs in which it is defined."""

    value: float
    error: float
    runs: int


class Tally:
    """Sums by method and measure."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])

    def add(self, found: Iterable[Found]) -> None:
        for method, measure, values in found:
            known = np.asarray(values, dtype=np.float64)
            known = known[~np.isnan(known)]
            parts = (len(known), float(known.sum()), float(np.square(known).sum()))
            sums = self._sums[method, measure]
            sums[:] = [a + b for a, b in zip(sums, parts, strict=True)]

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(method for method, _ in self._sums))

    def mean(self, method: str, measure: str) -> Mean | None:
        """None where it was never measured or never defined."""
        n, total, squares = self._sums.get((method, measure), (0.0, 0.0, 0.0))
        if not n:
            return None
        value = total / n
        return Mean(value, math.sqrt(max(squares / n - value * value, 0.0) / n), int(n))


def exceeds(rate: Mean, nominal: float) -> bool:
    """More than the nominal rate, by more than Monte Carlo explains and by more than the tolerance."""
    return rate.value - nominal > max(ERRORS * _error_at(nominal, rate), TOLERANCE * nominal)


def falls_short(rate: Mean, nominal: float) -> bool:
    """Less than the nominal rate, likewise."""
    return nominal - rate.value > max(ERRORS * _error_at(nominal, rate), TOLERANCE * nominal)


def judge(below: Mean, above: Mean, alpha: float) -> Judgement:
    """A two-sided test or interval that may err alpha / 2 on each side."""
    total = both(below, above)
    if exceeds(total, alpha):
        return "too many"
    if exceeds(below, alpha / 2) or exceeds(above, alpha / 2):
        return "lopsided"
    return "cautious" if falls_short(total, alpha) else "right"


def both(below: Mean, above: Mean) -> Mean:
    """Errors on either side, which exclude each other."""
    value = below.value + above.value
    return Mean(value, math.sqrt(value * (1 - value) / below.runs), below.runs)


def _error_at(nominal: float, rate: Mean) -> float:
    """The rate's error, were the nominal one true."""
    return math.sqrt(nominal * (1 - nominal) / rate.runs)
