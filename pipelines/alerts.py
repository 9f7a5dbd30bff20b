"""Word of a failed run to people who don't look: a JSON document to the webhook of the workspace.

It has the key `text`, which chat programs such as Slack and Mattermost show, and the rest for machines.
"""

import os
import urllib.error
import urllib.parse
import urllib.request

import msgspec

from workspace import UserError, Workspace

WEBHOOK = "TENBIN_ALERT_WEBHOOK"  # outranks `tenbin.toml`: such an address is often a secret
_TIMEOUT_S = 10.0
_LONGEST = 2_000  # characters of one reason


class AlertError(UserError):
    """An alert could not be sent."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong in one run, and where to look."""

    workspace: str
    job: str
    run: str  # its id, as the UI has it
    failed: dict[str, str]  # step or experiment → the sentence that it ended with
    experiments: tuple[str, ...]  # whose results are not up to date; empty: not known which
    where: str

    @property
    def text(self) -> str:
        """The alert for people, a line per reason."""
        reasons = [f"- {name}: {sentence}" for name, sentence in self.failed.items()]
        whose = f" (experiments: {', '.join(self.experiments)})" if self.experiments else ""
        head = f"Tenbin {self.workspace}: {self.job} failed{whose}."
        return "\n".join([head, *reasons, f"Look at {self.where}."])


def shortened(sentence: str) -> str:
    """A reason in one line of bounded length."""
    line = " ".join(sentence.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def webhook_of(workspace: Workspace) -> str | None:
    """Where alerts of this workspace go; None: only to the log.

    Raises:
        AlertError: the address is not one of HTTP.
    """
    stated = os.environ.get(WEBHOOK)
    url, key = (stated, WEBHOOK) if stated else (workspace.config.alerts.webhook, "alerts.webhook")
    if url and urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise AlertError(f"{workspace.toml}: {key} must be an address that begins with https:// or http://")
    return url or None


def send(url: str, alert: Alert) -> None:
    """Post the alert and wait until it was taken.

    Raises:
        AlertError: it was not; the message names the host alone, for the rest of an address may be a secret.
    """
    body = msgspec.json.encode(msgspec.structs.asdict(alert) | {"text": alert.text})
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - see above
    host = urllib.parse.urlsplit(url).hostname
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310 - the scheme was looked at
            pass
    except OSError as reason:
        if isinstance(reason, urllib.error.HTTPError):
            reason.close()
        raise AlertError(f"the alert of run {alert.run} was not taken by {host}: {reason}") from None
