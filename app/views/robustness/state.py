"""Accuracy on corrupted images: corruption × severity × model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis.data.corruptions import CORRUPTIONS
from analysis.evaluate import wilson
from analysis.models import Model
from analysis.request import Request
from analysis.robustness import Robustness, RobustnessGrid
from app.figures.spec import Axes, Axis, Colouring, ErrorBars, Figure, Label, Line, Matrix, Points
from app.scene import Scene
from app.selection import SelectionState
from app.views.common import evaluation_rows, nothing_open

TITLE = "Robustness"


class Options(BaseModel):
    """Controls of the view."""

    model_config = ConfigDict(frozen=True)

    value: Literal["accuracy", "drop against the reference"] = Field(
        "accuracy", description="What a cell shows for the models after the reference."
    )
    over: Literal["all images", "selected images"] = Field(
        "all images", description="Which images the accuracies are taken over."
    )
    images: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="Evaluation images to corrupt, evenly spread; 0 = all.",
    )


def requests(
    scene: Scene, options: Options, answers: Mapping[str, Any]
) -> dict[str, Request[Any]]:
    rows = _rows(scene, options)
    data = scene.evaluation
    if len(rows) < len(data):
        data = data.subset(rows, f"{data.name}, {len(rows)} images")
    return {
        f"robustness:{model.key}": Robustness((model,), data, tuple(CORRUPTIONS))
        for model in scene.models
    }


def _rows(scene: Scene, options: Options) -> np.ndarray:
    return evaluation_rows(len(scene.evaluation), options.images)


def figure(scene: Scene, options: Options, answers: Mapping[str, Any]) -> Figure:
    if not scene.models:
        return nothing_open(TITLE)
    grids = {
        model.key: answers[f"robustness:{model.key}"]
        for model in scene.models
        if f"robustness:{model.key}" in answers
    }
    if not grids:
        return Figure(TITLE, message="Corrupting images …")
    chosen = _chosen(scene, options)
    if options.over == "selected images" and not chosen.any():
        return Figure(TITLE, message="Select images first, or show the accuracy over all images.")
    rates = {key: _accuracy(grid, chosen) for key, grid in grids.items()}
    shown = _shown(scene, options, rates)
    panels = (
        _maps(scene, options, shown, grids, rates, int(chosen.sum())),
        _curves(scene, grids, rates, chosen),
    )
    return Figure(TITLE, panels, row_heights=(3, 2))


def _shown(scene: Scene, options: Options, rates: Mapping[str, Any]) -> list[Model]:
    """The reference, the focus and the next visible models: heat maps for four at most."""
    order = [m for m in (scene.reference, scene.focus, *scene.models) if m is not None]
    shown: list[Model] = []
    for model in order:
        if model.key in rates and all(model.key != other.key for other in shown):
            shown.append(model)
    if _differences(scene, options, rates) and len(shown) > 1:
        shown = shown[1:]
    return shown[:4]


def _differences(scene: Scene, options: Options, rates: Mapping[str, Any]) -> bool:
    reference = scene.reference
    return options.value != "accuracy" and reference is not None and reference.key in rates


def _chosen(scene: Scene, options: Options) -> np.ndarray:
    """Which of the corrupted images count."""
    rows = _rows(scene, options)
    if options.over == "all images":
        return np.ones(len(rows), dtype=bool)
    return np.isin(rows, scene.samples)


def _accuracy(grid: RobustnessGrid, chosen: np.ndarray) -> np.ndarray:
    """(C, 1 + S): clean accuracy first, then one column a severity; NaN where not computed yet."""
    labels = grid.labels[chosen]
    clean = float((grid.clean[0][chosen] == labels).mean())
    cells = (grid.predictions[0][:, :, chosen] == labels).mean(2)
    cells = np.where(np.isfinite(grid.accuracy[0]), cells, np.nan)
    return np.concatenate([np.full((len(cells), 1), clean), cells], 1)


def _maps(
    scene: Scene,
    options: Options,
    shown: list[Model],
    grids: Mapping[str, RobustnessGrid],
    rates: Mapping[str, np.ndarray],
    n: int,
) -> Axes:
    """The models' heat maps side by side in one matrix, an empty column between them."""
    grid = grids[shown[0].key]
    severities = (0, *grid.severities)
    width = len(severities)
    shape = (len(grid.corruptions), len(shown) * (width + 1) - 1)
    values = np.full(shape, np.nan)
    text, ids, hints = (np.full(shape, "", dtype=object) for _ in range(3))
    names: list[Label | Points] = []
    ticks: list[tuple[float, str]] = []
    difference = _differences(scene, options, rates)
    base = 100 * rates[scene.reference.key] if difference and scene.reference else 0.0
    for i, model in enumerate(shown):
        start = i * (width + 1)
        block = 100 * rates[model.key] - base
        values[:, start : start + width] = block
        names += _name(scene, model, start, width)
        ticks += [(float(start), "0"), (float(start + width - 1), str(severities[-1]))]
        for r, name in enumerate(grid.corruptions):
            for k, severity in enumerate(severities):
                cell = (r, start + k)
                ids[cell] = f"{name}:{severity}:{model.key}"
                if np.isfinite(block[r, k]):
                    text[cell] = f"{block[r, k]:+.1f}" if difference else f"{block[r, k]:.1f}"
                    hints[cell] = _hint(model, name, severity, float(rates[model.key][r, k]), n)
    return Axes(
        Axis("severity (0 = clean)", limits=(-0.5, shape[1] - 0.5), ticks=tuple(ticks)),
        Axis(
            "",
            limits=(-1.5, shape[0] - 0.5),
            ticks=tuple((float(i), CORRUPTIONS[c].title) for i, c in enumerate(grid.corruptions)),
            reversed=True,
        ),
        (
            Matrix(values, _colouring(values, difference), None, text, "cell", ids, hints),
            *names,
        ),
        title=("Difference to " + scene.reference.name)
        if difference and scene.reference
        else "Accuracy under corruption",
        note=f"{len(shown)} of {len(rates)} models, n = {n:,} images a cell; click a cell to "
        "select the images lost there",
    )


def _name(scene: Scene, model: Model, start: int, width: int) -> list[Label | Points]:
    """Marker and name of a model above its block."""
    style = scene.styles[model.key]
    place = np.array([start - 0.1]), np.array([-0.85])
    return [
        Points(*place, style.colour, marker=style.marker, size=8),
        Label(start + 0.35, -0.85, model.name, "ink", "left", width - 0.6),
    ]


def _colouring(values: np.ndarray, difference: bool) -> Colouring:
    if not difference:
        return Colouring("cividis", (0, 100), "accuracy (%)")
    reach = max(1.0, float(np.nanmax(np.abs(values), initial=0.0)))
    return Colouring("vik_r", (-reach, reach), "difference (points)")


def _hint(model: Model, name: str, severity: int, accuracy: float, n: int) -> str:
    correct = round(accuracy * n)
    low, high = wilson(correct, n)
    return (
        f"{model.name}, {CORRUPTIONS[name].title}, severity {severity}\n"
        f"{100 * correct / n:.2f} % of {n:,} (95 % interval {100 * low:.1f} – {100 * high:.1f})"
    )


def _curves(
    scene: Scene,
    grids: Mapping[str, RobustnessGrid],
    rates: Mapping[str, np.ndarray],
    chosen: np.ndarray,
) -> Axes:
    name = scene.selection.corruption
    marks: list[Any] = []
    n = int(chosen.sum())
    for model in scene.models:
        if model.key not in rates:
            continue
        grid, style = grids[model.key], scene.styles[model.key]
        one = name in grid.corruptions
        y = rates[model.key][grid.corruptions.index(name)] if one else rates[model.key].mean(0)
        x = np.array((0, *grid.severities), dtype=float)
        marks.append(
            Line(
                x,
                100 * y,
                style.colour,
                dash=style.dash,
                marker=style.marker,
                label=model.name,
                entity="model",
                ids=(model.key,),
            )
        )
        if one:
            bounds = np.array([wilson(round(float(v) * n), n) for v in np.nan_to_num(y)])
            bounds[~np.isfinite(y)] = np.nan
            marks.append(ErrorBars(x, 100 * bounds[:, 0], 100 * bounds[:, 1], style.colour))
    title = CORRUPTIONS[name].title if name in CORRUPTIONS else "Mean over the corruptions"
    return Axes(
        Axis("severity (0 = clean)", limits=(-0.2, 5.2)),
        Axis("accuracy (%)", limits=(0, 101)),
        tuple(marks),
        title=title,
        note=f"n = {n:,} images a point"
        + ("; bars are 95 % Wilson intervals" if name in CORRUPTIONS else ""),
        legend=True,
        row=1,
        priority=1,
    )


def picked(
    scene: Scene,
    options: Options,
    answers: Mapping[str, Any],
    entity: str,
    ids: frozenset[int | str],
) -> SelectionState | None:
    """A clicked cell becomes the chosen corruption, and the images lost there the selection.

    Lost: right in the reference and wrong in the model of the cell, which comes into focus; in the
    reference itself, its wrong images.
    """
    if entity != "cell" or scene.reference is None:
        return None
    if len(ids) != 1:  # cells are chosen one at a time
        return scene.selection
    name, level, key = str(next(iter(ids))).rsplit(":", 2)
    severity = int(level)
    chosen = replace(
        scene.selection,
        corruption=name if severity else "",
        severity=severity,
        focus=key,
    )
    grids = [answers.get(f"robustness:{k}") for k in (scene.reference.key, key)]
    if not all(grid is not None and _computed(grid, name, severity) for grid in grids):
        return chosen
    right = [_right(grid, name, severity) for grid in grids]
    lost = ~right[1] if scene.reference.key == key else right[0] & ~right[1]
    return chosen.with_samples(frozenset(int(i) for i in _rows(scene, options)[lost]))


def _computed(grid: RobustnessGrid, name: str, severity: int) -> bool:
    cell = grid.corruptions.index(name), grid.severities.index(severity) if severity else 0
    return severity == 0 or bool(np.isfinite(grid.accuracy[0][cell]))


def _right(grid: RobustnessGrid, name: str, severity: int) -> np.ndarray:
    if severity == 0:
        return np.asarray(grid.clean[0] == grid.labels)
    c, s = grid.corruptions.index(name), grid.severities.index(severity)
    return np.asarray(grid.predictions[0, c, s] == grid.labels)
