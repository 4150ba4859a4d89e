"""A study is the document: a folder that holds models, masks, results and what was looked at.

    study.sqlite     index: WAL, STRICT tables, versioned schema
    objects/         arrays and tensors, named by the sha-256 of their content

Nothing is recorded before its arrays are safely on disk, so a killed process loses at most the
step it was in. All methods may be called from any thread, and several processes may share a study.

    >>> with Study.create(folder, "ResNet-20 at 80 %") as study:          # doctest: +SKIP
    ...     study.add_model(model)
    ...     evaluation = study.compute(Evaluate(model, study.set_data("digits").evaluation))
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, TypeVar

from analysis.data.dataset import Data
from analysis.devices import careful
from analysis.errors import InputError
from analysis.models import Model
from analysis.request import Report, Request, silent
from analysis.study.clock import code_version, now
from analysis.study.data import DataInfo, DataSlot, open_source, resolved
from analysis.study.folder import INDEX, OBJECTS, empty, existing, is_study, writing
from analysis.study.index import Index
from analysis.study.models import ModelEntry, ModelTable
from analysis.study.objects import ObjectStore
from analysis.study.results import ResultTable

R = TypeVar("R")


class Study:
    """An open study. Make one with `create`, `open` or `temporary`; `close` it after use."""

    def __init__(self, folder: Path, *, is_temporary: bool = False) -> None:
        self.is_temporary = is_temporary
        # Nothing is recorded while the study moves to another folder.
        self._moving = threading.RLock()
        self.folder = folder
        self._index = Index(folder / INDEX)
        self._objects = ObjectStore(folder / OBJECTS)
        self._models = ModelTable(self._index, self._objects)
        self._results = ResultTable(self._index, self._objects)
        self._data = DataSlot(self._index)

    @classmethod
    def create(cls, folder: str | os.PathLike[str], name: str = "") -> Study:
        """Start a study in a new or empty folder; a study that is there already is opened.

        InputError when the folder holds anything else or cannot be written.
        """
        if is_study(Path(folder).absolute()):
            return cls.open(folder)
        path = empty(folder)
        study = cls(path)
        study._describe(name or path.name)
        return study

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Study:
        """Open a study (its folder, or the study.sqlite in it).

        InputError when there is none, when it is damaged, or when a newer Espalier wrote it.
        """
        study = cls(existing(folder))
        study.collect_garbage()
        return study

    @classmethod
    def temporary(cls, name: str = "Untitled") -> Study:
        """A study in a temporary folder, deleted by `close` unless `save_as` moved it."""
        study = cls(Path(tempfile.mkdtemp(prefix="espalier-")), is_temporary=True)
        study._describe(name)
        return study

    def save_as(self, folder: str | os.PathLike[str]) -> None:
        """Copy the study to a new or empty folder and go on there."""
        old, was_temporary = self.folder, self.is_temporary
        name = self.name if not was_temporary else Path(folder).absolute().name
        if Path(folder).absolute() == old:
            return
        with self._moving:
            target = _copied(self._index, self._objects, folder)
            self._index.move_to(target / INDEX)
            self._objects.folder = target / OBJECTS
            self.folder = target
        self.is_temporary = False
        self.name = name
        if was_temporary:
            shutil.rmtree(old, ignore_errors=True)

    def close(self) -> None:
        """Close the index; a study that was never saved is deleted."""
        self._index.close()
        if self.is_temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ---------------------------------------------------------------- name and state

    @property
    def name(self) -> str:
        row = self._index.row("SELECT value FROM about WHERE name = 'name'")
        return self.folder.name if row is None else str(row["value"])

    @name.setter
    def name(self, value: str) -> None:
        with self._index.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO about VALUES ('name', ?)", (value,))

    def get_state(self, name: str, default: Any = None) -> Any:
        """A JSON value that the window keeps (selection, layout), or `default`."""
        row = self._index.row("SELECT value FROM state WHERE name = ?", name)
        return default if row is None else json.loads(row["value"])

    def set_state(self, name: str, value: Any) -> None:
        text = json.dumps(value)
        with self._index.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, text))

    # ---------------------------------------------------------------- models

    @property
    def problems(self) -> dict[str, str]:
        """Name of each model that could not be loaded by the last `models()` -> why."""
        return dict(self._models.problems)

    def add_model(self, model: Model) -> Model:
        """Keep a model (once) and return it as the study holds it, on shared base tensors."""
        with self._moving, writing(self.folder):
            self._models.add(model)
        return next((m for m in self.models() if m.key == model.key), model)

    def models(self) -> tuple[Model, ...]:
        """All models in the order they were added; those that cannot be read are in `problems`."""
        return self._models.all()

    def model(self, key: str) -> Model:
        """One model; KeyError when the study does not hold it."""
        return {model.key: model for model in self.models()}[key]

    def entries(self) -> tuple[ModelEntry, ...]:
        """Name, style position, base and hidden flag of every model, without loading any."""
        return self._models.entries()

    def position(self, key: str) -> int:
        """Style position of a model, for life: 0 is the dense reference. KeyError when absent."""
        return {entry.key: entry.position for entry in self.entries()}[key]

    def remove_model(self, key: str) -> None:
        """Forget a model. Results stay: adding it again finds them."""
        self._models.remove(key)

    def rename_model(self, key: str, name: str) -> None:
        self._models.change(key, "name", name)

    def hide_model(self, key: str, hidden: bool = True) -> None:
        self._models.change(key, "hidden", int(hidden))

    # ---------------------------------------------------------------- results

    def find(self, key: str) -> Any | None:
        """The complete result of the request with this key, or None (also when damaged)."""
        return self._results.find(key)

    def find_partial(self, key: str) -> Any | None:
        """What `record(..., complete=False)` kept of an unfinished request, or None."""
        return self._results.find(key, complete=False)

    def record(
        self, request: Request[R], result: R, seconds: float = 0.0, *, complete: bool = True
    ) -> None:
        """Keep a result under its request's key, with parameters, time and code version."""
        with self._moving, writing(self.folder):
            self._results.record(request, result, seconds, complete)

    def compute(self, request: Request[R], report: Report = silent) -> R:
        """The result of a request: looked up, else computed and recorded."""
        found = self.find(request.key)
        if found is not None:
            return found  # type: ignore[no-any-return]
        start = time.perf_counter()
        result = careful(request, report)
        self.record(request, result, time.perf_counter() - start)
        return result

    def provenance(self, key: str) -> dict[str, Any] | None:
        """Analysis, version, parameters, time, seconds and code of a result."""
        return self._results.provenance(key)

    def result_keys(self, analysis: str | None = None) -> tuple[str, ...]:
        """Keys of all complete results, or of those of one analysis."""
        return self._results.keys(analysis)

    # ---------------------------------------------------------------- data

    @property
    def data(self) -> Data | None:
        """Evaluation and calibration images, opened when first asked for; None = none chosen.

        InputError when they are gone or are not the same images any more.
        """
        info = self.data_info
        return None if info is None else self._data.get(self._first_listed())

    @property
    def data_info(self) -> DataInfo | None:
        """What `set_data` was told, without opening anything."""
        return self._data.info

    def set_data(
        self,
        source: str | os.PathLike[str],
        *,
        seed: int = 0,
        limit: int | None = None,
        calibration_size: int = 256,
    ) -> Data:
        """Open data and make them those of the study (the source is kept, not the images)."""
        place = resolved(os.fspath(source))
        data = open_source(place, seed, limit, calibration_size, self._first_listed())
        self._data.set(place, data, seed, limit, calibration_size)
        return data

    # ---------------------------------------------------------------- folder

    def collect_garbage(self, older_than: float = 86400.0) -> int:
        """Delete objects that nothing refers to and that are older than so many seconds."""
        return self._objects.collect(self._index.objects_used(), older_than)

    def _first_listed(self) -> Model | None:
        """The model that data are read for: those that were hidden may need others."""
        hidden = {entry.key for entry in self.entries() if entry.hidden}
        return next((model for model in self.models() if model.key not in hidden), None)

    def _describe(self, name: str) -> None:
        rows = (("name", name), ("created", now()), ("code", code_version()))
        with self._index.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", rows)


def _copied(index: Index, objects: ObjectStore, folder: str | os.PathLike[str]) -> Path:
    """Copy what an index refers to into a new study in a new or empty folder."""
    with Study.create(folder) as copy:
        if copy.entries() or copy.result_keys():
            raise InputError(
                copy.folder, "Another study is saved here.", "Choose a new or empty folder."
            )
        with writing(copy.folder):
            for name in index.objects_used():
                objects.copy(name, ObjectStore(copy.folder / OBJECTS))
    return copy.folder
