"""A folder name for any key: readable, confined to its parent, and different for different keys."""

import hashlib
import re
import unicodedata

_MAX_BYTES = 80
# Names that mean something else: our own files, and devices on Windows.
_RESERVED = frozenset(
    {
        "assets",
        "con",
        "prn",
        "aux",
        "nul",
        *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10)),
    }
)
_HASHED = re.compile(r"-[0-9a-f]{8}$")


def slug(key: str) -> str:
    """Folder name of an experiment, in the letters of its own script.

    A key that is already a plain name stays as it is. Any other gets eight hexadecimal digits of its hash,
    and so does one that looks as if it had them: no two keys share a folder. Upper case and decomposed
    accents count as "other", because some file systems do not tell them apart.
    """
    folded = unicodedata.normalize("NFC", key).casefold()
    safe = "".join(letter if _kept(letter) else "-" for letter in folded)
    safe = _shortened(re.sub(r"-{2,}", "-", safe).strip("-._"))
    if safe and safe == key and safe not in _RESERVED and not _HASHED.search(safe):
        return safe
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe or 'experiment'}-{digest}"


def _kept(letter: str) -> bool:
    # Letters, their marks (Devanagari vowels, accents) and digits of every script.
    return letter in "-_." or unicodedata.category(letter)[0] in "LMN"


def _shortened(name: str) -> str:
    return name.encode()[:_MAX_BYTES].decode("utf-8", "ignore").strip("-._")
