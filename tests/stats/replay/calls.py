"""Other engines' calls, made again with our own functions: the same method, so the same digits.

`numbers(case, result)` has a value for every number of the result that one of our public functions gives by
the method of that call. What is absent from it no function of ours gives: `tests/stats/differences.py` says
why, number by number.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.stats.replay import closed_forms, counts, designs, growthbook, spotify, tea_tasting
from tests.stats.replay.asked import Asked, Numbers

_REPLAYS: Mapping[str, Mapping[str, Callable[[Asked], Numbers]]] = {
    "gbstats": growthbook.CALLS,
    "tea-tasting": tea_tasting.CALLS,
    "spotify-confidence": spotify.CALLS,
    "reference": {**closed_forms.CALLS, **counts.CALLS, **designs.CALLS},
}


def numbers(case: Mapping[str, Any], result: Mapping[str, Any]) -> Numbers:
    """Our numbers for those of a result, by name; only what we have by the same method."""
    asked = Asked(case, result)
    if "raised" in asked.outputs or asked.outputs.get("error") or asked.too_small:
        return {}
    with np.errstate(all="ignore"):
        for beginning, replay in _REPLAYS[result["library"]].items():
            if asked.call.startswith(beginning):
                return replay(asked)
    return {}
