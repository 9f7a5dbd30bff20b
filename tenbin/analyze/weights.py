"""`--weights A=1,B=1`: the intended share of every variant of the file."""

import math
from collections.abc import Sequence
from pathlib import Path

from tenbin.analyze.errors import AnalyzeError
from workspace import check_weights, suggest


def resolve_weights(text: str | None, variants: Sequence[str], path: Path) -> dict[str, float]:
    """The weight of every variant; equal ones where none are stated.

    Raises:
        AnalyzeError: malformed, not positive, for an unknown variant, or missing for a variant of the file.
    """
    if text is None:
        return dict.fromkeys(variants, 1.0)
    weights: dict[str, float] = {}
    rest = text
    while rest or not weights:
        name, number, rest = _next_weight(text, rest, variants)
        if name in weights:
            raise AnalyzeError(f'--weights {text}: variant "{name}" is named twice; name it once')
        if name not in variants:
            raise AnalyzeError(
                f'--weights {text}: {path} has no variant "{name}"; {suggest(name, list(variants))}'
            )
        weights[name] = _weight(name, number, text)
    if missing := [name for name in variants if name not in weights]:
        raise AnalyzeError(
            f'--weights {text}: variant "{missing[0]}" of {path} has no weight; give one to each of '
            + ", ".join(variants)
        )
    check_weights(weights, where=f"--weights {text}", error=AnalyzeError)
    return {name: weights[name] for name in variants}


def _next_weight(text: str, rest: str, variants: Sequence[str]) -> tuple[str, str, str]:
    """The first name and number of `rest`, and what follows; the longest variant that fits is the name."""
    fitting = [name for name in variants if rest.startswith(f"{name}=")]
    name = max(fitting, key=len) if fitting else rest.partition("=")[0]
    number, comma, after = rest[len(name) + 1 :].partition(",")
    if not name or not number or bool(comma) != bool(after):
        raise AnalyzeError(
            f'--weights "{text}" is not of the form VARIANT=NUMBER,VARIANT=NUMBER, as in a=1,b=1'
        )
    return name, number, after


def _weight(name: str, number: str, text: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise AnalyzeError(
            f'--weights {text}: variant "{name}" has weight "{number.strip()}"; a weight is a number above 0'
        )
    return weight
