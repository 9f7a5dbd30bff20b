"""What both sides give, and whether it is the same."""

import math
from collections.abc import Mapping
from typing import NamedTuple

SAME = 1e-9  # relative; the query adds up floating-point numbers, we add whole ones


class Cell(NamedTuple):
    """The moments of one metric in one variant."""

    n: int
    numbers: tuple[float, ...]  # means, then the upper half of the covariances, row by row


Answer = dict[tuple[str, str, str], Cell]  # (experiment, metric, variant) →


def check_same(
    ours: Mapping[tuple[str, str, str], Cell], theirs: Mapping[tuple[str, str, str], Cell]
) -> float:
    """The largest relative difference.

    Raises:
        RuntimeError: the numbers are not the same: times without equal numbers are worth nothing.
    """
    if ours.keys() != theirs.keys() or not ours:
        raise RuntimeError(f"the answers are about other things: {set(ours) ^ set(theirs)}")
    worst = 0.0
    for key, cell in ours.items():
        peer = theirs[key]
        if cell.n != peer.n or len(cell.numbers) != len(peer.numbers):
            raise RuntimeError(f"{key}: {cell} is not {peer}")
        for mine, other in zip(cell.numbers, peer.numbers, strict=True):
            differ = abs(mine - other) / max(abs(mine), abs(other), 1e-9)
            if not (differ < SAME or (math.isnan(mine) and math.isnan(other))):
                raise RuntimeError(f"{key}: {mine} is not {other}")
            worst = max(worst, 0.0 if math.isnan(differ) else differ)
    return worst
