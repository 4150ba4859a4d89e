"""What the user's paths are, and the work of opening them (called on the worker thread)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from analysis.checkpoints import open_model
from analysis.data import check_fits, open_data
from analysis.data.dataset import Data
from analysis.errors import InputError
from analysis.models import Model
from analysis.study import Study

Kind = Literal["study", "model", "data"]

CHECKPOINTS = (".safetensors", ".pt", ".pth", ".th", ".ckpt", ".bin", ".tar", ".pkl")
_DATA = (".npz", ".npy", ".gz", ".idx")
_MODEL_FILES = ("model.safetensors", "pytorch_model.bin", "config.json")


def kind_of(source: str) -> Kind:
    """Study, model or data; by content for folders, by name for files (readers check the rest)."""
    if source.startswith("demo:"):
        return "model"
    if source == "digits":
        return "data"
    path = Path(source)
    if path.is_dir():
        if (path / "study.sqlite").is_file():
            return "study"
        return "model" if any((path / name).is_file() for name in _MODEL_FILES) else "data"
    if path.name == "study.sqlite":
        return "study"
    if path.suffix.lower() in _DATA or "ubyte" in path.name:
        return "data"
    return "model"


@dataclass(frozen=True, eq=False)
class OpenedStudy:
    """A study with what it holds, loaded. `problems`: one line for each thing that is missing."""

    study: Study
    models: tuple[Model, ...]
    data: Data | None
    problems: tuple[str, ...] = ()


def load_study(study: Study) -> OpenedStudy:
    """Load a study's models and data; what cannot be loaded is a problem, not an error."""
    models = study.models()
    problems = [f"{name}: {why}" for name, why in study.problems.items()]
    data = None
    try:
        data = study.data
    except InputError as error:
        problems.append(str(error))
    return OpenedStudy(study, models, data, tuple(problems))


def add_model(study: Study, source: str) -> tuple[Model, Data | None, tuple[str, ...]]:
    """Open a checkpoint into the study; a demo model brings its data when there are none.

    Returns the model, the study's data, and what the load report found remarkable. InputError
    when the model cannot be read or does not fit the study's data.
    """
    model, report = open_model(source)
    try:
        data = study.data
    except InputError:  # they are gone: told when the study was opened
        data = None
    if data is not None:
        check_fits(model, data.evaluation)
    model = study.add_model(model)
    if data is None and source.startswith("demo:"):
        data = study.set_data("digits")
    return model, data, remarks(report)


def remarks(report: Any) -> tuple[str, ...]:
    """Lines about tensors that a checkpoint lacks, has too many of, or has in other shapes."""
    lines = []
    for name in ("missing", "unexpected", "mismatched"):
        tensors = tuple(getattr(report, name, ()))
        if tensors:
            lines.append(f"{len(tensors)} {name}: {', '.join(map(str, tensors[:8]))}")
    return tuple(lines)


def set_data(study: Study, source: str) -> Data:
    """Make `source` the study's data, when it fits all listed models. InputError otherwise."""
    hidden = {entry.key for entry in study.entries() if entry.hidden}
    models = [model for model in study.models() if model.key not in hidden]
    if models:  # looked at before anything is recorded: the study keeps its data on an error
        data = open_data(source, model=models[0])
        for model in models:
            check_fits(model, data.evaluation)
    return study.set_data(source)
