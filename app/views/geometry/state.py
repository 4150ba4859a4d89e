"""Where each image lies in the feature space, before and after pruning.

From the loss: logit = |W_c| |x| cos(angle) + b. Embeddings are joint over the compared models, so
the same image can be followed; angle, norm and margin come from the classifier's own geometry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis.geometry import (
    Embed,
    Embedding,
    FeatureGeometry,
    Geometry,
    NeighbourOverlap,
    Overlap,
)
from analysis.models import Model
from analysis.request import Request
from app.figures.spec import Axes, Axis, Colouring, Figure, Line, Points, Rule
from app.scene import Scene
from app.views.common import class_colour, colour_of, compared, evaluation_rows, nothing_open

TITLE = "Feature geometry"


class Options(BaseModel):
    """Controls of the view."""

    model_config = ConfigDict(frozen=True)

    embedding: Literal["umap", "pca"] = Field(
        "umap", description="How features are drawn in two dimensions, jointly for both models."
    )
    colour: Literal["class", "neighbours kept", "margin"] = Field(
        "class", description="What the colour of a point says."
    )
    images: int = Field(
        2000, ge=0, le=100_000, description="Images to embed, evenly spread; 0 = all."
    )


def requests(
    scene: Scene, options: Options, answers: Mapping[str, Any]
) -> dict[str, Request[Any]]:
    models = compared(scene)
    asked: dict[str, Request[Any]] = {
        f"geometry:{m.key}": Geometry(m, scene.evaluation, layer=_layer(scene)) for m in models
    }
    ready = [answers.get(label) for label in asked]
    if models and all(isinstance(result, FeatureGeometry) for result in ready):
        rows = _rows(scene, options)
        if len({result.features.shape[1] for result in ready}) == 1:
            features = tuple(result.features[rows] for result in ready)
            asked["embedding"] = Embed(features, options.embedding)
        else:
            for model, result in zip(models, ready, strict=True):
                asked[f"embedding:{model.key}"] = Embed(
                    (result.features[rows],), options.embedding
                )
        if options.colour == "neighbours kept":
            asked["neighbours"] = NeighbourOverlap(
                ready[0].features[rows], ready[-1].features[rows]
            )
    return asked


def _rows(scene: Scene, options: Options) -> np.ndarray:
    return evaluation_rows(len(scene.evaluation), options.images)


def _layer(scene: Scene) -> str:
    """The selected layer if all compared models have it; "" = the classifier's input, also when
    the classifier itself is selected."""
    layer = scene.selection.layer
    models = compared(scene)
    known = [{entry.name for entry in m.layers} - {m.architecture.classifier} for m in models]
    return layer if known and all(layer in names for names in known) else ""


def figure(scene: Scene, options: Options, answers: Mapping[str, Any]) -> Figure:
    models = compared(scene)
    if not models:
        return nothing_open(TITLE)
    results = [answers.get(f"geometry:{m.key}") for m in models]
    if any(result is None for result in results):
        return Figure(TITLE, message="Collecting features …")
    rows = _rows(scene, options)
    panels = [
        _embedding(scene, options, models, results, answers, rows, i) for i in range(len(models))
    ]
    where = _layer(scene) or "the classifier's input"
    if results[0].margin.size:
        panels.append(_angle_norm(scene, models[-1], results[-1], results[0], column=0))
        panels.append(_margins(scene, models, results, column=1))
    elif len(models) > 1:
        panels.append(_norms(scene, models, results))
    return Figure(f"{TITLE} at {where}", tuple(panels))


def _hints(scene: Scene, rows: np.ndarray) -> tuple[str, ...]:
    names, labels = scene.evaluation.classes, scene.evaluation.labels
    return tuple(f"image {i}, {names[labels[i]]}" for i in rows)


def _embedding(
    scene: Scene,
    options: Options,
    models: tuple[Model, ...],
    results: list[FeatureGeometry],
    answers: Mapping[str, Any],
    rows: np.ndarray,
    i: int,
) -> Axes:
    model = models[i]
    axes: dict[str, Any] = {"title": model.name, "row": 0, "column": i, "equal": True}
    joint: Embedding | None = answers.get("embedding")
    embedding = joint or answers.get(f"embedding:{model.key}")
    place = i if joint is not None else 0
    if embedding is None or len(embedding.coordinates[place]) != len(rows):
        return Axes(Axis("", ticks=()), Axis("", ticks=()), (), note="embedding …", **axes)
    limits = _joint_limits(embedding)
    marks, extra = _cloud(scene, options, results[i], answers, embedding.coordinates[place], rows)
    together = "joint " if len(embedding.coordinates) > 1 else ""
    trust = embedding.trustworthiness[place]
    quality = f"trustworthiness {trust:.3f}" if np.isfinite(trust) else "being refined"
    return Axes(
        Axis(f"{embedding.method.upper()} 1", limits=limits[0], ticks=()),
        Axis(f"{embedding.method.upper()} 2", limits=limits[1], ticks=()),
        marks,
        note=f"{together}{embedding.method.upper()}, n = {len(rows):,}; {quality}{extra}",
        legend=options.colour == "class" and i == len(models) - 1,
        **axes,
    )


def _cloud(
    scene: Scene,
    options: Options,
    result: FeatureGeometry,
    answers: Mapping[str, Any],
    xy: np.ndarray,
    rows: np.ndarray,
) -> tuple[tuple[Points, ...], str]:
    """The embedded images, coloured as asked, and what the note has to say of the colour."""
    if options.colour == "class":
        labels = scene.evaluation.labels[rows]
        return tuple(
            Points(
                xy[labels == c, 0],
                xy[labels == c, 1],
                class_colour(int(c)),
                size=5,
                label=scene.evaluation.classes[c],
                entity="sample",
                ids=rows[labels == c],
                hints=_hints(scene, rows[labels == c]),
            )
            for c in np.unique(labels)
        ), ""
    values, colouring, extra = _colour_values(options, result, answers, rows)
    points = Points(
        xy[:, 0],
        xy[:, 1],
        values=values,
        colouring=colouring,
        size=5,
        entity="sample",
        ids=rows,
        hints=_hints(scene, rows),
    )
    return (points,), extra


def _colour_values(
    options: Options, result: FeatureGeometry, answers: Mapping[str, Any], rows: np.ndarray
) -> tuple[np.ndarray, Colouring, str]:
    if options.colour == "margin":
        margin = result.margin[rows] if result.margin.size else np.full(len(rows), np.nan)
        reach = float(np.nanmax(np.abs(margin), initial=1e-9))
        missing = "" if result.margin.size else "; no margin: this layer has no classifier"
        return margin, Colouring("vik_r", (-reach, reach), "margin"), missing
    overlap: Overlap | None = answers.get("neighbours")
    if overlap is None:
        return np.full(len(rows), np.nan), Colouring("cividis", (0.0, 1.0), ""), ""
    return (
        overlap.values,
        Colouring("cividis", (0.0, 1.0), f"of {overlap.k} neighbours kept"),
        f"; mean overlap of {overlap.k} neighbours {overlap.values.mean():.3f}",
    )


def _joint_limits(embedding: Embedding) -> tuple[tuple[float, float], tuple[float, float]]:
    stacked = np.concatenate(embedding.coordinates)
    low, high = np.nanmin(stacked, 0), np.nanmax(stacked, 0)
    pad = 0.04 * np.maximum(high - low, 1e-6)
    return (
        (float(low[0] - pad[0]), float(high[0] + pad[0])),
        (float(low[1] - pad[1]), float(high[1] + pad[1])),
    )


def _angle_norm(
    scene: Scene, model: Model, result: FeatureGeometry, dense: FeatureGeometry, column: int
) -> Axes:
    n = len(result.labels)
    index = np.arange(n)
    angle = np.degrees(result.angle[index, result.labels])
    marks: list[Any] = []
    if result is not dense:
        chosen = scene.samples[scene.samples < n]
        if 0 < len(chosen) <= 300:
            before = np.degrees(dense.angle[chosen, dense.labels[chosen]])
            gap = np.full(len(chosen), np.nan)
            marks.append(
                Line(
                    np.stack([before, angle[chosen], gap], 1).ravel(),
                    np.stack([dense.norm[chosen], result.norm[chosen], gap], 1).ravel(),
                    "muted",
                    width=1,
                    label="from dense",
                )
            )
    for c in np.unique(result.labels):
        of = result.labels == c
        marks.append(
            Points(
                angle[of],
                result.norm[of],
                class_colour(int(c)),
                size=4,
                entity="sample",
                ids=index[of],
                hints=_hints(scene, index[of]),
            )
        )
    return Axes(
        Axis("angle to the true class direction (°)"),
        Axis("feature norm"),
        tuple(marks),
        title=f"Angle and norm in {model.name}",
        note=f"n = {n:,}; mean angle {np.nanmean(angle):.1f}°, mean norm {result.norm.mean():.2f}",
        row=1,
        column=column,
        priority=1,
    )


def _margins(
    scene: Scene, models: tuple[Model, ...], results: list[FeatureGeometry], column: int
) -> Axes:
    if len(models) == 1:
        return _margin_histogram(scene, models[0], results[0], column)
    dense, pruned = results[0].margin, results[-1].margin
    index = np.arange(len(dense))
    labels = results[0].labels
    lost = int(((dense > 0) & (pruned <= 0)).sum())
    won = int(((dense <= 0) & (pruned > 0)).sum())
    marks: list[Any] = [Rule(0.0, True), Rule(0.0, False)]
    for c in np.unique(labels):
        of = labels == c
        marks.append(
            Points(
                dense[of],
                pruned[of],
                class_colour(int(c)),
                size=4,
                entity="sample",
                ids=index[of],
                hints=_hints(scene, index[of]),
            )
        )
    return Axes(
        Axis(f"margin in {models[0].name}"),
        Axis(f"margin in {models[-1].name}"),
        tuple(marks),
        title="Margin to the decision boundary",
        note=f"below 0 is misclassified: {lost} lost, {won} won of {len(dense):,}",
        row=1,
        column=column,
        priority=1,
    )


def _margin_histogram(scene: Scene, model: Model, result: FeatureGeometry, column: int) -> Axes:
    values = result.margin[np.isfinite(result.margin)]
    counts, edges = np.histogram(values, bins=40)
    return Axes(
        Axis("margin"),
        Axis("images"),
        (
            Line(
                np.repeat(edges, 2)[1:-1],
                np.repeat(counts.astype(float), 2),
                colour_of(scene, model),
                label=model.name,
            ),
            Rule(0.0, False),
        ),
        title="Margin to the decision boundary",
        note=f"{int((values <= 0).sum())} of {len(values):,} images misclassified (margin ≤ 0)",
        row=1,
        column=column,
        priority=1,
    )


def _norms(scene: Scene, models: tuple[Model, ...], results: list[FeatureGeometry]) -> Axes:
    index = np.arange(len(results[0].norm))
    labels = results[0].labels
    return Axes(
        Axis(f"feature norm in {models[0].name}"),
        Axis(f"feature norm in {models[-1].name}"),
        tuple(
            Points(
                results[0].norm[labels == c],
                results[-1].norm[labels == c],
                class_colour(int(c)),
                size=4,
                entity="sample",
                ids=index[labels == c],
                hints=_hints(scene, index[labels == c]),
            )
            for c in np.unique(labels)
        ),
        title="Feature norm before and after pruning",
        note="Angle and margin belong to the classifier's input; this layer has no classifier.",
        row=1,
        column=0,
        column_span=2,
        priority=1,
    )
