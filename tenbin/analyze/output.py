"""The answer for machines: one JSON object."""

import msgspec

from stats.results import Finding, Result
from tenbin.analyze.answer import Answer


class SrmOut(msgspec.Struct, frozen=True):
    """The sample ratio, observed against expected."""

    observed: dict[str, int]
    expected: dict[str, float]
    chi2: float | None
    p_value: float | None


class UnitsOut(msgspec.Struct, frozen=True):
    """What became of the file's rows."""

    rows: int
    units: int
    mixed_variant: int
    null_variant: int


class Output(msgspec.Struct, frozen=True):
    """The whole object."""

    srm: SrmOut
    units: UnitsOut
    results: tuple[Result, ...]
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]


def output_of(found: Answer) -> Output:
    """What machines read of an answer."""
    srm, tally = found.analysis.srm, found.tally
    return Output(
        srm=SrmOut(srm.observed, srm.expected, srm.chi2, srm.p_value),
        units=UnitsOut(tally.rows, tally.units, tally.mixed_variant, tally.null_variant),
        results=found.analysis.results,
        findings=found.analysis.findings,
        warnings=found.warnings,
    )


def to_json(found: Answer) -> bytes:
    """The object as indented JSON in UTF-8; the same file gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(output_of(found)), indent=2)
