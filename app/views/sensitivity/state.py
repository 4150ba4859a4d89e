"""Which layers can be cut, and how far; and how far each model has cut them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis.models import Model
from analysis.request import Request
from analysis.sensitivity import Sensitivity, SensitivityMap
from app.figures.spec import Axes, Axis, Colouring, Figure, Line, Matrix
from app.scene import Scene
from app.views.common import evaluation_rows, nothing_open

TITLE = "Layer sensitivity"


class Options(BaseModel):
    """Controls of the view."""

    model_config = ConfigDict(frozen=True)

    measure: Literal["accuracy drop", "loss rise", "accuracy"] = Field(
        "accuracy drop", description="What a cell shows."
    )
    criterion: Literal["magnitude", "random"] = Field(
        "magnitude", description="Which weights of the layer go first."
    )
    images: int = Field(
        1000, ge=0, le=1_000_000, description="Evaluation images to use, evenly spread; 0 = all."
    )


def requests(
    scene: Scene, options: Options, answers: Mapping[str, Any]
) -> dict[str, Request[Any]]:
    if scene.reference is None:
        return {}
    rows = evaluation_rows(len(scene.evaluation), options.images)
    data = scene.evaluation
    if len(rows) < len(data):
        data = data.subset(rows, f"{data.name}, {len(rows)} images")
    return {"map": Sensitivity(scene.reference, data, criterion=options.criterion)}


def figure(scene: Scene, options: Options, answers: Mapping[str, Any]) -> Figure:
    if scene.reference is None:
        return nothing_open(TITLE)
    result: SensitivityMap | None = answers.get("map")
    if result is None:
        return Figure(TITLE, message=f"Pruning every layer of {scene.reference.name} by itself …")
    return Figure(
        TITLE,
        (_map(scene, options, result), _sparsities(scene, result)),
        column_widths=(5, 2),
    )


def _values(options: Options, result: SensitivityMap) -> tuple[np.ndarray, Colouring]:
    if options.measure == "loss rise":
        return result.loss - result.dense_loss, Colouring("cividis_r", None, "loss rise (nats)")
    if options.measure == "accuracy":
        return 100 * result.accuracy, Colouring("cividis", (0, 100), "accuracy (%)")
    drop = 100 * (result.dense_accuracy - result.accuracy)
    top = max(1.0, float(np.nanmax(drop, initial=0.0)))
    return drop, Colouring("cividis_r", (0.0, top), "accuracy drop (points)")


def _layer_axis(layers: tuple[str, ...], named: bool = True) -> Axis:
    """Rows of the map; the plot beside it stands on the same rows without their names."""
    return Axis(
        "",
        limits=(-0.5, len(layers) - 0.5),
        ticks=tuple((float(i), name if named else "") for i, name in enumerate(layers)),
        reversed=True,
    )


def _map(scene: Scene, options: Options, result: SensitivityMap) -> Axes:
    values, colouring = _values(options, result)
    shape = values.shape
    digits = 2 if options.measure == "loss rise" else 1
    text = np.full(shape, "", dtype=object)
    hints = np.full(shape, "", dtype=object)
    for r, layer in enumerate(result.layers):
        for c, sparsity in enumerate(result.sparsities):
            if np.isfinite(values[r, c]):
                text[r, c] = f"{values[r, c]:.{digits}f}"
                hints[r, c] = (
                    f"{layer} alone at {100 * sparsity:g} %\n"
                    f"accuracy {100 * result.accuracy[r, c]:.2f} %, loss {result.loss[r, c]:.4f}"
                )
    done, total = int(np.isfinite(values).sum()), values.size
    note = (
        f"{scene.reference.name if scene.reference else ''} unpruned: "
        f"{100 * result.dense_accuracy:.2f} %, n = {result.n:,} images; dark = loses most"
    )
    if done < total:
        note += f"; {done} of {total} cells exact so far"
    return Axes(
        Axis(
            "sparsity of this layer alone (%)",
            limits=(-0.5, shape[1] - 0.5),
            ticks=tuple((float(c), f"{100 * s:g}") for c, s in enumerate(result.sparsities)),
        ),
        _layer_axis(result.layers),
        (Matrix(values, colouring, text=text, entity="layer", ids=_rows(result), hints=hints),),
        title=f"{options.measure.capitalize()}, one layer pruned by {options.criterion}",
        note=note,
    )


def _rows(result: SensitivityMap) -> np.ndarray:
    return np.repeat(
        np.array(result.layers, dtype=object)[:, None], len(result.sparsities), axis=1
    )


def _sparsities(scene: Scene, result: SensitivityMap) -> Axes:
    positions = np.arange(len(result.layers), dtype=float)
    pruned = [model for model in scene.models if not model.is_dense]
    return Axes(
        Axis("sparsity (%)", limits=(0, 100)),
        _layer_axis(result.layers, named=False),
        tuple(
            Line(
                100 * _layer_sparsity(model, result.layers),
                positions,
                scene.styles[model.key].colour,
                dash=scene.styles[model.key].dash,
                marker=scene.styles[model.key].marker,
                label=model.name,
                entity="model",
                ids=(model.key,),
            )
            for model in pruned
        ),
        title="Sparsity of each layer",
        note="" if pruned else "Prune the model to see how its recipe shares the budget.",
        legend=bool(pruned),
        column=1,
        priority=1,
    )


def _layer_sparsity(model: Model, layers: tuple[str, ...]) -> np.ndarray:
    zeros = model.zeros
    sizes = {layer.name: layer.parameters for layer in model.layers}
    return np.array([zeros[name] / sizes[name] if name in zeros else np.nan for name in layers])
