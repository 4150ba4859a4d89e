"""The one dict of views.

A view is a folder with `state.py`, free of Qt, and `view.py`, the widget. `state.py` holds

    Options                             pydantic model: what the view's controls set
    requests(scene, options, answers)   -> {label: Request}: what must be computed; called again
                                           with the answers, until nothing new is asked for
    figure(scene, options, answers)     -> Figure: what is drawn from whatever is answered so far

so the window, `espalier figure` and a test draw the same picture from the same numbers. `answers`
maps labels to results, to partial results, or lacks a label that is not computed yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class ViewEntry:
    """A view's name and texts; `state` and `widget` import it when asked."""

    name: str
    title: str
    help: str

    @property
    def state(self) -> Any:
        """The Qt-free module `app.views.<name>.state`."""
        return import_module(f"app.views.{self.name}.state")

    @property
    def widget(self) -> Any:
        """The QWidget subclass `app.views.<name>.view.View`."""
        return import_module(f"app.views.{self.name}.view").View


VIEWS: dict[str, ViewEntry] = {
    entry.name: entry
    for entry in (
        ViewEntry(
            "overview",
            "Overview",
            "Accuracy against sparsity, a line a recipe, with 95 % intervals. Click a point or a "
            "row to choose a model.",
        ),
        ViewEntry(
            "sensitivity",
            "Layer sensitivity",
            "How much accuracy falls when one layer alone is pruned. Click a cell to choose its "
            "layer.",
        ),
        ViewEntry(
            "geometry",
            "Feature geometry",
            "Where each image lies in the feature space, before and after pruning. Lasso images "
            "to select them everywhere.",
        ),
        ViewEntry(
            "paths",
            "Neuron paths",
            "The most influential unit of every layer, and what pruning cut.",
        ),
        ViewEntry(
            "robustness",
            "Robustness",
            "Accuracy on corrupted images. Click a cell to select the images that flip there.",
        ),
        ViewEntry(
            "weights",
            "Weights",
            "Weights and masks of the chosen layer.",
        ),
    )
}
