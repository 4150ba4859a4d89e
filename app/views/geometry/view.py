"""Feature geometry, drawn: dragging draws a lasso from the start."""

from __future__ import annotations

from typing import ClassVar

from app.plot import Tool
from app.views.base import FigureView


class View(FigureView):
    """Shows `app.views.geometry.state`; images are there to be gathered."""

    tool: ClassVar[Tool] = "lasso"
