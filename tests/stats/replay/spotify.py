"""spotify-confidence's calls by our functions: z, Student's t and chi-squared on the absolute scale."""

from collections.abc import Callable, Mapping

import numpy as np

from stats import contrasts, inference
from stats.references import Reference, StudentT
from tests.stats import test_boundaries
from tests.stats.replay.asked import NORMAL, Asked, Numbers, answers, welch_df
from tests.stats.replay.designs import sample_ratios
from tests.stats.test_vectors import proportion


def _spotify(asked: Asked) -> Numbers:
    """Absolute numbers; its relative bounds, the absolute ones over the observed control, are not ours."""
    if asked.kind == "srm":
        return sample_ratios(asked)
    if asked.kind == "group_sequential":
        return _spotify_looks(asked)
    if asked.kind.startswith("cuped") or asked.kind not in ("proportion", "mean"):
        return {}
    contrast = asked.contrast
    margin = asked.case["params"].get("nim")
    side = {"increase": 1, "decrease": -1}.get(asked.outputs.get("preference", ""), 0)
    null = 0.0 if margin is None else -side * margin * contrast.baseline
    v, b = asked.arms
    law: Reference = NORMAL
    if asked.call.startswith("Students"):
        law = StudentT(welch_df(contrast, asked))
    shown = answers(contrast, law, asked.alpha, null=null, side=side)
    found = {"se": shown["se"], "p_value": shown["p_value"]}
    if asked.call.startswith("ChiSquared"):
        found["p_value"] = answers(contrasts.pooled_proportions(v, b), NORMAL, asked.alpha)["p_value"]
    if asked.relative:
        return found | {"estimate": inference.lift(contrast)}
    return found | {
        "estimate": shown["estimate"],
        "ci_lower": shown["ci"][0],
        "ci_upper": shown["ci"][1],
        "adjusted_ci_lower": shown["ci"][0],
        "adjusted_ci_upper": shown["ci"][1],
        "null_hypothesis": null,
    }


def _spotify_looks(asked: Asked) -> Numbers:
    rows = asked.inputs["rows"]
    found: dict[str, list[float]] = {"estimate": [], "se": [], "ci_lower": [], "ci_upper": []}
    for control, treatment in zip(rows[::2], rows[1::2], strict=True):
        arms = [proportion({"n": row["den"], "sum": row["num"]}) for row in (treatment, control)]
        shown = answers(contrasts.difference_of_proportions(*arms), NORMAL, 0.05)
        for name, value in zip(found, (shown["estimate"], shown["se"], *shown["ci"]), strict=True):
            found[name].append(value)
    return found | {"date": asked.outputs["date"]}


def _spotify_bounds(asked: Asked) -> Numbers:
    inputs = asked.inputs
    found = test_boundaries.boundary(
        test_boundaries.spending_of(inputs), inputs["t"], inputs["alpha"], inputs["sides"]
    )
    spent = test_boundaries.spending_of(inputs).spent(
        inputs["alpha"] / inputs["sides"], np.array(inputs["t"])
    )
    return {"z_bounds": list(found), "cumulative_alpha_per_side": list(spent)}


CALLS: Mapping[str, Callable[[Asked], Numbers]] = {
    "ZTestLinreg": lambda _: {},
    "ZTest": _spotify,
    "StudentsTTest": _spotify,
    "ChiSquared": _spotify,
    "sequential_bound_solver.bounds": _spotify_bounds,
}
