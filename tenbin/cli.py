"""The `tenbin` command: options in, one call, the answer out.

Everything heavy is imported by the command that needs it, so that `--help` and `analyze` start fast.

Exit codes: 0; 1 when something was found wrong; 2 for wrong use or input that can't be used, said in one
sentence on standard error.
"""

import datetime as dt
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from stats import choices
from tenbin import __version__
from tenbin.analyze import options
from tenbin.failures import sentence_of

if TYPE_CHECKING:
    from rich.console import Console

    from tenbin.analyze.request import Request

FOUND_WRONG = 1
WRONG_USE = 2

_METRIC_OPTIONS = ("conversion", "mean", "revenue", "ratio", "quantile")
_ORDER = "tenbin.metric_order"


class _Group(TyperGroup):
    """Says what its user can mend in one sentence; anything else is a defect and keeps its traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click is inside typer
        with _one_sentence(ctx):
            return super().parse_args(ctx, args or ["--help"])

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click is inside typer
        with _one_sentence(ctx):
            return super().invoke(ctx)


@contextmanager
def _one_sentence(ctx: Any) -> Iterator[None]:  # noqa: ANN401 - click is inside typer
    try:
        yield
    except Exception as error:
        sentence = _misuse(ctx, error) if isinstance(error, typer.TyperException) else sentence_of(error)
        if sentence is None:
            raise
        typer.echo(f"tenbin: {sentence}", err=True)
        raise typer.Exit(WRONG_USE) from None


def _misuse(ctx: Any, error: typer.TyperException) -> str:  # noqa: ANN401 - click is inside typer
    """What is wrong with the command line, and where its help is."""
    command = f"{ctx.command_path} {ctx.invoked_subcommand}" if ctx.invoked_subcommand else ctx.command_path
    said = " ".join(error.format_message().split()).rstrip(".").replace(": Value error, ", ": ")  # pydantic's
    return f"{said}; `{command} --help` shows what is allowed"


class _Ordered(TyperCommand):
    """Remembers in which order metric options were typed, and lists options by what they are for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click is inside typer
        if args:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            ctx.meta[_ORDER] = [item.name for item in order if item.name in _METRIC_OPTIONS]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click is inside typer
        """By purpose, which typer itself does for rich help only."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if (record := param.get_help_record(ctx)) is not None:
                panel = getattr(param, "rich_help_panel", None)
                groups.setdefault(panel or f"{param.param_type_name.title()}s", []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


class _SubGroup(TyperGroup):
    """Shows its help when it is told nothing; errors are said by the group above."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click is inside typer
        return super().parse_args(ctx, args or ["--help"])


class SqlEngine(StrEnum):
    """Whose SQL."""

    DUCKDB = "duckdb"
    SPARK = "spark"


class PlannedMethod(StrEnum):
    """The test that is planned for."""

    Z_UNPOOLED = "z_unpooled"
    Z_POOLED = "z_pooled"
    Z_BASELINE = "z_baseline"
    WELCH_T = "welch_t"


app = typer.Typer(
    cls=_Group,
    help="Experiments from landing files to reports; from one file to an answer.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

metrics_app = typer.Typer(cls=_SubGroup, help="Definitions: checked against the data, listed, as SQL.")
app.add_typer(metrics_app, name="metrics")

HereArgument = Annotated[
    Path,
    typer.Argument(metavar="[WORKSPACE]", help="The directory with tenbin.toml; here when absent."),
]
WorkspaceArgument = Annotated[
    Path, typer.Argument(metavar="WORKSPACE", help="The directory with tenbin.toml.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def main() -> None:
    """Run the command of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal that can't show 対照群 gets \u5bfe…, not a traceback
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="tenbin")


def _version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"tenbin {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command(cls=_Ordered)
def analyze(
    ctx: typer.Context,
    file: options.File,
    *,
    moments: options.Moments = False,
    variant: options.Variant = None,
    control: options.Control = None,
    unit: options.Unit = None,
    cluster: options.Cluster = None,
    weights: options.Weights = None,
    conversion: options.Conversion = None,
    mean: options.Mean = None,
    revenue: options.Revenue = None,
    ratio: options.Ratio = None,
    quantile: options.Quantile = None,
    decrease: options.Decrease = None,
    primary: options.Primary = None,
    guardrail: options.Guardrail = None,
    equivalence: options.Equivalence = None,
    covariate: options.Covariate = None,
    adjustment: options.Adjustment = "auto",
    strata: options.Strata = None,
    segment: options.Segment = None,
    planned_segments: options.PlannedSegments = False,
    all_pairs: options.AllPairs = False,
    alpha: options.Alpha = 0.05,
    one_sided: options.OneSided = False,
    correction: options.Correction = "holm",
    families: options.Families = "success",
    horizon: options.Horizon = "fixed",
    planned_units: options.PlannedUnits = None,
    looks: options.Looks = None,
    final: options.Final = False,
    spending: options.Spending = None,
    msprt: options.Msprt = None,
    proportions: options.Proportions = "auto",
    clusters: options.Clusters = "auto",
    methods: options.Methods = None,
    prior: options.BeliefBefore = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    report: options.Report = None,
) -> None:
    """From one file to an answer.

    --conversion, --mean, --revenue, --ratio and --quantile may be given many times. All are success metrics
    but those named with --guardrail: the first on the command line is the primary one, the others are
    secondary; Holm's correction is over all. With --moments they name metrics of the file; without any, all
    of its metrics are analysed.
    """
    from tenbin.analyze.request import MetricOption, Request

    given = {
        "conversion": iter(conversion or ()),
        "mean": iter(mean or ()),
        "revenue": iter(revenue or ()),
        "ratio": iter(ratio or ()),
        "quantile": iter(quantile or ()),
    }
    request = Request(
        moments=moments,
        variant=variant,
        control=control,
        unit=unit,
        cluster=cluster,
        weights=weights,
        metrics=tuple(MetricOption(kind, next(given[kind])) for kind in ctx.meta[_ORDER]),
        decrease=tuple(decrease or ()),
        primary=tuple(primary or ()),
        guardrails=tuple(guardrail or ()),
        equivalences=tuple(equivalence or ()),
        covariates=tuple(covariate or ()),
        adjustment=adjustment,
        strata=strata,
        segments=tuple(segment or ()),
        planned_segments=planned_segments,
        all_pairs=all_pairs,
        alpha=alpha,
        one_sided=one_sided,
        correction=correction,
        families=families,
        horizon=horizon,
        planned_units=planned_units,
        looks=looks,
        final=final,
        spending=spending,
        msprt=msprt,
        proportions=proportions,
        clusters=clusters,
        methods=tuple(methods or ()),
        prior=prior,
        seed=seed,
    )
    if report is not None:
        from tenbin.analyze.page import check_target

        check_target(report, file)
    if moments:
        _analyze_moments(file, request, json=json, report=report)
    else:
        _analyze_units(file, request, json=json, report=report)


def _analyze_units(file: Path, request: "Request", *, json: bool, report: Path | None) -> None:
    from tenbin.analyze.command import analyze_file

    found = analyze_file(file, request)
    if report is not None:
        from tenbin.analyze.page import write_page

        write_page(found, report)
    if json:
        from tenbin.analyze.output import to_json

        typer.echo(to_json(found))
    else:
        from tenbin.analyze.show import show

        show(found, _console())
    _close(report if not json else None, found_wrong=found.found_wrong)


def _analyze_moments(file: Path, request: "Request", *, json: bool, report: Path | None) -> None:
    from tenbin.moments.command import analyze_moments
    from tenbin.moments.show import progress

    found = analyze_moments(file, request, iter if json else progress(_console(stderr=True)))
    if report is not None:
        from tenbin.analyze.page import write_page

        write_page(found.only, report)
    if json:
        from tenbin.moments.output import to_json

        typer.echo(to_json(found))
    else:
        from tenbin.moments.show import show

        show(found, _console())
    _close(report if not json else None, found_wrong=found.found_wrong)


def _close(report: Path | None, *, found_wrong: bool) -> None:
    """Say where the page is, and end with what the readout means for whoever called."""
    if report is not None:
        typer.echo(f"Report: {report}")
    if found_wrong:
        raise typer.Exit(FOUND_WRONG)


@app.command()
def power(
    workspace: Annotated[
        Path | None, typer.Argument(metavar="WORKSPACE", help="Where the metric was measured before.")
    ] = None,
    metric: Annotated[
        str | None, typer.Argument(metavar="METRIC", help="Its name; mean and noise are its past.")
    ] = None,
    *,
    experiment: Annotated[
        str | None, typer.Option(metavar="KEY", help="Whose past; when absent, the newest one's.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="A conversion's share of units, as in 0.05.")] = None,
    mean: Annotated[float | None, typer.Option(help="Of anything else, with --sd.")] = None,
    sd: Annotated[float | None, typer.Option(help="Standard deviation between units.")] = None,
    correlation: Annotated[float, typer.Option(help="With a covariate from before (CUPED).")] = 0.0,
    cluster_size: Annotated[float, typer.Option(help="Units per randomised group.")] = 1.0,
    icc: Annotated[float, typer.Option(help="Correlation of units within a group.")] = 0.0,
    lift: Annotated[float | None, typer.Option(help="Relative effect: 0.02 is +2%.")] = None,
    difference: Annotated[
        float | None, typer.Option(help="Absolute effect; of a rate, 0.01 is one point.")
    ] = None,
    units: Annotated[float | None, typer.Option(help="Over all arms.")] = None,
    days: Annotated[float | None, typer.Option(help="Instead of --units: how long.")] = None,
    daily_units: Annotated[float | None, typer.Option(help="That enter in a day, over all arms.")] = None,
    window_days: Annotated[
        float | None, typer.Option(help="Days after exposure in which the metric is measured.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="Two-sided level, over all metrics and variants.")] = 0.05,
    power: Annotated[float, typer.Option(help="To see the effect.")] = 0.8,
    one_sided: Annotated[bool, typer.Option("--one-sided", help="Test in one direction.")] = False,
    decrease: Annotated[bool, typer.Option("--decrease", help="Less of the metric is better.")] = False,
    margin: Annotated[
        float | None, typer.Option(help="Non-inferiority: the worsening that is acceptable.")
    ] = None,
    weights: Annotated[str, typer.Option(metavar="1,1", help="Of the arms, control first.")] = "1,1",
    metrics: Annotated[int, typer.Option(help="Success metrics, which share alpha.")] = 1,
    guardrails: Annotated[int, typer.Option(help="Whose power must hold too.")] = 0,
    horizon: Annotated[choices.Horizon, typer.Option(help="How often the experiment may be read.")] = "fixed",
    looks: Annotated[
        int | None, typer.Option(help="Of a group_sequential horizon; 5 when absent.", show_default=False)
    ] = None,
    method: Annotated[
        PlannedMethod | None, typer.Option(help="The test; z_unpooled or welch_t when absent.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """How many units, how small an effect, or how likely.

    With an effect and no units the answer is a size, with units and no effect the smallest effect that they
    show, with both the power.
    """
    from tenbin.power import PowerError, PowerRequest, plan, to_json
    from tenbin.weights import split_weights

    request = PowerRequest(
        rate=rate,
        mean=mean,
        sd=sd,
        correlation=correlation,
        cluster_size=cluster_size,
        icc=icc,
        lift=lift,
        difference=difference,
        units=units,
        days=days,
        daily_units=daily_units,
        window_days=window_days,
        alpha=alpha,
        power=power,
        one_sided=one_sided,
        decrease=decrease,
        margin=margin,
        weights=split_weights(weights, error=PowerError),
        metrics=metrics,
        guardrails=guardrails,
        horizon=horizon,
        looks=looks,
        method=None if method is None else method.value,
    )
    history = None
    if workspace is None:
        if experiment is not None:
            raise PowerError("--experiment needs the workspace that it is in, and a metric")
    else:
        from tenbin.history import read_history
        from workspace import load_workspace

        history = read_history(load_workspace(workspace), metric, experiment)
    found = plan(request, history)
    if json:
        typer.echo(to_json(found))
    else:
        from tenbin.show_power import show_power

        show_power(found, _console())


@app.command(cls=_Ordered)
def aa(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="FILE|WORKSPACE", help="A file as of `analyze`, or a workspace.")
    ],
    metrics: Annotated[
        list[str] | None, typer.Argument(metavar="METRIC", help="Of a workspace; all when absent.")
    ] = None,
    *,
    experiment: Annotated[
        str | None, typer.Option(metavar="KEY", help="Of a workspace; when absent, the newest one.")
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Who is analysed; without it every row is a unit."),
    ] = None,
    randomised: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Who gets a variant, when that is not the unit.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The randomised group, and analysed as such.")
    ] = None,
    conversion: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Yes or no.")] = None,
    mean: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="A number.")] = None,
    revenue: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Money.")] = None,
    ratio: Annotated[list[str] | None, typer.Option(metavar="A/B", help="Sum over sum.")] = None,
    covariate: Annotated[
        list[str] | None, typer.Option(metavar="METRIC=COLUMN", help="What was measured before (CUPED).")
    ] = None,
    weights: Annotated[str, typer.Option(metavar="1,1", help="Of the arms, control first.")] = "1,1",
    runs: Annotated[int, typer.Option(help="How often it is randomised anew.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the salts.")] = 0,
    alpha: Annotated[float, typer.Option(help="Two-sided level.")] = 0.05,
    json: JsonOption = False,
) -> None:
    """Whether the analysis keeps its promises on your log.

    The log is randomised anew a thousand times and analysed as if it were an experiment. As nothing differs
    between the arms, p-values must be uniform, and something found no more often than alpha says.
    """
    from tenbin.aa.answer import to_json
    from tenbin.aa.command import run_aa
    from tenbin.aa.log import AaError
    from tenbin.analyze.request import MetricOption, Request
    from tenbin.weights import split_weights

    given = {
        "conversion": iter(conversion or ()),
        "mean": iter(mean or ()),
        "revenue": iter(revenue or ()),
        "ratio": iter(ratio or ()),
    }
    request = Request(
        variant=None,
        unit=unit,
        cluster=cluster,
        metrics=tuple(MetricOption(kind, next(given[kind])) for kind in ctx.meta[_ORDER]),
        covariates=tuple(covariate or ()),
        alpha=alpha,
    )
    arms = split_weights(weights, error=AaError)
    if source.is_dir():
        from tenbin.aa.lake import read_lake
        from workspace import load_workspace

        if request != Request(variant=None, alpha=alpha) or randomised is not None:
            raise AaError("a workspace's units and metrics are defined in it; name metrics without options")
        log = read_lake(load_workspace(source), metrics or (), experiment)
    else:
        from tenbin.aa.file import read_file

        if metrics or experiment is not None:
            raise AaError(f"{source}: metrics without an option, and --experiment, are for a workspace")
        log = read_file(source, request, randomised)
    found = run_aa(
        log, arms, runs=runs, seed=seed, alpha=alpha, console=None if json else _console(stderr=True)
    )
    if json:
        typer.echo(to_json(found))
    else:
        from tenbin.aa.show import show

        show(found, _console())
    if not found.healthy:
        raise typer.Exit(FOUND_WRONG)


@app.command()
def run(
    workspace: WorkspaceArgument,
    *,
    from_: Annotated[
        dt.datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], metavar="DAY", help="First as-of day."),
    ] = None,
    to: Annotated[
        dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DAY", help="Last as-of day.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Landing files to reports; a second run changes nothing."""
    from tenbin.run import run_workspace
    from workspace import load_workspace

    summary = run_workspace(
        load_workspace(workspace),
        from_day=from_.date() if from_ else None,
        to_day=to.date() if to else None,
        console=None if json else _console(stderr=True),
    )
    if json:
        _print_json(summary)
    else:
        from tenbin.show import show_run

        show_run(summary, _console())
    verdicts = [
        *(outcome.verdict for outcome in summary.experiments),
        *(outcome.verdict for outcome in summary.declared),
    ]
    if "investigate" in verdicts:
        raise typer.Exit(FOUND_WRONG)


@app.command()
def forget(
    workspace: WorkspaceArgument,
    units: Annotated[
        list[str] | None, typer.Argument(metavar="UNIT", help="Ids of whom to forget.", show_default=False)
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="More of them: a text, an id per line.")
    ] = None,
    unit_type: Annotated[str, typer.Option(metavar="TYPE", help="Which type the ids are of.")] = "user",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what there is.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Leave results and pages to the next `tenbin run`.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Erase units from all that Tenbin holds of them.

    From landing files, lake and warehouse, for good; the receipt names each store. Afterwards late copies of
    their rows are not taken in. Exit code 1 says that something is left to do:
    a file that is not Tenbin's own has them, or results could not be computed again.
    """
    from tenbin.forget import ForgetError, chosen_units, forget_units, look_for
    from workspace import load_workspace

    opened, chosen = load_workspace(workspace), chosen_units(units or (), file, unit_type)
    console = None if json else _console(stderr=True)
    if dry_run:
        summary = look_for(opened, chosen, console=console)
    else:
        if not yes and (json or not sys.stdin.isatty()):
            raise ForgetError("erasure can't be undone and nobody is there to be asked; say --yes")
        if not yes:
            found = look_for(opened, chosen, console=console)
            question = f"Erase {len(chosen.ids):,} units with {found.receipt.rows:,} rows, for good?"
            typer.confirm(question, abort=True, err=True)
        summary = forget_units(opened, chosen, run=not no_run, console=console)
    if json:
        _print_json(summary)
    else:
        from tenbin.show import show_receipt

        show_receipt(summary, _console())
    if not summary.complete:
        raise typer.Exit(FOUND_WRONG)


@app.command()
def maintain(workspace: WorkspaceArgument, *, json: JsonOption = False) -> None:
    """Keep the lake small and fast; no row changes.

    Small files are written together, what was replaced longer ago than `retention` is deleted, and records
    that came again after more than `dedup_days` are counted. Dagster's schedule every_sunday does the same.
    """
    from lake.maintenance import maintain as maintain_lake
    from workspace import load_workspace

    report = maintain_lake(load_workspace(workspace))
    if json:
        _print_json(report)
    else:
        from tenbin.show import show_maintenance

        show_maintenance(report, _console())
    if any(report.late_duplicates.values()):
        raise typer.Exit(FOUND_WRONG)


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="Where to make it: not there yet, empty, or a demo.")
    ],
    *,
    json: JsonOption = False,
) -> None:
    """Four simulated experiments, run, beside the truth."""
    from tenbin.commands import run_demo

    summary = run_demo(directory, console=None if json else _console(stderr=True))
    if json:
        _print_json(summary)
    else:
        from tenbin.show import show_demo

        show_demo(summary, _console())
    if not all(row.agrees for row in summary.experiments):
        raise typer.Exit(FOUND_WRONG)


@app.command()
def report(
    workspace: WorkspaceArgument,
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Its key.", show_default=False)],
    *,
    json: JsonOption = False,
) -> None:
    """Write one experiment's page again, and say its verdict."""
    from tenbin.commands import rewrite_report
    from workspace import load_workspace

    outcome = rewrite_report(load_workspace(workspace), experiment)
    if json:
        _print_json(outcome)
    else:
        typer.echo(outcome.sentence)
        typer.echo(f"Report: {outcome.report}")
    if outcome.verdict == "investigate":
        raise typer.Exit(FOUND_WRONG)


@app.command()
def up(
    workspace: WorkspaceArgument,
    *,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Of the UI, on loopback.")] = 3000,
) -> None:
    """The Dagster UI on the workspace, until Ctrl-C."""
    from tenbin.up import up as serve
    from workspace import load_workspace

    serve(load_workspace(workspace), port=port, console=_console())


@app.command()
def doctor(
    workspace: Annotated[
        Path | None, typer.Argument(metavar="[WORKSPACE]", help="Check this workspace too.")
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """What is wrong with this machine, or with a workspace."""
    from tenbin.doctor import Health, examine

    findings = examine(workspace)
    if json:
        _print_json(findings)
    else:
        from tenbin.show import show_findings

        show_findings(findings, _console())
    if any(finding.health is Health.WRONG for finding in findings):
        raise typer.Exit(FOUND_WRONG)


@metrics_app.command("check")
def check_metrics(workspace: HereArgument = Path(), *, json: JsonOption = False) -> None:
    """All that is wrong with the definitions, beside the data that was ingested."""
    from metrics.audit import Severity
    from tenbin.definitions import check_definitions
    from workspace import load_workspace

    problems = check_definitions(load_workspace(workspace))
    if json:
        _print_json(problems)
    else:
        from tenbin.show import show_problems

        show_problems(problems, _console())
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise typer.Exit(FOUND_WRONG)


@metrics_app.command("list")
def list_metrics(workspace: HereArgument = Path(), *, json: JsonOption = False) -> None:
    """Every metric, and the experiments that use it."""
    from tenbin.definitions import list_metrics as listed
    from workspace import load_workspace

    found = listed(load_workspace(workspace))
    if json:
        _print_json(found)
    else:
        from tenbin.show import show_metrics

        show_metrics(found, _console())


@metrics_app.command("sql")
def sql_of_metric(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the metric.", show_default=False)],
    workspace: HereArgument = Path(),
    *,
    experiment: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Whose units; when absent, its key stays to be bound."),
    ] = None,
    engine: Annotated[SqlEngine, typer.Option(help="Whose SQL.")] = SqlEngine.DUCKDB,
) -> None:
    """The statement from the lake's tables to a metric's sums."""
    from tenbin.definitions import sql_of
    from workspace import load_workspace

    typer.echo(sql_of(load_workspace(workspace), name, experiment, engine.value))


def _print_json(value: object) -> None:
    import msgspec

    text = msgspec.json.encode(value, enc_hook=str)
    typer.echo(msgspec.json.format(text, indent=2))  # bytes: JSON is UTF-8 whatever the terminal is


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)
