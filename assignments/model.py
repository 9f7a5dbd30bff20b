"""What an experiment is: its plan, its metrics by role, its phases, and how its units are bucketed.

The TOML form (DESIGN 4.5) has the same shape; `assignments.toml` reads and writes it, and
`assignments.validate` says what is wrong with one.
"""

import datetime as dt
import hashlib
from typing import Literal

import msgspec

from stats.choices import Horizon
from stats.plan import Settings
from tenbin_sdk.hashing import ALGORITHM, DEFAULT_SHARDS, Range

Population = Literal["exposed", "assigned"]
Compare = Literal["control", "all_pairs"]


class Guardrail(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A metric that must not get worse; with a margin (relative, 0.02 = 2 %) it must be shown."""

    metric: str
    margin: float | None = None


class MetricRoles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Which metrics decide, which inform, which protect, which only say whether the data are sound."""

    primary: tuple[str, ...]
    secondary: tuple[str, ...] = ()
    guardrail: tuple[Guardrail, ...] = ()
    quality: tuple[str, ...] = ()

    @property
    def by_role(self) -> tuple[tuple[str, str], ...]:
        """(metric, role) of every metric, in reading order: primary, secondary, guardrail, quality."""
        return (
            *((name, "primary") for name in self.primary),
            *((name, "secondary") for name in self.secondary),
            *((guardrail.metric, "guardrail") for guardrail in self.guardrail),
            *((name, "quality") for name in self.quality),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Every metric of the experiment, in reading order."""
        return tuple(name for name, _ in self.by_role)


class Segments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Attributes by which results are also shown: carried by the exposure, or known of the unit."""

    from_exposure: tuple[str, ...] = ()
    from_units: tuple[str, ...] = ()


class Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The weights in force from a moment on, and, where Tenbin buckets, the shards that carry them out.

    `slice` are the shards of the layer that the experiment owns (its traffic), `ranges` the shards of the
    split by variant; both are absent when somebody else assigns the units.
    """

    from_: dt.datetime = msgspec.field(name="from")
    weights: dict[str, float]
    since_version: int | None = None  # the first ruleset version in which the phase was in force
    slice: tuple[Range, ...] | None = None
    ranges: dict[str, tuple[Range, ...]] | None = None


class Pause(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A stretch of time, its end excluded, in which nobody is enrolled."""

    from_: dt.datetime = msgspec.field(name="from")
    to: dt.datetime


class Bucketing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """All that is needed, with the phases, to derive a unit's variant again: in Python, Polars or SQL.

    Salts are generated and never contain user text. `holdout` are the shards under `holdout_salt` that are
    kept out of every experiment.
    """

    layer: str
    layer_salt: str
    split_salt: str
    algorithm: Literal["md5-32/v1"] = ALGORITHM
    total_shards: int = DEFAULT_SHARDS
    holdout_salt: str | None = None
    holdout: tuple[Range, ...] = ()


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One experiment as its owner defines it.

    `start` and `end` are days in the workspace's time zone, both inclusive. A file that names no horizon
    gets "fixed" when it has an `end`, else "anytime" (the loader's rule).
    """

    key: str
    title: str = ""
    hypothesis: str = ""
    owner: str = ""
    unit_type: str = "user"
    control: str
    population: Population = "exposed"
    compare: Compare = "control"
    environment: str = "production"
    horizon: Horizon = "anytime"
    cadence: str = "1d"  # of looks, a duration
    alpha: float = 0.05
    planned_units: int | None = None  # over all arms
    start: dt.date
    end: dt.date | None = None
    iteration: int = 1
    phases: tuple[Phase, ...]
    pauses: tuple[Pause, ...] = ()
    metrics: MetricRoles
    segments: Segments = Segments()
    analysis: Settings = Settings()
    bucketing: Bucketing | None = None  # absent: somebody else assigned the units

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each variant in the latest phase, control first; 0 for one that it no longer has."""
        weights = self.phases[-1].weights
        return {variant: weights.get(variant, 0.0) for variant in self.variants}

    @property
    def variants(self) -> tuple[str, ...]:
        """Every variant of any phase, control first, the others as the file has them."""
        named = dict.fromkeys(variant for phase in reversed(self.phases) for variant in phase.weights)
        return (self.control, *(variant for variant in named if variant != self.control))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal characters that change with everything that can move a number.

        Title, hypothesis and owner are words for people, so editing them recomputes nothing.
        """
        return _digest(msgspec.structs.replace(self, title="", hypothesis="", owner=""))

    @property
    def units_fingerprint(self) -> str:
        """The same of what units and moments are made from, without what only the statistics read."""
        read_later = {
            field.name: field.default
            for field in msgspec.structs.fields(self)
            if field.name in {"compare", "horizon", "cadence", "alpha", "planned_units", "analysis"}
        }
        return _digest(msgspec.structs.replace(self, title="", hypothesis="", owner="", **read_later))


def _digest(experiment: Experiment) -> str:
    return hashlib.sha256(msgspec.json.encode(experiment, order="deterministic")).hexdigest()[:16]
