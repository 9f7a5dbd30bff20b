"""Files of a report: a reader sees the old one or the new one, never half of one."""

import contextlib
import os
from functools import cache
from importlib import resources
from pathlib import Path

from workspace import UserError

ASSETS = "assets"


class RenderError(UserError):
    """A report can't be written where it should go."""


def write(path: Path, content: str | bytes) -> Path:
    """Write `content` beside `path` and rename it into place; an unchanged file is left alone.

    Raises:
        RenderError: the folder can't be written, or the disk is full; the old file is still there.
    """
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if os.path.isdir(path):  # noqa: PTH112  (false, not an error, where nothing may be looked at)
        raise RenderError(f"{path}: is a directory; name the file that the report should be")
    temporary = path.with_name(f".{path.name[:60]}.{os.getpid()}.tmp")
    try:
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RenderError(
            f"{path}: the report can't be written ({error.strerror or error}); "
            "make room or give the folder the right to be written, then run again"
        ) from None
    return path


def write_assets(out: Path) -> None:
    """The script, the style sheet and Plotly's own bundle, once for all pages of a folder."""
    write(out / ASSETS / "report.css", static("report.css"))
    write(out / ASSETS / "report.js", static("report.js"))
    write(out / ASSETS / "plotly.min.js", plotly_script())


def static(name: str) -> str:
    """A file of `reports/static`."""
    return resources.files("reports").joinpath("static", name).read_text(encoding="utf-8")


@cache
def plotly_script() -> str:
    """Plotly's bundled script, from the installed package."""
    return resources.files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
