"""Pictures as plain data (`spec`), on paper (`render`), as data (`table`) and as a `script`.

`study_figure` makes the figure of a view from a study: what `espalier figure`, the scripts that
"Copy as Python" writes, and the tests call. Free of Qt; torch is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.figures.spec import Figure

if TYPE_CHECKING:
    from pydantic import BaseModel

    from analysis.request import Report
    from analysis.study import Study
    from app.selection import SelectionState

__all__ = ["Figure", "study_figure"]


def study_figure(
    study: Study,
    view: str,
    selection: SelectionState | Mapping[str, Any] | None = None,
    options: BaseModel | Mapping[str, Any] | None = None,
    report: Report | None = None,
) -> Figure:
    """The figure that the view named `view` shows of `study`; what is not stored yet is computed.

    Parameters
    ----------
    selection: what is selected; None = all models of the study and nothing else.
    options: the view's `Options`, or its fields; None = its defaults.
    report: called with the `Step`s of whatever must be computed.

    Raises
    ------
    ArgumentError for an unknown view or option; InputError when the study has no data.
    """
    from pydantic import ValidationError

    from analysis.errors import ArgumentError
    from analysis.request import silent
    from app.scene import scene_of
    from app.views import VIEWS

    if view not in VIEWS:
        raise ArgumentError(f"there is no view {view!r}; the views are {', '.join(VIEWS)}")
    state = VIEWS[view].state
    try:
        fields = options if isinstance(options, Mapping) else (options or state.Options())
        chosen = state.Options(**fields) if isinstance(fields, Mapping) else fields
    except ValidationError as error:
        raise ArgumentError(f"options of {view}: {error}") from error
    scene = scene_of(study, selection)
    answers: dict[str, Any] = {}
    while True:
        asked = state.requests(scene, chosen, answers)
        new = [label for label in asked if label not in answers]
        if not new:
            return state.figure(scene, chosen, answers)
        for label in new:
            answers[label] = study.compute(asked[label], report or silent)
