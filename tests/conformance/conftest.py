"""Two engines over equal lakes: DuckDB in this process, Spark on a cluster of two workers.

Whatever needs the cluster is one test, so that one process of the test run starts it, once.
"""

import datetime as dt
import os
import shutil

import pytest

from lake import open_lake
from metrics.engines.engine import Engine
from metrics.engines.session import find_java, require_pyspark
from metrics.model import MetricsError
from workspace import load_workspace

MASTER = "local-cluster[2,1,1024]"
# Small data: as few tasks as there are workers, and no time spent on compiling what runs once.
CONF = """
"spark.sql.shuffle.partitions" = 2
"spark.sql.adaptive.enabled" = false
"spark.sql.codegen.wholeStage" = false
"spark.executor.memory" = "1g"
"""


@pytest.fixture(scope="session")
def cluster():
    """The settings of the cluster; a loud skip without a Java to run it on."""
    try:
        require_pyspark()
        find_java()
    except MetricsError as reason:
        if os.environ.get("TENBIN_REQUIRE_SPARK"):
            raise
        pytest.skip(f"the Spark engine was NOT checked: {reason}")
    return f'[spark]\nmaster = "{MASTER}"\n[spark.conf]{CONF}'


class Pair:
    """Two workspaces with the same landing, one per engine."""

    def __init__(self, root, cluster, timezone="UTC"):
        self.lakes = {}
        for name in ("duckdb", "spark"):
            folder = root / f"{name} 仕事"
            folder.mkdir(parents=True)
            text = f'[workspace]\nname = "shop"\ntimezone = "{timezone}"\nengine = "{name}"\n'
            (folder / "tenbin.toml").write_text(text + (cluster if name == "spark" else ""), encoding="utf-8")
            self.lakes[name] = open_lake(load_workspace(folder))

    def fill(self, **tables):
        """Rows, by table, into the lake of both."""
        lake = self.lakes["duckdb"]
        with lake.connect() as con:
            for table, rows in tables.items():
                lake.append(con, table, rows_sql(rows))
        shutil.copytree(lake.root, self.lakes["spark"].root, dirs_exist_ok=True)

    def both(self, work, metrics):
        """What `work(con, engine)` gives on each: (DuckDB's, Spark's)."""
        found = []
        for lake in self.lakes.values():
            with lake.connect() as con:
                found.append(work(con, Engine(lake.workspace, lake, {each.name: each for each in metrics})))
        return found


def rows_sql(rows):
    """A SELECT of literal rows in the columns of a record."""
    names = list(rows[0])
    lines = ("(" + ", ".join(_text(row.get(name)) for name in names) + ")" for row in rows)
    listed = ", ".join(f'"{name}"' for name in names)
    return f"SELECT * FROM (VALUES {', '.join(lines)}) AS given({listed})"


def _text(value):
    if value is None:
        return "NULL"
    if isinstance(value, dt.datetime):
        return f"TIMESTAMPTZ '{value.isoformat()}'"
    if isinstance(value, dt.date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


@pytest.fixture(scope="module")
def make_pair(tmp_path_factory, cluster):
    def make(timezone="UTC"):
        return Pair(tmp_path_factory.mktemp("pair"), cluster, timezone)

    return make
