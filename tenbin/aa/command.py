"""One call of `tenbin aa`, with its progress."""

from collections.abc import Sequence

from rich.console import Console

from tenbin.aa.answer import AaAnswer, answer
from tenbin.aa.log import AaError, Log
from tenbin.progress import progress
from workspace import check_alpha

LEAST_RUNS = 100


def run_aa(
    log: Log,
    weights: Sequence[float],
    *,
    runs: int,
    seed: int,
    alpha: float,
    console: Console | None = None,
) -> AaAnswer:
    """The answer, with a bar on `console` meanwhile.

    Raises:
        AaError: too few runs, or a level or seed that is none.
    """
    check_alpha(alpha, where="--alpha", error=AaError)
    if runs < LEAST_RUNS:
        raise AaError(
            f"--runs {runs} tells nothing; give at least {LEAST_RUNS}: 1,000 find a rate that is off by half"
        )
    if seed < 0:
        raise AaError(f"--seed {seed} must be a whole number, 0 or more")
    with progress(console) as bar:
        task = bar.add_task(f"{log.units:,} units, {runs:,} times", total=runs)
        return answer(log, weights, runs=runs, seed=seed, alpha=alpha, step=lambda: bar.advance(task))
