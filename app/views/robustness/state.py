"""Accuracy on corrupted images: corruption × severity × model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from analysis.data.corruptions import CORRUPTIONS
from analysis.robustness import Robustness, RobustnessGrid
from pydantic import BaseModel, ConfigDict, Field

from analysis.evaluate import wilson
from analysis.models import Model
from analysis.request import Request
from app.figures.spec import Axes, Axis, Colouring, ErrorBars, Figure, Line, Matrix
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
    shown = _shown(scene, rates)
    panels = [
        _map(scene, options, model, grids, rates, chosen, column)
        for column, model in enumerate(shown)
    ]
    panels.append(_curves(scene, grids, rates, chosen, len(shown)))
    return Figure(
        TITLE,
        tuple(panels),
        row_heights=(3, 2),
    )


def _shown(scene: Scene, rates: Mapping[str, Any]) -> list[Model]:
    """The reference, the focus and the next visible models: heat maps for three at most."""
    order = [m for m in (scene.reference, scene.focus, *scene.models) if m is not None]
    shown: list[Model] = []
    for model in order:
        if model.key in rates and all(model.key != other.key for other in shown):
            shown.append(model)
    return shown[:3]


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


def _map(
    scene: Scene,
    options: Options,
    model: Model,
    grids: Mapping[str, RobustnessGrid],
    rates: Mapping[str, np.ndarray],
    chosen: np.ndarray,
    column: int,
) -> Axes:
    grid, values = grids[model.key], 100 * rates[model.key]
    reference = scene.reference.key if scene.reference else ""
    difference = options.value != "accuracy" and model.key != reference and reference in rates
    colouring = Colouring("cividis", (0, 100), "accuracy (%)")
    if difference:
        values = values - 100 * rates[reference]
        reach = max(1.0, float(np.nanmax(np.abs(values), initial=0.0)))
        colouring = Colouring("vik_r", (-reach, reach), "difference (points)")
    ids = np.full(values.shape, "", dtype=object)
    hints = np.full(values.shape, "", dtype=object)
    text = np.full(values.shape, "", dtype=object)
    severities = (0, *grid.severities)
    n = int(chosen.sum())
    for r, name in enumerate(grid.corruptions):
        for c, severity in enumerate(severities):
            ids[r, c] = f"{name}:{severity}"
            if np.isfinite(values[r, c]):
                text[r, c] = f"{values[r, c]:+.1f}" if difference else f"{values[r, c]:.1f}"
                correct = round(float(rates[model.key][r, c]) * n)
                low, high = wilson(correct, n)
                hints[r, c] = (
                    f"{model.name}, {CORRUPTIONS[name].title}, severity {severity}\n"
                    f"{100 * correct / n:.2f} % of {n:,} "
                    f"(95 % interval {100 * low:.1f} – {100 * high:.1f})"
                )
    return Axes(
        Axis(
            "severity",
            limits=(-0.5, len(severities) - 0.5),
            ticks=tuple((float(i), str(s) if s else "clean") for i, s in enumerate(severities)),
        ),
        Axis(
            "",
            limits=(-0.5, len(grid.corruptions) - 0.5),
            ticks=tuple(
                (float(i), CORRUPTIONS[name].title if column == 0 else "")
                for i, name in enumerate(grid.corruptions)
            ),
            reversed=True,
        ),
        (Matrix(values, colouring, text=text, entity="cell", ids=ids, hints=hints),),
        title=model.name,
        note=f"n = {n:,} images" if column == 0 else "",
        column=column,
    )


def _curves(
    scene: Scene,
    grids: Mapping[str, RobustnessGrid],
    rates: Mapping[str, np.ndarray],
    chosen: np.ndarray,
    columns: int,
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
        column_span=max(columns, 1),
    )


def picked(
    scene: Scene,
    options: Options,
    answers: Mapping[str, Any],
    entity: str,
    ids: frozenset[int | str],
) -> SelectionState | None:
    """A clicked cell becomes the chosen corruption, and the images lost there the selection.

    Lost: right in the reference and wrong in the model in focus; when both are the same model, its
    wrong images.
    """
    if entity != "cell" or len(ids) != 1 or scene.reference is None or scene.focus is None:
        return None
    name, _, level = str(next(iter(ids))).rpartition(":")
    severity = int(level)
    chosen = replace(
        scene.selection, corruption=name if severity else "", severity=severity if name else 0
    )
    grids = [answers.get(f"robustness:{m.key}") for m in (scene.reference, scene.focus)]
    if any(grid is None for grid in grids):
        return chosen
    right = [_right(grid, name, severity) for grid in grids]
    lost = ~right[1] if scene.reference.key == scene.focus.key else right[0] & ~right[1]
    rows = _rows(scene, options)
    return chosen.with_samples(frozenset(int(i) for i in rows[lost]))


def _right(grid: RobustnessGrid, name: str, severity: int) -> np.ndarray:
    if severity == 0:
        return np.asarray(grid.clean[0] == grid.labels)
    c, s = grid.corruptions.index(name), grid.severities.index(severity)
    return np.asarray(grid.predictions[0, c, s] == grid.labels)
