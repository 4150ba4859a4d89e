"""Weights and masks of one layer, before and after pruning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis.models import Model
from analysis.pruning.quantisation import Quantisation, QuantisationError
from analysis.request import Request
from analysis.weights import LayerWeights, Weights
from app.figures.spec import Axes, Axis, Bars, Colouring, Figure, Line, Matrix, Panel, Table
from app.scene import Scene
from app.views.common import colour_of, nothing_open, percent, same_architecture

TITLE = "Weights"


class Options(BaseModel):
    """Controls of the view."""

    model_config = ConfigDict(frozen=True)

    bins: int = Field(61, ge=11, le=201, description="Bins of the histogram.")
    counts: Literal["logarithmic", "linear"] = Field(
        "logarithmic", description="Scale of the histogram's counts."
    )
    detail: Literal["numbers", "against quantisation"] = Field(
        "numbers",
        description="Counts of zeros, or the error of pruning beside that of quantisation.",
    )


def chosen_layer(scene: Scene, model: Model) -> str:
    """The selected layer, or the largest one when the model has none of that name."""
    if any(layer.name == scene.selection.layer for layer in model.layers):
        return scene.selection.layer
    return max(model.layers, key=lambda layer: layer.parameters).name


def requests(
    scene: Scene, options: Options, answers: Mapping[str, Any]
) -> dict[str, Request[Any]]:
    models = same_architecture(scene)
    if not models:
        return {}
    model = models[-1]
    layer = chosen_layer(scene, model)
    wanted: dict[str, Request[Any]] = {"weights": Weights(model, models[0], layer, options.bins)}
    if options.detail == "against quantisation":
        wanted["quantisation"] = Quantisation(models[0])
    return wanted


def figure(scene: Scene, options: Options, answers: Mapping[str, Any]) -> Figure:
    models = same_architecture(scene)
    if not models:
        return nothing_open(TITLE)
    result: LayerWeights | None = answers.get("weights")
    if result is None:
        return Figure(TITLE, message=f"Reading {chosen_layer(scene, models[-1])} …")
    model = models[-1]
    detail: Panel = _facts(result, models[0].name, model.name)
    if options.detail == "against quantisation":
        detail = _quantisation(result.layer, models[0].name, answers.get("quantisation"))
    panels = (
        _histogram(scene, result, options, model.name),
        _mask(result),
        _units(result, colour_of(scene, model)),
        detail,
    )
    return Figure(f"{TITLE}: {result.layer}", panels, column_widths=(3, 2))


def _histogram(scene: Scene, result: LayerWeights, options: Options, name: str) -> Axes:
    models = same_architecture(scene)
    log = options.counts == "logarithmic"
    marks = []
    for model, counts in zip(
        (models[0], models[-1]), (result.reference_counts, result.counts), strict=True
    ):
        x, y = _staircase(result.edges, counts)
        if log:
            y = np.where(y > 0, y, np.nan)
        marks.append(
            Line(
                x,
                y,
                colour_of(scene, model),
                width=1.6 if model is models[-1] else 1.2,
                label=model.name,
            )
        )
        if len(models) == 1:
            break
    return Axes(
        Axis("weight"),
        Axis("count", log=log),
        tuple(marks),
        title="Non-zero weights",
        note=f"{result.parameters:,} weights; exact zeros are not counted in the bars",
        legend=len(models) > 1,
    )


def _staircase(edges: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(edges, 2)[1:-1], np.repeat(counts.astype(float), 2)


def _mask(result: LayerWeights) -> Axes:
    kernel = int(np.prod(result.shape[2:])) if len(result.shape) > 2 else 1
    return Axes(
        Axis("input", limits=(-0.5, result.shape[1] - 0.5)),
        Axis("output unit", limits=(-0.5, result.shape[0] - 0.5), reversed=True),
        (
            Matrix(
                result.kept,
                Colouring("cividis", (0.0, 1.0), "kept fraction of each kernel"),
            ),
        ),
        title="Mask",
        note=f"{result.shape[0]} × {result.shape[1]} kernels of {kernel} "
        f"weight{'s' if kernel > 1 else ''}; {percent(result.zeros / result.parameters, 2)} zeros",
        column=1,
        priority=1,
    )


def _units(result: LayerWeights, colour: str) -> Axes:
    names = tuple(f"{result.layer}:{i}" for i in range(result.shape[0]))
    return Axes(
        Axis("output unit", limits=(-0.7, result.shape[0] - 0.3)),
        Axis("kept weights (%)", limits=(0, 100)),
        (
            Bars(
                np.arange(result.shape[0], dtype=float),
                100.0 * result.kept_by_unit,
                colour=colour,
                entity="unit",
                ids=names,
                hints=tuple(
                    f"{name}: {percent(float(kept))} kept"
                    for name, kept in zip(names, result.kept_by_unit, strict=True)
                ),
            ),
        ),
        title="Kept weights by unit",
        note=f"{result.dead_units} of {result.shape[0]} units have lost every weight",
        row=1,
        priority=2,
    )


def _quantisation(layer: str, name: str, found: QuantisationError | None) -> Axes:
    """SQNR of the layer by bits: rounded to them, and pruned to the same size."""
    marks: tuple[Line, ...] = ()
    note = "comparing …"
    if found is not None:
        row = found.layers.index(layer)
        bits = np.array(found.bits, dtype=float)
        marks = (
            Line(bits, found.quantised[row], "accent", marker="circle", label="quantised"),
            Line(bits, found.pruned[row], "warning", dash="dash", marker="square", label="pruned"),
        )
        note = f"{layer} of {name}, cast to 16 bits; excess kurtosis {found.kurtosis[row]:.2f}"
    ticks = (
        () if found is None else tuple((float(b), f"{b}\n{1 - b / 16:.0%}") for b in found.bits)
    )
    return Axes(
        Axis("bits, and sparsity of equal size", ticks=ticks),
        Axis("signal to noise (dB)"),
        marks,
        title="Pruning against quantisation",
        note=note,
        legend=True,
        row=1,
        column=1,
        priority=2,
    )


def _facts(result: LayerWeights, reference: str, model: str) -> Table:
    n = result.parameters
    rows: list[tuple[str | int | float | None, ...]] = [
        ("weights", n, 100.0),
        (f"zeros in {model}", result.zeros, 100 * result.zeros / n),
        (f"zeros in {reference}", result.reference_zeros, 100 * result.reference_zeros / n),
        ("non-zero in both", result.both, 100 * result.both / n),
        (f"only in {model}", result.only_this, 100 * result.only_this / n),
        (f"only in {reference}", result.only_reference, 100 * result.only_reference / n),
        ("units without weights", result.dead_units, 100 * result.dead_units / result.shape[0]),
    ]
    if not np.isnan(result.nm_compliance):
        rows.append(("groups of 4 with ≤ 2 non-zeros", None, 100 * result.nm_compliance))
    return Table(
        ("", "count", "%"),
        tuple(rows),
        ("", ",d", ".2f"),
        title="Numbers",
        row=1,
        column=1,
        priority=2,
    )
