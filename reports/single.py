"""One readout as one file: styles, script and Plotly inside, under a policy that names their hashes."""

import base64
import hashlib
import html
from pathlib import Path

from reports import files
from reports.page import build_page
from reports.readout import Readout
from reports.render import page_html

# Every page has it near its top, and hardly anything else does.
_POLICY_END = "base-uri 'none'; form-action 'none'"
_HEAD_BYTES = 4096


def is_single(path: Path) -> bool:
    """Whether `path` is a page that `render_single` wrote, of this version or another."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES).decode("utf-8", "replace")
    return head.startswith("<!doctype html>") and _POLICY_END in html.unescape(head)


def render_single(readout: Readout, path: Path) -> Path:
    """Write the page of `readout` as one self-contained HTML file (about 5 MB: Plotly is in it).

    Raises:
        RenderError: `path` can't be written.
    """
    inline = {
        "css": files.static("report.css"),
        "js": files.static("report.js"),
        "plotly": files.plotly_script(),
    }
    scripts = " ".join(f"'{_hash(inline[name])}'" for name in ("plotly", "js"))
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src '{_hash(inline['css'])}'; img-src data:; "
        f"{_POLICY_END}"
    )
    return files.write(path, page_html(build_page(readout), policy=policy, inline=inline, index=""))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
