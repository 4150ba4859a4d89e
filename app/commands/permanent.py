"""`espalier permanent`: a really smaller network, with the outputs of the masked one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from analysis.checkpoints import write_pruned
from analysis.models import Model
from analysis.pruning.accounting import Account
from analysis.pruning.latency import Latency
from analysis.pruning.permanent import Permanent, make_permanent
from app.commands.options import Common, common_options, run
from app.commands.output import emit, progress, table, writable


@click.command("permanent")
@click.argument("checkpoint", metavar="CKPT")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="FILE.safetensors",
    help="Where the smaller network goes.",
)  # fmt: skip
@click.option("--latency", is_flag=True, help="Measure both networks on this machine as well.")
@common_options
def command(checkpoint: str, out: Path, latency: bool, common: Common) -> None:
    """Cut out of CKPT what is zero as a whole: channels, neurons, heads, blocks.

    Outputs are compared before anything is written. Single zeros cannot be cut out.
    """
    writable(out, ".safetensors")
    masked = common.model(checkpoint)
    with progress() as report:
        found = make_permanent(masked, report=report)
        times = None
        if latency:
            timing = Latency((masked, found.model), common.batch_size, compute=common.compute)
            times = [row.milliseconds for row in run(timing, report).rows]
        payload = {**account(masked, found), "milliseconds": times, "out": out}
        write_pruned(found.model, out, {"permanent": {**payload, "out": str(out)}})
    emit(payload, common.as_json, text(payload))


def account(masked: Model, found: Permanent) -> dict[str, Any]:
    """What became smaller, and by how much the outputs differ."""
    before, after = (Account(model)() for model in (masked, found.model))
    return {
        "model": found.model.name,
        "key": found.model.key,
        "architecture": found.model.architecture.name,
        "difference": found.difference,
        "kept": {name: list(units) for name, units in found.kept.items()},
        "before": {"parameters": before.parameters, "macs": before.macs},
        "after": {"parameters": after.parameters, "macs": after.macs},
        "notes": found.notes,
    }


def text(payload: dict[str, Any]) -> str:
    """The account for people."""
    before, after = payload["before"], payload["after"]
    rows = [
        (what, f"{before[key]:,.0f}", f"{after[key]:,.0f}", f"{before[key] / after[key]:.2f}×")
        for what, key in (("parameters", "parameters"), ("multiply-accumulates", "macs"))
    ]
    times = payload["milliseconds"]
    if times is not None:
        rows.append(("ms a batch", *(f"{ms:.3f}" for ms in times), f"{times[0] / times[1]:.2f}×"))
    lines = [
        table(("", "masked", "permanent", "smaller by"), rows),
        "",
        f"largest difference of a logit {payload['difference']:.2g}",
        *(f"note: {note}" for note in payload["notes"]),
        f"written to {payload['out']}",
    ]
    return "\n".join(lines)
