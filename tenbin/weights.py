"""Weights of arms that have no names yet, as typed: `--weights 1,1`."""

import math

from workspace import UserError, check_weights

_LEAST = 2  # arms


def split_weights(text: str, *, error: type[UserError]) -> tuple[float, ...]:
    """The numbers of `2,1,1`, control first.

    Raises:
        UserError: of the given type: no numbers, fewer than two, or weights that no traffic can be split by.
    """
    try:
        weights = tuple(float(number) for number in text.split(","))
    except ValueError:
        weights = (math.nan,)
    if any(math.isnan(weight) for weight in weights) or len(weights) < _LEAST:
        raise error(f'--weights "{text}" is not of the form NUMBER,NUMBER, control first, as in 1,1')
    numbered = {str(number): weight for number, weight in enumerate(weights, 1)}
    check_weights(numbered, where=f"--weights {text}", error=error)
    return weights
