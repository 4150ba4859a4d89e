"""A scene: the selection resolved to models and data. It is all that a view is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.data.dataset import Dataset
from analysis.errors import ArgumentError, InputError
from analysis.models import Model
from app.figures.spec import Dash, Highlights, Marker
from app.selection import SelectionState

if TYPE_CHECKING:
    from analysis.study import Study

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

    @property
    def highlights(self) -> Highlights:
        """What is selected, as figures highlight it."""
        state = self.selection
        chosen: Highlights = {
            "sample": frozenset(state.samples),
            "class": frozenset(state.classes),
            "unit": frozenset(state.units),
            "layer": frozenset({state.layer} - {""}),
            "cell": frozenset(
                {f"{state.corruption}:{state.severity}:{state.focus}"} if state.corruption else ()
            ),
        }
        return {entity: ids for entity, ids in chosen.items() if ids}


def default_reference(focus: Model | None, models: Mapping[str, Model]) -> Model | None:
    """What the model in focus is compared with unless the user says otherwise: the dense model it
    was pruned from, itself when it is dense, else the first dense model there is."""
    if focus is not None:
        if focus.is_dense:
            return focus
        if focus.origin is not None and focus.origin.base in models:
            return models[focus.origin.base]
    return next((m for m in models.values() if m.is_dense), focus)


def scene_of(study: Study, selection: SelectionState | Mapping[str, Any] | None = None) -> Scene:
    """The scene of a study: `selection` resolved to its models and data.

    None, or a selection without models, shows every model that is not hidden. The selection of the
    scene has its models, reference and focus filled in.

    Raises
    ------
    InputError when the study has no data; ArgumentError for a field that no selection has.
    """
    if isinstance(selection, Mapping):
        try:
            selection = SelectionState(**selection)
        except TypeError as error:
            raise ArgumentError(f"selection: {error}") from error
    selection = selection or SelectionState()
    data = study.data
    if data is None:
        raise InputError(study.folder, "The study has no data.", "Choose evaluation data first.")
    entries = {entry.key: entry for entry in study.entries()}
    models = {model.key: model for model in study.models()}
    wanted = selection.models or tuple(k for k in models if not entries[k].hidden)
    visible = tuple(models[key] for key in wanted if key in models)
    focus = models.get(selection.focus, visible[-1] if visible else None)
    reference = models.get(selection.reference) or default_reference(focus, models)
    return Scene(
        models=visible,
        styles={key: style_of(entry.position) for key, entry in entries.items()},
        reference=reference,
        focus=focus,
        evaluation=data.evaluation,
        calibration=data.calibration,
        selection=replace(
            selection,
            models=tuple(model.key for model in visible),
            reference=reference.key if reference else "",
            focus=focus.key if focus else "",
        ),
    )
