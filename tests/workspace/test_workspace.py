"""`tenbin.toml` is read strictly, and every mistake in it is one sentence that names file, key and remedy."""

import datetime as dt
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workspace import Column, Workspace, WorkspaceError, convert, load_workspace, read_toml, seconds, suggest

MINIMAL = '[workspace]\nname = "shop"\n'


def write(root: Path, text: str) -> Path:
    (root / "tenbin.toml").write_text(text, encoding="utf-8")
    return root


def test_a_minimal_workspace_has_defaults_and_knows_its_places(tmp_path: Path):
    workspace = load_workspace(write(tmp_path, MINIMAL))
    assert workspace.name == "shop"
    assert workspace.timezone.utcoffset(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)) == dt.timedelta(0)
    assert workspace.lateness_s == 2 * 86_400
    assert workspace.lake == tmp_path / "lake"
    assert workspace.config.workspace.engine == "duckdb"


def test_a_source_maps_columns_of_a_foreign_file(tmp_path: Path):
    text = MINIMAL + (
        '[sources."購入"]\nkind = "events"\npath = "../data/*.csv"\nevent = "purchase"\n'
        'unit_id = { column = "uid" }\noccurred_at = { column = "dt", format = "%Y-%m-%d" }\n'
    )
    source = load_workspace(write(tmp_path, text)).config.sources["購入"]
    assert source.event == "purchase"
    assert source.occurred_at == Column(column="dt", format="%Y-%m-%d")
    assert source.unit_type == "user"


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path):
    (tmp_path / "tenbin.toml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load_workspace(tmp_path).name == "shop"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("[workspace]\n", ['key "workspace.name" is missing'], id="missing key"),
        pytest.param("[workspace\n", ["is not valid TOML", "line 1"], id="not TOML"),
        pytest.param(MINIMAL + "colour = 1\n", ['unknown key "workspace.colour"'], id="unknown key"),
        pytest.param(
            MINIMAL + "[source.x]\n", ['unknown key "source"', 'did you mean "sources"'], id="misspelt"
        ),
        pytest.param(MINIMAL + 'timezone = "Mars/Base"\n', ["Mars/Base", "IANA"], id="unknown zone"),
        pytest.param(MINIMAL + 'timezone = "../etc"\n', ["../etc", "IANA"], id="zone as path"),
        pytest.param(
            MINIMAL + 'lateness = "soon"\n', ["workspace.lateness", '"soon"', "7d"], id="bad duration"
        ),
        pytest.param(MINIMAL + "dedup_days = true\n", ["workspace.dedup_days", "int"], id="wrong type"),
        pytest.param(
            MINIMAL + 'lateness = "99999999999d"\n', ['"99999999999d"', "3650d"], id="endless lateness"
        ),
        pytest.param(
            MINIMAL + '[sources.x]\nkind = "exposures"\npath = "a.csv"\niteration = 99999999999\n',
            ['key "iteration"', "99999999999"],
            id="iteration beyond int32",
        ),
        pytest.param(
            MINIMAL + "dedup_days = -1\n", ["workspace.dedup_days", ">= 0", "-1"], id="negative days"
        ),
        pytest.param(MINIMAL + "threads = 0\n", ["workspace.threads", ">= 1", "0"], id="no threads"),
        pytest.param(MINIMAL + 'engine = "abacus"\n', ["workspace.engine", "abacus"], id="unknown engine"),
        pytest.param(
            MINIMAL + '[sources.x]\nkind = "events"\npath = "a.csv"\n',
            ["sources.x", '"event"'],
            id="incomplete source",
        ),
        pytest.param(
            MINIMAL + '[sources.x]\nkind = "clicks"\npath = "a.csv"\n',
            ["sources.x", 'key "kind"', "clicks"],
            id="unknown kind",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(tmp_path: Path, text: str, says: list[str]):
    with pytest.raises(WorkspaceError) as raised:
        load_workspace(write(tmp_path, text))
    message = str(raised.value)
    assert "tenbin.toml" in message
    assert "\n" not in message
    for part in says:
        assert part in message


def test_no_directory_and_no_settings_say_how_to_get_one(tmp_path: Path):
    with pytest.raises(WorkspaceError, match=r"no such directory.*tenbin demo"):
        load_workspace(tmp_path / "nowhere")
    with pytest.raises(WorkspaceError, match="needs this file"):
        load_workspace(tmp_path)


def test_a_file_that_is_no_text_is_an_error_not_a_traceback(tmp_path: Path):
    (tmp_path / "tenbin.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WorkspaceError, match="UTF-8"):
        load_workspace(tmp_path)


@given(st.integers(0, 3_650), st.sampled_from("dhms"))
def test_durations_are_whole_numbers_of_one_unit(count: int, unit: str):
    factor = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}[unit]
    assert seconds(f"{count}{unit}", where="here", error=WorkspaceError) == count * factor


@pytest.mark.parametrize("text", ["", "d", "-1d", "1.5h", "1 d", "1w", "１d", "1d\n"])
def test_anything_else_is_no_duration(text: str):
    with pytest.raises(WorkspaceError, match="not a duration"):
        seconds(text, where="here", error=WorkspaceError)


@pytest.mark.parametrize("text", ["3651d", "315360001s", "99999999999d", "9" * 5_000 + "s"])
def test_a_duration_is_at_most_ten_years(text: str):
    with pytest.raises(WorkspaceError, match='is too long; at most "3650d", ten years, are allowed'):
        seconds(text, where="here", error=WorkspaceError)


def test_suggestions_are_the_nearest_name_or_the_known_ones():
    assert suggest("purchse", ["purchase", "view"]) == 'did you mean "purchase"?'
    assert suggest("zzz", ["b", "a"]) == "known: a, b"
    assert suggest("zzz", []) == "known: none"
    assert suggest("zzz", [f"n{place:02}" for place in range(33)]).endswith("n28, n29 and 3 more")


def test_a_wrong_value_in_a_list_is_named_by_its_place(tmp_path: Path):
    class Table(msgspec.Struct):
        names: list[str]

    (tmp_path / "x.toml").write_text("names = ['a', 2]")
    value = read_toml(tmp_path / "x.toml", WorkspaceError)
    with pytest.raises(WorkspaceError, match=r'key "names\[1\]".*found 2'):
        convert(value, Table, where="x.toml", error=WorkspaceError)


def test_a_workspace_is_a_value():
    root = Path("/w")
    config = convert({"workspace": {"name": "a"}}, type(load_config()), where="x", error=WorkspaceError)
    assert Workspace(root, config) == Workspace(root, config)


def load_config():
    from workspace import Config
    from workspace.config import WorkspaceTable

    return Config(workspace=WorkspaceTable(name="a"))
