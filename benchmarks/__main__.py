"""`make bench`: every claim of speed beside the peer that it names, on the same work, in one run.

Without arguments all of them; with names only these: `python -m benchmarks ingestion`. Each is a module with
a `main` that prints seconds of both, their ratio and the aim. Machines are noisy: read the ratios.
"""

import argparse
import importlib
import sys
from pathlib import Path


def run(names: list[str]) -> int:
    """Run the named benchmarks one after the other; 1 when one misses its aim."""
    missed = []
    for name in names:
        print(f"── {name} ", flush=True)
        if importlib.import_module(f"benchmarks.{name}").main([]):
            missed.append(name)
        print(flush=True)
    if missed:
        print(f"Short of the aim: {', '.join(missed)}")
    return int(bool(missed))


def _known() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks", description="Claims of speed beside their peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(_known())}")
    asked = parser.parse_args().names
    unknown = [name for name in asked if name not in _known()]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(_known())}")
    sys.exit(run(asked or _known()))
