"""Chromium of the system, driven by Playwright, and the sample pages that the tests open.

Looked for: CHROMIUM_PATH, `chromium`, `google-chrome`. Without one the tests are skipped with that reason,
or fail where TENBIN_REQUIRE_BROWSER is set, as in CI.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from reports.render import render, render_index
from reports.single import render_single
from tests.reports import sample

FLAGS = [
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def chromium_path() -> str | None:
    """The browser's program, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium_path()
    if path is None:
        message = "NO BROWSER: the pages are not tested; install chromium or set CHROMIUM_PATH"
        if os.environ.get("TENBIN_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=FLAGS + (["--no-sandbox"] if root else [])
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every sample, as `tenbin run` would leave it, under a name that needs quoting."""
    out = tmp_path_factory.mktemp("reports 対照 #1")
    readouts = [build() for build in sample.ALL]
    for readout in readouts:
        render(readout, out)
    render_index(readouts, out, title="shop 天秤")
    render_single(sample.winner(), out / "single.html")
    return out


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address; at the end of the test nothing may have been said on any console."""
    contexts, said = [], []

    def open_page(url: str, *, width: int = 1280, scheme: str = "light", **options: object) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("requestfailed", lambda request: said.append(f"not loaded: {request.url}"))
        page.goto(url)
        if options.get("java_script_enabled", True) and page.locator("#figures").count():
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
