"""`tenbin up`: the Dagster UI and its daemon on one workspace, on loopback.

The UI has no sign-in of its own, so it never listens on another address.
"""

import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.markup import escape

from tenbin.run import prepare_dagster_home
from workspace import UserError, Workspace

HOST = "127.0.0.1"
_CODE = Path(__file__).parents[1]
_NO_WARNING = "ignore:Function `dev_command` is superseded"  # by another tool for the same


class UpError(UserError):
    """The UI can't be started as asked."""


def up(workspace: Workspace, *, port: int, console: Console) -> NoReturn:
    """Become Dagster's own process, which serves until it is interrupted or told to end.

    Raises:
        UpError: the port is in use.
    """
    _require_free(port)
    home = prepare_dagster_home(workspace)
    root = escape(str(workspace.root))
    console.print(f"Dagster UI on [bold]http://{HOST}:{port}[/] for [bold]{root}[/]; stop it with Ctrl-C.")
    sys.stdout.flush()
    command = [sys.executable, "-m", "dagster", "dev", "--module-name", "pipelines.definitions"]
    # Dagster imports from its working directory first: by default the one that `tenbin up` was called in.
    command += ["--working-directory", str(_CODE), "--host", HOST, "--port", str(port)]
    environment = os.environ | {
        "TENBIN_WORKSPACE": str(workspace.root),
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PYTHONSAFEPATH": "1",  # no `-m` of Dagster's processes imports from the current directory either
        "PYTHONWARNINGS": ",".join(filter(None, (_NO_WARNING, os.environ.get("PYTHONWARNINGS")))),
    }
    os.execve(sys.executable, command, environment)  # noqa: S606 - fixed


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as reason:
            raise UpError(
                f"port {port} on {HOST} can't be used ({reason.strerror}); choose another with --port"
            ) from None
