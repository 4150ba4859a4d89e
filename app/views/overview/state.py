"""Accuracy against sparsity: which recipe keeps what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis.evaluate import Evaluate, Evaluation, agreement, flips
from analysis.models import Model
from analysis.pruning import recipe_label
from analysis.request import Request
from app.figures.spec import Axes, Axis, ErrorBars, Figure, Line, Points, Table
from app.scene import Scene
from app.views.common import nothing_open

TITLE = "Overview"


class Options(BaseModel):
    """Controls of the view."""

    model_config = ConfigDict(frozen=True)

    measure: Literal["accuracy", "loss", "calibration error"] = Field(
        "accuracy", description="What is drawn against sparsity."
    )
    pareto: bool = Field(True, description="Mark the models that no other model dominates.")


def requests(
    scene: Scene, options: Options, answers: Mapping[str, Any]
) -> dict[str, Request[Any]]:
    return {f"evaluate:{m.key}": Evaluate(m, scene.evaluation) for m in scene.models}


def figure(scene: Scene, options: Options, answers: Mapping[str, Any]) -> Figure:
    if not scene.models:
        return nothing_open(TITLE)
    done = [
        (model, answers[f"evaluate:{model.key}"])
        for model in scene.models
        if f"evaluate:{model.key}" in answers
    ]
    if not done:
        return Figure(TITLE, message="Evaluating …")
    return Figure(TITLE, (_curves(scene, options, done), _table(scene, done)), row_heights=(3, 2))


def _value(evaluation: Evaluation, measure: str) -> float:
    if measure == "accuracy":
        return 100 * evaluation.accuracy
    if measure == "loss":
        return evaluation.loss
    return 100 * evaluation.ece()


_AXIS = {
    "accuracy": "accuracy (%)",
    "loss": "cross-entropy loss (nats)",
    "calibration error": "expected calibration error (%)",
}


def _curves(scene: Scene, options: Options, done: list[tuple[Model, Evaluation]]) -> Axes:
    x = {model.key: 100 * model.sparsity for model, _ in done}
    y = {model.key: _value(evaluation, options.measure) for model, evaluation in done}
    marks: list[Any] = []
    for label, group in _by_recipe(done).items():
        start = [m for m, _ in done if m.is_dense and m.key == group[0].origin.base]
        line = sorted([*start, *group], key=lambda m: x[m.key])
        if len(line) > 1:
            xs = np.array([x[m.key] for m in line])
            ys = np.array([y[m.key] for m in line])
            style = scene.styles[group[0].key]
            marks.append(Line(xs, ys, style.colour, dash=style.dash, label=label))
    if options.pareto and options.measure == "accuracy":
        marks.append(_front([(x[m.key], y[m.key]) for m, _ in done]))
    for model, evaluation in done:
        style = scene.styles[model.key]
        if options.measure == "accuracy":
            low, high = evaluation.interval
            marks.append(
                ErrorBars(
                    np.array([x[model.key]]),
                    np.array([100 * low]),
                    np.array([100 * high]),
                    style.colour,
                )
            )
        marks.append(
            Points(
                np.array([x[model.key]]),
                np.array([y[model.key]]),
                style.colour,
                marker=style.marker,
                size=10,
                entity="model",
                ids=(model.key,),
                hints=(f"{model.name}\n{_AXIS[options.measure]}: {y[model.key]:.2f}",),
                label=model.name if model.is_dense else "",
            )
        )
    n = done[0][1].n
    note = f"n = {n:,} images of {scene.evaluation.name}"
    if options.measure == "accuracy":
        note += "; bars are 95 % Wilson intervals"
    return Axes(
        Axis("sparsity of the prunable weights (%)", limits=(-4, 104)),
        Axis(_AXIS[options.measure]),
        tuple(marks),
        note=note,
        legend=True,
    )


def _front(places: list[tuple[float, float]]) -> Points:
    """Rings around the models that no other dominates."""
    rings = sorted(places[i] for i in pareto_front(places))
    return Points(
        np.array([x for x, _ in rings]),
        np.array([y for _, y in rings]),
        "muted",
        size=15,
        hollow=True,
        label="Pareto front",
    )


def _by_recipe(done: list[tuple[Model, Evaluation]]) -> dict[str, list[Model]]:
    groups: dict[str, list[Model]] = {}
    for model, _ in done:
        if model.origin is not None:
            groups.setdefault(recipe_label(model.origin.recipe), []).append(model)
    return groups


def pareto_front(points: list[tuple[float, float]]) -> set[int]:
    """Indices of points that no other beats in both sparsity and accuracy (higher = better)."""
    return {
        i
        for i, (x, y) in enumerate(points)
        if not any(
            (u >= x and v >= y) and (u > x or v > y) for j, (u, v) in enumerate(points) if j != i
        )
    }


def _table(scene: Scene, done: list[tuple[Model, Evaluation]]) -> Table:
    evaluations = {model.key: evaluation for model, evaluation in done}
    reference = evaluations.get(scene.reference.key) if scene.reference else None
    rows: list[tuple[str | int | float | None, ...]] = []
    for model, evaluation in done:
        low, high = evaluation.interval
        row: list[str | int | float | None] = [
            model.name,
            100 * model.sparsity,
            100 * evaluation.accuracy,
            f"{100 * low:.1f} – {100 * high:.1f}",
        ]
        # A partial evaluation is of fewer images: there is nothing to compare it with yet.
        if reference is None or reference is evaluation or reference.n != evaluation.n:
            row += [None, None, None, None]
        else:
            wins, losses = flips(reference, evaluation)
            row += [
                100 * (evaluation.accuracy - reference.accuracy),
                100 * agreement(reference, evaluation),
                len(wins),
                len(losses),
            ]
        rows.append((*row, evaluation.loss, 100 * evaluation.ece(), evaluation.n))
    return Table(
        (
            "Model",
            "Sparsity %",
            "Accuracy %",
            "95 % interval",
            "Δ points",
            "Agreement %",
            "Wins",
            "Losses",
            "Loss",
            "ECE %",
            "n",
        ),
        tuple(rows),
        ("", ".2f", ".2f", "", "+.2f", ".2f", ",d", ",d", ".4f", ".2f", ",d"),
        colours=tuple(scene.styles[m.key].colour for m, _ in done),
        entity="model",
        ids=tuple(m.key for m, _ in done),
        row=1,
        priority=1,
    )
