"""W4: comparisons from moments, by every method's defaults, beside tea-tasting and GrowthBook's gbstats.

A thousand comparisons of five kinds, the same moments for everyone. Ours twice: all at once on stacked
moments (contrast, p-value, interval, Fieller's lift and its interval, what a covariate left beside), and one
by one through `analyse`, which ends in rows, a sample ratio and a verdict. First the numbers are shown to be
equal where the method is the same, then time is measured; the fastest turn of each counts. gbstats 0.8.0 has
no ratio with a covariate, so its time is per comparison of the other four kinds.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.environment import Answer, NotThere, Task, Work, ask
from stats import contrasts, inference, lifts
from stats.analysis import Analysis, Cell, MetricPlan, Plan, analyse
from stats.arrays import Numbers, Real
from stats.contrasts import Contrast
from stats.moments import Moments, Stack
from stats.references import StudentT, p_value

AIM = 10.0  # times as fast as tea-tasting
ALPHA = 0.05
SAME = 1e-9  # relative
UNITS = 2_000  # of an arm, about
_COLUMNS = {"proportion": 1, "mean": 1, "ratio": 2, "mean_cuped": 2, "ratio_cuped": 4}
KINDS = tuple(_COLUMNS)

Numbered = Mapping[str, Real]


def main(argv: Sequence[str] | None = None) -> int:
    """Print milliseconds of everyone and the ratios; 0 when the aim is met, else 1."""
    parser = argparse.ArgumentParser(prog="benchmarks.comparisons", description=__doc__)
    parser.add_argument("--comparisons", type=int, default=1_000)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args(argv)
    work = Work(options.turns, simulate(options.comparisons))
    shared = Work(options.turns, [task for task in work.tasks if task.kind != "ratio_cuped"])
    rows_differ = check_rows(work.tasks)
    print(
        f"W4 {len(work.tasks):,} comparisons from moments, {len(KINDS)} kinds; fastest of {work.turns} turns"
    )
    peers = {"tea_tasting": (work, check_tea_tasting), "gbstats": (shared, check_gbstats)}
    per_comparison = {
        name: seconds
        for name, (asked, check) in peers.items()
        if (seconds := _ask(name, asked, check)) is not None
    }
    stacked = _fastest(lambda: at_once(work.tasks), work.turns) / len(work.tasks)
    designs = [_design(task) for task in work.tasks]
    rows = _fastest(lambda: [_one(*design) for design in designs], work.turns) / len(designs)
    print(f"  {'tenbin, stacked':<20}{_said(stacked)}")
    print(f"  {'tenbin, analyse()':<20}{_said(rows)}  (equal to the stacks within {rows_differ:.0e})")
    for name, seconds in per_comparison.items():
        print(f"  {name} / tenbin: {seconds / stacked:,.0f} x stacked, {seconds / rows:.1f} x analyse()")
    if "tea_tasting" not in per_comparison:
        print(f"  the aim (at least {AIM:.0f} x as fast as tea-tasting) was not measured")
        return 1
    print(f"  aim: at least {AIM:.0f} x as fast as tea-tasting")
    return int(per_comparison["tea_tasting"] / stacked < AIM)


def _ask(name: str, work: Work, check: Callable[[Sequence[Task], Answer], float]) -> float | None:
    """Seconds per comparison of a peer whose numbers are ours; None where it can't be installed."""
    try:
        answer = ask(name, work)
    except NotThere as missing:
        print(f"  {name}: NOT MEASURED, it could not be installed here: {missing}")
        return None
    differ = check(work.tasks, answer)
    seconds = answer.seconds / len(work.tasks)
    print(f"  {f'{name} {answer.version}':<20}{_said(seconds)}  (equal to ours within {differ:.0e})")
    return seconds


def _said(seconds: float) -> str:
    return f"{seconds * 1e3:9.4f} ms per comparison"


def _fastest(work: Callable[[], object], turns: int) -> float:
    return min(_seconds(work) for _ in range(turns))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


# ── the work ──


def simulate(comparisons: int) -> list[Task]:
    """Moments of simulated units, the kinds in turn; every denominator is well above 0."""
    draw = np.random.default_rng(20_261_125)
    tasks = []
    for place in range(comparisons):
        kind = KINDS[place % len(KINDS)]
        sizes = draw.integers(UNITS - UNITS // 4, UNITS + UNITS // 4, 2)
        variant, baseline = (
            _arm(kind, draw, int(n), shift)
            for n, shift in zip(sizes, (draw.normal(0, 0.05), 0.0), strict=True)
        )
        tasks.append(Task(kind, variant, baseline))
    return tasks


def _arm(kind: str, draw: np.random.Generator, n: int, shift: float) -> Moments:
    if kind == "proportion":
        return Moments.from_columns(draw.random(n) < 0.2 * (1 + shift))
    sessions_before, sessions = draw.poisson(4, (2, n)) + 1.0
    habit = draw.gamma(2, 1, n)
    before = habit * sessions_before + draw.normal(0, 1, n)
    after = habit * sessions * (1 + shift) + draw.normal(0, 1, n)
    columns = {
        "mean": [after],
        "ratio": [after, sessions],
        "mean_cuped": [after, before],
        "ratio_cuped": [after, sessions, before, sessions_before],
    }
    return Moments.from_columns(*columns[kind])


# ── ours ──


def at_once(tasks: Sequence[Task]) -> dict[str, dict[str, Real]]:
    """Every comparison, kind by kind: the moments stacked, then the numbers of a result."""
    found = {}
    for kind in KINDS:
        arms = _stacks(kind, tasks)
        if kind.endswith("cuped"):
            found[f"{kind}_plain"] = _numbers(_ESTIMATORS[kind.removesuffix("_cuped")](*arms))
        found[kind] = _numbers(_ESTIMATORS[kind](*arms))
    return found


def _stacks(kind: str, tasks: Sequence[Task]) -> tuple[Stack, Stack]:
    own = [task for task in tasks if task.kind == kind]
    return Stack.of([task.variant for task in own]), Stack.of([task.baseline for task in own])


def _adjusted_ratio(variant: Stack, baseline: Stack) -> Contrast:
    return contrasts.adjusted(contrasts.linearised(variant), contrasts.linearised(baseline))


_ESTIMATORS: Mapping[str, Callable[[Stack, Stack], Contrast]] = {
    "proportion": contrasts.difference_of_proportions,
    "mean": contrasts.difference_of_means,
    "ratio": contrasts.difference_of_ratios,
    "mean_cuped": contrasts.adjusted,
    "ratio_cuped": _adjusted_ratio,
}


def _numbers(contrast: Contrast) -> dict[str, Real]:
    law = StudentT(contrast.df)
    difference = inference.difference_interval(contrast, law, ALPHA)
    lift = inference.lift_interval(contrast, law, ALPHA)
    return {
        "estimate": contrast.estimate,
        "std_error": np.sqrt(contrast.variance_against(1.0)),
        "p_value": p_value(inference.log10_p(contrast, law)),
        "lower": difference.lower,
        "upper": difference.upper,
        "lift": inference.lift(contrast),
        "lift_lower": lift.lower,
        "lift_upper": lift.upper,
    }


def _design(task: Task) -> tuple[Plan, list[Cell]]:
    """One comparison as an experiment of its own."""
    kind = task.kind.removesuffix("_cuped")
    covariates = _COLUMNS[task.kind] - _COLUMNS[kind]
    metric = MetricPlan(name="m", kind=kind, role="primary", covariates=covariates)  # type: ignore[arg-type]
    plan = Plan(
        experiment="e",
        iteration=1,
        control="A",
        variants=("A", "B"),
        weights={"A": 1.0, "B": 1.0},
        metrics=(metric,),
    )
    arms = {"A": task.baseline, "B": task.variant}
    return plan, [Cell(metric="m", variant=name, moments=arm) for name, arm in arms.items()]


def _one(plan: Plan, cells: Sequence[Cell]) -> Analysis:
    counts = {cell.variant: cell.moments.n for cell in cells}
    return analyse(plan, cells, counts=counts, as_of=None, ended=True)


# ── the same numbers ──


_SHOWN = {  # a number of the stacks: the scale and column of the row that shows it
    "estimate": ("absolute", "estimate"),
    "std_error": ("absolute", "std_error"),
    "p_value": ("absolute", "p_value"),
    "lower": ("absolute", "lower"),
    "upper": ("absolute", "upper"),
    "lift": ("relative", "estimate"),
    "lift_lower": ("relative", "lower"),
    "lift_upper": ("relative", "upper"),
}


def check_rows(tasks: Sequence[Task]) -> float:
    """The rows against the stacks; the largest relative difference, which rounding to 12 digits makes."""
    stacked = at_once(tasks)
    largest = 0.0
    for kind in KINDS:
        rows = [
            {row.scale: row for row in _one(*_design(task)).results if row.headline}
            for task in tasks
            if task.kind == kind
        ]
        for name, (scale, column) in _SHOWN.items():
            found = [getattr(row[scale], column) for row in rows]
            largest = max(largest, _same(f"{kind} {name}", found, stacked[kind][name]))
    return largest


def check_tea_tasting(tasks: Sequence[Task], answer: Answer) -> float:
    """Its defaults by our functions: Welch, lifts by the logarithm, theta from pooled totals.

    Its p-value of a proportion is the pooled z's; its lift with a covariate leaves out what the adjusted
    means share, so only the difference is compared there.
    """
    largest = 0.0
    for kind, theirs in _by_kind(tasks, answer):
        contrast = _with_their_theta(kind, tasks)
        if kind == "proportion":
            pooled = contrasts.pooled_proportions(*_stacks(kind, tasks))
            ours: Numbered = {"p_value": p_value(inference.log10_p(pooled, StudentT()))}
        else:
            ours = _absolute(contrast)
        if not kind.endswith("cuped") and kind != "proportion":
            v, b = _stacks(kind, tasks)
            relative = (
                (contrast.var_variant / np.square(contrast.variant), v.n - 1),
                (contrast.var_baseline / np.square(contrast.baseline), b.n - 1),
            )
            # Its interval of the logarithm has degrees of freedom of its own.
            law = StudentT(contrasts.satterthwaite(*relative))
            lift = lifts.log_interval(contrast, law, ALPHA)
            ours = {**ours, "lift_lower": lift.lower, "lift_upper": lift.upper}
        largest = max(largest, *(_same(f"{kind} {name}", theirs[name], ours[name]) for name in ours))
    return largest


def check_gbstats(tasks: Sequence[Task], answer: Answer) -> float:
    """Its defaults by our functions: lifts by the linear delta method, Welch's degrees of freedom always."""
    largest = 0.0
    for kind, theirs in _by_kind(tasks, answer):
        v, b = _stacks(kind, tasks)
        contrast = _with_their_theta(kind, tasks)
        df = contrasts.satterthwaite((contrast.var_variant, v.n - 1), (contrast.var_baseline, b.n - 1))
        if kind == "mean_cuped":
            ours = _absolute(contrast)
        else:
            lift = lifts.linear_interval(contrast, StudentT(df), ALPHA)
            logarithm = StudentT(df).log10_p(lifts.linear_statistic(contrast), 2)
            ours = {
                "estimate": inference.lift(contrast),
                "p_value": p_value(logarithm),
                "lower": lift.lower,
                "upper": lift.upper,
            }
        largest = max(largest, *(_same(f"{kind} {name}", theirs[name], ours[name]) for name in ours))
    return largest


def _absolute(contrast: Contrast) -> dict[str, Real]:
    numbers = _numbers(contrast)
    return {name: numbers[name] for name in ("estimate", "p_value", "lower", "upper")}


def _with_their_theta(kind: str, tasks: Sequence[Task]) -> Contrast:
    """The contrast; with a covariate, by theta from both arms' totals as if they were one arm."""
    if not kind.endswith("cuped"):
        return _ESTIMATORS[kind](*_stacks(kind, tasks))
    pairs = 2 if kind == "ratio_cuped" else 0
    together = [task.variant.merge(task.baseline) for task in tasks if task.kind == kind]
    one = contrasts.linearised(Stack.of(together), pairs=pairs)
    theta: npt.NDArray[np.float64] = np.asarray(one.cov[0][1] / one.cov[1][1])
    v, b = (contrasts.linearised(arm, pairs=pairs) for arm in _stacks(kind, tasks))
    return contrasts.adjusted(v, b, theta=theta[:, None])


def _by_kind(tasks: Sequence[Task], answer: Answer) -> list[tuple[str, dict[str, Numbers]]]:
    """The peer's numbers, an array per kind and name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for task, numbers in zip(tasks, answer.checked, strict=True):
        found.setdefault(task.kind, []).append(numbers)
    return [
        (kind, {name: np.array([one[name] for one in many], dtype=np.float64) for name in many[0]})
        for kind, many in found.items()
    ]


def _same(what: str, found: npt.ArrayLike, expected: Real) -> float:
    """The largest relative difference, which must be nothing but rounding.

    A bound near 0 is compared on the scale of its kind, and a p-value far out with what 1 - cdf can tell.
    """
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected)
    scale = np.maximum(np.abs(expected), float(np.median(np.abs(expected))))
    worst = float(np.max(np.abs(found - expected) / scale))
    if not worst < SAME or math.isnan(worst):
        raise RuntimeError(f"{what}: differs by {worst:.1e}, relative; no times without equal numbers")
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
