"""Spark runs the statements on its executors, over the files of the lake's snapshots.

Every process of the cluster must see the lake under the same path. Spark writes Parquet files to the lake's
scratch folder; the commit that makes them visible is the lake's own.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql.functions import col, count, lit
from pyspark.sql.types import DataType, StructType
from sqlglot import exp

from lake import Lake
from lake.delta import NewFile, sync
from lake.sql import file_list
from lake.tables import DELTA_TYPES, TABLES, Column, Table
from metrics.engines.runner import NOTHING, Parameters, Partition, Statement, TooLargeError
from metrics.model import MetricsError
from metrics.sql.tree import Dialect

_PART = "__part"  # a copy of the partition column, which Spark leaves out of the files
_OVERFLOW = re.compile(
    r"\[(ARITHMETIC_OVERFLOW|BINARY_ARITHMETIC_OVERFLOW|NUMERIC_VALUE_OUT_OF_RANGE|CAST_OVERFLOW)"
)
_CONDITION = re.compile(r"\[[A-Z_]+(\.[A-Z_]+)*\]")


class SparkRunner:
    """A Spark session as a runner, beside a connection of the same lake.

    A table is read as it was when it was first asked for, until this runner writes it.

    Args:
        spark: a session of `metrics.engines.session`.
        con: a session of `Lake.connect`; its views follow what is written here.
        lake: whose tables are read and written.
    """

    dialect: Dialect = "spark"

    def __init__(self, spark: SparkSession, con: duckdb.DuckDBPyConnection, lake: Lake) -> None:
        self._spark = spark
        self._con = con
        self._lake = lake
        self._tables: set[str] = set()
        self._kept: dict[str, list[DataFrame]] = {}

    def rows(self, statement: Statement, parameters: Parameters = NOTHING) -> list[tuple[Any, ...]]:
        with _told(), self._frame(statement, parameters) as frame:
            return [tuple(_plain(value) for value in row) for row in frame.collect()]

    def keep(self, name: str, statement: Statement, parameters: Parameters = NOTHING) -> None:
        """Nothing runs yet: the rows are made when they are first read, and kept for those who read again."""
        with _told():
            parts, last = self._parts(statement, parameters)
            frame = self._select(last, parameters).persist()
            for old in self._kept.pop(name, ()):
                old.unpersist()
            self._kept[name] = [frame, *parts]
            frame.createOrReplaceTempView(name)

    def add_columns(self, table: str, columns: Mapping[str, str]) -> None:
        self._lake.add_columns(self._con, table, columns)
        self._tables.discard(table)

    def overwrite(
        self, table: str, statement: Statement, parameters: Parameters = NOTHING, *, partition: Partition
    ) -> int:
        with _told(), self._frame(statement, parameters) as frame:
            new = self._write(TABLES[table], frame)
        written = self._lake.overwrite_files(self._con, table, new, partition=partition)
        self._tables.discard(table)
        return written.rows

    @contextmanager
    def _frame(self, statement: Statement, parameters: Parameters) -> Iterator[DataFrame]:
        """The rows of a statement; what it reads more than once is held until they were used."""
        parts, last = self._parts(statement, parameters)
        try:
            yield self._select(last, parameters)
        finally:
            for part in parts:
                part.unpersist()

    def _parts(self, statement: Statement, parameters: Parameters) -> tuple[list[DataFrame], str]:
        self._show_tables(statement.tree)
        *parts, (_, last) = statement.parts(self.dialect)
        frames = []
        for name, text in parts:
            frame = self._select(text, parameters).persist()
            frame.createOrReplaceTempView(name)
            frames.append(frame)
        return frames, last

    def _select(self, text: str, parameters: Parameters) -> DataFrame:
        bound = {name: value for name, value in parameters.items() if f":{name}" in text}
        return self._spark.sql(text, args=bound or None)

    def _show_tables(self, tree: exp.Expr) -> None:
        """A view of every table of the lake that the statement reads, at the version that is there now."""
        for name in {table.name for table in tree.find_all(exp.Table)} & set(TABLES) - self._tables:
            self._read(TABLES[name]).createOrReplaceTempView(name)
            self._tables.add(name)

    def _read(self, table: Table) -> DataFrame:
        schema = StructType()
        for column in self._lake.columns(table.name):
            schema = schema.add(column.name, DataType.fromDDL(_spark_type(column)))
        paths = [_address(path) for path in self._lake.paths(table.name)]
        if not paths:
            return self._spark.createDataFrame([], schema)
        # These very files: their names are no patterns.
        reader = self._spark.read.schema(schema).option("__globPaths__", "false")
        if table.partition == "occurred_on":
            # The folders of days say it too, so that other days are not opened at all.
            reader = reader.option("basePath", _address(self._lake.root / table.name))
        return reader.parquet(*paths)

    def _write(self, table: Table, frame: DataFrame) -> list[NewFile]:
        """Write rows to scratch, files of one partition each, in the table's order."""
        columns = self._lake.columns(table.name)
        if strange := sorted(set(frame.columns) - {column.name for column in columns}):
            raise MetricsError(f'table "{table.name}" has no column "{strange[0]}"')
        typed = [
            (col(_quoted(column.name)) if column.name in frame.columns else lit(None))
            .cast(_spark_type(column))
            .alias(column.name)
            for column in columns
        ]
        folder = self._lake.scratch(self._con)
        part = col(_quoted(table.partition or "")).cast("string")
        ordered = (
            frame.select(*typed)
            .withColumn(_PART, part)
            .hint("rebalance", col(_PART))
            .sortWithinPartitions(_PART, *(_quoted(name) for name in table.order))
        )
        counted = Observation()
        counted_rows = ordered.observe(counted, count(lit(1)).alias("rows"))
        counted_rows.write.partitionBy(_PART).parquet(_address(folder))
        new = self._written(table, folder)
        if sum(file.rows for file in new) != counted.get["rows"]:
            raise MetricsError(
                f"{folder}: Spark wrote {counted.get['rows']:,} rows of {table.name}, and "
                f"{sum(file.rows for file in new):,} can be read there; every worker must see the workspace "
                "under this very path, as on a disk that all have mounted"
            )
        return new

    def _written(self, table: Table, folder: Path) -> list[NewFile]:
        files = sorted(folder.glob(f"{_PART}=*/part-*.parquet"))
        if not files:
            return []
        counted = self._con.execute(
            f"SELECT file_name, num_rows FROM parquet_file_metadata({file_list(files)})"
        ).fetchall()
        rows = {Path(name): int(count) for name, count in counted}
        for path in files:
            sync(path)
        return [NewFile(path, rows[path], _value(table, path)) for path in files]


@contextmanager
def _told() -> Iterator[None]:
    """Say what stopped a statement in a sentence; what Spark does not understand is a defect of ours."""
    try:
        yield
    except AnalysisException:
        raise
    except (PySparkException, Py4JJavaError) as reason:
        told = str(reason)
        if _OVERFLOW.search(told):
            raise TooLargeError(_meaning(told)) from None
        raise MetricsError(
            f"Spark could not finish: {_meaning(told)}; nothing was written. Run again, or look into the "
            "logs of the executors"
        ) from reason


def _meaning(told: str) -> str:
    """The first line that says something, with the sentence of the innermost cause where there is one."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    named = [line for line in lines if _CONDITION.search(line)]
    return (named or lines or ["it gave no reason"])[0][:500]


def _value(table: Table, path: Path) -> str:
    """What the partition column is in a file, told by the name of its folder."""
    text = unquote(path.parent.name.removeprefix(f"{_PART}="))
    if text == "__HIVE_DEFAULT_PARTITION__":
        raise MetricsError(
            f'table "{table.name}": {table.partition} is null in some rows; it is what the table is '
            "partitioned by"
        )
    return text


def _address(path: Path) -> str:
    """A file of this machine, whatever the cluster's own file system is; Spark decodes nothing in it."""
    return f"file://{path}"


def _plain(value: object) -> object:
    """Whole numbers of more than 64 bits come as decimals."""
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return value


def _spark_type(column: Column) -> str:
    kind = DELTA_TYPES[column.type]
    if kind.endswith("[]"):
        return f"array<{_basic(kind.removesuffix('[]'))}>"
    return _basic(kind)


def _basic(kind: str) -> str:
    return {"long": "bigint", "integer": "int"}.get(kind, kind)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
