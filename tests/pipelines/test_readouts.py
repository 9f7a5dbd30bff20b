"""What is written of the experiments: the SQL on a page, and files that are broken."""

import json
from pathlib import Path

import pytest

import tenbin as tenbin_package
from tests.pipelines.conftest import Shop, make_shop
from tests.support import tenbin

pytestmark = pytest.mark.slow


def result_json(shop: Shop, key: str) -> Path:
    found = {item["experiment"]: Path(item["result_json"]) for item in shop.run()["experiments"]}
    return found[key]


def test_the_sql_on_the_page_gives_the_numbers_of_all_three_arms(shop: Shop):
    path = shop.root / "experiments" / "検索.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"zoë" = 1', '"zoë" = 1, "第三" = 1'), encoding="utf-8")
    for file in (shop.root / "landing" / "exposures").iterdir():
        records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for number, record in enumerate(records):
            record["variant"] = ("対照群", "zoë", "第三")[number % 3]
        file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    readout = json.loads(result_json(shop, "検索").read_text(encoding="utf-8"))
    assert set(readout["units"]) == {"対照群", "zoë", "第三"}
    for metric in readout["metrics"]:
        with tenbin_package.open(shop.root) as con:
            rows = con.execute(metric["sql"], {"as_of": readout["as_of"]}).fetchall()
        assert {row[1]: row[2] for row in rows} == readout["units"]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Path]:
    """A shop with a second experiment like the first, after a run, and the first one's `result.json`."""
    shop = make_shop(tmp_path_factory.mktemp("two") / "店")
    text = (shop.root / "experiments" / "検索.toml").read_text(encoding="utf-8")
    other = text.replace('key = "検索"', 'key = "other"')
    (shop.root / "experiments" / "other.toml").write_text(other, encoding="utf-8")
    landed = shop.root / "landing" / "exposures"
    (file,) = landed.iterdir()
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    shop.land(
        "exposures",
        [
            record | {"experiment": "other", "exposure_id": f"o{n}", "variant": ("対照群", "zoë")[n // 2 % 2]}
            for n, record in enumerate(records)
        ],
    )
    return shop, result_json(shop, "検索")


@pytest.mark.parametrize("broken", ["", '{"schema_version": 1', "{}", "older"])
def test_a_broken_result_json_is_written_anew_and_stops_no_other_experiment(
    two: tuple[Shop, Path], broken: str
):
    shop, path = two
    whole, index = path.read_bytes(), (shop.root / "reports" / "index.json").read_bytes()
    older = json.dumps(json.loads(whole) | {"schema_version": 0})
    path.write_text(older if broken == "older" else broken, encoding="utf-8")
    done = tenbin("report", str(shop.root), "other")
    assert done.returncode == 0
    assert path.read_bytes() == whole
    assert (shop.root / "reports" / "index.json").read_bytes() == index
