"""Round tick positions and their texts. Plain numbers, free of Qt."""

from __future__ import annotations

import math

Tick = tuple[float, str]

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def linear_ticks(low: float, high: float, count: int) -> list[Tick]:
    """About `count` ticks at multiples of 1, 2, 2.5 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    step = _step((high - low) / max(count, 1))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = [i * step for i in range(first, last + 1)]
    largest = max((abs(v) for v in values), default=0.0)
    if largest >= 1e6 or (0 < largest < 1e-4):
        return [(v, scientific(v)) for v in values]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, digits) != step and abs(round(step, digits) - step) > step * 1e-6:
        digits += 1
    return [(v, _plain(v, digits)) for v in values]


def log_ticks(low: float, high: float, count: int) -> list[Tick]:
    """Ticks of a log axis from 10**low to 10**high; positions are exponents."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    if last - first >= 1:
        every = max(1, math.ceil((last - first + 1) / max(count, 1)))
        return [(float(e), power_of_ten(e)) for e in range(first, last + 1) if e % every == 0]
    steps = linear_ticks(10**low, 10**high, count)
    return [(math.log10(value), text) for value, text in steps if value > 0]


def minor_log_ticks(low: float, high: float) -> list[float]:
    """Exponents of 2, 3, ... 9 times each power of ten, when few enough to tell apart."""
    if not (math.isfinite(low) and math.isfinite(high)) or high - low > 6:
        return []
    decades = range(math.floor(low), math.ceil(high) + 1)
    found = [e + math.log10(m) for e in decades for m in range(2, 10)]
    return [v for v in found if low <= v <= high]


def power_of_ten(exponent: int) -> str:
    """10⁻³, but 1, 10 and 100 as they are."""
    if 0 <= exponent <= 2:
        return str(10**exponent)
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def scientific(value: float) -> str:
    """1.5·10⁻⁵."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    factor = f"{value / 10**exponent:.2f}".rstrip("0").rstrip(".").replace("-", "−")
    power = f"10{str(exponent).translate(_SUPERSCRIPT)}"
    return power if factor == "1" else f"{factor}·{power}"


def _step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    share = raw / power
    nice = next(n for n in (1, 2, 2.5, 5, 10) if share <= n * (1 + 1e-9))
    return nice * power


def _plain(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}" if abs(value) >= 10_000 else f"{value:.{digits}f}"
    zero = float(text.replace(",", "")) == 0
    return text.lstrip("-") if zero else text.replace("-", "−")
