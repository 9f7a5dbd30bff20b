"""Ids in free text: whole ids only, so that looking for "user1" does not find "user10"."""

import json
import re
from collections.abc import Sequence

# What an id is made of; a match that is followed or preceded by any of it is part of another id.
_PART = r"[\w\-.@+]"


class Mentions:
    """Finds ids in texts, also as JSON and CSV write them.

    Args:
        ids: what is looked for.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        forms = {form for id_ in ids for form in _forms(id_)}
        listed = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
        self._pattern = re.compile(f"(?<!{_PART})(?:{listed})(?!{_PART})")
        self._bytes = re.compile(b"|".join(re.escape(form.encode("utf-8", "replace")) for form in forms))

    def found_in(self, text: str) -> bool:
        """Whether the text has one of them as a whole."""
        return self._pattern.search(text) is not None

    def found_in_bytes(self, data: bytes) -> bool:
        """The same of bytes that are text at least in parts, such as a database file."""
        if self._bytes.search(data) is None:
            return False
        return self.found_in(data.decode("utf-8", "replace"))


def _forms(id_: str) -> set[str]:
    """The id as it is, and as it stands within quotes in JSON and CSV."""
    escaped = json.dumps(id_)[1:-1]
    upper = re.sub(r"\\u[0-9a-f]{4}", lambda match: "\\u" + match[0][2:].upper(), escaped)
    return {id_, escaped, upper, json.dumps(id_, ensure_ascii=False)[1:-1], id_.replace('"', '""')}
