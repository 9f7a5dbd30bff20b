"""The bodies of `tenbin demo` and `tenbin report`: the packages below, joined for one command each."""

from pathlib import Path

import msgspec
from rich.console import Console

from tenbin.progress import progress
from tenbin.run import ExperimentOutcome, RunError, read_outcomes, run_workspace
from workspace import Workspace, load_workspace, suggest


class DemoRow(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment of the demo: what is true, and what the readout says."""

    experiment: str
    truth: str
    expected: str  # the verdict that the truth calls for
    verdict: str
    agrees: bool
    sentence: str


class DemoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The demo, run."""

    workspace: Path
    index: Path
    experiments: tuple[DemoRow, ...]


def run_demo(root: Path, *, console: Console | None = None) -> DemoSummary:
    """Make the demo workspace in `root`, run the pipeline over it, set the verdicts beside the truth.

    Raises:
        UserError: `root` holds something else or can't be written.
    """
    from tenbin.demo import check_place, make_demo

    check_place(root)  # before there is any progress to show
    with progress(console) as bar:
        task = bar.add_task("Demo", total=1.0)
        truth = make_demo(
            root, progress=lambda text, share: bar.update(task, description=text, completed=share)
        )
        bar.update(task, description="Demo data", completed=1.0)
    summary = run_workspace(load_workspace(root), console=console)
    verdicts = {outcome.experiment: outcome for outcome in summary.experiments}
    return DemoSummary(
        workspace=summary.workspace,
        index=summary.index,
        experiments=tuple(
            DemoRow(
                experiment=true.key,
                truth=true.truth,
                expected=true.verdict.value,
                verdict=verdicts[true.key].verdict,
                agrees=verdicts[true.key].verdict == true.verdict.value,
                sentence=verdicts[true.key].sentence,
            )
            for true in truth.experiments
        ),
    )


def rewrite_report(workspace: Workspace, key: str) -> ExperimentOutcome:
    """Write one experiment's page, JSON and Markdown again, and the index, from the results in the lake.

    Raises:
        UserError: there is no such experiment, or it has no results yet.
    """
    from assignments import load_experiments
    from lake import open_lake
    from metrics import load_metrics
    from metrics.declared import verdicts_of
    from metrics.engines.engine import Engine
    from reports.assemble import write_index, write_report
    from reports.declared import declared_readout
    from reports.render import render

    experiments = load_experiments(workspace)
    if key not in experiments and not workspace.lake.exists():
        raise _no_experiment(workspace, key, list(experiments))
    lake = open_lake(workspace)
    with lake.connect() as con:
        engine = Engine(workspace, lake, load_metrics(workspace))
        if key in experiments:
            write_report(con, engine, experiments[key])
        elif (declared := declared_readout(con, workspace, key)) is not None:
            render(declared, workspace.reports)
        else:
            declared_keys = [name for name, *_ in verdicts_of(con, experiments)]
            raise _no_experiment(workspace, key, [*experiments, *declared_keys])
        write_index(con, engine, experiments)
    return next(outcome for outcome in read_outcomes(workspace) if outcome.experiment == key)


def _no_experiment(workspace: Workspace, key: str, known: list[str]) -> RunError:
    return RunError(f'{workspace.experiments}: there is no experiment "{key}"; {suggest(key, known)}')
