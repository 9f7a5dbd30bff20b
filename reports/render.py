"""Writes readouts: a folder per experiment (page, JSON, Markdown), an index, and the assets they share.

A page is a pure function of its readout: the same input gives the same bytes. The folder opens offline from
`file://` and from any web server, under a content policy that lets nothing run but the files beside it.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import msgspec

from reports import files, words
from reports import format as fmt
from reports.index import Index, IndexEntry, build_entry, ordered, read_index, table_rows
from reports.markdown import to_markdown
from reports.page import Page, build_page, health_of
from reports.readout import Readout
from reports.slugs import slug

__all__ = [
    "IndexEntry",
    "RenderedReport",
    "read_index",
    "render",
    "render_index",
    "slug",
    "to_json",
]

# 'self' covers the files beside the page, over http and from file://. Plotly draws with SVG attributes and
# CSSOM, which a policy does not touch; its two injected style sheets are kept out in `_layout.html.j2`.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'"
)


class RenderedReport(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one experiment's report."""

    html: Path
    json: Path
    markdown: Path


def render(readout: Readout, out: Path) -> RenderedReport:
    """Write one experiment's report into its folder in `out`; the page comes last.

    Raises:
        RenderError: `out` can't be written.
    """
    page = build_page(readout)
    files.write_assets(out)
    folder = out / slug(readout.experiment)
    result = files.write(folder / "result.json", to_json(readout))
    markdown = files.write(folder / "report.md", to_markdown(page))
    return RenderedReport(
        html=files.write(folder / "index.html", page_html(page)), json=result, markdown=markdown
    )


def render_index(
    entries: Iterable[Readout | IndexEntry],
    out: Path,
    *,
    title: str = "Experiments",
    without_page: int = 0,
) -> Path:
    """Write `index.html` and `index.json` over every experiment given; the page's path.

    Args:
        entries: experiments with a page.
        out: the folder of the reports.
        title: above the table.
        without_page: how many more experiments there are, which have none.

    Raises:
        RenderError: `out` can't be written.
    """
    found = ordered(build_entry(item) if isinstance(item, Readout) else item for item in entries)
    files.write_assets(out)
    index = Index(title=title, experiments=found, without_page=without_page)
    files.write(out / "index.json", _pretty(index))
    html = (
        environment()
        .get_template("index.html.j2")
        .render(index=index, rows=table_rows(found), policy=POLICY, assets=files.ASSETS, plotly_styles=())
    )
    return files.write(out / "index.html", html)


def to_json(readout: Readout) -> bytes:
    """The whole readout as strict JSON with sorted keys; decodes into `Readout` again."""
    return _pretty(readout)


def page_html(page: Page, **inline: Any) -> str:  # noqa: ANN401 - template variables
    """The page of one experiment; `inline` replaces the links to assets (see `reports.single`)."""
    context = {"policy": POLICY, "assets": f"../{files.ASSETS}", "inline": None, "index": "../index.html"}
    return (
        environment()
        .get_template("experiment.html.j2")
        .render(
            page=page,
            readout=page.readout,
            health=health_of(page.readout),
            plotly_styles=plotly_styles(),
            **(context | inline),
        )
    )


@cache
def environment() -> jinja2.Environment:
    """Jinja2 with escaping everywhere and an error for every name that is not there."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["breakable"] = breakable
    made.globals |= {"fmt": fmt, "words": words}
    return made


def breakable(text: str) -> markupsafe.Markup:
    """A name that may be broken after its joints, instead of anywhere."""
    return markupsafe.Markup(re.sub(r"([_./:·-])", r"\1<wbr>", str(markupsafe.escape(text))))  # noqa: S704 - escaped


@cache
def plotly_styles() -> tuple[str, ...]:
    """Ids of the style elements that Plotly's bundle would inject: it leaves them out where they exist."""
    found = re.findall(
        r'getElementById\("([0-9a-f]{64})"\)\)\{var \w+=document\.createElement\("style"\)',
        files.plotly_script(),
    )
    return ("plotly.js-style-global", *dict.fromkeys(found))


def _pretty(value: Any) -> bytes:  # noqa: ANN401 - any struct
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1) + b"\n"
