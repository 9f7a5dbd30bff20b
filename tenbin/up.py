"""`tenbin up`: the Dagster UI and its daemon on one workspace, on loopback.

The UI has no sign-in of its own, so it never listens on another address.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from tenbin.run import prepare_dagster_home
from workspace import UserError, Workspace

HOST = "127.0.0.1"


class UpError(UserError):
    """The UI can't be started as asked."""


def up(workspace: Workspace, *, port: int, console: Console) -> int:
    """Serve until interrupted; the exit code of Dagster's own process."""
    _require_free(port)
    prepare_dagster_home(workspace)
    console.print(
        f"Dagster UI on [bold]http://{HOST}:{port}[/] for [bold]{workspace.root}[/]; stop it with Ctrl-C."
    )
    command = [
        str(Path(sys.executable).with_name("dagster")),
        "dev",
        "--module-name",
        "pipelines.definitions",
        "--host",
        HOST,
        "--port",
        str(port),
    ]
    environment = os.environ | {
        "TENBIN_WORKSPACE": str(workspace.root),
        "DAGSTER_HOME": str(workspace.dagster_home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    process = subprocess.Popen(command, env=environment)  # noqa: S603 - our own interpreter, fixed arguments
    try:
        return process.wait()
    except KeyboardInterrupt:
        return process.wait()  # Ctrl-C reached Dagster too; let it end its children


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as reason:
            raise UpError(
                f"port {port} on {HOST} can't be used ({reason.strerror}); choose another with --port"
            ) from None
