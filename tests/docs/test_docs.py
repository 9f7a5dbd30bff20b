"""The documentation is complete: what a user can type or see is in it, and its links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from assignments.model import Experiment, MetricRoles, Phase
from metrics.load import KINDS
from metrics.model import Metric
from stats.choices import Method
from stats.plan import Settings
from stats.reasons import REASONS
from stats.results import Result, Status, Verdict
from tests.support import ROOT
from workspace.config import ExclusionRule, Source, SparkTable, WorkspaceTable

DOCS = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def commands() -> list[tuple[str, TyperCommand]]:
    from tenbin.cli import app

    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    return sorted(_leaves(root, ""))


def _leaves(group: TyperGroup, prefix: str) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _leaves(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def words(name: str) -> set[str]:
    """Everything that a page shows as code."""
    return set(re.findall(r"`([^`\n]+)`", DOCS[name]))


def test_every_command_and_option_is_documented():
    shown = DOCS["commands.md"] + DOCS["analyze.md"] + DOCS["aa.md"]
    for name, command in commands():
        assert f"tenbin {name}" in shown, name
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                if option.startswith("--"):
                    assert f"`{option}" in shown or f" {option}" in shown, f"tenbin {name} {option}"


def test_every_metric_kind_is_documented():
    for kind in KINDS:
        assert f"`{kind}`" in DOCS["metrics.md"], kind


@pytest.mark.parametrize(
    ("page", "struct"),
    [
        ("metrics.md", Metric),
        ("experiments.md", Experiment),
        ("experiments.md", Phase),
        ("experiments.md", MetricRoles),
        ("experiments.md", Settings),
        ("workspace.md", Source),
        ("workspace.md", WorkspaceTable),
        ("workspace.md", ExclusionRule),
        ("workspace.md", SparkTable),
    ],
)
def test_every_key_of_every_file_is_documented(page: str, struct: type):
    shown = " ".join(words(page))
    for field in set(struct.__struct_encode_fields__) - {"named"}:  # filled in by loading, no key
        assert re.search(rf"\b{field}\b", shown), f"{struct.__name__}.{field} is not in docs/{page}"


def test_every_column_status_reason_and_verdict_of_a_result_is_documented():
    shown = words("results.md")
    for name in (*Result.__struct_fields__, *Status, *Verdict, *REASONS):
        assert name in shown, name


def test_every_method_of_a_result_is_documented():
    """The methods are literals where contrasts and rows are made; each must be in the page."""
    makers = ("clusters", "contrasts", "pairs", "regression", "rows", "strata")
    source = "".join((ROOT / "stats" / f"{name}.py").read_text(encoding="utf-8") for name in makers)
    methods = set(re.findall(r'(?:method=|_welch\()"([a-z_0-9]+)"', source))
    methods |= {"fieller", "cuped_fieller", "confidence_sequence", "group_sequential", "barnard"}
    methods |= set(get_args(Method))
    assert {"welch_t", "delta", "cuped", "z_pooled", "non_inferiority"} <= methods
    assert methods <= words("results.md")


def test_every_asset_check_job_schedule_and_sensor_is_documented(definitions_snapshot: dict):
    shown = words("pipeline.md")
    for names in definitions_snapshot.values():
        for name in names:
            assert name in shown, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} → {target}"
