"""The columns of the lake's tables, as Dagster shows them on an asset's page."""

from typing import Any

import dagster as dg

from lake.tables import TABLES


def columns_of(table: str) -> dict[str, Any]:
    """Metadata of the asset that holds a lake table: its declared columns with their DuckDB types.

    Columns that a run adds (a column of unit metrics per metric) are not among them.
    """
    declared = TABLES[table]
    columns = [
        dg.TableColumn(
            column.name,
            column.type,
            description="the table is partitioned by it" if column.name == declared.partition else None,
        )
        for column in declared.columns
    ]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}
