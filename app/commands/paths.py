"""`espalier paths`: the most influential unit of every layer, for images or for classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click
import numpy as np

from analysis.data.dataset import Dataset
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.paths import NeuronPaths, PathResult
from app.commands.options import (
    Common,
    arrays_option,
    checkpoints_argument,
    common_options,
    data_block,
    data_option,
    numbers,
    run,
)
from app.commands.output import emit, progress, save_arrays, table, writable


@click.command("paths")
@checkpoints_argument
@data_option
@click.option(
    "--samples", callback=numbers(int), metavar="I,I,...",
    help="Paths of these evaluation images instead of one path a class.",
)  # fmt: skip
@click.option(
    "--per-class", type=click.IntRange(min=1), default=10, show_default=True,
    help="Images a class, the first ones of the data.",
)  # fmt: skip
@click.option(
    "--target", type=click.Choice(["prediction", "label"]), default="prediction", show_default=True
)
@click.option("--steps", type=click.IntRange(min=1), default=20, show_default=True)
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True,
    help="Best units to list, a layer.",
)  # fmt: skip
@arrays_option
@common_options
def command(
    checkpoints: tuple[str, ...],
    data_source: str,
    samples: tuple[int, ...] | None,
    per_class: int,
    target: Literal["prediction", "label"],
    steps: int,
    top: int,
    out: Path | None,
    common: Common,
) -> None:
    """The neuron path of each CKPT, a class or an image at a time."""
    if out is not None:
        writable(out, ".npz")
    models = common.models(checkpoints)
    data = common.data(data_source, models)
    groups = _groups(data.evaluation, samples, per_class)
    results: list[tuple[int, Model, int | None, PathResult]] = []
    with progress() as report:
        for i, model in enumerate(models):
            for label, indices in groups:
                request = NeuronPaths(
                    model, data.evaluation, indices, target, steps, compute=common.compute
                )
                results.append((i, model, label, run(request, report)))
    if out is not None:
        save_arrays(out, _arrays(results))
    rows = [_row(data.evaluation, m, label, r, top) for _, m, label, r in results]
    layers = {model.key: result.layers for _, model, _, result in results}
    payload = {
        "layers": layers[models[0].key],
        "models": [{"name": m.name, "key": m.key, "layers": layers[m.key]} for m in models],
        "paths": rows,
        "target": target,
        "steps": steps,
        "data": data_block(data),
        "out": out,
    }
    emit(payload, common.as_json, _text(rows))


Group = tuple[int | None, np.ndarray]
"""A class and its images, or None and one image that was asked for."""


def _groups(data: Dataset, samples: tuple[int, ...] | None, per_class: int) -> list[Group]:
    if samples is not None:
        if not samples or not all(0 <= i < len(data) for i in samples):
            raise ArgumentError(f"--samples must lie between 0 and {len(data) - 1}.")
        return [(None, np.array([index], dtype=np.int64)) for index in samples]
    return [
        (int(label), np.flatnonzero(data.labels == label)[:per_class])
        for label in np.unique(data.labels)
    ]


def _row(
    data: Dataset, model: Model, label: int | None, result: PathResult, top: int
) -> dict[str, Any]:
    """The path of a class (its most frequent units), or of one image."""
    index = None if label is not None else int(result.indices[0])
    units = [int(unit) for unit in result.class_path]
    return {
        "model": model.name,
        "sample": index,
        "class": int(data.labels[index]) if index is not None else label,
        "n": result.n,
        "units": units,
        "scores": [float(s[u]) for s, u in zip(result.scores, units, strict=True)],
        "frequency": result.frequency,
        "top": [result.top_units(layer, top) for layer in range(len(result.layers))],
        "jig": float(result.jig.mean()),
        "delta": float(result.delta.max()),
    }


def _arrays(results: list[tuple[int, Model, int | None, PathResult]]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for i, _, label, result in results:
        place = f"{i}/sample {result.indices[0]}" if label is None else f"{i}/class {label}"
        arrays[f"{i}/layers"] = np.array(result.layers)
        for name in ("indices", "units", "class_path", "jig", "delta"):
            arrays[f"{place}/{name}"] = getattr(result, name)
        for layer, scores in zip(result.layers, result.scores, strict=True):
            arrays[f"{place}/scores/{layer}"] = scores
    return arrays


def _text(rows: list[dict[str, Any]]) -> str:
    return table(
        ("model", "class", "sample", "n", "units, input to output", "JIG"),
        [
            (r["model"], r["class"], r["sample"], r["n"], " → ".join(map(str, r["units"])),
             r["jig"])
            for r in rows
        ],
    )  # fmt: skip
