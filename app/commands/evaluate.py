"""`espalier evaluate`: how well models do on the same images."""

from __future__ import annotations

from typing import Any

import click

from analysis.evaluate import Evaluate, Evaluation, agreement
from analysis.models import Model
from app.commands.options import (
    Common,
    checkpoints_argument,
    common_options,
    data_block,
    data_option,
    run,
)
from app.commands.output import emit, percent, progress, table


@click.command("evaluate")
@checkpoints_argument
@data_option
@common_options
def command(checkpoints: tuple[str, ...], data_source: str, common: Common) -> None:
    """Accuracy with its 95 % interval, loss, calibration error, agreement with the first CKPT."""
    models = common.models(checkpoints)
    data = common.data(data_source, models)
    with progress() as report:
        results = [run(Evaluate(m, data.evaluation, common.compute), report) for m in models]
    rows = [_row(m, r, results[0]) for m, r in zip(models, results, strict=True)]
    emit({"models": rows, "data": data_block(data)}, common.as_json, _text(rows))


def _row(model: Model, result: Evaluation, first: Evaluation) -> dict[str, Any]:
    return {
        "name": model.name,
        "key": model.key,
        "sparsity": model.sparsity,
        "accuracy": result.accuracy,
        "interval": result.interval,
        "loss": result.loss,
        "n": result.n,
        "ece": result.ece(),
        "agreement": agreement(first, result),
    }


def _text(rows: list[dict[str, Any]]) -> str:
    return table(
        ("model", "sparsity", "accuracy", "95 % interval", "loss", "ECE", "agreement", "n"),
        [
            (r["name"], percent(r["sparsity"]), percent(r["accuracy"]),
             f"{100 * r['interval'][0]:.2f}–{100 * r['interval'][1]:.2f} %",
             f"{r['loss']:.4f}", f"{r['ece']:.4f}", percent(r["agreement"]), f"{r['n']:,}")
            for r in rows
        ],
    )  # fmt: skip
