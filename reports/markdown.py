"""The readout as Markdown: the same essentials as the page, for pull requests, chats and terminals."""

import re
from collections.abc import Iterable, Sequence

from reports import format as fmt
from reports.page import Page, health_of
from reports.readout import Readout
from reports.tables import Line

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def to_markdown(page: Page) -> str:
    """One readout as CommonMark with GitHub tables; ends with a newline."""
    readout = page.readout
    blocks = [
        f"# {escape(page.title)}",
        *([f"> **Sample ratio mismatch.** {escape(page.srm_sentence)}"] if readout.srm.failed else []),
        f"**{page.verdict.icon} {page.verdict.word}.** {escape(page.sentence)}",
        _bullets(page.reasons),
        "\n>\n".join(f"> {escape(caution)}" for caution in page.cautions),
        "## Design",
        _bullets(f"{name}: {value}" for name, value in (("Experiment", readout.experiment), *page.facts)),
        "## Health",
        f"**{health_of(readout).word}.** {escape(page.srm_sentence)}",
        _table(
            ("Variant", "Planned", "Expected", "Observed", "Difference"),
            [
                (item.variant, item.planned, item.expected, item.observed, item.difference)
                for item in page.shares
            ],
            numeric=range(1, 5),
        ),
        _table(
            ("Check", "State", "Finding"),
            [(item.name, f"{item.badge.icon} {item.badge.word}", item.message) for item in page.checks],
        ),
        "## Results",
        _results(page),
        *_findings(page),
        *_looks(page),
        "## Left out",
        _table(
            ("Reason", "Count", "Of"),
            [(item.reason, fmt.count(item.count), item.of) for item in readout.exclusions],
            numeric=range(1, 2),
        )
        or "Nothing was left out.",
        "## Where the numbers come from",
        _bullets(_provenance(readout)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _findings(page: Page) -> Iterable[str]:
    if page.findings:
        yield "## What else was found"
        yield _table(
            ("Finding", "State", "What it says"),
            [(item.name, f"{item.badge.icon} {item.badge.word}", item.message) for item in page.findings],
        )


def escape(text: str) -> str:
    """Text in which nothing is Markdown or HTML, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _provenance(readout: Readout) -> Iterable[str]:
    yield f"Iteration {readout.iteration}, schema {readout.schema_version}"
    yield f"Fingerprint {readout.fingerprint}"


def _results(page: Page) -> str:
    lines: list[tuple[str, Line]] = [
        (role, line) for role, metrics in page.groups for _, found in metrics for line in found
    ]
    if not lines:
        return "There are no results yet."
    return _table(
        (
            *("Metric", "Role", "Variant", "Control", "Variant mean", "Absolute lift", "Relative lift"),
            *("p", "Adjusted p", "n (control / variant)", "Reading"),
        ),
        [
            (
                *(line.metric, role, line.variant, line.mean_baseline, line.mean_variant),
                _with_interval(line.absolute, line.absolute_interval),
                _with_interval(line.relative, line.relative_interval),
                *(line.p, line.p_adjusted, f"{line.n_baseline} / {line.n_variant}"),
                "; ".join([f"{line.reading.icon} {line.reading.word}", *line.notes]),
            )
            for role, line in lines
        ],
        numeric=range(3, 10),
    )


def _looks(page: Page) -> Iterable[str]:
    if page.looks is not None:
        yield "## Looks"
        yield escape(page.looks_note)
        yield _table(page.looks.columns, page.looks.rows, numeric=page.looks.numeric)


def _with_interval(estimate: str, interval: str) -> str:
    return estimate if interval == fmt.MISSING else f"{estimate} ({interval})"


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {escape(item)}" for item in items)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Iterable[int] = ()) -> str:
    if not rows:
        return ""
    right = set(numeric)
    rule = ["---:" if index in right else "---" for index in range(len(columns))]
    cells = [list(columns), rule, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
