"""Running the cells, chunk by chunk, each with a seed of its own: adding one changes no other."""

import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.calibration.cells import Cell
from benchmarks.calibration.sections import Column
from benchmarks.calibration.tally import Judgement, Mean, Tally, both, exceeds, falls_short, judge

_MOSTLY = 0.5  # of the runs


class Row(NamedTuple):
    """One method in one cell."""

    cell: Cell
    method: str
    tally: Tally

    def mean(self, measure: str) -> Mean | None:
        return self.tally.mean(self.method, measure)

    def sides(self, column: Column) -> tuple[Mean, Mean] | None:
        """Errors below and above, of a two-sided column that was measured."""
        below, above = (self.mean(f"{column.measure}_{side}") for side in ("below", "above"))
        return None if below is None or above is None else (below, above)

    def rate(self, column: Column) -> Mean | None:
        """The column's number; of a two-sided one the errors on both sides."""
        if column.kind != "two-sided":
            return self.mean(column.measure)
        sides = self.sides(column)
        return None if sides is None else both(*sides)

    @property
    def warned(self) -> bool:
        """Whether the engine warns in most runs."""
        share = self.mean("warned")
        return share is not None and share.value > _MOSTLY

    def judged(self, column: Column) -> Judgement | None:
        """None where nothing is promised, or nothing was measured."""
        rate, sides = self.rate(column), self.sides(column)
        if rate is None or column.kind == "plain":
            return None
        if sides is not None:
            return judge(*sides, column.nominal)
        if exceeds(rate, column.nominal):
            return "too many"
        short = column.kind == "one-sided" and falls_short(rate, column.nominal)
        return "cautious" if short else "right"


def simulate(cell: Cell, *, runs: int, seed: int) -> Tally:
    """All runs of one cell."""
    draw = np.random.default_rng([seed, zlib.crc32(cell.name.encode())])
    tally = Tally()
    for start in range(0, runs, cell.at_once):
        tally.add(cell.run(draw, min(cell.at_once, runs - start)))
    return tally


def rows(
    cells: Sequence[Cell], *, runs: int, seed: int, done: Callable[[Cell], None] = lambda _: None
) -> list[Row]:
    """Every method in every cell; `done` is told of each cell."""
    found: list[Row] = []
    for cell in cells:
        tally = simulate(cell, runs=runs, seed=seed)
        found += [Row(cell, method, tally) for method in tally.methods]
        done(cell)
    return found
