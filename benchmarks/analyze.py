"""One file to an answer, as whole processes: `tenbin analyze` beside the script that an analyst would write.

Both read the same CSV and print the same three numbers: pandas and statsmodels for the script. The file is
made here and has the shape of Cookie Cats: 90,189 rows with a unit, a variant, a yes-or-no and a heavy-tailed
count.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb

AIM = 1.0
_SCRIPT = """
import sys
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportions_ztest
frame = pd.read_csv(sys.argv[1]).drop_duplicates("userid")
arms = [frame[frame["version"] == name] for name in ("gate_30", "gate_40")]
print(stats.chisquare([len(arm) for arm in arms]).pvalue)
print(proportions_ztest([arm["retention_7"].sum() for arm in arms], [len(arm) for arm in arms])[1])
print(stats.ttest_ind(*(arm["sum_gamerounds"] for arm in arms), equal_var=False).pvalue)
"""
_ROWS = """
COPY (SELECT i AS userid, ['gate_30', 'gate_40'][1 + (hash(i) % 2)::INTEGER] AS version,
             floor(exp(3 + 1.4 * sqrt(-2 * ln((hash(i + 1) % 999983 + 1) / 1000000))))::INTEGER
             AS sum_gamerounds,
             hash(i + 2) % 100 < 19 AS retention_7
      FROM range(90189) AS r(i)) TO $path (FORMAT csv, HEADER)
"""

_OPTIONS = (
    *("--unit", "userid", "--variant", "version", "--control", "gate_30"),
    *("--conversion", "retention_7", "--mean", "sum_gamerounds", "--json"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the median seconds of both and their ratio; 0 when the aim is met, else 1."""
    parser = argparse.ArgumentParser(prog="benchmarks.analyze", description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args(argv).runs
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "players.csv"
        with duckdb.connect() as con:
            con.execute(_ROWS, {"path": str(path)})
        ours = [sys.executable, "-m", "tenbin", "analyze", str(path), *_OPTIONS]
        peer = [sys.executable, "-c", _SCRIPT, str(path)]
        pairs = [(_seconds(ours), _seconds(peer)) for _ in range(runs + 1)][1:]
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"one file of 90,189 rows to an answer, {runs} runs each in turn")
    print(f"  pandas + statsmodels script {statistics.median(b for _, b in pairs):6.2f} s")
    print(f"  tenbin analyze --json       {statistics.median(a for a, _ in pairs):6.2f} s")
    print(f"  ratio {ratio:.2f} (aim: at most {AIM})")
    return int(ratio > AIM)


def _seconds(command: Sequence[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own interpreter
    if done.returncode > 1:
        raise RuntimeError(done.stderr.decode())
    return time.perf_counter() - start
