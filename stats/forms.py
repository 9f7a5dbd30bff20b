"""The ways in which somebody may state the moments of a metric: lists, or columns of single numbers.

Covariances have the divisor n - 1. Sums of squares are taken apart in exact arithmetic, and still have only
the digits that were left when they were added up (Chan, Golub, LeVeque 1983, "Algorithms for computing the
sample variance").
"""

import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from stats.choices import Kind
from stats.moments import Moments
from stats.stated import CellError, Cells, needed, numbers, real, whole

FROM_SQUARES = "from_squares"  # the variance is a difference of sums of squares
NO_VARIANCE = "no_variance"  # the variance is left out, so that nothing can be compared

_ROUNDED = 1e-9  # relative; how far a matrix may be from symmetric, or beyond a correlation of 1
_NUMBERED = re.compile(r"mean_(\d+)|covariance_(\d+)_(\d+)")
_MOST_COLUMNS = 64


class Form(NamedTuple):
    """One way to state moments."""

    columns: tuple[str, ...]  # all of them are needed
    read: Callable[[Cells, int], Moments]
    kind: Kind | None = None  # what a metric stated so is, unless it says otherwise


def is_statistic(column: str) -> bool:
    """Whether a column of this name holds moments."""
    return column in STATISTICS or _NUMBERED.fullmatch(column) is not None


def form_of(cells: Cells) -> Form | None:
    """The form in which a row states its moments; None where it states none.

    Raises:
        CellError: it is stated in no form as a whole, or in several.
    """
    given = tuple(column for column, text in cells.items() if text is not None and is_statistic(column))
    if not given:
        return None
    if all(_NUMBERED.fullmatch(column) for column in given):
        return Form(given, _read_numbered)
    for form in _FORMS:
        if set(form.columns) == set(given):
            return form
    whole = [form for form in _FORMS if set(form.columns) < set(given)]
    if whole:
        form = max(whole, key=lambda form: len(form.columns))
        other = next(column for column in given if column not in form.columns)
        raise CellError(other, f"is stated beside {_listed(form.columns)}; state the moments in one way")
    form = max(_FORMS, key=lambda form: len(set(form.columns) & set(given)))
    missing = next(column for column in form.columns if column not in given)
    raise CellError(missing, f"is empty; {_listed(given)} alone says too little")


def moments_of(cells: Cells, form: Form, n: int, kind: Kind) -> tuple[Moments, tuple[str, ...]]:
    """The moments that a row states, and what is to be said of them.

    Raises:
        CellError: they are the moments of no data.
    """
    if form.columns == ("mean",):
        return _mean_alone(cells, n, kind)
    notes = (FROM_SQUARES,) if "sum_squares" in form.columns and n > 1 else ()
    return form.read(cells, n), notes


def _read_lists(cells: Cells, n: int) -> Moments:
    means, matrix = numbers(cells, "means"), numbers(cells, "covariances")
    k = len(means)
    if len(matrix) != k * k:
        raise CellError(
            "covariances",
            f"has {_many(len(matrix), 'number')}, but {_many(k, 'mean')} have {k} x {k} covariances; write "
            "the whole matrix, row by row",
        )
    return _checked(n, means, [matrix[row * k : row * k + k] for row in range(k)], "covariances")


def _read_numbered(cells: Cells, n: int) -> Moments:
    """`mean_1`, `mean_2`, `covariance_1_1`, `covariance_1_2`, ...; one of the two halves is enough."""
    given = [match for column, text in cells.items() if text and (match := _NUMBERED.fullmatch(column))]
    k = max(max(map(int, filter(None, match.groups()))) for match in given)
    if k > _MOST_COLUMNS:
        raise CellError(given[-1][0], f"is number {k}; a metric has at most {_MOST_COLUMNS} columns")
    places = range(1, k + 1)
    means = [needed(cells, f"mean_{i}") for i in places]
    matrix = [[_numbered_covariance(cells, i, j) for j in places] for i in places]
    return _checked(n, means, matrix, f"covariance_1_{k}")


def _numbered_covariance(cells: Cells, i: int, j: int) -> float:
    stated = real(cells, f"covariance_{i}_{j}")
    return needed(cells, f"covariance_{min(i, j)}_{max(i, j)}") if stated is None else stated


def _read_ratio(cells: Cells, n: int) -> Moments:
    means = [needed(cells, f"mean_{part}") for part in ("numerator", "denominator")]
    v, w = (needed(cells, f"var_{part}", least=0) for part in ("numerator", "denominator"))
    c = needed(cells, "covariance")
    return _checked(n, means, [[v, c], [c, w]], "covariance")


def _read_variance(cells: Cells, n: int) -> Moments:
    return _single(n, needed(cells, "mean"), needed(cells, "variance", least=0))


def _read_std(cells: Cells, n: int) -> Moments:
    return _single(n, needed(cells, "mean"), needed(cells, "std", least=0) ** 2)


def _read_successes(cells: Cells, n: int) -> Moments:
    successes = whole(cells, "successes")
    if successes is None or successes > n:
        raise CellError("successes", f"{successes:,} units of {n:,} can't have converted; n counts them all")
    return Moments.from_exact_sums(n, [successes], [[successes]], 1)


def _read_sums(cells: Cells, n: int) -> Moments:
    total, squares = (_exact(cells, column) for column in ("sum", "sum_squares"))
    if n == 0:
        return _single(0, 0.0, 0.0)
    rest = squares - total**2 / n
    if rest < 0:
        raise CellError(
            "sum_squares",
            "is below sum^2 / n, as of no numbers: digits were lost while adding up; state mean and variance",
        )
    return _single(n, float(total / n), float(rest / (n - 1)) if n > 1 else 0.0)


def _exact(cells: Cells, column: str) -> Fraction:
    needed(cells, column)
    return Fraction((cells[column] or "").strip())


def _mean_alone(cells: Cells, n: int, kind: Kind) -> tuple[Moments, tuple[str, ...]]:
    """A share says its variance itself; of anything else an empty variance is one that nobody knows."""
    mean = needed(cells, "mean")
    if n < 2:  # noqa: PLR2004 - units that a variance needs
        return _single(n, mean, 0.0), ()
    if kind == "proportion" and 0 <= mean <= 1:
        return _single(n, mean, mean * (1 - mean) * n / (n - 1)), ()
    if kind == "proportion" or ("variance" in cells or "std" in cells):
        return _single(n, mean, math.nan), (NO_VARIANCE,)
    raise CellError("mean", 'has no "variance" and no "std" beside it; without one nothing can be compared')


def _single(n: int, mean: float, variance: float) -> Moments:
    return Moments(n, (mean if n else 0.0,), ((variance if n > 1 else 0.0,),))


def _checked(n: int, means: Sequence[float], matrix: Sequence[Sequence[float]], column: str) -> Moments:
    """Moments of several columns, once the matrix is known to be one of covariances."""
    cov = np.array(matrix, dtype=np.float64)
    spread = np.sqrt(np.clip(np.diag(cov), 0.0, None))
    scale = np.outer(spread, spread)
    if (np.diag(cov) < 0).any():
        raise CellError(column, "has a negative variance on its diagonal")
    if (np.abs(cov - cov.T) > _ROUNDED * scale).any():
        raise CellError(column, "is not symmetric: covariance i, j must be covariance j, i")
    correlation = np.divide(cov, scale, out=np.zeros_like(cov), where=scale > 0)
    if (np.abs(cov) > (1 + _ROUNDED) * scale).any() or np.linalg.eigvalsh(correlation).min() < -_ROUNDED:
        raise CellError(
            column, "is no matrix of covariances of any numbers: it is not positive semi-definite"
        )
    if n == 0:
        means, cov = [0.0] * len(means), np.zeros_like(cov)
    if n == 1:
        cov = np.zeros_like(cov)
    return Moments(n, tuple(means), tuple(tuple(map(float, row)) for row in cov))


_FORMS = (
    Form(("means", "covariances"), _read_lists),
    Form(("mean", "variance"), _read_variance, "mean"),
    Form(("mean", "std"), _read_std, "mean"),
    Form(("mean",), _read_variance, "mean"),
    Form(("successes",), _read_successes, "proportion"),
    Form(("sum", "sum_squares"), _read_sums, "mean"),
    Form(
        ("mean_numerator", "mean_denominator", "var_numerator", "var_denominator", "covariance"),
        _read_ratio,
        "ratio",
    ),
)
STATISTICS = tuple(dict.fromkeys(column for form in _FORMS for column in form.columns))


def _listed(columns: tuple[str, ...]) -> str:
    return " and ".join(f'"{column}"' for column in columns)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
