"""Whether images can be shown to a model."""

from __future__ import annotations

from analysis.data.dataset import Dataset
from analysis.errors import InputError
from analysis.models import Model


def check_fits(model: Model, data: Dataset) -> None:
    """Raise InputError when size, channels or classes of `data` are not those of `model`."""
    channels, height, width = model.architecture.input_shape
    found = tuple(data.images.shape[1:])
    if found[:2] != (height, width):
        raise InputError(
            data.name,
            f"Its images are {found[0]}×{found[1]} pixels, {model.name} takes {height}×{width}.",
            "Resize them, or choose a model made for this size.",
        )
    if found[2] != channels:
        raise InputError(
            data.name,
            f"Its images are {_colour(found[2])}, {model.name} takes {_colour(channels)}.",
            "Convert them, or choose another model.",
        )
    _check_classes(model, data)


def _check_classes(model: Model, data: Dataset) -> None:
    wrong = "Choose the data that the model was trained for."
    largest = int(data.labels.max()) if len(data) else -1
    if largest >= model.num_classes:
        problem = f"It has labels up to {largest}, {model.name} has {model.num_classes} classes"
        raise InputError(data.name, f"{problem} (0 to {model.num_classes - 1}).", wrong)
    if len(data.classes) == model.num_classes:
        if set(data.classes) == set(model.classes) and data.classes != model.classes:
            problem = f"Its classes are those of {model.name} in another order: label 0 is "
            problem += f"{data.classes[0]!r}, the model's output 0 is {model.classes[0]!r}."
            raise InputError(data.name, problem, "Number the labels as the model does.")
    elif len(data.classes) > model.num_classes or not _only_numbers(data.classes):
        # Fewer named classes get other label numbers than those the model was trained with.
        problem = f"It has {len(data.classes)} classes, {model.name} has {model.num_classes}."
        raise InputError(data.name, problem, wrong)


def _only_numbers(classes: tuple[str, ...]) -> bool:
    return classes == tuple(str(label) for label in range(len(classes)))


def _colour(channels: int) -> str:
    return {1: "grey (1 channel)", 3: "RGB (3 channels)"}.get(channels, f"of {channels} channels")
