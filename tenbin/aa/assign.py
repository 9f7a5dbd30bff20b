"""Arms under fresh salts, by the bucketing that experiments use: `assignments.sql`, the fastest of its forms.

It equals `tenbin_sdk.hashing` on every id (tests); 90,000 ids take 20 ms a salt on one core, where Polars and
hashlib take 30 and 90.
"""

import itertools
from collections.abc import Iterator, Sequence

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
from sqlglot import exp

from assignments.allocation import allocate
from assignments.sql import shard_sql
from stats.arrays import Codes
from tenbin_sdk.hashing import DEFAULT_SHARDS

_SALT_BYTES = 8


def salts(seed: int) -> Iterator[str]:
    """Salts without end, the same ones for a seed."""
    draw = np.random.default_rng(seed)
    while True:
        yield draw.bytes(_SALT_BYTES).hex()


def arms_by_run(ids: Sequence[str], weights: Sequence[float], *, runs: int, seed: int) -> Iterator[Codes]:
    """The arm of every id, run by run: 0 is the control, the others follow in the order of their weights."""
    arm_of_shard = _arm_of_shard(weights)
    with duckdb.connect() as con:
        con.execute("SET threads = 1")  # which keeps the order of the rows
        con.register("given", pl.DataFrame({"id": ids}, schema={"id": pl.String}))
        con.execute("CREATE TEMP TABLE ids AS SELECT id FROM given")
        query = exp.select(exp.alias_(shard_sql(exp.Placeholder(), "id"), "shard")).from_("ids")
        text = query.sql("duckdb")
        for salt in itertools.islice(salts(seed), runs):
            found = con.execute(text, [salt]).fetchnumpy()
            yield arm_of_shard[np.asarray(found["shard"], dtype=np.int64)]


def _arm_of_shard(weights: Sequence[float]) -> npt.NDArray[np.int64]:
    """The arm that owns each shard, as a new experiment's shards are dealt out."""
    owned = np.empty(DEFAULT_SHARDS, dtype=np.int64)
    ranges = allocate({str(arm): weight for arm, weight in enumerate(weights)})
    for arm, shards in enumerate(ranges.values()):
        for start, end in shards:
            owned[start:end] = arm
    return owned
