"""Figures as the views make them, small, for the tests of both renderers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.figures.spec import (
    Axes,
    Axis,
    Band,
    Bars,
    Colouring,
    ErrorBars,
    Figure,
    Label,
    Line,
    Mark,
    Matrix,
    Picture,
    Points,
    Rule,
    Table,
)

LAYERS = tuple(
    f"layer{stage}.{block}.conv{conv}.weight"
    for stage in (1, 2, 3)
    for block in (0, 1, 2)
    for conv in (1, 2)
)
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2", "#F0E442")


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def overview() -> Figure:
    sparsity = np.array([0.5, 0.7, 0.8, 0.9, 0.95])
    marks: list[Mark] = [Rule(0.984, label="dense 98.4 %")]
    names = ("global magnitude", "uniform magnitude", "Wanda", "random")
    shapes = ("square", "triangle", "diamond", "cross")
    for i, name in enumerate(names):
        fall = 0.98 - (0.02 + 0.12 * i) * (sparsity / 0.95) ** 6
        marks += [
            Band(sparsity, fall - 0.02, fall + 0.02, PALETTE[i]),
            Line(sparsity, fall, PALETTE[i], dash=("dash", "dot", "dashdot", "solid")[i],
                 label=name, entity="model", ids=(f"m{i}",)),
            ErrorBars(sparsity, fall - 0.015, fall + 0.015, PALETTE[i]),
            Points(sparsity, fall, PALETTE[i], marker=shapes[i], size=8, label=name,
                   entity="model", ids=tuple(f"m{i}.{j}" if j else f"m{i}" for j in range(5)),
                   hints=tuple(f"{name}, {s:.0%}" for s in sparsity)),
        ]  # fmt: skip
    plot = Axes(
        Axis("Sparsity of the prunable weights"), Axis("Accuracy"), tuple(marks), legend=True,
        title="Accuracy against sparsity", note="n = 450 images; bars are 95 % Wilson intervals",
    )  # fmt: skip
    rows = tuple(
        (n, 0.8, 0.97 - 0.05 * i, -0.01 - 0.05 * i, 21000 * i) for i, n in enumerate(names)
    )
    table = Table(
        ("Model", "Sparsity", "Accuracy", "Change", "Weights"), rows,
        ("", ".1%", ".4f", "+.4f", ",d"), PALETTE[:4], "Models", "model",
        tuple(f"m{i}" for i in range(4)), row=1,
    )  # fmt: skip
    return Figure("Overview", (plot, table), row_heights=(2, 1))


def sensitivity() -> Figure:
    rng = generator()
    levels = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    drop = np.sort(rng.gamma(1.0, 0.1, (len(LAYERS), len(levels))), axis=1)
    drop[3, 6:] = np.nan
    estimated = rng.random(drop.shape) < 0.3
    text = np.array([[f"{100 * v:.1f}" if np.isfinite(v) else "" for v in r] for r in drop])
    ids = np.array([[name] * len(levels) for name in LAYERS], dtype=object)
    hints = np.array([[f"{n} at {s:.0%}" for s in levels] for n in LAYERS], dtype=object)
    ticks = tuple((float(i), name) for i, name in enumerate(LAYERS))
    heat = Axes(
        Axis("Sparsity of this layer", ticks=tuple((i, f"{s:.0%}") for i, s in enumerate(levels))),
        Axis("", ticks=ticks, reversed=True),
        (Matrix(drop, Colouring("cividis", None, "Accuracy drop"), estimated, text, "layer", ids,
                hints),),
        title="One layer pruned alone", note="hatched: estimated from the gradient",
    )  # fmt: skip
    bars = Axes(
        Axis("Sparsity now", limits=(0, 1)), Axis("", ticks=(), reversed=True,
        limits=(-0.5, len(LAYERS) - 0.5)),
        (Bars(np.arange(len(LAYERS)), rng.random(len(LAYERS)), horizontal=True, colour=PALETTE[0],
              entity="layer", ids=LAYERS),),
        title="In this model", column=1,
    )  # fmt: skip
    return Figure("Layer sensitivity", (heat, bars), column_widths=(3, 1))


def geometry(count: int = 900) -> Figure:
    rng = generator()
    labels = rng.integers(0, 7, count)
    place = rng.normal(size=(count, 2)) + 4 * np.stack([np.cos(labels), np.sin(labels)], 1)
    names = tuple(f"image {i}, class {c}" for i, c in enumerate(labels))
    left = Axes(
        Axis("UMAP 1", ticks=()), Axis("UMAP 2", ticks=()),
        tuple(
            Points(place[labels == c, 0], place[labels == c, 1], PALETTE[c], size=5,
                   label=f"class {c}", entity="sample", ids=np.flatnonzero(labels == c),
                   hints=tuple(names[i] for i in np.flatnonzero(labels == c)))
            for c in range(7)
        ),
        "dense", "trustworthiness 0.968", True, True,
    )  # fmt: skip
    margin = place[:, 0] * 2
    right = Axes(
        Axis("Angle to the true class (rad)"), Axis("Norm |x|"),
        (Points(rng.random(count), np.exp(place[:, 1]), values=margin, entity="sample",
                ids=np.arange(count), size=5,
                colouring=Colouring("vik", (-10, 10), "Margin of the logit")),
         Rule(0.5, horizontal=False, label="decision")),
        "Angle and norm", "n = 900", column=1,
    )  # fmt: skip
    right = replace(right, y=replace(right.y, log=True))
    return Figure("Feature geometry", (left, right))


def paths() -> Figure:
    rng = generator()
    layers = LAYERS[:9]
    marks: list[Mark] = []
    for i, colour in enumerate(("ink", *PALETTE[:2])):
        rank = rng.integers(0, 10, len(layers)).astype(float)
        marks.append(Line(np.arange(9.0), rank, colour, 2.0, smooth=True, label=f"model {i}",
                          entity="model", ids=(f"m{i}",)))  # fmt: skip
        hollow = i == 2
        marks.append(
            Points(np.arange(9.0), rank, colour, size=9, hollow=hollow, entity="unit",
                   marker="cross" if hollow else "circle",
                   ids=tuple(f"{n}:{int(r)}" for n, r in zip(layers, rank, strict=True)))
        )  # fmt: skip
    marks.append(Label(4, -0.8, "removed units are hollow"))
    marks.append(
        Picture(rng.integers(0, 255, (8, 8), dtype=np.uint8), 0.2, 7.0, 0.6, 1.6, "sample", (3,))
    )
    ticks = tuple((float(i), n) for i, n in enumerate(layers))
    plot = Axes(Axis("", ticks=ticks), Axis("Rank of the unit", reversed=True), tuple(marks),
                "Most influential units", legend=True)  # fmt: skip
    return Figure("Neuron paths", (plot,))


def empty() -> Figure:
    return Figure("Weights", message="Open a checkpoint, or drop one on the window.")


ALL = {f.__name__: f for f in (overview, sensitivity, geometry, paths, empty)}


def single(mark: Mark, **settings: object) -> Figure:
    return Figure("One", (Axes(Axis("x"), Axis("y"), (mark,), legend=True, **settings),))


def every_mark(count: int, bad: bool = False) -> tuple[Mark, ...]:
    """One mark of each kind with `count` items; `bad` puts NaN and infinity among them."""
    x, y = np.arange(count, dtype=float), np.linspace(0.1, 1, count)
    if bad and count:
        x[0], y[-1] = np.nan, np.inf
    ids = tuple(range(count))
    grid = np.tile(y, (2, 1))
    return (
        Points(x, y, label="one", entity="sample", ids=ids),
        Points(x, y, codes=np.arange(count) - 1, palette=PALETTE[:3], marker="star", hollow=True),
        Points(x, y, values=y, colouring=Colouring(label="value"), marker="plus"),
        Line(x, y, label="line", marker="diamond", entity="model", ids=("m",)),
        Line(x, y, smooth=True, dash="dot"),
        Band(x, y - 1, y + 1),
        ErrorBars(x, y - 1, y + 1),
        Bars(x, y, label="bars", entity="class", ids=ids),
        Bars(x, y, horizontal=True, opacity=0.5),
        Matrix(grid, Colouring(), np.ones(grid.shape, bool), np.full(grid.shape, "1"), "layer",
               np.full(grid.shape, "a", dtype=object)),
        Rule(np.nan if bad else 0.5, label="rule"),
        Rule(0.5, horizontal=False),
        Label(0.5, np.nan if bad else 0.5, "label"),
        Picture(np.zeros((4, 4, 3), np.uint8), 0, 0, 1, 1, "sample", (0,)),
        Picture(np.zeros((4, 4), np.uint8), 1, 0, 1, 1),
    )  # fmt: skip
