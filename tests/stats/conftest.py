"""Vectors computed by other people's engines, read in place."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import ROOT

VECTORS = ROOT.parent / "shared" / "stats-vectors"


def cases(family: str) -> list[dict[str, Any]]:
    """The cases of one family; none where the folder is absent."""
    path = VECTORS / f"{family}.json"
    return json.loads(path.read_text(encoding="utf-8"))["cases"] if path.is_file() else []


def outputs(case: dict[str, Any], call: str, **where: object) -> Iterator[dict[str, Any]]:
    """What the library said of the case in the calls that begin like `call`."""
    for result in case["results"]:
        if result["call"].startswith(call) and all(result.get(key) == value for key, value in where.items()):
            yield result["outputs"]


def param(family: str, *kinds: str) -> Any:
    """A parametrisation over the cases of a family; one loud skip where they are absent."""
    found = [case for case in cases(family) if not kinds or case["kind"] in kinds]
    if not found:
        reason = f"../shared/stats-vectors/{family}.json is not there"
        return pytest.mark.parametrize("case", [pytest.param({}, marks=pytest.mark.skip(reason=reason))])
    return pytest.mark.parametrize("case", found, ids=[case["id"] for case in found])
