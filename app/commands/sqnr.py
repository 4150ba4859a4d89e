"""`espalier sqnr`: pruning and quantisation error at equal compression, layer by layer."""

from __future__ import annotations

from typing import Any

import click

from analysis.pruning.quantisation import BITS, Quantisation, QuantisationError
from app.commands.options import json_option, numbers, opened, run
from app.commands.output import emit, progress, table


@click.command("sqnr")
@click.argument("checkpoint", metavar="CKPT")
@click.option("--arch", metavar="NAME", help="Architecture, when the file does not tell.")
@click.option(
    "--bits", callback=numbers(int), metavar="B,B,...",
    help=f"Widths to compare; {','.join(map(str, BITS))} unless told.",
)  # fmt: skip
@json_option
def command(
    checkpoint: str, arch: str | None, bits: tuple[int, ...] | None, as_json: bool
) -> None:
    """Signal-to-noise ratio of b-bit weights beside magnitude pruning to 1 - b/16, in dB."""
    model = opened(checkpoint, arch)
    with progress() as report:
        found = run(Quantisation(model, bits or BITS), report)
    payload = {"model": model.name, "key": model.key, **_account(found)}
    emit(payload, as_json, _text(found))


def _account(found: QuantisationError) -> dict[str, Any]:
    return {
        "bits": found.bits,
        "sparsities": found.sparsities,
        "layers": found.layers,
        "quantised": found.quantised,
        "pruned": found.pruned,
        "quantised_zeros": found.quantised_zeros,
        "kurtosis": found.kurtosis,
    }


def _text(found: QuantisationError) -> str:
    columns = [
        f"{bits} bit | {s:.1%}" for bits, s in zip(found.bits, found.sparsities, strict=True)
    ]
    rows = [
        (
            name,
            f"{found.kurtosis[i]:.2f}",
            *(
                f"{found.quantised[i, j]:.2f} | {found.pruned[i, j]:.2f}"
                for j in range(len(found.bits))
            ),
        )
        for i, name in enumerate(found.layers)
    ]
    return "\n".join(
        [
            table(("layer", "kurtosis", *columns), rows),
            "",
            "dB: quantised | pruned to the sparsity of equal compression (1 - b/16)",
        ]
    )
