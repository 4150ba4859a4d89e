"""Neuron paths, drawn."""

from __future__ import annotations

from app.views.base import FigureView


class View(FigureView):
    """Shows `app.views.paths.state`."""
