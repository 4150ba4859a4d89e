"""`espalier account`: what models weigh, multiply and take, on paper and on this machine."""

from __future__ import annotations

from typing import Any

import click

from analysis.models import Model
from analysis.pruning.accounting import Account, Accounting
from analysis.pruning.latency import Latency, LatencyTable
from app.commands.options import Common, checkpoints_argument, common_options, run
from app.commands.output import emit, percent, progress, table


@click.command("account")
@checkpoints_argument
@click.option("--latency", is_flag=True, help="Measure the forward pass on this machine as well.")
@click.option(
    "--repeats", type=click.IntRange(min=1), default=30, show_default=True,
    help="Batches that are timed.",
)  # fmt: skip
@common_options
def command(checkpoints: tuple[str, ...], latency: bool, repeats: int, common: Common) -> None:
    """Parameters, zeros, multiply-accumulates and bytes of CKPTs, and measured time.

    --batch-size says how many images are timed at once. Times are interleaved: one batch of each
    model in turn.
    """
    models = common.models(checkpoints)
    with progress() as report:
        found = [run(Account(model), report) for model in models]
        times = None
        if latency:
            times = run(Latency(models, common.batch_size, repeats, common.compute), report)
    payload = {
        "models": [_row(m, a) for m, a in zip(models, found, strict=True)],
        "convention": found[0].convention,
        "latency": None if times is None else _times(times),
    }
    emit(payload, common.as_json, _text(payload))


def _row(model: Model, found: Accounting) -> dict[str, Any]:
    return {
        "name": model.name,
        "key": model.key,
        "parameters": found.parameters,
        "prunable": found.prunable,
        "zeros": found.zeros,
        "density": found.density,
        "compression": found.compression,
        "macs": found.macs,
        "macs_nonzero": found.macs_nonzero,
        "bytes": _bytes(found.bytes),
        "layers": [
            {
                "name": layer.name,
                "parameters": layer.parameters,
                "nonzero": layer.nonzero,
                "macs": layer.macs,
                "macs_nonzero": layer.macs_nonzero,
                "bytes": _bytes(layer.bytes),
            }
            for layer in found.layers
        ],
    }


def _bytes(found: Any) -> dict[str, int | None]:
    return {
        "dense": found.dense,
        "bitmask": found.bitmask,
        "csr": found.csr,
        "two_four": found.two_four,
    }


def _times(found: LatencyTable) -> dict[str, Any]:
    return {
        "batch": found.batch,
        "repeats": found.repeats,
        "device": found.device,
        "threads": found.threads,
        "note": found.note,
        "models": [
            {"name": row.name, "milliseconds": row.milliseconds, "spread": row.spread}
            for row in found.rows
        ],
    }


def _text(payload: dict[str, Any]) -> str:
    latency = payload["latency"]
    times = {} if latency is None else {row["name"]: row for row in latency["models"]}
    columns = ["model", "parameters", "density", "compression", "MACs", "non-zero MACs", "dense B",
               "bitmask B", "CSR B", "2:4 B"]  # fmt: skip
    rows = []
    for m in payload["models"]:
        sizes = m["bytes"]
        two_four = sizes["two_four"]
        row = [
            m["name"], f"{m['parameters']:,}", percent(m["density"]), f"{m['compression']:.2f}",
            f"{m['macs']:,.0f}", f"{m['macs_nonzero']:,.0f}", f"{sizes['dense']:,}",
            f"{sizes['bitmask']:,}", f"{sizes['csr']:,}",
            "" if two_four is None else f"{two_four:,}",
        ]  # fmt: skip
        if times:
            time = times[m["name"]]
            row.append(f"{time['milliseconds']:.3f} ± {time['spread']:.3f}")
        rows.append(row)
    if times:
        columns.append("ms")
    lines = [table(columns, rows), "", payload["convention"]]
    if latency is not None:
        lines.append(
            f"time of a batch of {latency['batch']} on {latency['device']}, {latency['threads']} "
            f"threads: median ± interquartile range of {latency['repeats']}"
        )
        lines += [latency["note"]] if latency["note"] else []
    return "\n".join(lines)
