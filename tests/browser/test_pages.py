"""Pages in a real Chromium: strict content policy, charts, dark, phone, paper, contrast, keyboard."""

import functools
import http.server
import threading

import pytest

from reports.slugs import slug
from tests.reports import sample

pytestmark = pytest.mark.browser

WINNER = f"{slug(sample.winner().experiment)}/index.html"
ALL = [*(f"{slug(build().experiment)}/index.html" for build in sample.ALL), "index.html", "single.html"]

# Every text with its own colours and size, blended over the backgrounds behind it.
CONTRASTS = r"""() => {
  const parse = (text) => {
    const numbers = text.match(/[\d.]+/g).map(Number);
    return numbers.length === 4 ? numbers : [...numbers, 1];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.push(parse(getComputedStyle(at).backgroundColor));
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const shown = walker.currentNode.textContent.trim() && element.getClientRects().length;
    if (!shown || element.closest("script, style, noscript")) continue;
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement;
    const back = behind(svg ? element.closest("div.chart") : element);
    const front = over(parse(svg ? style.fill : style.color), back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), walker.currentNode.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""


def until(page, expression):
    """Wait until an expression is true; asked from outside, since the page's policy forbids `eval` inside."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


def drawn(page):
    """Ids of the visible charts and the number of paths that Plotly drew in each."""
    return page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('.chart')]
            .filter((chart) => chart.clientWidth)
            .map((chart) => [chart.id, chart.querySelectorAll('svg.main-svg .trace path').length]))"""
    )


@pytest.mark.parametrize("path", ALL)
def test_every_page_opens_from_a_folder_without_a_word_on_the_console(visit, pages, path):
    page = visit((pages / path).as_uri())
    assert page.locator("h1").count() == 1
    assert all(count > 0 for count in drawn(page).values())


def test_the_three_kinds_of_chart_are_drawn(visit, pages):
    counts = drawn(visit((pages / WINNER).as_uri()))
    assert set(counts) == {"chart-forest", "chart-lift-1", "chart-exposures"}
    assert counts["chart-forest"] >= 10


def test_the_same_folder_works_over_http(visit, pages):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            return

        def do_GET(self):
            if self.path == "/favicon.ico":
                self.send_response(204)
                self.end_headers()
                return
            super().do_GET()

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(pages))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = visit(f"http://127.0.0.1:{server.server_port}/index.html")
        page.get_by_role("link", name="Checkout button").click()
        page.wait_for_selector("html[data-ready]", state="attached")
        assert len(drawn(page)) == 3
        server.shutdown()


def test_the_policy_stops_what_it_should(browser, pages):
    """A script that slipped into the page would not run."""
    html = (pages / WINNER).read_text(encoding="utf-8")
    folder = pages / "tampered"
    folder.mkdir()
    (folder / "index.html").write_text(
        html.replace("</main>", "<script>document.title = 'ran'</script></main>"), encoding="utf-8"
    )
    context = browser.new_context()
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.title() != "ran"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [*ALL[:2], "index.html"])
def test_every_text_has_a_contrast_of_four_and_a_half(visit, pages, path, scheme):
    page = visit((pages / path).as_uri(), scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    ratios = page.evaluate(CONTRASTS)
    assert len(ratios) > 20
    assert [item for item in ratios if item[0] < 4.5] == []


@pytest.mark.parametrize("path", ALL)
def test_a_phone_never_scrolls_sideways(visit, pages, path):
    page = visit((pages / path).as_uri(), width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate("document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    charts = "[...document.querySelectorAll('.chart svg.main-svg')]"
    widths = page.evaluate(f"{charts}.map((svg) => svg.getBoundingClientRect().right)")
    assert all(right <= 390 for right in widths)


def test_charts_follow_the_theme_when_it_changes(visit, pages):
    page = visit((pages / WINNER).as_uri(), scheme="light")
    colour = "getComputedStyle(document.querySelector('#chart-exposures .xtick text')).fill"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    until(page, f"{colour} !== '{light}'")
    page.emulate_media(color_scheme="light")
    until(page, f"{colour} === '{light}'")


def test_charts_follow_the_width_of_the_window(visit, pages):
    page = visit((pages / WINNER).as_uri())
    width = "document.querySelector('#chart-forest svg.main-svg').getBoundingClientRect().width"
    wide = page.evaluate(width)
    page.set_viewport_size({"width": 600, "height": 900})
    until(page, f"{width} < {wide} - 300")


def test_the_switch_shows_one_metric_at_a_time(visit, pages):
    page = visit((pages / WINNER).as_uri())
    page.get_by_label("Metric", exact=True).select_option("trend-3")
    assert "chart-lift-3" in drawn(page)
    assert "chart-lift-1" not in drawn(page)
    assert drawn(page)["chart-lift-3"] > 0


def test_paper_has_every_table_and_chart(visit, pages):
    page = visit((pages / WINNER).as_uri(), scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    until(page, "document.querySelectorAll('details:not([open])').length === 0")
    assert set(drawn(page)) == {"chart-forest", "chart-exposures", *(f"chart-lift-{n}" for n in range(1, 6))}
    assert all(count > 0 for count in drawn(page).values())
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert [item for item in page.evaluate(CONTRASTS) if item[0] < 4.5] == []
    page.emulate_media(media="screen", color_scheme="dark")
    until(page, "document.querySelectorAll('details[open]').length === 0")
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_javascript_the_tables_carry_everything(visit, pages):
    page = visit((pages / WINNER).as_uri(), java_script_enabled=False)
    assert page.locator(".panel").count() == 5
    assert all(panel.is_visible() for panel in page.locator(".panel").all())
    assert page.locator("noscript").first.is_visible()


def test_the_keyboard_reaches_links_details_and_wide_tables(visit, pages):
    page = visit((pages / WINNER).as_uri())
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName + '.' + document.activeElement.className"))
    assert {"A.skip", "A.", "SELECT.", "SUMMARY.", "DIV.scroll"} <= reached
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details[open]").count() == 1


def test_tables_have_names_for_screen_readers(visit, pages):
    page = visit((pages / WINNER).as_uri())
    assert page.get_by_role("table", name="Lift of each metric against A").count() == 1
    assert page.get_by_role("img", name="Relative lifts with their intervals").count() == 1
    assert page.get_by_role("region", name="Units by variant").count() == 1
