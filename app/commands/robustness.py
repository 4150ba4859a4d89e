"""`espalier robustness`: accuracy on corrupted images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from analysis.data.corruptions import CORRUPTIONS
from analysis.models import Model
from analysis.robustness import Robustness, RobustnessGrid, mean_corruption_error
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


@click.command("robustness")
@checkpoints_argument
@data_option
@click.option(
    "--corruptions", callback=numbers(str), metavar="NAME,...",
    help=f"Default all: {', '.join(CORRUPTIONS)}.",
)  # fmt: skip
@click.option("--severities", callback=numbers(int), metavar="1,...", help="Default 1 to 5.")
@arrays_option
@common_options
def command(
    checkpoints: tuple[str, ...],
    data_source: str,
    corruptions: tuple[str, ...] | None,
    severities: tuple[int, ...] | None,
    out: Path | None,
    common: Common,
) -> None:
    """Accuracy of each CKPT for every corruption and severity; the first one is the reference."""
    if out is not None:
        writable(out, ".npz")
    models = common.models(checkpoints)
    data = common.data(data_source, models)
    request = Robustness(
        models,
        data.evaluation,
        tuple(CORRUPTIONS) if corruptions is None else corruptions,
        (1, 2, 3, 4, 5) if severities is None else severities,
        common.seed,
        common.compute,
    )
    with progress() as report:
        grid = run(request, report)
    if out is not None:
        save_arrays(out, _arrays(grid))
    summary = [_summary(model, grid, i) for i, model in enumerate(models)]
    payload = {
        "corruptions": grid.corruptions,
        "severities": grid.severities,
        "cells": _cells(models, grid),
        "summary": summary,
        "data": data_block(data),
        "out": out,
    }
    emit(payload, common.as_json, _text(grid, summary))


def _cells(models: tuple[Model, ...], grid: RobustnessGrid) -> list[dict[str, Any]]:
    return [
        {
            "model": model.name,
            "corruption": corruption,
            "severity": severity,
            "accuracy": float(grid.accuracy[m, c, s]),
            "n": grid.n,
        }
        for m, model in enumerate(models)
        for c, corruption in enumerate(grid.corruptions)
        for s, severity in enumerate(grid.severities)
    ]


def _summary(model: Model, grid: RobustnessGrid, row: int) -> dict[str, Any]:
    return {
        "model": model.name,
        "key": model.key,
        "clean_accuracy": float(grid.clean_accuracy[row]),
        "mean_accuracy": float(grid.accuracy[row].mean()),
        "mce": mean_corruption_error(grid, model.key, grid.models[0]),
        "n": grid.n,
    }


def _arrays(grid: RobustnessGrid) -> dict[str, np.ndarray]:
    return {
        "models": np.array(grid.models),
        "corruptions": np.array(grid.corruptions),
        "severities": np.array(grid.severities),
        "accuracy": grid.accuracy,
        "predictions": grid.predictions,
        "clean": grid.clean,
        "labels": grid.labels,
    }


def _text(grid: RobustnessGrid, summary: list[dict[str, Any]]) -> str:
    blocks = []
    for m, row in enumerate(summary):
        head = (
            f"{row['model']}: clean {percent(row['clean_accuracy'])}, corrupted "
            f"{percent(row['mean_accuracy'])}, mCE {row['mce']:.3f} (n = {row['n']:,})"
        )
        cells = [
            (name, *(percent(value, 1) for value in grid.accuracy[m, c]))
            for c, name in enumerate(grid.corruptions)
        ]
        blocks.append(f"{head}\n{table(('severity', *map(str, grid.severities)), cells)}")
    return "\n\n".join(blocks)
