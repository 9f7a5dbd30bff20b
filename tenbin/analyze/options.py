"""What `tenbin analyze` may be told, by purpose; nothing heavy is imported, so that `--help` starts fast."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stats import choices

_UNITS = "Who is compared"
_METRICS = "Metrics"
_BEFORE = "What is known from before"
_SEGMENTS = "Segments and pairs"
_ERRORS = "Errors that are accepted"
_TIME = "When it is read"
_METHODS = "Methods"
_OUTPUT = "Output"


def _option(panel: str, *names: str, metavar: str | None = None, text: str) -> Any:  # noqa: ANN401 - as typer's own
    """An option in its group; with `metavar` it takes what that says, else what its type says."""
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=panel)


File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="CSV (.gz, .zst), Parquet or NDJSON (.gz, .zst).", rich_help_panel="Arguments"
    ),
]

Moments = Annotated[
    bool,
    _option(_UNITS, "--moments", text="The file has aggregates, a row per metric and variant, and no units."),
]
Variant = Annotated[
    str | None,
    _option(_UNITS, metavar="COLUMN", text="Which variant the row belongs to; needed without --moments."),
]
Control = Annotated[
    str | None, _option(_UNITS, metavar="VARIANT", text="The variant that the others are compared with.")
]
Unit = Annotated[
    str | None,
    _option(_UNITS, metavar="COLUMN", text="Who was randomised; without it every row is a unit."),
]
Cluster = Annotated[
    str | None,
    _option(_UNITS, metavar="COLUMN", text="The randomised group, when units were randomised in groups."),
]
Weights = Annotated[
    str | None, _option(_UNITS, metavar="A=1,B=1", text="Intended shares; equal when absent.")
]

Conversion = Annotated[
    list[str] | None,
    _option(_METRICS, metavar="COLUMN", text="Yes or no (true, false, 0, 1); a unit: any of its rows."),
]
Mean = Annotated[
    list[str] | None, _option(_METRICS, metavar="COLUMN", text="A number; a unit: the sum of its rows.")
]
Revenue = Annotated[
    list[str] | None, _option(_METRICS, metavar="COLUMN", text="Money; a unit: the sum of its rows.")
]
Ratio = Annotated[
    list[str] | None, _option(_METRICS, metavar="A/B", text="Sum of column A over sum of column B.")
]
Quantile = Annotated[
    list[str] | None,
    _option(_METRICS, metavar="COLUMN@Q", text="A quantile over rows, as in latency@0.9."),
]
Decrease = Annotated[
    list[str] | None, _option(_METRICS, metavar="METRIC", text="Less of this metric is better.")
]
Primary = Annotated[
    list[str] | None,
    _option(_METRICS, metavar="METRIC", text="Decides; without it the first that is no guardrail does."),
]
Guardrail = Annotated[
    list[str] | None,
    _option(
        _METRICS,
        metavar="METRIC[=MARGIN]",
        text="Must not get worse; with a margin: by no more than this share.",
    ),
]
Equivalence = Annotated[
    list[str] | None,
    _option(_METRICS, metavar="METRIC=LIFT", text="The relative change that makes no practical difference."),
]

Covariate = Annotated[
    list[str] | None,
    _option(
        _BEFORE,
        metavar="METRIC=COLUMN",
        text="What was measured before, to reduce variance; of a ratio also RATIO=A/B.",
    ),
]
Adjustment = Annotated[
    choices.Adjustment,
    _option(_BEFORE, text="How; auto: cuped with covariates, else post_stratified with --strata."),
]
Strata = Annotated[
    str | None,
    _option(_BEFORE, metavar="COLUMN", text="Compare within its values and put together; a segment too."),
]

Segment = Annotated[
    list[str] | None, _option(_SEGMENTS, metavar="COLUMN", text="Show the results by this column too.")
]
PlannedSegments = Annotated[
    bool,
    _option(_SEGMENTS, "--planned-segments", text="The segments were named before the data were seen."),
]
AllPairs = Annotated[
    bool,
    _option(_SEGMENTS, "--all-pairs", text="Compare the variants among themselves too."),
]

Alpha = Annotated[float, _option(_ERRORS, text="Two-sided level; with --one-sided the whole level.")]
OneSided = Annotated[
    bool,
    _option(_ERRORS, "--one-sided", text="Test success metrics for an improvement only, at alpha."),
]
Correction = Annotated[choices.Correction, _option(_ERRORS, text="Over several metrics, pairs, segments.")]
Families = Annotated[
    choices.Families,
    _option(_ERRORS, text="success: all success metrics together; role: primary ones apart."),
]

Horizon = Annotated[
    choices.Horizon,
    _option(
        _TIME,
        text="fixed: the experiment is over; anytime: valid at every look; group_sequential: planned looks.",
    ),
]
PlannedUnits = Annotated[
    int | None, _option(_TIME, metavar="N", text="The most that will be looked at, over all variants.")
]
Looks = Annotated[
    str | None,
    _option(_TIME, metavar="N,N", text="Units at the looks before; the file is the latest one."),
]
Final = Annotated[
    bool,
    _option(_TIME, "--final", text="No more looks, even if units are fewer than planned."),
]
Spending = Annotated[
    str | None,
    _option(
        _TIME,
        metavar="NAME",
        text="obrien_fleming (when absent), pocock, power=RHO, hwang_shih_decani=GAMMA.",
    ),
]
Msprt = Annotated[
    float | None,
    _option(
        _TIME,
        metavar="SD",
        text="Instead of the anytime boundary: a mixture of lifts of this standard deviation.",
    ),
]

Proportions = Annotated[
    choices.Proportions, _option(_METHODS, text="Of conversions; auto: by what the counts allow.")
]
Clusters = Annotated[choices.Clustered, _option(_METHODS, text="The error with --cluster; auto: cr2.")]
Methods = Annotated[
    list[str] | None,
    _option(_METHODS, "--method", metavar="NAME", text="Show this method too, as in bootstrap."),
]
BeliefBefore = Annotated[
    str | None,
    _option(_METHODS, "--prior", metavar="MEAN,SD", text="Normal, of the lift; 0,0.3 when absent."),
]
Seed = Annotated[int, _option(_METHODS, text="Of permutation and bootstrap.")]

Json = Annotated[bool, _option(_OUTPUT, "--json", text="Print JSON and nothing else.")]
Report = Annotated[
    Path | None,
    _option(_OUTPUT, metavar="OUT.html", text="Also write the readout as one HTML file."),
]
