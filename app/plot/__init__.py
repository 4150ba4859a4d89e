"""Figures on screen: the only place that touches pyqtgraph, typed at its rim."""

from __future__ import annotations

from app.plot.canvas import FigureCanvas
from app.plot.gestures import Tool

__all__ = ["FigureCanvas", "Tool"]
