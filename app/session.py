"""The session: it joins study, jobs, selection and views, and computes nothing itself.

selection, models, data ──30 ms──► Scene ──► Stage: each visible view's requests ──► Answers
                                                    ▲                                   │
a view picks ──► Selection.set (undoable)           └───────── show_scene ◄── results ──┘
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import partial
from typing import Any

from pydantic import ValidationError
from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtWidgets import QWidget

from analysis.devices import default_device
from analysis.evaluate import Evaluate, Evaluation
from analysis.models import Model
from analysis.pruning.accounting import Account, Accounting
from analysis.pruning.estimate import Budget
from analysis.request import Compute, Request
from app import opening
from app.answers import Answers
from app.documents import Documents, PruneOrder
from app.history import Listing, restored_selection
from app.jobs import Jobs
from app.linking import Selection, describe_pick, pick
from app.notifications import message_of
from app.scene import Scene, default_reference
from app.selection import SelectionState
from app.stage import Stage

SETTLE_MS = 30
REMEMBER_MS = 800
MODELS = "models"
"""The consumer of answers that is no view: accuracies for the models tree."""


class Session(QObject):
    """Everything behind the window.

    `scene_changed(scene | None)`: selection, models or data changed and settled.
    `evaluated`: accuracies came in. `restored`: another study is open. `told(message)`.
    """

    scene_changed = Signal(object)
    evaluated = Signal()
    restored = Signal()
    told = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.compute = Compute(device=default_device())
        self.jobs = Jobs(self)
        self.selection = Selection(self)
        self.answers = Answers(self.jobs, self)
        self.documents = Documents(self.jobs, self)
        self.stage = Stage(self.answers, self.compute, self)
        self._settle = _single_shot(self, SETTLE_MS, self.refresh)
        self._remember = _single_shot(self, REMEMBER_MS, self.remember)
        self.answers.reset(self.documents.study)
        self.documents.opened.connect(self._study_opened)
        self.documents.models_changed.connect(self._settle.start)
        self.documents.data_changed.connect(self._data_changed)
        self.documents.model_added.connect(self._model_added)
        self.documents.told.connect(self.told)
        self.selection.changed.connect(self._settle.start)
        self.stage.picked.connect(self._picked)
        self.stage.hovered.connect(self.selection.hover)
        self.selection.hovered.connect(self.stage.show_hover)
        self.stage.options_changed.connect(self._remember.start)
        self.stage.told.connect(self.told)
        self.answers.ready.connect(self._answered)
        self.answers.failed.connect(self._failed)

    @property
    def scene(self) -> Scene | None:
        return self.stage.scene

    # ---------------------------------------------------------------- opening and pruning

    def open_paths(self, paths: Iterable[str]) -> None:
        """Open a study, then in it data and checkpoints, told apart by what they are."""
        kinds = {path: opening.kind_of(path) for path in paths}
        studies = [path for path, kind in kinds.items() if kind == "study"]
        data = [path for path, kind in kinds.items() if kind == "data"]
        models = [path for path, kind in kinds.items() if kind == "model"]
        if studies:  # opening it ends the jobs of this one: what belongs into it comes after
            self.documents.open_study(studies[-1], partial(self.open_paths, data + models))
            return
        for path in data:
            self.documents.open_data(path)
        for path in models:
            self.documents.open_model(path)

    def prune(self, order: PruneOrder, budget: Budget) -> None:
        """Start a pruning job, if its parts go together."""
        try:
            self.documents.prune(order, self.compute, budget)
        except ValueError as error:
            self.told.emit(message_of(error, "Prune"))

    def base(self) -> Model | None:
        """The dense model that "Prune" starts from: the focus, its base, or the first dense."""
        focus = self.documents.models.get(self.selection.state.focus)
        if focus is not None:
            return focus if focus.is_dense else self.documents.base_of(focus)
        return next((model for model in self.documents.listed() if model.is_dense), None)

    # ---------------------------------------------------------------- models

    def set_model_visible(self, key: str, visible: bool) -> None:
        """Show or do not show a model in the views."""
        state = self.selection.state
        shown = set(state.models) | {key} if visible else set(state.models) - {key}
        models = tuple(m.key for m in self.documents.listed() if m.key in shown)
        focus = "" if key == state.focus and not visible else state.focus
        verb, name = "Show" if visible else "Hide", self.documents.models[key].name
        self.change(f"{verb} {name}", models=models, focus=focus)

    def set_reference(self, key: str) -> None:
        """Differences refer to this model from now on."""
        self.change(f"Compare with {self.documents.models[key].name}", reference=key)

    def remove_models(self, keys: Iterable[str]) -> None:
        """Take models out of the study's lists; undo brings them back."""
        gone, state = tuple(keys), self.selection.state
        new = dataclasses.replace(
            state,
            models=tuple(key for key in state.models if key not in gone),
            focus="" if state.focus in gone else state.focus,
            reference="" if state.reference in gone else state.reference,
        )
        names = ", ".join(self.documents.models[key].name for key in gone)
        if gone:
            self.selection.undo_stack.push(
                Listing(self.documents, self.selection, (), gone, new, f"Remove {names}")
            )

    def evaluation(self, key: str) -> Evaluation | None:
        """The evaluation of a model on the study's data, when it is known."""
        result = self.answers.known(MODELS).get(key)
        complete = self.documents.data is not None and isinstance(result, Evaluation)
        return result if complete and result.n == len(self.documents.data.evaluation) else None

    def accounting(self, key: str) -> Accounting | None:
        """Parameters, multiply-adds and bytes of a model, when they are counted."""
        result = self.answers.known(MODELS).get(f"account:{key}")
        return result if isinstance(result, Accounting) else None

    @Slot(object)
    def _model_added(self, model: Model) -> None:
        state = self.selection.state
        models = (*(key for key in state.models if key != model.key), model.key)
        new = dataclasses.replace(state, models=models, focus=model.key)
        command = Listing(
            self.documents, self.selection, (model.key,), (), new, f"Add {model.name}"
        )
        self.selection.undo_stack.push(command)

    @Slot()
    def _data_changed(self) -> None:
        """Images are selected by their index: among other images it means others, in the history
        as well."""
        data = self.documents.data
        if self.scene and data and self.scene.evaluation.key != data.evaluation.key:
            state = self.selection.state
            self.selection.reset(dataclasses.replace(state, samples=(), subsets=(), classes=()))
        self._settle.start()

    # ---------------------------------------------------------------- selecting

    def change(self, text: str, gesture: str = "", **fields: Any) -> None:
        """Change fields of the selection, as one undo step called `text`."""
        self.selection.set(dataclasses.replace(self.selection.state, **fields), text, gesture)

    def pick(self, entity: str, ids: Iterable[int | str], mode: str = "replace") -> None:
        """Select what was clicked on, by the rule that holds everywhere."""
        new = pick(self.selection.state, entity, ids, mode)
        self.selection.set(new, describe_pick(entity, new))

    @Slot(str, str, object, str)
    def _picked(self, view: str, entity: str, ids: Any, mode: str) -> None:
        new = self.stage.special_pick(view, entity, ids)
        if new is None or self.scene is None:
            self.pick(entity, ids, mode)
        else:
            # The scene has reference and focus filled in: what the view left alone stays as it is.
            changed = _differences(self.scene.selection, new)
            self.selection.set(
                dataclasses.replace(self.selection.state, **changed), describe_pick(entity, new)
            )

    # ---------------------------------------------------------------- views

    def attach_view(self, name: str, widget: QWidget) -> None:
        """Feed a view from now on, with the options it had in this study."""
        self._restore_options(name, widget)
        self.stage.attach(name, widget)

    def set_visible_views(self, names: Iterable[str]) -> None:
        self.stage.set_visible(names)
        self._settle.start()

    @Slot()
    def refresh(self) -> None:
        """Resolve the scene, ask for what is missing, and show it."""
        self._settle.stop()
        scene = self._make_scene()
        self._ask_evaluations()
        self.stage.feed(scene)
        self.scene_changed.emit(scene)
        self._remember.start()

    def recompute(self) -> None:
        """Try again what failed or was cancelled."""
        self.answers.retry()
        self.refresh()

    def _make_scene(self) -> Scene | None:
        documents, state, data = self.documents, self.selection.state, self.documents.data
        listed = {model.key: model for model in documents.listed()}
        models = tuple(listed[key] for key in state.models if key in listed)
        if not models or data is None:
            return None
        focus = listed[state.focus] if state.focus in {m.key for m in models} else models[-1]
        reference = listed.get(state.reference) or default_reference(focus, listed) or models[0]
        styles = {key: documents.style(key) for key in documents.models}
        state = dataclasses.replace(
            state,
            models=tuple(model.key for model in models),
            reference=reference.key,
            focus=focus.key,
            samples=tuple(i for i in state.samples if i < len(data.evaluation)),
        )
        return Scene(models, styles, reference, focus, data.evaluation, data.calibration, state)

    def _ask_evaluations(self) -> None:
        wanted: dict[str, Request[Any]] = {}
        if self.documents.data is not None:
            images = self.documents.data.evaluation
            wanted = {m.key: Evaluate(m, images) for m in self.documents.listed()}
        wanted |= {f"account:{m.key}": Account(m) for m in self.documents.listed()}
        self.answers.ask(MODELS, self.stage.place(wanted))
        self.evaluated.emit()

    @Slot(str)
    def _answered(self, consumer: str) -> None:
        if consumer == MODELS:
            self.evaluated.emit()

    @Slot(object, object)
    def _failed(self, request: Request[Any], error: Exception) -> None:
        self.told.emit(message_of(error, request.title))

    # ---------------------------------------------------------------- remembering

    @Slot()
    def remember(self) -> None:
        """Write what is looked at into the study."""
        self._remember.stop()
        study = self.documents.study
        study.set_state("selection", dataclasses.asdict(self.selection.state))
        for name, view in self.stage.views().items():
            study.set_state(f"options:{name}", view.options.model_dump(mode="json"))

    def close(self) -> None:
        """Stop the jobs, remember, and close the study."""
        self._settle.stop()
        self.remember()
        self.jobs.shutdown(30)
        self.documents.close()

    @Slot()
    def _study_opened(self) -> None:
        study = self.documents.study
        self.answers.reset(study)
        for name, view in self.stage.views().items():
            self._restore_options(name, view)
        self.selection.reset(restored_selection(study.get_state("selection"), self.documents))
        self.restored.emit()
        self._settle.start()

    def _restore_options(self, name: str, view: Any) -> None:
        kept = self.documents.study.get_state(f"options:{name}")
        if kept is not None:
            try:
                view.options = type(view.options).model_validate(kept)
            except ValidationError:  # an older version had other options
                return


def _differences(old: SelectionState, new: SelectionState) -> dict[str, Any]:
    names = (field.name for field in dataclasses.fields(new))
    return {name: getattr(new, name) for name in names if getattr(new, name) != getattr(old, name)}


def _single_shot(owner: QObject, interval: int, slot: Any) -> QTimer:
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(interval)
    timer.timeout.connect(slot)
    return timer
