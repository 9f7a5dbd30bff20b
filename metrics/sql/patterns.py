"""RE2 patterns in Java's words, for Spark: found in the same texts, or refused.

What is translated is what both understand, with the differences taken out. `$` is the end of the text in RE2
and may be a line's in Java, `.` leaves out one line end or five, white space is five characters or six, a
word's edge looks at ASCII or at all letters. Everything rarer (flags inside a pattern, classes by name) is
refused.
"""

import re

from metrics.model import MetricsError

_SPACE = r"\t\n\f\r "
_EDGE = r"(?:(?<=\w)(?!\w)|(?<!\w)(?=\w))"
_OUTSIDE = {"$": r"\z", r"\s": f"[{_SPACE}]", r"\S": f"[^{_SPACE}]", r"\b": _EDGE, r"\z": r"\z", r"\A": r"\A"}
_INSIDE = {r"\s": _SPACE}
_SAME = r"\\[dDwW\\./+*?()\[\]{}^$|\-tnrf]"
_TOKEN = re.compile(
    rf"""(?P<same>{_SAME}|\(\?:|\{{[0-9]+(,[0-9]*)?\}}|[^\\\[\]{{}}$(])|(?P<group>\((?!\?))"""
    r"""|(?P<other>\\[sSbzA]|\$)|(?P<set>\[(?!\]|\^\]))""",
    re.DOTALL,
)
_IN_SET = re.compile(rf"(?P<same>{_SAME}|[^\\\[\]&])|(?P<other>\\s)|(?P<end>\])", re.DOTALL)


def java_pattern(pattern: str) -> str:
    """The pattern for `java.util.regex`.

    Raises:
        MetricsError: it may be found in other texts there.
    """
    ignores_case = pattern.startswith("(?i)")
    rest = pattern.removeprefix("(?i)")
    if ignores_case and not rest.isascii():
        raise _refusal(pattern, "(?i) with letters outside ASCII")
    written, place = ["(?diu)" if ignores_case else "(?d)"], 0
    while place < len(rest):
        token = _TOKEN.match(rest, place)
        if token is None:
            raise _refusal(pattern, rest[place : place + 4])
        place = token.end()
        if token["set"]:
            content, place = _set(pattern, rest, place)
            written.append(content)
        else:
            written.append(_OUTSIDE[token[0]] if token["other"] else token[0])
    return "".join(written)


def _set(pattern: str, text: str, place: int) -> tuple[str, int]:
    """A class in brackets, from behind its first one, and where it ends."""
    written = ["["]
    while (token := _IN_SET.match(text, place)) is not None:
        place = token.end()
        if token["end"]:
            return "".join([*written, "]"]), place
        written.append(_INSIDE[token[0]] if token["other"] else token[0])
    raise _refusal(pattern, text[place : place + 4])


def _refusal(pattern: str, what: str) -> MetricsError:
    return MetricsError(
        f'op "matches" with the pattern {pattern!r}: Spark may read {what!r} otherwise than DuckDB; write it '
        'with plain classes such as [a-z], or use engine = "duckdb"'
    )
