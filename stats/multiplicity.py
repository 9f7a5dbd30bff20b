"""Many questions at once: Holm's procedure over a family.

Holm 1979, "A simple sequentially rejective multiple test procedure". Its two-sided simultaneous intervals are
Bonferroni's: at level alpha / m (Strassburger and Bretz 2008 have tighter ones for one-sided tests only).
"""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: running maximum of (m - rank) x p, at most 1."""
    m = len(p_values)
    adjusted = [0.0] * m
    highest = 0.0
    for rank, place in enumerate(sorted(range(m), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (m - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted
