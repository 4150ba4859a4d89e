"""What the marks on paper are drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.figures.spec import Highlights, Theme

MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "cross": "X",
    "star": "*",
    "plus": "P",
}
DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (4, 2)),
    "dot": (0, (1, 1.5)),
    "dashdot": (0, (4, 1.5, 1, 1.5)),
}
VECTOR_POINTS = 5_000
"""Clouds above this size are rasterised inside the vector frame."""
POINT = 0.55
"""Size of a screen pixel of a marker in points on paper."""
STROKE = 0.75
"""Width of a screen pixel of a line in points on paper."""


@dataclass(frozen=True)
class Ink:
    """What drawing a mark needs to know besides the mark."""

    theme: Theme
    highlights: Highlights | None
    width: float
    height: float
    """Estimated size of the plot's area in points, to judge whether cell texts fit."""
