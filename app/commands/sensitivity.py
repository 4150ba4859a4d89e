"""`espalier sensitivity`: every layer pruned alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from analysis.models import Model
from analysis.sensitivity import SPARSITIES, Sensitivity, SensitivityMap
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
from app.commands.output import emit, percent, progress, save_arrays, table, writable


@click.command("sensitivity")
@checkpoints_argument
@data_option
@click.option("--criterion", default="magnitude", show_default=True, help="What goes first.")
@click.option(
    "--sparsities", callback=numbers(float), metavar="S,S,...", help="Default 0.1 to 0.9."
)
@arrays_option
@common_options
def command(
    checkpoints: tuple[str, ...],
    data_source: str,
    criterion: str,
    sparsities: tuple[float, ...] | None,
    out: Path | None,
    common: Common,
) -> None:
    """Accuracy and loss of each CKPT with one layer pruned at a time."""
    if out is not None:
        writable(out, ".npz")
    models = common.models(checkpoints)
    data = common.data(data_source, models)
    chosen = SPARSITIES if sparsities is None else sparsities
    with progress() as report:
        maps = [
            run(
                Sensitivity(
                    model,
                    data.evaluation,
                    criterion,
                    chosen,
                    data.calibration,
                    common.seed,
                    common.compute,
                ),
                report,
            )
            for model in models
        ]
    if out is not None:
        save_arrays(out, _arrays(maps))
    rows = [_row(m, r) for m, r in zip(models, maps, strict=True)]
    first = {k: rows[0][k] for k in ("layers", "sparsities", "accuracy", "loss", "exact", "dense")}
    payload = {
        **first,
        "criterion": criterion,
        "models": rows,
        "data": data_block(data),
        "out": out,
    }
    emit(payload, common.as_json, "\n\n".join(map(_text, rows)))


def _row(model: Model, result: SensitivityMap) -> dict[str, Any]:
    return {
        "name": model.name,
        "key": model.key,
        "layers": result.layers,
        "sparsities": result.sparsities,
        "accuracy": result.accuracy,
        "loss": result.loss,
        "exact": result.exact,
        "dense": {
            "accuracy": result.dense_accuracy,
            "loss": result.dense_loss,
            "n": result.n,
        },
    }


def _arrays(maps: list[SensitivityMap]) -> dict[str, np.ndarray]:
    arrays = {}
    for i, result in enumerate(maps):
        arrays[f"{i}/layers"] = np.array(result.layers)
        arrays[f"{i}/sparsities"] = np.array(result.sparsities)
        for name in ("accuracy", "loss", "exact"):
            arrays[f"{i}/{name}"] = getattr(result, name)
    return arrays


def _text(row: dict[str, Any]) -> str:
    dense = row["dense"]
    head = f"{row['name']}: accuracy {percent(dense['accuracy'])} as given (n = {dense['n']:,})"
    columns = ("layer alone at", *(percent(s, 0) for s in row["sparsities"]))
    cells = [
        (layer, *(percent(value, 1) for value in values))
        for layer, values in zip(row["layers"], row["accuracy"], strict=True)
    ]
    return f"{head}\n{table(columns, cells)}"
