"""A scene: the selection resolved to models and data. It is all that a view is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.data.dataset import Dataset
from analysis.models import Model
from app.figures.spec import Dash, Marker
from app.selection import SelectionState

OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2", "#F0E442")
_MARKERS: tuple[Marker, ...] = ("square", "triangle", "diamond", "cross", "star", "plus")
_DASHES: tuple[Dash, ...] = ("dash", "dot", "dashdot")


@dataclass(frozen=True)
class Style:
    """How a model looks in every view, for life."""

    colour: str
    marker: Marker
    dash: Dash


def style_of(position: int) -> Style:
    """Style of a model: position 0 is neutral ink (dense), then Okabe-Ito colours in order."""
    if position == 0:
        return Style("ink", "circle", "solid")
    index = position - 1
    return Style(
        OKABE_ITO[index % len(OKABE_ITO)],
        _MARKERS[index % len(_MARKERS)],
        _DASHES[index % len(_DASHES)],
    )


@dataclass(frozen=True, eq=False)
class Scene:
    """What the views look at.

    Attributes
    ----------
    models: the visible models, in order.
    styles: colour, marker and dash by model key.
    reference: the model differences refer to.
    focus: the model whose details are shown.
    evaluation: images that numbers are computed on; `selection.samples` index into it.
    calibration: images that criteria may look at.
    """

    models: tuple[Model, ...]
    styles: Mapping[str, Style]
    reference: Model | None
    focus: Model | None
    evaluation: Dataset
    calibration: Dataset
    selection: SelectionState

    @property
    def samples(self) -> np.ndarray:
        """int64 indices of the selected samples."""
        return np.asarray(self.selection.samples, dtype=np.int64)
