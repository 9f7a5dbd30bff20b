"""What can't be read as it is: one sentence with file, place, value and remedy, and nothing half-written."""

import gzip
import json
import os
import tempfile
import zlib
from pathlib import Path

import duckdb
import pytest
import zstandard

from lake import LakeError
from lake.ingest import ingest
from lake.tables import TABLES
from tests.lake.support import Shop, event
from workspace import UserError

SOURCE = """
[sources.orders]
kind = "events"
path = "{path}"
event = "order"
unit_id = {{ column = "user" }}
occurred_at = {{ column = "at" }}
value = {{ column = "amount" }}
"""
CSV = "user,at,amount\n" + "".join(f"u{n},2026-01-01,{n}\n" for n in range(2000))
NDJSON = "".join(json.dumps(event(n)) + "\n" for n in range(2000)).encode()
PACKED = gzip.compress(NDJSON, mtime=0)
ZSTD = zstandard.ZstdCompressor(write_checksum=True).compress(NDJSON)


def parquet(sql: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as con:
        con.execute(f"COPY ({sql}) TO '{folder}/a.parquet' (FORMAT parquet)")
        return Path(folder, "a.parquet").read_bytes()


def refused(shop: Shop) -> str:
    """The sentence with which ingestion refuses, after a look that it left no trace."""
    before = {name: shop.lake.version(name) for name in TABLES}
    with pytest.raises(LakeError) as raised:
        ingest(shop.workspace)
    message = str(raised.value)
    assert "\n" not in message
    assert {name: shop.lake.version(name) for name in TABLES} == before
    scratch = shop.root / "lake" / ".scratch"
    assert not scratch.is_dir() or list(scratch.iterdir()) == []
    return message


DAMAGED = {
    "torn.ndjson.gz": (PACKED[: len(PACKED) // 2], "end-of-stream"),
    "torn at its last byte.ndjson.gz": (PACKED[:-1], "end-of-stream"),
    "wrong checksum.ndjson.gz": (PACKED[:-8] + bytes(4) + PACKED[-4:], "CRC"),
    "no gzip.ndjson.gz": (NDJSON, "Not a gzipped file"),
    "junk after.ndjson.gz": (PACKED + b"junk", "Not a gzipped file"),
    "torn.ndjson.zst": (ZSTD[: len(ZSTD) // 2], "within a zstd frame"),
    "torn at its last byte.ndjson.zst": (ZSTD[:-1], "within a zstd frame"),
    "wrong checksum.ndjson.zst": (ZSTD[:-4] + bytes(4), "checksum"),
    "no zstd.ndjson.zst": (NDJSON, "Unknown frame"),
    "empty.ndjson": (b"", "the file is empty"),
    "empty.csv": (b"", "the file is empty"),
    "empty.parquet": (b"", "the file is empty"),
    "empty inside.csv.gz": (gzip.compress(b"", mtime=0), "the file is empty"),
    "empty inside.ndjson.zst": (zstandard.ZstdCompressor().compress(b""), "the file is empty"),
    "torn.parquet": (parquet("SELECT 1 AS user")[:-10], "mend or remove the file"),
    "text.parquet": (b"unit_id,event\n", "mend or remove the file"),
    "latin1.csv": ("unit_id,größe\n".encode("latin-1"), "the header is not UTF-8 text"),
    "quote.csv": (b'unit_id,"event\n' + b"x" * 3_000_000, "the header is not valid CSV"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_stops_the_batch_before_anything_is_written(shop, name):
    content, says = DAMAGED[name]
    shop.land("events", "0.ndjson", [event(-1)])
    ingest(shop.workspace)
    shop.land("events", "a good one.ndjson", [event(-2)])
    (shop.root / "landing" / "events" / name).write_bytes(content)
    message = refused(shop)
    assert message.startswith(f"landing/events/{name}: ")
    assert says in message
    assert shop.query("SELECT event_id FROM events") == [("id--1",)]
    # Taken away, the good one beside it comes in.
    (shop.root / "landing" / "events" / name).unlink()
    assert ingest(shop.workspace).rows == 1


def test_a_wrong_checksum_is_found_by_the_libraries_themselves_too():
    with pytest.raises(zlib.error):
        zlib.decompress(DAMAGED["wrong checksum.ndjson.gz"][0], wbits=31)
    with pytest.raises(zstandard.ZstdError):
        zstandard.ZstdDecompressor().decompress(DAMAGED["wrong checksum.ndjson.zst"][0])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("userid,at,amount\n1,2026-01-01,1\n", 'no column "user" that sources.orders in tenbin.toml names'),
        ("userid,at,amount\n1,2026-01-01,1\n", 'did you mean "userid"?'),
        ("a,b\n1,2\n", "known: a, b"),
        ("user,at,amount,at\n1,2026-01-01,1,\n", '2 columns are called "at"'),
        ("1,2026-01-01,1\n", 'no column "user"'),
        ("\n\n", 'no column "user"'),
    ],
)
def test_a_csv_file_without_its_columns_is_refused(shop, content, says):
    shop.configure(SOURCE.format(path="o.csv"))
    shop.write("o.csv", content)
    message = refused(shop)
    assert message.startswith("o.csv: ")
    assert says in message


def test_columns_that_no_mapping_names_may_be_called_anything(shop):
    shop.configure(SOURCE.format(path="o.csv"))
    shop.write("o.csv", "x,user,,X,at,,amount,x\n0,u1,0,0,2026-01-01,0,5,0\n")
    ingest(shop.workspace)
    assert shop.query("SELECT unit_id, value::INTEGER FROM events") == [("u1", 5)]


@pytest.mark.parametrize("name", ["o.parquet", "o.ndjson"])
def test_a_missing_column_is_told_in_every_form(shop, name):
    shop.configure(SOURCE.format(path=name))
    content = {
        "o.parquet": parquet("SELECT 'u1' AS usr, DATE '2026-01-01' AS at, 1 AS amount"),
        "o.ndjson": b'{"usr": "u1", "at": "2026-01-01", "amount": 1}\n' * 3,
    }
    shop.write(name, content[name])
    assert 'sources.orders in tenbin.toml names; did you mean "usr"?' in refused(shop)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("data", 'no file matches "data"'),
        ("data/*.csv", 'no file matches "data/*.csv"'),
        ("nowhere/x.csv", 'no file matches "nowhere/x.csv"'),
        ("data/notes.txt", "the format of"),
    ],
)
def test_a_source_without_files_says_where_it_looked(shop, path, says):
    shop.configure(SOURCE.format(path=path))
    shop.write("data/notes.txt", "nothing")
    shop.write("data/.hidden.csv", CSV)
    message = refused(shop)
    assert message.startswith(f"{shop.root / 'tenbin.toml'}: sources.orders.path: ")
    assert says in message


def test_a_source_that_is_a_directory_takes_its_files_and_leaves_hidden_ones(shop):
    shop.configure(SOURCE.format(path="data"))
    shop.write("data/a.csv", CSV)
    shop.write("data/._a.csv", b"\x00\x05\x16\x07")
    assert ingest(shop.workspace).files == 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            '{ column = "at" }',
            '{ column = "at", format = "%Q" }',
            'occurred_at.format: "%Q" is no format of a time',
        ),
        (
            '{ column = "at" }',
            '{ column = "at", timezone = "Mars/Base" }',
            '"Mars/Base" is not a known time zone',
        ),
        ('{ column = "at" }', '{ column = "USER" }', 'the columns "user" and "USER" differ only in case'),
    ],
)
def test_a_mapping_that_can_not_work_is_refused(shop, old, new, says):
    shop.write("o.csv", CSV)
    shop.configure(SOURCE.format(path="o.csv").replace(old, new))
    with pytest.raises(UserError) as raised:
        ingest(shop.workspace)
    assert says in str(raised.value)
    assert "tenbin.toml: sources.orders" in str(raised.value)


def test_the_name_of_the_landing_folder_is_no_name_for_a_source(shop):
    shop.configure(SOURCE.format(path="o.csv").replace("sources.orders", "sources.landing"))
    shop.write("o.csv", CSV)
    assert "sources.landing: files in landing/ have this name; choose another" in refused(shop)


def test_what_is_hidden_or_not_sealed_yet_is_left_alone(shop):
    shop.land("events", "a.ndjson", [event(1)])
    for name in (".b.ndjson", "c.ndjson.open", "d.tmp", ".writing/e.ndjson"):
        shop.write(f"landing/events/{name}", "half a li")
    shop.land("events", "2026/01/f.ndjson", [event(2)])
    report = ingest(shop.workspace)
    assert (report.files, report.rows) == (2, 2)


@pytest.mark.parametrize("kind", ["link to nothing", "pipe"])
def test_what_is_no_file_is_refused_and_not_waited_for(shop, kind):
    path = shop.land("events", "a.ndjson", [event(1)]).with_name("b.ndjson")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
    assert refused(shop).startswith("landing/events/b.ndjson: can't be read")


def test_a_file_without_permission_is_refused():
    """As another user, since root may read everything."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder) / "shop")
        path = shop.land("events", "a.ndjson", [event(1)])
        path.chmod(0)
        is_root = os.geteuid() == 0
        if is_root:
            for entry in [Path(folder), *Path(folder).rglob("*")]:
                os.chown(entry, 65534, 65534)
            os.seteuid(65534)
        try:
            assert refused(shop).startswith("landing/events/a.ndjson: can't be read (Permission denied)")
            path.chmod(0o400)
            assert ingest(shop.workspace).rows == 1
        finally:
            if is_root:
                os.seteuid(0)


def test_a_file_name_that_is_no_text_is_refused(shop):
    path = shop.land("events", "a.ndjson", [event(1)])
    path.rename(path.with_name(os.fsdecode(b"\xff.ndjson")))
    assert "the file's name is not UTF-8 text; rename the file" in refused(shop)


def test_a_file_that_is_written_to_while_it_is_read_is_refused(shop, monkeypatch):
    path = shop.land("events", "a.ndjson", [event(1)])
    from lake import batch

    original = batch.stage

    def stage_while_it_grows(*arguments):
        read = original(*arguments)
        with path.open("a") as file:
            file.write(json.dumps(event(2)) + "\n")
        return read

    monkeypatch.setattr(batch, "stage", stage_while_it_grows)
    assert "landing/events/a.ndjson: the file has changed under its old name" in refused(shop)


@pytest.mark.parametrize("where", ["what?", "back\\slash", "50%25", "line\nbreak"])
def test_a_folder_that_the_libraries_can_not_name_is_refused(tmp_path, where):
    shop = Shop(tmp_path / where)
    shop.land("events", "a.ndjson", [event(1)])
    with pytest.raises(LakeError, match=r"the path of a workspace can't have .* in it; rename that folder"):
        ingest(shop.workspace)


def test_a_lake_that_can_not_be_made_is_one_sentence(shop):
    shop.land("events", "a.ndjson", [event(1)])
    shop.write("lake", "I am a file")
    with pytest.raises(LakeError, match=r"lake/.ingest.lock: the lock file can't be made"):
        ingest(shop.workspace)


def test_a_table_that_is_no_table_is_one_sentence(shop):
    shop.land("events", "a.ndjson", [event(1)])
    shop.write("lake/events/_delta_log/00000000000000000000.json", "no log")
    with pytest.raises(LakeError, match=r"lake/events: the lake's table can't be read"):
        ingest(shop.workspace)


def test_a_memory_limit_that_is_none_is_one_sentence(shop):
    shop.configure("", 'memory_limit = "much"')
    shop.land("events", "a.ndjson", [event(1)])
    assert 'workspace.memory_limit "much" is not a size; write a number and a unit, as in "2GB"' in refused(
        shop
    )


def test_too_little_memory_is_one_sentence_and_more_of_it_is_enough(shop):
    shop.configure("", 'memory_limit = "20MB"')
    shop.land("events", "a.ndjson", [event(n) for n in range(1000)])
    assert "raise workspace.memory_limit in tenbin.toml" in refused(shop)
    shop.configure("", 'memory_limit = "200MB"')
    assert ingest(shop.workspace).rows == 1000
