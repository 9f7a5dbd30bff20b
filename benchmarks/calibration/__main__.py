"""`make calibrate`: simulate every cell, then write docs/calibration.md and docs/calibration.svg."""

import argparse
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.calibration import page, plan, plot, run

_DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    """Parse, simulate, write."""
    parser = argparse.ArgumentParser(prog="benchmarks.calibration", description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="of every cell (20000)")
    parser.add_argument("--seed", type=int, default=20_261_125)
    parser.add_argument("--out", type=Path, default=_DOCS, help="the directory that is written to (docs)")
    asked = parser.parse_args()
    cells = plan.everything()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("simulating", total=len(cells))
        rows = run.rows(cells, runs=asked.runs, seed=asked.seed, done=lambda _: progress.advance(task))
    asked.out.mkdir(parents=True, exist_ok=True)
    text = page.page(rows, runs=asked.runs, seed=asked.seed)
    (asked.out / "calibration.md").write_text(text, encoding="utf-8", newline="\n")
    (asked.out / "calibration.svg").write_text(plot.plot(rows), encoding="utf-8", newline="\n")
    print(f"{len(rows)} rows in {len(cells)} cells: calibration.md and calibration.svg in {asked.out}")


if __name__ == "__main__":
    main()
