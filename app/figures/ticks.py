"""How tick texts are fitted into the room that an axis has."""

from __future__ import annotations

from collections.abc import Sequence


def elide(text: str, limit: int) -> str:
    """Shorten in the middle, so that both ends of a layer name stay readable."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    tail = limit - 1 - head
    return f"{text[:head]}…{text[len(text) - tail :]}"


def crowded(widths: Sequence[float], spacing: float, gap: float) -> bool:
    """Whether texts side by side, `spacing` apart, would touch."""
    return bool(widths) and max(widths) + gap > spacing


def thinning(spacing: float, height: float) -> int:
    """Show every how-manieth text, so that lines of `height` do not touch."""
    if spacing <= 0:
        return 1
    return max(1, -int(-height // spacing))
