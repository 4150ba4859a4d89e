"""The most influential units of every layer, dense and pruned, and what pruning cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis.models import Model
from analysis.paths import NeuronPaths, PathResult, compare_paths, node_states
from analysis.request import Request
from app.figures.spec import Axes, Axis, Bars, Figure, Line, Marker, Points, Rule
from app.scene import Scene
from app.views.common import evaluation_rows, nothing_open, producing_layer, same_architecture

TITLE = "Neuron paths"


class Options(BaseModel):
    """Controls of the view."""

    model_config = ConfigDict(frozen=True)

    top: int = Field(10, ge=1, le=30, description="Units drawn in a layer.")
    images: int = Field(
        24,
        ge=1,
        le=512,
        description="Images to search with: of the selection, else evenly spread.",
    )
    target: Literal["prediction", "label"] = Field(
        "prediction", description="The class whose probability is attributed."
    )
    steps: int = Field(20, ge=5, le=100, description="Steps of the integral (midpoint rule).")


_STATES: dict[str, tuple[str, Marker, str, bool]] = {
    "shared": ("muted", "circle", "in both models", False),
    "dense-only alive": ("#0072B2", "square", "dense only, still alive", False),
    "dense-only removed": ("#D55E00", "cross", "dense only, silent after pruning", True),
    "new": ("#E69F00", "diamond", "new in the pruned model", False),
}


def searched_images(scene: Scene, options: Options) -> np.ndarray:
    """The selected images, else those of the selected classes, else all: evenly thinned."""
    pool = scene.samples
    if not len(pool) and scene.selection.classes:
        pool = np.flatnonzero(np.isin(scene.evaluation.labels, scene.selection.classes))
    if not len(pool):
        pool = np.arange(len(scene.evaluation))
    return pool[evaluation_rows(len(pool), options.images)]


def requests(
    scene: Scene, options: Options, answers: Mapping[str, Any]
) -> dict[str, Request[Any]]:
    indices = searched_images(scene, options)
    return {
        f"paths:{model.key}": NeuronPaths(
            model,
            scene.evaluation,
            indices,
            target=options.target,
            steps=options.steps,
            top=options.top,
        )
        for model in same_architecture(scene)
    }


def figure(scene: Scene, options: Options, answers: Mapping[str, Any]) -> Figure:
    models = same_architecture(scene)
    if not models:
        return nothing_open(TITLE)
    results = [answers.get(f"paths:{model.key}") for model in models]
    if results[0] is None or not results[0].layers:
        return Figure(TITLE, message="Searching the most influential units, layer by layer …")
    dense: PathResult = results[0]
    if results[-1] is None or not results[-1].layers:
        models = models[:1]  # the other one has no path yet
    pruned: PathResult = results[len(models) - 1]
    names = _unit_layers(models[0], dense)
    panels = [_paths(scene, options, models, dense, pruned, names)]
    if pruned is not dense:
        panels.append(_agreement(options, dense, pruned, names))
    return Figure(TITLE, tuple(panels), row_heights=(4, 1))


def _unit_layers(model: Model, result: PathResult) -> tuple[str, ...]:
    by_name = {layer.name: layer for layer in model.architecture.path_layers}
    return tuple(
        producing_layer(by_name[name], model.layers, len(scores))
        for name, scores in zip(result.layers, result.scores, strict=True)
    )


def _rank_in_dense(scores: np.ndarray) -> np.ndarray:
    rank = np.empty(len(scores), dtype=int)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return rank


def _paths(
    scene: Scene,
    options: Options,
    models: tuple[Model, ...],
    dense: PathResult,
    pruned: PathResult,
    names: tuple[str, ...],
) -> Axes:
    columns = min(len(dense.layers), len(pruned.layers)) or len(dense.layers)
    nodes = node_states(dense, pruned, options.top)[:columns]
    heights = [_heights(dense, column, layer) for column, layer in enumerate(nodes)]
    marks: list[Any] = []
    selected = [i for i, name in enumerate(names) if name == scene.selection.layer]
    marks += [Rule(float(i), False, "accent", "dot") for i in selected]
    for model, result in {
        m.key: (m, r) for m, r in zip(models, (dense, pruned), strict=False)
    }.values():
        marks.append(_path_line(scene, model, result, heights))
    marks += _units(nodes, heights, names, alone=len(models) == 1)
    gap = float(np.nanmax(dense.delta)) if len(dense.delta) else float("nan")
    lowest = max((max(h.values()) for h in heights if h), default=1.0)
    return Axes(
        Axis(
            "",
            limits=(-0.5, len(dense.layers) - 0.5),
            ticks=tuple((float(i), name) for i, name in enumerate(names)),
        ),
        Axis("units, by dense score", limits=(-0.8, lowest + 0.8), ticks=(), reversed=True),
        tuple(marks),
        title="Most influential units, and the most frequent path",
        note=f"{_searched(scene, dense)}; joint integrated gradients in {options.steps} steps"
        + (f", largest completeness gap {gap:.1g}" if np.isfinite(gap) else "")
        + "; attribution is no proof",
        legend=True,
    )


def _units(
    nodes: tuple[Any, ...], heights: list[dict[int, float]], names: tuple[str, ...], alone: bool
) -> list[Points]:
    """The drawn units, one mark a state; a model that stands alone has units and no states."""
    marks = []
    for state, (colour, marker, label, hollow) in _STATES.items():
        found = [
            (column, unit, d, p)
            for column, layer in enumerate(nodes)
            for unit, kind, d, p in layer
            if kind == state
        ]
        if not found:
            continue
        if alone:
            label = "unit"
        marks.append(
            Points(
                np.array([float(c) for c, *_ in found]),
                np.array([heights[c][u] for c, u, *_ in found]),
                colour,
                marker=marker,
                size=11,
                hollow=hollow,
                label=label,
                entity="unit",
                ids=tuple(f"{names[c]}:{u}" for c, u, *_ in found),
                hints=tuple(
                    f"{names[c]}, unit {u}: {label}\n"
                    + (f"score {d:.4g}" if alone else f"score {d:.4g} dense, {p:.4g} pruned")
                    for c, u, d, p in found
                ),
            )
        )
    return marks


def _searched(scene: Scene, dense: PathResult) -> str:
    count = len(dense.indices)
    if len(scene.samples):
        return f"{count} of the {len(scene.samples)} selected images"
    return f"{count} of {len(scene.evaluation):,} images"


def _heights(dense: PathResult, column: int, layer: Any) -> dict[int, float]:
    """y of each drawn unit: its order by dense score among the drawn units of its column."""
    rank = _rank_in_dense(dense.scores[column])
    drawn = sorted({unit for unit, *_ in layer}, key=lambda unit: rank[unit])
    return {unit: float(i) for i, unit in enumerate(drawn)}


def _path_line(
    scene: Scene, model: Model, result: PathResult, heights: list[dict[int, float]]
) -> Line:
    style = scene.styles[model.key]
    xs, ys = [], []
    for column, height in enumerate(heights):
        if column < len(result.class_path):
            xs.append(float(column))
            ys.append(height.get(int(result.class_path[column]), np.nan))
    return Line(
        np.array(xs),
        np.array(ys),
        style.colour,
        width=2.5,
        dash=style.dash,
        smooth=True,
        opacity=0.85,
        label=f"path of {model.name}",
        entity="model",
        ids=(model.key,),
    )


def _agreement(
    options: Options,
    dense: PathResult,
    pruned: PathResult,
    names: tuple[str, ...],
) -> Axes:
    comparison = compare_paths(dense, pruned, options.top)
    values = 100 * np.asarray(comparison.agreement, dtype=float)
    return Axes(
        Axis("", limits=(-0.5, len(names) - 0.5), ticks=()),
        Axis("agree (%)", limits=(0, 100)),
        (
            Bars(
                np.arange(len(values), dtype=float),
                values,
                width=0.5,
                colour="muted",
                entity="layer",
                ids=tuple(names[: len(values)]),
                hints=tuple(
                    f"{name}: same unit for {a:.0f} % of the images; top-{options.top} Jaccard "
                    f"{j:.2f}; Spearman {s:.2f}"
                    for name, a, j, s in zip(
                        names, values, comparison.jaccard, comparison.spearman, strict=False
                    )
                ),
            ),
        ),
        title="Images whose path takes the same unit in both",
        row=1,
        priority=1,
    )
