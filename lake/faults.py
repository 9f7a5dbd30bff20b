"""The one hook by which the fault tests stop a process between two steps of ingestion.

`TENBIN_FAULT=NAME` or `NAME:N` ends the process, as SIGKILL would, when the step NAME is reached (for the
N-th time); `*:N` at the N-th step of all. `TENBIN_FAULT_LOG=FILE` appends the name of every step reached,
which is how the tests learn where to hit. Unset, as always outside the tests, it costs one look-up.
"""

import os
from pathlib import Path

_seen: dict[str, int] = {}


def reached(step: str) -> None:
    """Say that `step` was reached."""
    wanted = os.environ.get("TENBIN_FAULT")
    log = os.environ.get("TENBIN_FAULT_LOG")
    if wanted is None and log is None:
        return
    _seen[step] = _seen.get(step, 0) + 1
    if log is not None:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{step}:{_seen[step]}\n")
    if wanted in {step, f"{step}:{_seen[step]}", f"*:{sum(_seen.values())}"}:
        os._exit(137)
