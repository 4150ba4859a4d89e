"""Accuracy against sparsity: which recipe keeps what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis.evaluate import Evaluate, Evaluation, agreement, flips
from analysis.models import Model
from analysis.pruning import recipe_label
from analysis.pruning.accounting import Account
from analysis.request import Request
from app.figures.spec import Axes, Axis, ErrorBars, Figure, Line, Points, Table
from app.scene import Scene
from app.views.common import nothing_open

TITLE = "Overview"


class Options(BaseModel):
    """Controls of the view."""

    model_config = ConfigDict(frozen=True)

    measure: Literal["accuracy", "loss", "calibration error"] = Field(
        "accuracy", description="What is drawn upwards."
    )
    against: Literal["sparsity", "multiply-adds", "non-zero multiply-adds", "bytes"] = Field(
        "sparsity",
        description="What is drawn to the right: zeros, multiply-adds as they are run, those "
        "with a weight that is not zero, or the smallest of dense, bitmask and CSR size.",
    )
    pareto: bool = Field(True, description="Mark the models that no other model dominates.")


def requests(
    scene: Scene, options: Options, answers: Mapping[str, Any]
) -> dict[str, Request[Any]]:
    wanted: dict[str, Request[Any]] = {
        f"evaluate:{m.key}": Evaluate(m, scene.evaluation) for m in scene.models
    }
    if options.against != "sparsity":
        counted = {m.key: m for m in (*scene.models, scene.reference) if m is not None}
        wanted |= {f"account:{key}": Account(model) for key, model in counted.items()}
    return wanted


def figure(scene: Scene, options: Options, answers: Mapping[str, Any]) -> Figure:
    if not scene.models:
        return nothing_open(TITLE)
    done = [
        (model, answers[f"evaluate:{model.key}"])
        for model in scene.models
        if f"evaluate:{model.key}" in answers
    ]
    x = _places(scene, options, answers)
    done = [(model, evaluation) for model, evaluation in done if model.key in x]
    if not done:
        return Figure(TITLE, message="Evaluating …")
    return Figure(
        TITLE, (_curves(scene, options, done, x), _table(scene, done)), row_heights=(3, 2)
    )


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


_ACROSS = {
    "sparsity": "sparsity of the prunable weights (%)",
    "multiply-adds": "multiply-adds as run (% of the reference)",
    "non-zero multiply-adds": "multiply-adds without zeros (% of the reference)",
    "bytes": "smallest size (% of the dense reference)",
}


def _places(scene: Scene, options: Options, answers: Mapping[str, Any]) -> dict[str, float]:
    """Where each model stands on the horizontal axis, by key; only those that are counted."""
    if options.against == "sparsity":
        return {model.key: 100 * model.sparsity for model in scene.models}
    start = answers.get(f"account:{scene.reference.key}") if scene.reference else None
    if start is None:
        return {}
    whole = start.bytes.dense if options.against == "bytes" else start.macs
    found = {}
    for model in scene.models:
        account = answers.get(f"account:{model.key}")
        if account is not None:
            sizes = account.bytes
            parts = {
                "multiply-adds": account.macs,
                "non-zero multiply-adds": account.macs_nonzero,
                "bytes": min(sizes.dense, sizes.bitmask, sizes.csr),
            }
            found[model.key] = 100 * parts[options.against] / whole
    return found


def _curves(
    scene: Scene,
    options: Options,
    done: list[tuple[Model, Evaluation]],
    x: Mapping[str, float],
) -> Axes:
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
        less = 1 if options.against == "sparsity" else -1  # more zeros are good, more work is not
        marks.append(_front([(x[m.key], y[m.key]) for m, _ in done], less))
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
        Axis(_ACROSS[options.against], limits=(-4, max(104.0, 1.04 * max(x.values())))),
        Axis(_AXIS[options.measure]),
        tuple(marks),
        note=note,
        legend=True,
    )


def _front(places: list[tuple[float, float]], sign: int) -> Points:
    """Rings around the models that no other dominates; `sign` 1: further right is better."""
    rings = sorted(places[i] for i in pareto_front([(sign * x, y) for x, y in places]))
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
