"""Aggregates from anybody's warehouse: a row per metric and variant, and what it must say.

The columns are those of the lake's table `moments`, with flat forms (`forms`) beside its lists. What
`tenbin analyze --moments` and the source kind `moments` take is decided here, once.
"""

import datetime as dt
from collections.abc import Sequence
from typing import cast, get_args

import msgspec

from stats import forms, stated
from stats.choices import Kind
from stats.errors import StatsError
from stats.forms import Form
from stats.moments import Moments
from stats.plan import Cell
from stats.stated import CellError, Cells

ROLES = ("primary", "secondary", "guardrail", "quality")
DIRECTIONS = ("increase", "decrease")
KINDS = tuple(kind for kind in get_args(Kind) if kind != "quantile")
REQUIRED = ("metric", "variant", "n")
OPTIONAL = (
    "experiment", "iteration", "phase", "segment", "as_of", "units", "n_immature", "cap", "clipped",
    "kind", "covariates", "ratio_covariate", "clustered", "non_negative",
    "role", "direction", "margin", "equivalence",
)  # fmt: skip
READ_PAST = ("columns", "n_without", "reason", "fingerprint", "inputs")  # of the lake's table


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a row says of its metric, which must be the same in all of its rows; None: it leaves it open."""

    kind: Kind | None = None
    covariates: int | None = None
    ratio_covariate: bool | None = None
    clustered: bool | None = None
    non_negative: bool | None = None
    role: str | None = None
    direction: str | None = None
    margin: float | None = None
    equivalence: float | None = None

    @property
    def width(self) -> int:
        """How many columns its moments have."""
        return (2 if self.kind == "ratio" or self.clustered else 1) + (self.covariates or 0)


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """One row: one metric in one variant, over everyone or in a segment, as of a day."""

    experiment: str | None
    iteration: int
    as_of: dt.date | None
    cell: Cell
    measured: Measured
    units: int | None  # that were randomised into the variant
    notes: tuple[str, ...]  # `forms.FROM_SQUARES`, `forms.NO_VARIANCE`


class ContradictionError(StatsError):
    """Two rows say what can't both be so; `row` and `first` are their places among the rows."""

    def __init__(self, what: str, *, row: int, first: int, now: object, was: object) -> None:
        super().__init__(f"{what} {_word(now)} in one row and {_word(was)} in another; say the same in all")
        self.what, self.row, self.first = what, row, first
        self.now, self.was = _word(now), _word(was)


def is_known(column: str) -> bool:
    """Whether a column of this name means something here."""
    return column in {*REQUIRED, *OPTIONAL} or forms.is_statistic(column)


def read_aggregate(cells: Cells) -> Aggregate:
    """What one row states.

    Args:
        cells: the row's texts by column. Numbers have a decimal point; lists are JSON.

    Raises:
        CellError: a cell is missing, is not what belongs there, or contradicts another one.
    """
    n = stated.whole(cells, "n")
    if n is None:
        raise CellError("n", "is empty; write how many units the row is about")
    measured, moments, notes = _read_moments(cells, n)
    clipped = stated.whole(cells, "clipped")
    if clipped is not None and clipped > n:
        raise CellError("clipped", f"{clipped:,} units of {n:,} can't have been capped")
    return Aggregate(
        experiment=cells.get("experiment"),
        iteration=stated.whole(cells, "iteration", least=1) or 1,
        as_of=stated.day(cells, "as_of"),
        cell=Cell(
            metric=stated.name(cells, "metric"),
            variant=stated.name(cells, "variant"),
            phase=stated.whole(cells, "phase", least=1) or 1,
            segment=_segment(cells),
            moments=moments,
            n_immature=stated.whole(cells, "n_immature") or 0,
            cap=stated.real(cells, "cap"),
            clipped=clipped,
        ),
        measured=measured,
        units=stated.whole(cells, "units"),
        notes=notes,
    )


def _read_moments(cells: Cells, n: int) -> tuple[Measured, Moments, tuple[str, ...]]:
    form = forms.form_of(cells)
    kind = cast("Kind | None", stated.one_of(cells, "kind", KINDS))
    said = Measured(
        kind=kind,
        non_negative=stated.flag(cells, "non_negative"),
        role=stated.one_of(cells, "role", ROLES),
        direction=stated.one_of(cells, "direction", DIRECTIONS),
        margin=stated.share(cells, "margin"),
        equivalence=stated.share(cells, "equivalence"),
    )
    if form is None:
        if n:
            raise CellError("n", f"counts {n:,} units, but no column of the row says their mean")
        return said, Moments(0, (), ()), ()
    paired, clustered = (bool(stated.flag(cells, column)) for column in ("ratio_covariate", "clustered"))
    moments, notes = forms.moments_of(cells, form, n, kind or form.kind or "mean")
    covariates = stated.whole(cells, "covariates")
    columns = len(moments.mean)
    kind = kind or form.kind or _kind_of(form, columns, covariates, clustered=clustered)
    own = 2 if kind == "ratio" or clustered else 1
    if covariates is None:
        covariates = columns - own
    if covariates < 0 or own + covariates != columns:
        what = "two columns" if own > 1 else "one column"
        raise CellError(
            form.columns[0],
            f"states {columns} means, but a {'clustered ' * clustered}{kind} has {what} before its "
            f"{max(0, covariates)} covariates",
        )
    if paired and (kind != "ratio" or covariates < 2):  # noqa: PLR2004 - numerator and denominator
        raise CellError("ratio_covariate", "is true, but only a ratio with two covariates or more has a pair")
    if kind == "proportion" and not clustered and n and not 0 <= moments.mean[0] <= 1:
        raise CellError(form.columns[0], f"{moments.mean[0]:g} is no share of units; one is from 0 to 1")
    return (
        msgspec.structs.replace(
            said, kind=kind, covariates=covariates, ratio_covariate=paired, clustered=clustered
        ),
        moments,
        notes,
    )


def _kind_of(form: Form, columns: int, covariates: int | None, *, clustered: bool) -> Kind:
    """A list of one is a mean; a longer one must say what it is made of."""
    if columns > 1 and covariates is None and not clustered:
        raise CellError(
            form.columns[0],
            f"states {columns} means; a column kind ({', '.join(KINDS)}) or covariates has to say of what",
        )
    return "ratio" if columns - (covariates or 0) > 1 and not clustered else "mean"


def _segment(cells: Cells) -> str | None:
    segment = cells.get("segment")
    if segment is not None and segment.find("=") < 1:
        raise CellError("segment", f'"{segment}" is no segment; write dimension=value, as in country=JP')
    return segment


def measured_of(rows: Sequence[Aggregate]) -> dict[str, Measured]:
    """What is said of each metric by all of its rows together, in the order of their first rows.

    Raises:
        ContradictionError: two rows of a metric say different things of it.
    """
    found: dict[str, Measured] = {}
    said_in: dict[tuple[str, str], int] = {}
    for place, row in enumerate(rows):
        name, measured = row.cell.metric, row.measured
        known = found.setdefault(name, Measured())
        if known == measured:
            continue
        news: dict[str, object] = {}
        for field in Measured.__struct_fields__:
            was, now = getattr(known, field), getattr(measured, field)
            if now is None or now == was:
                continue
            if was is not None:
                first = said_in[name, field]
                raise ContradictionError(
                    f'metric "{name}" has {field}', row=place, first=first, now=now, was=was
                )
            news[field] = now
            said_in[name, field] = place
        found[name] = msgspec.structs.replace(known, **news)
    return found


def units_of(rows: Sequence[Aggregate], variants: Sequence[str]) -> dict[str, int] | None:
    """Units that were randomised, by variant; None: nobody says.

    They are those that rows over everyone state, else those of every metric, when all metrics have the same.

    Args:
        rows: of one experiment and day.
        variants: all of the experiment.

    Raises:
        ContradictionError: a variant's units are stated in two ways.
    """
    overall = [(place, row) for place, row in enumerate(rows) if row.cell.segment is None]
    stated = [(place, row) for place, row in overall if row.units is not None]
    found: dict[str, tuple[int, int]] = {}
    for place, row in stated or overall:
        cell = row.cell
        units = cell.moments.n + cell.n_immature if row.units is None else row.units
        first, known = found.setdefault(cell.variant, (place, units))
        if known != units:
            if not stated:
                return None
            raise ContradictionError(
                f'variant "{cell.variant}" has units', row=place, first=first, now=units, was=known
            )
    return {name: found[name][1] for name in variants} if set(found) == set(variants) else None


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
