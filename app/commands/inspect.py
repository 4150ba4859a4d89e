"""`espalier inspect`: what a checkpoint holds."""

from __future__ import annotations

import dataclasses

import click

from analysis.checkpoints import inspect
from app.commands.options import json_option
from app.commands.output import emit, percent, table


@click.command("inspect")
@click.argument("checkpoint", metavar="CKPT")
@click.option("--arch", metavar="NAME", help="Architecture, when the file does not tell.")
@json_option
def command(checkpoint: str, arch: str | None, as_json: bool) -> None:
    """Show format, architecture, layers with their zeros, and the load report of CKPT."""
    found = inspect(checkpoint, arch=arch)
    text = "\n".join(
        [
            f"{checkpoint}: {found.format}, {found.architecture or 'unknown architecture'}",
            f"{found.parameters:,} parameters, sparsity {percent(found.sparsity, 3)}",
            *(f"warning: {warning}" for warning in found.report.warnings),
            "",
            table(
                ("layer", "shape", "parameters", "zeros", "sparsity"),
                [
                    (la.name, "×".join(map(str, la.shape)), f"{la.parameters:,}",
                     f"{la.zeros:,}", percent(la.sparsity))
                    for la in found.layers
                ],
            ),
        ]
    )  # fmt: skip
    emit(dataclasses.asdict(found), as_json, text)
