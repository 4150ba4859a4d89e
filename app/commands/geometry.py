"""`espalier geometry`: features, the classifier's angles, and an embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click
import numpy as np

from analysis.geometry import Embed, Embedding, FeatureGeometry, Geometry
from analysis.models import Model
from app.commands.options import (
    Common,
    arrays_option,
    checkpoints_argument,
    common_options,
    data_block,
    data_option,
    run,
)
from app.commands.output import Progress, emit, progress, save_arrays, table, writable


@click.command("geometry")
@checkpoints_argument
@data_option
@click.option("--layer", default="", metavar="NAME", help="Default: the classifier's input.")
@click.option("--embedding", type=click.Choice(["pca", "umap"]), default="pca", show_default=True)
@click.option("--neighbours", type=click.IntRange(min=2), default=15, show_default=True)
@arrays_option
@common_options
def command(
    checkpoints: tuple[str, ...],
    data_source: str,
    layer: str,
    embedding: Literal["pca", "umap"],
    neighbours: int,
    out: Path | None,
    common: Common,
) -> None:
    """Features of each CKPT: angle to every class, norm, margin, and a plane they share."""
    if out is not None:
        writable(out, ".npz")
    models = common.models(checkpoints)
    data = common.data(data_source, models)
    with progress() as report:
        found = [run(Geometry(m, data.evaluation, layer, common.compute), report) for m in models]
        planes = _embedded(found, embedding, neighbours, common, report)
    if out is not None:
        save_arrays(out, _arrays(found, planes))
    rows = [_row(*each) for each in zip(models, found, planes, strict=True)]
    payload = {"layer": layer, "models": rows, "data": data_block(data), "out": out}
    emit(payload, common.as_json, _text(rows))


def _embedded(
    found: list[FeatureGeometry],
    method: Literal["pca", "umap"],
    neighbours: int,
    common: Common,
    report: Progress,
) -> list[tuple[Embedding, int]]:
    """A plane and the model's place in it: one plane for all, or one each where widths differ."""
    features = tuple(result.features for result in found)

    def embed(part: tuple[np.ndarray, ...]) -> Embedding:
        request = Embed(part, method, neighbours, seed=common.seed, compute=common.compute)
        return run(request, report)

    if len({part.shape[1] for part in features}) == 1:
        joint = embed(features)
        return [(joint, i) for i in range(len(features))]
    return [(embed((part,)), 0) for part in features]


def _arrays(
    found: list[FeatureGeometry], planes: list[tuple[Embedding, int]]
) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {"labels": found[0].labels}
    for i, (result, (plane, place)) in enumerate(zip(found, planes, strict=True)):
        for name in ("features", "angle", "norm", "margin", "logits", "weight", "bias"):
            arrays[f"{i}/{name}"] = getattr(result, name)
        arrays[f"{i}/embedding"] = plane.coordinates[place]
    return arrays


def _row(model: Model, result: FeatureGeometry, plane: tuple[Embedding, int]) -> dict[str, Any]:
    embedding, place = plane
    own = result.angle[np.arange(len(result.labels)), result.labels] if result.angle.size else ()
    return {
        "name": model.name,
        "key": model.key,
        "n": len(result.labels),
        "dimensions": result.features.shape[1],
        "mean_angle": _mean(own),
        "mean_norm": _mean(result.norm),
        "mean_margin": _mean(result.margin),
        "embedding": {
            "method": embedding.method,
            "joint": len(embedding.coordinates) > 1,
            "trustworthiness": embedding.trustworthiness[place],
            "neighbours": embedding.neighbours,
            "note": embedding.note,
        },
    }


def _mean(values: Any) -> float | None:
    """Mean of the finite values, or None without any."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(finite.mean()) if finite.size else None


def _text(rows: list[dict[str, Any]]) -> str:
    return table(
        ("model", "n", "dimensions", "angle", "norm", "margin", "plane", "trustworthiness"),
        [
            (r["name"], r["n"], r["dimensions"], _degrees(r["mean_angle"]), r["mean_norm"],
             r["mean_margin"], r["embedding"]["method"], r["embedding"]["trustworthiness"])
            for r in rows
        ],
    )  # fmt: skip


def _degrees(angle: float | None) -> str | None:
    return None if angle is None else f"{np.degrees(angle):.1f}°"
