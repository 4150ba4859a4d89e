"""Words and colours that several views share. Free of Qt."""

from __future__ import annotations

import numpy as np

from analysis.architectures.architecture import PathLayer, PrunableLayer
from analysis.models import Model
from app.figures.spec import Figure
from app.scene import Scene

CLASS_COLOURS = (
    "#4e79a7",
    "#f28e2b",
    "#e15759",
    "#76b7b2",
    "#59a14f",
    "#b6992d",
    "#b07aa1",
    "#d37295",
    "#9c755f",
    "#79706e",
)
"""Ten hues of one lightness for classes; models keep Okabe-Ito and ink to themselves."""


def class_colour(index: int) -> str:
    return CLASS_COLOURS[index % len(CLASS_COLOURS)]


def nothing_open(title: str) -> Figure:
    return Figure(title, message="Open a checkpoint, or drop one on the window, to see it here.")


def percent(fraction: float, digits: int = 1) -> str:
    return f"{100 * fraction:.{digits}f} %"


def compared(scene: Scene) -> tuple[Model, ...]:
    """The reference first, then the focus when it is another model."""
    if scene.reference is None:
        return ()
    if scene.focus is None or scene.focus.key == scene.reference.key:
        return (scene.reference,)
    return (scene.reference, scene.focus)


def same_architecture(scene: Scene) -> tuple[Model, ...]:
    """As `compared`, for what is compared unit by unit: another architecture stands alone."""
    models = compared(scene)
    if len(models) == 2 and models[0].architecture is not models[1].architecture:
        return models[1:]
    return models


def colour_of(scene: Scene, model: Model) -> str:
    style = scene.styles.get(model.key)
    return style.colour if style else "ink"


def evaluation_rows(count: int, limit: int) -> np.ndarray:
    """Indices of at most `limit` images, evenly spread and always the same; 0 = all."""
    if limit <= 0 or limit >= count:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).round().astype(np.int64))


def producing_layer(path_layer: PathLayer, layers: tuple[PrunableLayer, ...], units: int) -> str:
    """The prunable layer whose units a path layer shows: `relu2` -> `conv2`, `act` -> `fc1`.

    Units are named by it, so a unit clicked in the paths is the same unit in the weights.
    """
    block, _, leaf = path_layer.name.rpartition(".")
    siblings = [
        layer
        for layer in layers
        if layer.name.rpartition(".")[0] == block and layer.shape[0] == units
    ]
    digits = "".join(ch for ch in leaf if ch.isdigit())
    for layer in siblings:
        if digits and layer.name.endswith(digits):
            return layer.name
    return siblings[0].name if siblings else path_layer.name
