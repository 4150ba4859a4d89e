"""The open study as the window sees it: its models and data, loaded, and what changes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import platformdirs
import torch
from PySide6.QtCore import QObject, Signal, Slot

from analysis.data import open_data
from analysis.data.dataset import Data, Dataset
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning import Prune, Recipe, pruned_model
from analysis.pruning.estimate import Budget, Estimate, check
from analysis.pruning.permanent import make_permanent
from analysis.request import Compute, Report
from analysis.study import Study
from app import opening
from app.answers import device_of
from app.demo import demo_study
from app.jobs import URGENT, USER, Job, Jobs
from app.notifications import Message, message_of
from app.scene import Style, style_of

DEMO_FOLDER = platformdirs.user_data_path("espalier") / "demo"


PERMANENT_IMAGES = 64
"""Evaluation images on which a network made smaller is compared with the masked one."""


@dataclass(frozen=True, eq=False)
class PruneOrder:
    """What the form asks for. `contrast` is a source of images, opened on the worker."""

    base: Model
    recipe: Recipe
    sparsity: float | None
    seed: int
    companions: tuple[Model, ...] = ()
    contrast: str = ""

    def request(self, calibration: Dataset | None, compute: Compute) -> Prune:
        return Prune(
            self.base,
            self.recipe,
            self.sparsity,
            calibration,
            seed=self.seed,
            compute=compute,
            companions=self.companions,
        )

    def with_contrast(self, request: Prune) -> Prune:
        """The request with its second images, read now."""
        if not self.contrast or "contrast" not in self.recipe.needs:
            return request
        data = open_data(self.contrast, seed=self.seed, model=self.base)
        return replace(request, contrast=data.calibration)


def _estimated(request: Prune, budget: Budget) -> Estimate | ArgumentError:
    try:
        return check(request, budget)
    except ArgumentError as error:
        return error


class Documents(QObject):
    """Opens, adds, prunes, hides and renames; heavy work goes through the jobs.

    `opened`: another study. `models_changed`, `data_changed`: of this study. `model_added(model)`:
    a model came in by the user's wish. `told(message)`: something to say.
    """

    opened = Signal()
    models_changed = Signal()
    data_changed = Signal()
    model_added = Signal(object)
    told = Signal(object)
    estimated = Signal(object, object)

    def __init__(self, jobs: Jobs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs = jobs
        self._then: dict[Job, Callable[[Any], None]] = {}
        self.study = Study.temporary()
        self.models: dict[str, Model] = {}
        self.data: Data | None = None
        self._positions: dict[str, int] = {}
        self._hidden: set[str] = set()
        self._made_here: set[str] = set()
        """Keys of dense models that no file holds: networks that were made smaller."""
        jobs.finished.connect(self._finish)
        jobs.failed.connect(self._fail)
        jobs.cancelled.connect(self._forget)

    # ---------------------------------------------------------------- what there is

    def listed(self) -> list[Model]:
        """The models that are not removed, in the order they were added."""
        return [model for key, model in self.models.items() if key not in self._hidden]

    @property
    def unsaved(self) -> list[Model]:
        """The pruned models that would be lost with this study: it has no folder of its own."""
        if not self.study.is_temporary:
            return []
        return [m for m in self.listed() if not m.is_dense or m.key in self._made_here]

    def style(self, key: str) -> Style:
        """Colour, marker and dash of a model, for life."""
        return style_of(self._positions.get(key, len(self._positions)))

    def base_of(self, model: Model) -> Model | None:
        """The dense model that a pruned one was made from, when the study holds it."""
        return None if model.origin is None else self.models.get(model.origin.base)

    # ---------------------------------------------------------------- studies

    def open_study(self, folder: str, then: Callable[[], None] | None = None) -> None:
        """Leave this study for another one; `then` is called when that is open."""
        name = Path(folder).name

        def opened(new: opening.OpenedStudy) -> None:
            self._replace(new)
            if then is not None:
                then()

        self._run(f"Open {name}", lambda report: opening.load_study(Study.open(folder)), opened)

    def open_demo(self) -> None:
        """The study that comes with the program: made when it is not there yet, then opened."""
        self._run(
            "Open the demo study",
            lambda report: opening.load_study(demo_study(DEMO_FOLDER, report)),
            self._replace,
        )

    def new_study(self) -> None:
        """Leave this study for an empty, unsaved one."""
        self._replace(opening.OpenedStudy(Study.temporary(), (), None))

    def save_as(self, folder: str) -> None:
        """Copy the study to a folder and go on there."""
        study = self.study
        self._run(f"Save {Path(folder).name}", lambda report: study.save_as(folder), self._saved)

    def _replace(self, new: opening.OpenedStudy) -> None:
        old, self.study = self.study, new.study
        self._jobs.cancel_all()
        self.models = {model.key: model for model in new.models}
        self.data = new.data
        self._read_entries()
        self.opened.emit()
        old.close()
        for problem in new.problems:
            self.told.emit(Message("warning", problem))

    def _saved(self, nothing: None) -> None:
        self.told.emit(Message("success", f"The study is saved in {self.study.folder}."))
        self.models_changed.emit()

    # ---------------------------------------------------------------- models and data

    def open_model(self, source: str) -> None:
        """Add a checkpoint (a path, or "demo:resnet") to the study."""
        study = self.study
        name = source if source.startswith("demo:") else Path(source).name
        # The study is asked for its data on the worker: those dropped together came first.
        self._run(
            f"Open {name}",
            lambda report: (study, *opening.add_model(study, source)),
            self._added,
        )

    def open_data(self, source: str) -> None:
        """Make a data source the study's."""
        study = self.study
        self._run(
            f"Open {Path(source).name}",
            lambda report: (study, opening.set_data(study, source)),
            self._data_opened,
        )

    def prune(self, order: PruneOrder, compute: Compute, budget: Budget) -> Job:
        """Prune in the background; the result joins the study. Jobs above the budget fail."""
        study = self.study
        calibration = self.data.calibration if self.data and order.recipe.needs else None
        request = order.request(calibration, compute)

        def work(report: Report) -> tuple[Study, Model, None, tuple[str, ...]]:
            complete = order.with_contrast(request)
            check(complete, budget)
            pruned = study.compute(complete, report)
            return study, study.add_model(pruned_model(order.base, pruned, complete)), None, ()

        return self._run(request.title, work, self._added, USER, device_of(request))

    def make_permanent(self, model: Model) -> Job:
        """Cut out of a pruned model what is zero as a whole; the result joins the study."""
        study = self.study
        images = None
        if self.data is not None:
            images = torch.from_numpy(self.data.evaluation.images[:PERMANENT_IMAGES])

        def work(report: Report) -> tuple[Study, Model, tuple[str, ...]]:
            found = make_permanent(model, images, report)
            return study, study.add_model(found.model), found.notes

        title = f"Make {model.name} permanent"
        return self._run(title, work, self._made_permanent, USER)

    def estimate(self, order: PruneOrder, compute: Compute, budget: Budget) -> None:
        """Work out what a job would take; `estimated` carries the order and the answer."""
        calibration = self.data.calibration if self.data and order.recipe.needs else None
        request = order.request(calibration, compute)
        job = self._jobs.submit(
            lambda report: _estimated(request, budget),
            title="Estimate",
            lane="estimate",
            priority=URGENT,
            device=device_of(request),
            quiet=True,
        )
        self._then[job] = partial(self.estimated.emit, order)

    def hide(self, key: str, hidden: bool) -> None:
        """Take a model out of the lists, or bring it back."""
        self.study.hide_model(key, hidden)
        self._read_entries()
        self.models_changed.emit()

    def rename(self, key: str, name: str) -> None:
        self.study.rename_model(key, name)
        self.models[key] = self.models[key].renamed(name)
        self.models_changed.emit()

    def close(self) -> None:
        """The window closes; an unsaved study goes."""
        self.study.close()

    def _added(self, result: tuple[Study, Model, Data | None, tuple[str, ...]]) -> None:
        study, model, data, remarks = result
        if study is not self.study:
            return
        self.models[model.key] = model
        self._read_entries()
        if data is not None and data is not self.data:
            self.data = data
            self.data_changed.emit()
        if remarks:
            text = f"{model.name} opened, but not every tensor matched."
            self.told.emit(Message("warning", text, "\n".join(remarks)))
        self.model_added.emit(model)

    def _made_permanent(self, result: tuple[Study, Model, tuple[str, ...]]) -> None:
        study, model, notes = result
        self._made_here.add(model.key)
        self._added((study, model, None, ()))
        if study is self.study and notes:
            self.told.emit(
                Message("info", f"{model.name}: a part stays as it is.", "\n".join(notes))
            )

    def _data_opened(self, result: tuple[Study, Data]) -> None:
        study, data = result
        if study is self.study:
            self.data = data
            self.data_changed.emit()

    def _read_entries(self) -> None:
        entries = self.study.entries()
        self._positions = {entry.key: entry.position for entry in entries}
        self._hidden = {entry.key for entry in entries if entry.hidden}

    # ---------------------------------------------------------------- jobs

    def _run(
        self,
        title: str,
        work: Callable[[Report], Any],
        done: Callable[[Any], None],
        priority: int = URGENT,
        device: str = "cpu",
    ) -> Job:
        job = self._jobs.submit(work, title=title, priority=priority, device=device)
        self._then[job] = done
        return job

    @Slot(object, object)
    def _finish(self, job: Job, result: object) -> None:
        done = self._then.pop(job, None)
        if done is not None:
            done(result)

    @Slot(object, object)
    def _fail(self, job: Job, error: Exception) -> None:
        if self._then.pop(job, None) is not None:
            self.told.emit(message_of(error, job.title))

    @Slot(object)
    def _forget(self, job: Job) -> None:
        self._then.pop(job, None)
