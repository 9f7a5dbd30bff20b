"""One readout as one file: styles, script and Plotly inside, under a policy that names their hashes."""

import base64
import hashlib
from pathlib import Path

from reports import files
from reports.page import build_page
from reports.readout import Readout
from reports.render import page_html


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
        "base-uri 'none'; form-action 'none'"
    )
    return files.write(path, page_html(build_page(readout), policy=policy, inline=inline, index=""))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
