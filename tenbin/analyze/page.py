"""The answer as a page: the readout of a finished experiment without dates (`--report`)."""

import hashlib
from pathlib import Path

import msgspec
import tomli_w

from reports.readout import Exclusion, InputFile, MetricDefinition, Readout
from reports.single import is_single, render_single
from stats.results import Finding, Outcome
from tenbin.analyze.answer import Answer
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.request import MetricSpec
from tenbin.analyze.units import Tally

_CHUNK = 1 << 20


def check_target(out: Path, file: Path) -> None:
    """Refuse to write the page over the file that is analysed, or over anything else that is no such page.

    Raises:
        AnalyzeError: `out` is there, and is something else.
    """
    try:
        if not out.exists():
            return
        if out.is_dir():
            raise AnalyzeError(f"--report {out}: is a directory; name a file in it, as in report.html")
        if file.exists() and out.samefile(file):
            raise AnalyzeError(f"--report {out}: is the file to analyse; give the report a name of its own")
        if not is_single(out):
            raise AnalyzeError(
                f"--report {out}: is there already and is no report of `tenbin analyze`; remove it or give "
                "another name"
            )
    except OSError as reason:
        raise AnalyzeError(
            f"--report {out}: can't be looked at ({reason.strerror or reason}); give another name"
        ) from None


def write_page(found: Answer, out: Path) -> Path:
    """Write the readout as one self-contained HTML file.

    Raises:
        UserError: `out` can't be written.
    """
    return render_single(readout_of(found), out)


def readout_of(found: Answer) -> Readout:
    """Everything that the page shows."""
    request, tally, analysis = found.request, found.tally, found.analysis
    options = tomli_w.dumps(_stated(request))
    sha256 = _sha256(found.path)
    return Readout(
        workspace="tenbin analyze",
        experiment=found.plan.experiment,
        iteration=found.plan.iteration,
        control=found.variants[0],
        variants=found.variants,
        weights=found.weights,
        unit_type="unit" if request.moments else request.unit or "row",
        population="exposed",
        environment="production",
        horizon=request.horizon,
        planned_units=request.planned_units,
        alpha=request.alpha,
        start=None,
        end=None,
        planned_end=None,
        as_of=found.as_of,
        provisional=False,
        decision=analysis.decision,
        srm=analysis.srm,
        checks=(*(() if request.moments else (_mixed_variants(found),)), *analysis.findings),
        units=found.counts,
        exclusions=() if request.moments else _exclusions(tally),
        exposures=(),
        results=analysis.results,
        series=(),
        metrics=tuple(_definition(spec, stated=request.moments) for spec in found.metrics),
        definition=options,
        inputs=(
            InputFile(source="analyze", path=found.path.name, sha256=sha256, rows=tally.rows, quarantined=0),
        ),
        fingerprint=hashlib.sha256((options + sha256).encode()).hexdigest()[:16],
        warnings=found.warnings,
    )


def _exclusions(tally: Tally) -> tuple[Exclusion, ...]:
    return (
        Exclusion(reason="seen in more than one variant", count=tally.mixed_variant, of="units"),
        Exclusion(reason="without a variant", count=tally.null_variant, of="rows"),
    )


def _mixed_variants(found: Answer) -> Finding:
    """The check of the same name that the pipeline makes."""
    left_out, seen = found.tally.mixed_variant, found.tally.units + found.tally.mixed_variant
    status = Outcome.WARNING if left_out else Outcome.PASSED
    return Finding(
        name="mixed_variants",
        status=Outcome.FAILED if found.left_out_failed else status,
        message=f"{left_out:,} of {seen:,} units were seen in more than one variant ({left_out / seen:.2%})"
        + ("; they are left out" if left_out else ""),
        numbers={"units": seen, "left_out": left_out, "share": left_out / seen},
    )


def _definition(spec: MetricSpec, *, stated: bool) -> MetricDefinition:
    per_unit = {
        "conversion": f'per unit: 1 when any row has "{spec.column}", else 0',
        "mean": f'per unit: the sum of "{spec.column}" over its rows',
        "revenue": f'per unit: the sum of "{spec.column}" over its rows',
        "ratio": f'per variant: the sum of "{spec.column}" over the sum of "{spec.denominator}"',
        "quantile": f'per variant: the {spec.quantile} quantile of "{spec.column}" over rows',
    }
    return MetricDefinition(
        name=spec.name,
        kind=spec.kind,
        role=spec.role,
        direction=spec.direction,
        margin=spec.margin,
        definition=tomli_w.dumps(_stated(spec)),
        sql="-- the aggregates are stated in the file" if stated else f"-- {per_unit[spec.kind]}",
    )


def _stated(struct: msgspec.Struct) -> dict[str, object]:
    """What a struct says, without what it leaves open."""
    said: dict[str, object] = msgspec.to_builtins(struct)
    return {key: value for key, value in said.items() if value is not None}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
