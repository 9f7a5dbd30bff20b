"""What is written, byte for byte: pages, JSON, Markdown, index, single file."""

import hashlib
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from reports import files
from reports.index import read_index
from reports.page import build_page
from reports.readout import Readout
from reports.render import render, render_index
from reports.single import render_single
from tests.reports import sample


class Reader(HTMLParser):
    """Collects what a test asks about a page: tags with attributes, visible text, headings."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.stack: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.stack.append(tag)

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.stack):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def snapshot(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("build", sample.ALL)
def test_every_readout_renders_and_twice_gives_the_same_bytes(build, tmp_path):
    readouts = [build(), build()]
    for readout, name in zip(readouts, ("one", "two"), strict=True):
        render(readout, tmp_path / name)
        render_index([readout], tmp_path / name)
        render_single(readout, tmp_path / name / "single.html")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")
    assert not list((tmp_path / "one").rglob("*.tmp"))


@pytest.mark.parametrize("build", sample.ALL)
def test_result_json_is_strict_sorted_and_the_whole_readout(build, tmp_path):
    readout = build()
    data = render(readout, tmp_path).json.read_bytes()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    plain = json.loads(data, parse_constant=refuse)
    assert list(plain) == sorted(plain)
    decoded = msgspec.json.decode(data, type=Readout)
    assert msgspec.json.encode(decoded) == msgspec.json.encode(readout)


def test_an_unchanged_page_is_not_written_again(tmp_path):
    first = render(sample.winner(), tmp_path).html.stat().st_mtime_ns
    assert render(sample.winner(), tmp_path).html.stat().st_mtime_ns == first


def test_hostile_text_is_text_and_stays_in_its_folder(tmp_path):
    out = tmp_path / "reports"
    written = render(sample.hostile(), out)
    assert written.html.parent.parent == out
    html = written.html.read_text(encoding="utf-8")
    page = Reader(html)
    assert not [tag for tag, _ in page.tags if tag in {"img", "b", "iframe", "object"}]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert sample.HOSTILE in page.text  # shown as it was written, braces and all
    figures = re.search(r'<script type="application/json" id="figures">(.*?)</script>', html, re.DOTALL)
    assert figures is not None
    assert "<" not in figures.group(1)
    assert sample.HOSTILE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in json.dumps(
        json.loads(figures.group(1)), ensure_ascii=False
    ).replace('\\"', '"')


def test_hostile_text_is_text_in_markdown_and_on_the_index(tmp_path):
    markdown = render(sample.hostile(), tmp_path).markdown.read_text(encoding="utf-8")
    assert "<img" not in markdown.replace(r"\<", "")
    assert all(line.count("|") - line.count(r"\|") in {0, 4, 6, 12} for line in markdown.splitlines())
    index = Reader(render_index([sample.hostile()], tmp_path).read_text(encoding="utf-8"))
    assert not [tag for tag, _ in index.tags if tag in {"img", "b", "script"}]


@pytest.mark.parametrize("build", sample.ALL)
def test_nothing_runs_inline_and_nothing_comes_from_elsewhere(build, tmp_path):
    html = render(build(), tmp_path).html.read_text(encoding="utf-8")
    page = Reader(html)
    for tag, attributes in page.tags:
        assert "style" not in attributes
        assert tag != "style"
        assert tag != "script" or attributes.get("src") or attributes.get("type") == "application/json"
        for name in ("src", "href"):
            assert not re.match(r"(?i)[a-z]+:|//", attributes.get(name) or ""), attributes
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in (policy or "")
    assert "unsafe" not in (policy or "")


@pytest.mark.parametrize("build", sample.ALL)
def test_headings_are_in_order_and_tables_are_named(build, tmp_path):
    html = render(build(), tmp_path).html.read_text(encoding="utf-8")
    page = Reader(html)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert html.count("<table") == html.count("<caption")
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = [
        (a.get("href") or "")[1:] for t, a in page.tags if t == "a" and (a.get("href") or "").startswith("#")
    ]
    assert set(anchors) <= set(ids)


def test_a_failed_split_stands_above_the_verdict_and_marks_the_results(tmp_path):
    page = Reader(render(sample.broken_split(), tmp_path).html.read_text(encoding="utf-8"))
    text = page.text
    assert text.index("Sample ratio mismatch.") < text.index("Verdict:") < text.index("Results")
    assert "Do not act on these numbers" in text
    assert "p < 0.0001" in text
    calm = Reader(render(sample.winner(), tmp_path).html.read_text(encoding="utf-8")).text
    assert "Sample ratio mismatch" not in calm
    assert "Do not act" not in calm


def test_health_comes_before_the_first_number_of_the_results(tmp_path):
    html = render(sample.winner(), tmp_path).html.read_text(encoding="utf-8")
    order = [
        "verdict",
        "health",
        "results",
        "trends",
        "exposures",
        "segments",
        "methods",
        "excluded",
        "provenance",
    ]
    places = [html.index(f'id="{name}"') for name in order]
    assert places == sorted(places)
    assert html.index("hero-lift") > html.index('id="health"')


def test_withheld_provisional_and_immature_are_said_in_words(tmp_path):
    text = Reader(render(sample.withheld(), tmp_path).html.read_text(encoding="utf-8")).text
    for word in ("Provisional:", "Withheld:", "2026-03-03", "Immature:", "1,204 units left out"):
        assert word in text
    assert not re.search(r"95% interval [+−]", text)
    assert "no interval" in text


def test_the_looks_are_told_in_words_and_in_a_table(tmp_path):
    text = Reader(render(sample.looked_at(), tmp_path).html.read_text(encoding="utf-8")).text
    assert "group sequential (significance is read at planned looks)" in text
    assert "2 looks taken; the next one is as of 2026-02-22, once it is closed." in text
    assert "2 2026-02-15 40,000 40.00% checkout_conversion B 3.3570 4.5678 yes" in text
    assert "1.0000" not in text, "secondary metrics are in the JSON"
    without = Reader(render(sample.winner(), tmp_path).html.read_text(encoding="utf-8"))
    assert 'href="#looks"' not in str(without.tags)


@pytest.mark.parametrize(
    ("information", "next_day", "words"),
    [
        (1.0, None, "1 look taken; the last one was the final look, so nothing is tested again."),
        (0.4, None, "1 look taken; no day is left to look at."),
    ],
)
def test_when_there_is_no_next_look_the_page_says_why(information, next_day, words):
    readout = sample.looked_at()
    (first, *_) = readout.looks.taken
    taken = (msgspec.structs.replace(first, information=information),)
    looks = msgspec.structs.replace(readout.looks, taken=taken, next_day=next_day)
    assert build_page(msgspec.structs.replace(readout, looks=looks)).looks_note.endswith(words)


def test_what_is_not_defined_is_a_dash_with_its_reason(tmp_path):
    text = Reader(render(sample.statuses(), tmp_path).html.read_text(encoding="utf-8")).text
    assert "undefined: no shard of this variant stayed in place since the weights changed" in text
    assert "relative lift unbounded: the control mean is not clearly above zero" in text
    assert "nan" not in text.lower().split()
    assert "None" not in text


def test_readings_follow_direction_adjustment_and_margin():
    lines = {
        (line.metric, line.variant): line
        for _, metrics in build_page(sample.winner()).groups
        for _, found in metrics
        for line in found
    }
    assert lines["checkout_conversion", "対照群C"].reading.word == "Better"
    # p is 0.041, but 0.124 after Holm
    assert lines["revenue_per_user", "B"].reading.word == "No clear difference"
    assert lines["page_latency", "B"].reading.word == "Within its margin"
    assert "goal ≥ 5.00%: not reached (4.82%)" in lines["checkout_conversion", "対照群C"].notes


def test_a_guardrail_that_falls_the_wrong_way_is_worse():
    base = sample.winner()
    worse = [
        msgspec.structs.replace(row, estimate=0.05, lower=0.03, upper=0.07, p_value=1e-5, p_adjusted=None)
        for row in base.results
        if row.metric == "page_latency" and row.segment is None
    ]
    page = build_page(msgspec.structs.replace(base, results=tuple(worse)))
    assert {line.reading.word for _, metrics in page.groups for _, found in metrics for line in found} == {
        "Worse"
    }


def test_the_index_has_what_needs_a_person_first(tmp_path):
    page = render_index([build() for build in reversed(sample.ALL)], tmp_path, title="店 🏬")
    index = read_index(tmp_path)
    assert [entry.verdict.value for entry in index.experiments] == [
        "investigate",
        "ship",
        "ship",
        "ship",
        "inconclusive",
        "keep_running",
    ]
    assert index.title == "店 🏬"
    winner = next(entry for entry in index.experiments if entry.experiment == "checkout-button")
    assert [(lift.variant, lift.text) for lift in winner.primary] == [("B", "+1.8%"), ("対照群C", "+17.1%")]
    for entry in index.experiments:
        assert "/" not in entry.folder
    text = Reader(page.read_text(encoding="utf-8")).text
    assert "+17.1%" in text
    assert "Investigate" in text


def test_an_empty_index_says_so(tmp_path):
    assert "No experiment has a report yet" in render_index([], tmp_path).read_text(encoding="utf-8")


def test_the_single_file_needs_nothing_beside_it(tmp_path):
    readout = msgspec.structs.replace(
        sample.withheld(),
        start=None,
        end=None,
        as_of=None,
        planned_end=None,
        series=(),
        exposures=(),
        checks=(),
    )
    html = render_single(readout, tmp_path / "out.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]
    assert not re.search(r"<(script|link)[^>]+(src|href)=", html)
    policy = next(a["content"] for _, a in Reader(html).tags if a.get("http-equiv"))
    assert "script-src 'sha256-" in (policy or "")
    assert "As of" not in Reader(html).text


def test_a_folder_that_cannot_be_written_is_one_clear_sentence(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(files.RenderError, match=r"report\.css.*can't be written.*run again"):
        render(sample.winner(), blocked)


@pytest.mark.parametrize("path", [".", "/", "..", "folder"])
def test_a_directory_is_no_file_to_write(tmp_path, monkeypatch, path):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(files.RenderError, match=r"is a directory; name the file that the report should be"):
        files.write(Path(path), "text")


def test_a_write_that_fails_leaves_the_old_page(tmp_path, monkeypatch):
    page = render(sample.winner(), tmp_path).html
    before = page.read_bytes()

    def full(self, data):
        self.touch()
        assert data
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(files.RenderError, match="No space left on device"):
        render(msgspec.structs.replace(sample.winner(), title="new"), tmp_path)
    assert page.read_bytes() == before
    assert not list(tmp_path.rglob("*.tmp"))
