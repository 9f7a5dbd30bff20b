"""How far a number of a definition may go, where the same number is asked for in more than one place.

Beyond these, sums overflow, quotients vanish and dates leave the calendars of the libraries below.
"""

from collections.abc import Mapping

from workspace.errors import UserError

MIN_ALPHA, MAX_ALPHA = 1e-12, 0.5
MIN_WEIGHT, MAX_WEIGHT = 1e-30, 1e30
MAX_WEIGHT_RATIO = 1e6


def check_alpha(alpha: float, *, where: str, error: type[UserError]) -> None:
    """Refuse a two-sided level that is none; `where` names file and key."""
    if not MIN_ALPHA <= alpha <= MAX_ALPHA:  # NaN is refused too
        raise error(f"{where}: {alpha:g} must lie between {MIN_ALPHA:g} and {MAX_ALPHA:g}, as in 0.05")


def check_weights(weights: Mapping[str, float], *, where: str, error: type[UserError]) -> None:
    """Refuse weights that no traffic can be split by; `where` names file and key."""
    for variant, weight in weights.items():
        if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
            raise error(
                f'{where}: variant "{variant}" has weight {weight:g}; a weight is a number above 0, from '
                f"{MIN_WEIGHT:g} to {MAX_WEIGHT:g}"
            )
    least, most = (pick(weights, key=weights.__getitem__) for pick in (min, max))
    if weights[most] > MAX_WEIGHT_RATIO * weights[least]:
        raise error(
            f'{where}: variant "{most}" has weight {weights[most]:g} and "{least}" has {weights[least]:g}; '
            f"the largest may be at most {MAX_WEIGHT_RATIO:,.0f} times the smallest"
        )
