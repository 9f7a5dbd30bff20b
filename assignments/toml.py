"""Experiments as files: `experiments/*.toml` into `Experiment`, and back with nothing lost."""

import datetime as dt
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from assignments.compile import compile_ruleset
from assignments.errors import AssignmentsError
from assignments.model import Experiment
from assignments.validate import validate
from workspace import Workspace, convert, read_toml

_BARE_KEY = re.compile(r"^[A-Za-z0-9_-]+$")


def load_experiments(workspace: Workspace) -> dict[str, Experiment]:
    """Every experiment of the workspace by key, in the order of keys.

    Raises:
        AssignmentsError: a file can't be read, a definition is wrong, or two files have the same key.
    """
    files: dict[str, Path] = {}
    experiments: dict[str, Experiment] = {}
    for path in sorted(workspace.experiments.glob("*.toml")):
        experiment = read_experiment(path)
        if experiment.key in files:
            raise AssignmentsError(
                f'{path}: key "{experiment.key}" is already the key of {files[experiment.key].name}; '
                "an experiment has one file and one key"
            )
        files[experiment.key] = path
        experiments[experiment.key] = experiment
    _check_layers(workspace, experiments)
    return dict(sorted(experiments.items()))


def _check_layers(workspace: Workspace, experiments: Mapping[str, Experiment]) -> None:
    """Experiments of one layer own disjoint shards while they run at once, so no unit is in two of them."""
    for environment in sorted({experiment.environment for experiment in experiments.values()}):
        try:
            compile_ruleset(
                experiments.values(), version=0, environment=environment, timezone=workspace.timezone
            )
        except AssignmentsError as reason:
            raise AssignmentsError(f"{workspace.experiments}: {reason}") from None


def read_experiment(path: Path) -> Experiment:
    """Read and check one file.

    Raises:
        AssignmentsError: it can't be read, is not TOML, or its definition is wrong.
    """
    return parse_experiment(read_toml(path, AssignmentsError), where=str(path))


def parse_experiment(table: Mapping[str, Any], *, where: str) -> Experiment:
    """Turn parsed TOML into an experiment and check it; `where` names the file in messages."""
    table = dict(table)
    if "control" not in table:
        raise AssignmentsError(
            f'{where}: key "control" is missing; name the variant that the others are compared with'
        )
    table.setdefault("horizon", "fixed" if "end" in table else "anytime")
    metrics = table.get("metrics")
    if isinstance(metrics, dict) and isinstance(metrics.get("guardrail"), list):
        # A guardrail without a margin may be written as its bare name.
        guardrails = [{"metric": item} if isinstance(item, str) else item for item in metrics["guardrail"]]
        table["metrics"] = {**metrics, "guardrail": guardrails}
    analysis = table.get("analysis")
    if isinstance(analysis, dict) and isinstance(analysis.get("spending"), str):
        # A spending function without parameters may be written as its bare name.
        table["analysis"] = {**analysis, "spending": {"type": analysis["spending"]}}
    experiment = convert(table, Experiment, where=where, error=AssignmentsError)
    validate(experiment, where=where)
    return experiment


def experiment_to_toml(experiment: Experiment) -> str:
    """The experiment as TOML text; reading it gives an equal experiment."""
    table: dict[str, Any] = msgspec.to_builtins(experiment, builtin_types=(dt.date, dt.datetime))
    table["horizon"] = experiment.horizon  # the loader's default depends on `end`: always said
    phases = table.pop("phases")
    sections = {
        name: section
        for name in ("metrics", "segments", "analysis", "bucketing")
        if (section := table.pop(name, None))
    }
    lines = [f"{_key(key)} = {_value(value)}" for key, value in table.items()]
    for phase in phases:
        lines += ["", "[[phases]]", *(f"{_key(key)} = {_value(value)}" for key, value in phase.items())]
    for name, section in sections.items():
        lines += ["", f"[{name}]", *(f"{_key(key)} = {_value(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


def _key(text: str) -> str:
    return text if _BARE_KEY.match(text) else _text(text)


def _text(text: str) -> str:
    # JSON's escapes are TOML's; only DEL, which JSON leaves as it is, must be escaped in TOML too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = _text(value)
    elif isinstance(value, float):
        text = str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)  # noqa: PLR2004
    elif isinstance(value, dt.datetime):
        text = value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    elif isinstance(value, dt.date):
        text = value.isoformat()
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(_value(item) for item in value) + "]"
    elif isinstance(value, dict):
        text = "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    elif isinstance(value, int):
        text = str(value)
    else:
        raise TypeError(f"TOML has no form for {type(value).__name__}")
    return text
