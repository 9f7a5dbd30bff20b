"""`tenbin up`: the Dagster UI and its daemon on one workspace, on loopback.

The UI has no sign-in of its own, so it never listens on another address.
"""

import os
import socket
import sys
from typing import NoReturn

from rich.console import Console

from tenbin.run import prepare_dagster_home
from workspace import UserError, Workspace

HOST = "127.0.0.1"


class UpError(UserError):
    """The UI can't be started as asked."""


def up(workspace: Workspace, *, port: int, console: Console) -> NoReturn:
    """Become Dagster's own process, which serves until it is interrupted or told to end.

    Raises:
        UpError: the port is in use.
    """
    _require_free(port)
    home = prepare_dagster_home(workspace)
    console.print(
        f"Dagster UI on [bold]http://{HOST}:{port}[/] for [bold]{workspace.root}[/]; stop it with Ctrl-C."
    )
    sys.stdout.flush()
    command = [sys.executable, "-m", "dagster", "dev", "--module-name", "pipelines.definitions"]
    environment = os.environ | {
        "TENBIN_WORKSPACE": str(workspace.root),
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    os.execve(sys.executable, [*command, "--host", HOST, "--port", str(port)], environment)  # noqa: S606 - fixed


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as reason:
            raise UpError(
                f"port {port} on {HOST} can't be used ({reason.strerror}); choose another with --port"
            ) from None
