"""The result row: what every method answers in, and what the lake, the reports and `--json` carry."""

import datetime as dt
from enum import StrEnum

import msgspec

SCHEMA_VERSION = 1


class Status(StrEnum):
    """Whether a row's numbers may be read; the reasons stand beside it."""

    OK = "ok"
    UNDEFINED = "undefined"
    UNBOUNDED = "unbounded"
    WITHHELD = "withheld"


class Verdict(StrEnum):
    """What to do with the experiment."""

    SHIP = "ship"
    ROLL_BACK = "roll_back"
    KEEP_RUNNING = "keep_running"
    INCONCLUSIVE = "inconclusive"
    INVESTIGATE = "investigate"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One estimate of one effect, by one method, on one scale. What is not defined is None, never 0.

    Rates and lifts are fractions (0.1 = +10 %); effects are variant minus baseline.
    """

    experiment: str
    iteration: int
    metric: str
    role: str  # primary | secondary | guardrail | quality
    segment: str | None = None  # "dimension=value"; None: everyone
    as_of: dt.date | None = None
    revision: int = 0
    population: str = "exposed"
    variant: str
    baseline: str
    method: str
    scale: str  # absolute | relative
    alternative: str = "two-sided"  # two-sided | greater | less
    horizon: str  # fixed | anytime | group_sequential
    headline: bool  # whether this row is the one that the verdict reads
    estimate: float | None = None
    std_error: float | None = None
    lower: float | None = None
    upper: float | None = None
    alpha: float = 0.05
    p_value: float | None = None
    log10_p: float | None = None
    p_adjusted: float | None = None
    lower_adjusted: float | None = None
    upper_adjusted: float | None = None
    family: str | None = None
    information: float | None = None
    probability_better: float | None = None
    expected_loss: float | None = None
    n_variant: int
    n_baseline: int
    n_immature: int = 0
    mean_variant: float | None = None
    mean_baseline: float | None = None
    provisional: bool = False
    cap: float | None = None
    clipped_variant: float | None = None  # share of the arm's units whose value was capped
    clipped_baseline: float | None = None
    variance_reduction: float | None = None
    status: Status = Status.OK
    reasons: tuple[str, ...] = ()
    fingerprint: str | None = None
    schema_version: int = SCHEMA_VERSION


class Srm(msgspec.Struct, frozen=True, kw_only=True):
    """Sample ratio mismatch: observed counts against what the weights make expect."""

    observed: dict[str, int]  # empty: not tested
    expected: dict[str, float]
    chi2: float | None
    df: int
    p_value: float | None
    method: str  # chi2 | exact | mixed | none: not tested
    failed: bool  # p below the flag level (0.001)


class Outcome(StrEnum):
    """How a check ended; `not_applicable` is never a pass, `noted` is neither good nor bad."""

    PASSED = "passed"
    NOTED = "noted"
    WARNING = "warning"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of the data or of the results found: a sentence and the numbers behind it."""

    name: str
    status: Outcome
    message: str
    numbers: dict[str, int | float | str | None] = {}


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, as a sentence and with its reasons in words."""

    verdict: Verdict
    sentence: str
    reasons: tuple[str, ...]
