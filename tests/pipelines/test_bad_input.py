"""What a person got wrong ends `tenbin run` with one sentence and code 2, and leaves nothing half-written."""

import re
from collections.abc import Callable

import pytest

from tests.pipelines.conftest import Shop
from tests.support import tenbin


def add_metric(text: str) -> Callable[[Shop], None]:
    def change(shop: Shop) -> None:
        path = shop.root / "metrics" / "more.toml"
        path.write_text(text, encoding="utf-8")

    return change


def change_file(name: str, old: str, new: str) -> Callable[[Shop], None]:
    def change(shop: Shop) -> None:
        path = shop.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change


EXPERIMENT = "experiments/検索.toml"
UNKNOWN_FIELD = (
    '[bought]\nkind = "conversion"\nevent = "purchase"\nwhere = { field = "properties.x", op = "is_set" }\n'
)
# What is wrong → how it gets there, and what the sentence names.
MISTAKES: dict[str, tuple[Callable[[Shop], None], list[str]]] = {
    "unknown metric": (
        change_file(EXPERIMENT, '"bought"', '"bougth"'),
        ['experiment "検索"', '"bougth"', 'did you mean "bought"?'],
    ),
    "two metrics of one name": (
        add_metric('[Bought]\nkind = "conversion"\nevent = "purchase"\n'),
        ["shop.toml", "[bought]", "more.toml", "[Bought]"],
    ),
    "no control": (
        change_file(EXPERIMENT, 'control = "対照群"\n', ""),
        ["検索.toml", '"control" is missing'],
    ),
    "control without a weight": (
        change_file(EXPERIMENT, 'control = "対照群"', 'control = "対照"'),
        ["検索.toml", '"対照"'],
    ),
    "weight not positive": (
        change_file(EXPERIMENT, '"zoë" = 1', '"zoë" = 0'),
        ["検索.toml", "zoë", "0"],
    ),
    "negative weight": (
        change_file(EXPERIMENT, '"zoë" = 1', '"zoë" = -1'),
        ["検索.toml", "zoë", "-1"],
    ),
    "unknown time zone": (
        change_file("tenbin.toml", 'lateness = "2d"', 'timezone = "Asia/Edo"'),
        ["tenbin.toml", "timezone", '"Asia/Edo"', "Asia/Tokyo"],
    ),
    "not TOML": (
        change_file(EXPERIMENT, "[metrics]", "[metrics"),
        ["検索.toml", "not valid TOML", "line"],
    ),
}
# The same, where the data must have been seen.
MISFITS: dict[str, tuple[Callable[[Shop], None], list[str]]] = {
    "unknown event": (
        change_file("metrics/shop.toml", 'event = "purchase"', 'event = "purchse"'),
        ['metric "bought"', '"purchse"', 'did you mean "purchase"?'],
    ),
    "unknown field": (
        change_file(
            "metrics/shop.toml",
            'kind = "conversion"\n',
            'kind = "conversion"\nwhere = { field = "properties.x", op = "is_set" }\n',
        ),
        ['metric "bought"', '"properties.x"', "never seen"],
    ),
}


def refused(shop: Shop, *named: str) -> None:
    """`tenbin run` says one sentence that names these, and ends with 2."""
    done = tenbin("run", str(shop.root), check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    said = [line for line in done.stderr.splitlines() if line.startswith("tenbin: ")]
    assert len(said) == 1
    assert "Traceback" not in done.stderr
    for name in named:
        assert name in said[0]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_definitions_is_said_before_anything_is_written(shop: Shop, mistake: str):
    change, named = MISTAKES[mistake]
    change(shop)
    refused(shop, *named)
    assert {path.name for path in shop.root.iterdir()} == {"tenbin.toml", "metrics", "experiments", "landing"}


@pytest.mark.slow
@pytest.mark.parametrize("misfit", MISFITS)
def test_a_definition_that_does_not_fit_the_data_stops_before_the_registry(shop: Shop, misfit: str):
    change, named = MISFITS[misfit]
    change(shop)
    refused(shop, *named)
    tables = {path.parent.name for path in (shop.root / "lake").glob("*/_delta_log")}
    assert tables & {"registry", "unit_days", "first_exposures", "moments", "results"} == set()
    assert not (shop.root / "reports").exists()
    assert not (shop.root / "warehouse.duckdb").exists()
    # Once mended, the next run goes on from what was ingested.
    for name in ("metrics/shop.toml",):
        path = shop.root / name
        text = re.sub(r"where = .*\n", "", path.read_text(encoding="utf-8")).replace("purchse", "purchase")
        path.write_text(text, encoding="utf-8")
    assert shop.run()["experiments"][0]["experiment"] == "検索"


def test_a_directory_without_a_workspace(shop: Shop):
    (shop.root / "tenbin.toml").unlink()
    refused(shop, "tenbin.toml", "tenbin demo")


def test_a_source_without_files(shop: Shop):
    settings = shop.root / "tenbin.toml"
    source = (
        '[sources."空"]\nkind = "units"\npath = "nothing/*.csv"\nattributes = ["country"]\n'
        'unit_id = { column = "id" }\n'
    )
    settings.write_text(settings.read_text(encoding="utf-8") + source, encoding="utf-8")
    (shop.root / "nothing").mkdir()
    refused(shop, "sources.空", '"nothing/*.csv"', "no file")


def test_no_experiment(shop: Shop):
    (shop.root / "experiments" / "検索.toml").unlink()
    refused(shop, "experiments", "there is no experiment")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--from", "2026-02-02", "--to", "2026-02-01"), ["2026-02-02", "2026-02-01"]),
        (("--to", "2020-01-01"), ["2020-01-01", "no experiment has an as-of day"]),
    ],
)
def test_days_that_do_not_exist(shop: Shop, options: tuple[str, ...], named: list[str]):
    done = tenbin("run", str(shop.root), *options, check=False)
    assert done.returncode == 2
    assert all(name in done.stderr for name in named)
