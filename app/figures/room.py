"""How much of a panel's cell is left for its data, estimated before anything is drawn.

Titles, notes and legends are broken to this width, so a long text never squeezes its plot.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.figures.spec import Axes, Axis
from app.figures.ticks import elide

CHARACTER = 0.6
"""Mean width of a character, in parts of the font size (DejaVu Sans; bold 0.7)."""
TICK = 7.0
LONGEST_X, LONGEST_Y = 22, 26
"""Characters of a tick text that are shown."""
_BAR = 48.0
"""A colour bar with its ticks and label, in points."""


@dataclass(frozen=True)
class Room:
    """Sizes in points: the data area, and the width from its left edge to the panel's right."""

    width: float
    height: float
    across: float


def room_of(panel: Axes, width: float, height: float, bars: int) -> Room:
    """Room in a cell of `width` × `height` points with `bars` colour bars."""
    left = 8.0 + (12.0 if panel.y.label else 0.0) + _ticks(panel.y, LONGEST_Y)
    across = max(width - left - 8.0, 24.0)
    below = 24.0 + (11.0 if panel.x.label else 0.0) + (11.0 if panel.note else 0.0)
    above = 6.0 + (12.0 if panel.title else 0.0) + (11.0 if panel.legend else 0.0)
    return Room(max(across - bars * _BAR, 20.0), max(height - below - above, 20.0), across)


def _ticks(axis: Axis, limit: int) -> float:
    if axis.ticks is None:
        return 22.0
    return max((len(elide(t, limit)) for _, t in axis.ticks), default=0) * CHARACTER * TICK
