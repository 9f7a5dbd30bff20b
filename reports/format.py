"""Numbers as people read them: true minus signs, as many decimals as the interval deserves, "—" for null."""

import datetime as dt
import math
import re
from typing import TypeGuard

MISSING = "—"
_SHARES = frozenset({"conversion", "proportion", "retention", "funnel"})
_SMALLEST_P = 0.0001
_MAX_DECIMALS = 8
_SURE = 1e-4  # from where on a probability is told from 0 and 1
_EXACT = 10**15


class Scale:
    """How the values of one metric are written: a share as per cent, money with its currency, else plain."""

    def __init__(self, kind: str, unit: str | None) -> None:
        self.share = kind in _SHARES
        # "events" and "days" go without saying beside every number; a currency does not.
        self.money = not self.share and unit is not None and re.fullmatch(r"[A-Z]{3}", unit) is not None
        self.unit = f" {unit}" if self.money else ""

    def value(self, value: float | None) -> str:
        """A mean."""
        if not _finite(value):
            return MISSING
        if self.share:
            return percent(value)
        decimals = _decimals(abs(value), 2 if self.money else 3)
        return f"{_number(value, decimals)}{self.unit}"

    def difference(self, estimate: float | None, lower: float | None, upper: float | None) -> tuple[str, str]:
        """An absolute lift and its interval; shares in percentage points."""
        factor, unit = (100.0, " pp") if self.share else (1.0, self.unit)
        return _interval(estimate, lower, upper, factor=factor, unit=unit, least=2)


def lift(estimate: float | None, lower: float | None, upper: float | None) -> tuple[str, str]:
    """A relative lift and its interval, in per cent."""
    return _interval(estimate, lower, upper, factor=100.0, unit="%", least=1)


def percent(value: float | None) -> str:
    """A fraction as per cent, with at least two decimals and three significant digits."""
    if not _finite(value):
        return MISSING
    return f"{_number(100 * value, _decimals(abs(100 * value), 2))}%"


def probability(value: float | None) -> str:
    """A fraction as per cent with two decimals; never 0 or 100, which nothing ever is."""
    if _finite(value) and value < _SURE:
        return "< 0.01%"
    return "> 99.99%" if _finite(value) and value > 1 - _SURE else percent(value)


def plain_percent(value: float) -> str:
    """A setting, such as a margin or a level: no decimals that nobody wrote."""
    return f"{100 * value:.10g}%".replace("-", "−")


def count(value: float | None) -> str:
    """A count with thousands separators; an expected one that is not whole keeps a decimal."""
    return _number(value, 0 if float(value).is_integer() else 1) if _finite(value) else MISSING


def signed_count(value: float) -> str:
    """A difference of counts."""
    return _signed(value, 0 if float(value).is_integer() else 1)


def p_value(value: float | None) -> str:
    """A p-value: four decimals, three when it is large, and never 0."""
    if not _finite(value):
        return MISSING
    if value < _SMALLEST_P:
        return "< 0.0001"
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}"  # noqa: PLR2004


def raw(value: float | str | None) -> str:
    """Six significant digits, for the tables that experts read; text as it is."""
    if isinstance(value, str):
        return value
    if value is not None and float(value).is_integer() and abs(value) < _EXACT:
        return count(value)
    return f"{value:.6g}".replace("-", "−") if _finite(value) else MISSING


def day(value: dt.date | None) -> str:
    """A date in ISO form."""
    return value.isoformat() if value else MISSING


def _interval(
    estimate: float | None, lower: float | None, upper: float | None, *, factor: float, unit: str, least: int
) -> tuple[str, str]:
    """Both with the decimals that show two digits of the interval's width."""
    known = [factor * value for value in (lower, upper, estimate) if _finite(value)]
    if not known:
        return MISSING, MISSING
    width = max(known) - min(known) or abs(known[0])
    decimals = least if width == 0 else min(_MAX_DECIMALS, max(least, 1 - math.floor(math.log10(width))))

    # A bound beside zero must not be rounded onto it: that is what decides.
    while decimals < _MAX_DECIMALS and any(value and abs(value) < 0.5 * 10**-decimals for value in known):
        decimals += 1

    def text(value: float | None) -> str:
        return _signed(factor * value, decimals) + unit if _finite(value) else MISSING

    if not _finite(lower) and not _finite(upper):
        return text(estimate), MISSING
    low = text(lower) if _finite(lower) else "−∞"
    high = text(upper) if _finite(upper) else "∞"
    if unit.startswith(" "):  # a word is written once, a sign on both sides
        low = low.removesuffix(unit)
        high = high if high.endswith(unit) else high + unit
    return text(estimate), f"{low} to {high}"


def _signed(value: float, decimals: int) -> str:
    text = _number(value, decimals)
    return text if text.startswith("−") or not text.strip("0.") else f"+{text}"


def _number(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    if text.startswith("-") and not text.strip("-0.,"):
        text = text[1:]  # a rounded zero has no sign
    return text.replace("-", "−")


def _decimals(size: float, least: int) -> int:
    """Decimals that leave three significant digits, at least `least` below a hundred."""
    if size == 0:
        return least
    return min(_MAX_DECIMALS, max(least, 2 - math.floor(math.log10(size))))


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
