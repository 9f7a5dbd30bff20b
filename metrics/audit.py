"""Whether every definition can be measured: all that is wrong, each with its file and what to do about it.

`metrics.validate` stops a run at the first thing that no number could come out of. Here all is told at once,
and also what gives numbers that nobody meant: filters that nothing passes, windows that no unit lives to see,
units of another kind.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import duckdb
import msgspec

from assignments import load_experiments
from assignments.errors import AssignmentsError
from assignments.model import Experiment
from metrics.analysis import planned_end
from metrics.load import Found, find_metrics
from metrics.model import Measure, Metric, MetricsError, Part, metrics_of
from metrics.sql.coverage import coverage, stated_currencies
from metrics.sql.exclude import check_rules
from metrics.sql.plan import measures_of
from metrics.sql.tree import render
from metrics.validate import faults, is_money, known_events, refuse_open_windows
from workspace import Workspace

DAY_S = 86_400
# An event that others outlive by this much has stopped.
SILENT_DAYS = 7


class Severity(StrEnum):
    """What a problem does: stops numbers, spoils them, or only is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a definition."""

    severity: Severity
    file: str | None = None  # relative to the workspace
    metric: str | None = None
    experiment: str | None = None
    message: str
    remedy: str


class Definitions(msgspec.Struct, frozen=True, kw_only=True):
    """What can be read of the files, and what is wrong with the files themselves."""

    metrics: dict[str, Metric]
    experiments: dict[str, Experiment]
    files: dict[str, str]
    problems: tuple[Problem, ...]


def read_definitions(workspace: Workspace) -> Definitions:
    """Every metric and experiment that can be read; the files alone are looked at."""
    found = find_metrics(workspace)
    experiments: dict[str, Experiment] = {}
    problems = [_of_file(workspace, path, error) for path, error in found.errors]
    try:
        experiments = load_experiments(workspace)
    except AssignmentsError as error:
        problems.append(_of_file(workspace, workspace.experiments, error))
    files = {name: _relative(workspace, path) for name, path in found.files.items()}
    problems += _unknown_metrics(workspace, found, experiments)
    try:
        check_rules(workspace)
    except MetricsError as error:
        problems.append(_of_file(workspace, workspace.toml, error))
    known = {
        key: experiment
        for key, experiment in experiments.items()
        if set(experiment.metrics.names) <= found.metrics.keys()
    }
    return Definitions(metrics=found.metrics, experiments=known, files=files, problems=tuple(problems))


def audit(con: duckdb.DuckDBPyConnection, workspace: Workspace) -> tuple[Problem, ...]:
    """Everything that is wrong with the definitions, the worst first.

    Args:
        con: a connection with the lake's tables.
        workspace: whose definitions.
    """
    defined = read_definitions(workspace)
    problems = [*defined.problems, *_impossible_windows(workspace, defined)]
    known = known_events(con)
    if known:
        problems += _Data(con, defined, known).problems(workspace)
    else:
        problems.append(
            Problem(
                severity=Severity.NOTE,
                message="no event was ingested yet, so that names of events and fields can't be checked",
                remedy=f"`tenbin run {workspace.root}` ingests what landed, and checks them then",
            )
        )
    problems += _unused(defined)
    order = list(Severity)
    located = (msgspec.structs.replace(p, file=p.file or defined.files.get(p.metric or "")) for p in problems)
    return tuple(sorted(located, key=lambda p: (order.index(p.severity), p.file or "", p.metric or "")))


def _of_file(workspace: Workspace, path: Path, error: MetricsError | AssignmentsError) -> Problem:
    said, _, remedy = str(error).removeprefix(f"{path}: ").partition("; ")
    return Problem(
        severity=Severity.ERROR,
        file=_relative(workspace, path),
        message=said,
        remedy=remedy or "correct the file",
    )


def _relative(workspace: Workspace, path: Path) -> str:
    return path.relative_to(workspace.root).as_posix()


def _unknown_metrics(
    workspace: Workspace, found: Found, experiments: Mapping[str, Experiment]
) -> Iterator[Problem]:
    for experiment in experiments.values():
        try:
            metrics_of(experiment, found.metrics)
        except MetricsError as error:
            said, _, remedy = str(error).partition("; ")
            yield Problem(
                severity=Severity.ERROR,
                file=_relative(workspace, workspace.experiments),
                experiment=experiment.key,
                message=said,
                remedy=f"define it, take it out, or correct its name: {remedy}",
            )


def _impossible_windows(workspace: Workspace, defined: Definitions) -> Iterator[Problem]:
    for experiment in defined.experiments.values():
        try:
            refuse_open_windows(defined.metrics, experiment)
        except MetricsError as error:
            said, _, remedy = str(error).partition("; ")
            yield Problem(severity=Severity.ERROR, experiment=experiment.key, message=said, remedy=remedy)
        end = planned_end(experiment, defined.metrics, workspace)
        if end is None:
            continue
        for metric in metrics_of(experiment, defined.metrics).values():
            yield from _window_after(experiment, metric, end)


def _window_after(experiment: Experiment, metric: Metric, end: dt.date) -> Iterator[Problem]:
    """Windows that are not over when the experiment is read for the last time."""
    if metric.window_s is None or experiment.end is None:
        return
    days = -(-metric.window_s // DAY_S)
    # The last day of exposure whose window is over by then, at whatever time of the day it began.
    last_mature = end - dt.timedelta(days=days)
    if last_mature + dt.timedelta(days=1) < experiment.start:
        yield Problem(
            severity=Severity.ERROR,
            metric=metric.name,
            experiment=experiment.key,
            message=f'window "{metric.longest_window}" is longer than the experiment and what follows it '
            f"({experiment.start} to {end}): no unit is ever mature",
            remedy="shorten the window, or move `end` of the experiment",
        )
    elif metric.name not in experiment.metrics.primary and last_mature < experiment.end:
        yield Problem(
            severity=Severity.WARNING,
            metric=metric.name,
            experiment=experiment.key,
            message=f'window "{metric.longest_window}" is longer than those of the primary metrics: at the '
            f"planned end, {end}, only units exposed by {last_mature} are mature",
            remedy="shorten the window, or accept that it tells of the early units alone",
        )
    length = (experiment.end - experiment.start).days + 1
    if metric.name in experiment.metrics.primary and days > length:
        yield Problem(
            severity=Severity.WARNING,
            metric=metric.name,
            experiment=experiment.key,
            message=f'window "{metric.longest_window}" of a primary metric is longer than the experiment '
            f"({length} days), which can be decided on {end} at the earliest",
            remedy="shorten the window, or plan for that day",
        )


def _unused(defined: Definitions) -> Iterator[Problem]:
    used = {name for experiment in defined.experiments.values() for name in experiment.metrics.names}
    for name in sorted(defined.metrics.keys() - used):
        yield Problem(
            severity=Severity.NOTE,
            metric=name,
            message="no experiment uses it",
            remedy="name it in an experiment, or take it out",
        )


_Say = Callable[[Severity, str, str], Problem]


class _Counts(msgspec.Struct, frozen=True):
    """Events of one measure in one unit type, environment and day."""

    unit_type: str
    environment: str
    day: dt.date
    named: int
    matched: int
    no_number: int


class _Data:
    """The definitions beside the events."""

    def __init__(self, con: duckdb.DuckDBPyConnection, defined: Definitions, known: list[str]) -> None:
        self._con = con
        self._defined = defined
        self._known = known
        first, last = con.execute("SELECT MIN(occurred_on), MAX(occurred_on) FROM events").fetchall()[0]
        self._first: dt.date = first
        self._last: dt.date = last

    def problems(self, workspace: Workspace) -> Iterator[Problem]:
        yield from self._broken_parts()
        counts = self._counts()
        currencies = self._currencies()
        for experiment in self._defined.experiments.values():
            end = planned_end(experiment, self._defined.metrics, workspace) or self._last
            for metric in metrics_of(experiment, self._defined.metrics).values():
                yield from self._early_covariates(experiment, metric)
                for part in metric.parts:
                    if part.event in self._known:
                        found = counts[part.partial.id]
                        yield from self._empty(experiment, metric, part, found, min(end, self._last))
                        yield from self._mixed(experiment, metric, part, currencies)

    def _broken_parts(self) -> list[Problem]:
        """What no event has; of metrics that nobody uses it is a warning, for their events may come later."""
        used = {name for each in self._defined.experiments.values() for name in each.metrics.names}
        return [
            Problem(
                severity=Severity.ERROR if name in used else Severity.WARNING,
                metric=name,
                message=fault.message,
                remedy=fault.remedy,
            )
            for name, metric in self._defined.metrics.items()
            for part in metric.measured
            for fault in faults(self._con, part, self._known)
        ]

    def _counts(self) -> dict[str, list[_Counts]]:
        """Of every measure that an experiment uses after exposure."""
        used = {name for each in self._defined.experiments.values() for name in each.metrics.names}
        measures: Sequence[Measure] = measures_of([self._defined.metrics[name] for name in sorted(used)])
        if not measures:
            return {}
        rows = self._con.execute(render(coverage(measures)), {"since": self._since}).fetchall()
        return {
            measure.id: [_Counts(*row[:3], *row[3 + 3 * number : 6 + 3 * number]) for row in rows]
            for number, measure in enumerate(measures)
        }

    @property
    def _since(self) -> dt.date:
        return min((each.start for each in self._defined.experiments.values()), default=self._first)

    def _currencies(self) -> dict[tuple[str, str, str], list[str]]:
        names = sorted(
            {
                part.event
                for metric in self._defined.metrics.values()
                for part in metric.parts
                if is_money(part) and part.currency is None
            }
        )
        if not names:
            return {}
        found: dict[tuple[str, str, str], list[str]] = {}
        rows = self._con.execute(render(stated_currencies(names)), {"since": self._since}).fetchall()
        for event, unit_type, environment, currency in rows:
            found.setdefault((event, unit_type, environment), []).append(currency)
        return found

    def _early_covariates(self, experiment: Experiment, metric: Metric) -> Iterator[Problem]:
        asked = [metric.covariate_s or 0, *(part.before_s for part in metric.covariates)]
        days = -(-max(asked) // DAY_S)
        begins = experiment.start - dt.timedelta(days=days)
        if not days or begins >= self._first or experiment.start > self._last:
            return
        there = max((experiment.start - self._first).days, 0)
        yield Problem(
            severity=Severity.WARNING,
            metric=metric.name,
            experiment=experiment.key,
            message=f"its covariate looks {days} days back from {experiment.start}, and events begin on "
            f"{self._first}, {there} days before: it knows less of the units that came first",
            remedy="shorten the covariate, or ingest older events",
        )

    def _empty(
        self, experiment: Experiment, metric: Metric, part: Part, counts: Sequence[_Counts], end: dt.date
    ) -> Iterator[Problem]:
        """No event where some are expected, and why; else values without a number, or events that stopped."""
        if experiment.start > self._last:
            return

        def say(severity: Severity, message: str, remedy: str) -> Problem:
            return Problem(
                severity=severity,
                metric=metric.name,
                experiment=experiment.key,
                message=message,
                remedy=remedy,
            )

        own = [row for row in counts if row.environment == experiment.environment]
        mine = [row for row in own if row.unit_type == experiment.unit_type]
        during = [row for row in mine if experiment.start <= row.day <= end]
        period = f"{experiment.start} to {end}"
        if not any(row.named for row in mine) and any(row.named for row in counts):
            yield self._strangers(say, experiment, part, own, counts)
        elif not any(row.named for row in during):
            yield say(
                Severity.WARNING,
                f'no event "{part.event}" happened in the experiment\'s period ({period})',
                "look whether its source has stopped, or name the event that is sent now",
            )
        elif not (matched := sum(row.matched for row in during)):
            yield say(
                Severity.WARNING,
                f'of {sum(row.named for row in during):,} events "{part.event}" in the experiment\'s period '
                f"({period}), none passes the metric's filter or currency",
                "correct `where` or `currency`",
            )
        else:
            if bad := sum(row.no_number for row in during):
                yield say(
                    Severity.WARNING,
                    f'{bad:,} of {matched:,} events "{part.event}" have no number in '
                    f'"{part.partial.value}"; they are left out of the sum',
                    "name a field with numbers, or mend its sender",
                )
            silent = (end - max(row.day for row in during if row.matched)).days
            if silent >= SILENT_DAYS:
                yield say(
                    Severity.WARNING,
                    f'no event "{part.event}" of it happened in the last {silent} days up to {end}',
                    "look whether its source has stopped",
                )

    def _strangers(
        self,
        say: _Say,
        experiment: Experiment,
        part: Part,
        own: Sequence[_Counts],
        counts: Sequence[_Counts],
    ) -> Problem:
        """Events of that name are there, but none of the experiment's units."""
        if found := Counter(row.unit_type for row in own if row.named):
            return say(
                Severity.ERROR,
                f'events "{part.event}" are of unit type {_listed(found)}, and the experiment\'s units of '
                f'type "{experiment.unit_type}"',
                "correct `unit_type` of the experiment, or of the source",
            )
        found = Counter(row.environment for row in counts if row.named)
        return say(
            Severity.ERROR,
            f'events "{part.event}" are of environment {_listed(found)}, and the experiment\'s is '
            f'"{experiment.environment}"',
            "correct `environment` of the experiment, or of the source",
        )

    def _mixed(
        self,
        experiment: Experiment,
        metric: Metric,
        part: Part,
        currencies: Mapping[tuple[str, str, str], list[str]],
    ) -> Iterator[Problem]:
        found = currencies.get((part.event, experiment.unit_type, experiment.environment), [])
        if is_money(part) and part.currency is None and len(found) > 1:
            yield Problem(
                severity=Severity.WARNING,
                metric=metric.name,
                experiment=experiment.key,
                message=f'events "{part.event}" state {len(found)} currencies ({", ".join(found)}); an '
                "experiment whose units have more than one of them is stopped",
                remedy=f'say which counts, as in currency = "{found[0]}"',
            )


def _listed(found: Counter[str]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(found))
