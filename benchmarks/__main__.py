"""`make bench`: every claim of speed beside the peer that it names, on the same work, in one run.

Without arguments all of them; with names only these: `python -m benchmarks ingestion`. Options behind a
single name are that benchmark's own: `python -m benchmarks scale --events 100000000`. Each is a module with a
`main` that prints seconds of both, their ratio and the aim. Machines are noisy: read the ratios.
"""

import argparse
import importlib
import sys
from pathlib import Path


def run(names: list[str], options: list[str]) -> int:
    """Run the named benchmarks one after the other, with these options; 1 when one misses its aim."""
    missed = []
    for name in names:
        print(f"── {name} ", flush=True)
        if importlib.import_module(f"benchmarks.{name}").main(options):
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
    known, options = parser.parse_known_args()
    asked = known.names
    if options and len(asked) != 1:
        parser.error(f"{options[0]} is an option of one benchmark; name that one before it")
    unknown = [name for name in asked if name not in _known()]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(_known())}")
    sys.exit(run(asked or _known(), options))
