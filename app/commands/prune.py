"""`espalier prune`: one checkpoint, one recipe, and an account of what was done."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from analysis.checkpoints import write_pruned
from analysis.data.dataset import Data
from analysis.errors import ArgumentError
from analysis.evaluate import Evaluate, Evaluation
from analysis.models import Model
from analysis.pruning import Prune, Pruned, pruned_model, recipe_named
from analysis.pruning.estimate import Budget, check
from app.commands.options import Common, common_options, data_block, data_option, run
from app.commands.output import emit, jsonable, percent, progress, table, writable


@click.command("prune")
@click.argument("checkpoint", metavar="CKPT")
@click.option("--recipe", required=True, metavar="R", help="A name that `recipes` lists.")
@click.option(
    "--sparsity", type=float, metavar="S",
    help="Fraction of the prunable weights to remove, in [0, 1); N:M recipes imply it.",
)  # fmt: skip
@data_option
@click.option(
    "--with", "companions", multiple=True, metavar="CKPT",
    help="Another model of the same architecture, for recipes that compare two or more.",
)  # fmt: skip
@click.option("--contrast", metavar="D", help="A second set of images, for recipes that need it.")
@click.option("--calibration", metavar="D", help="Calibrate on these data instead.")
@click.option(
    "--calibration-size", type=click.IntRange(min=1), default=256, show_default=True,
    help="Images that criteria and recoveries may look at.",
)  # fmt: skip
@click.option(
    "--max-memory", type=click.FloatRange(min=0, min_open=True), metavar="GIB",
    help="Refuse jobs that are estimated to take more; 60 % of what is free unless told.",
)  # fmt: skip
@click.option(
    "--max-minutes", type=click.FloatRange(min=0, min_open=True), metavar="M",
    help="Refuse jobs that are estimated to take longer.",
)  # fmt: skip
@click.option(
    "--set", "settings", multiple=True, metavar="PART.FIELD=VALUE", help="Change the recipe."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.safetensors")
@common_options
def command(
    checkpoint: str,
    recipe: str,
    sparsity: float | None,
    data_source: str,
    companions: tuple[str, ...],
    contrast: str | None,
    calibration: str | None,
    calibration_size: int,
    max_memory: float | None,
    max_minutes: float | None,
    settings: tuple[str, ...],
    out: Path | None,
    common: Common,
) -> None:
    """Prune CKPT, evaluate it before and after, and write the masked weights to --out."""
    chosen = recipe_named(recipe, _settings(settings))
    chosen.structure.resolve(sparsity)  # before anything is read: wrong arguments come first
    if out is not None:
        writable(out, ".safetensors")
    base = common.model(checkpoint)
    data = common.data(data_source, (base,), calibration_size)
    if calibration is not None:
        data = _calibrated(data, common.data(calibration, (base,), calibration_size))
    request = Prune(
        base,
        chosen,
        sparsity,
        data.calibration,
        common.seed,
        common.compute,
        companions=tuple(common.model(other) for other in companions),
        contrast=common.data(contrast, (base,), calibration_size).calibration
        if contrast
        else None,
    )
    expected = check(request, _budget(common, max_memory, max_minutes))
    with progress() as report:
        pruned = run(request, report)
        model = pruned_model(base, pruned, request)
        before, after = (
            run(Evaluate(m, data.evaluation, common.compute), report) for m in (base, model)
        )
        payload = {
            "recipe": recipe,
            "parts": chosen.to_json(),
            "model": model.name,
            "key": model.key,
            **_account(model, pruned, request),
            "dense": _quality(before),
            "pruned": _quality(after),
            "data": {**data_block(data), "calibration_source": calibration or data.source},
            "with": companions,
            "contrast": contrast,
            "estimate": {
                "seconds": expected.seconds,
                "memory_bytes": expected.memory_bytes,
            },
            "seed": common.seed,
            "out": out,
        }
        if out is not None:
            write_pruned(model, out, _kept(payload))
    emit(payload, common.as_json, _text(payload))


def _budget(common: Common, memory: float | None, minutes: float | None) -> Budget:
    for flag, value in (("--max-memory", memory), ("--max-minutes", minutes)):
        if value is not None and not math.isfinite(value):
            raise ArgumentError(f"{flag} {value}: give a number, or leave it out for no limit.")
    limit = Budget.default(common.compute.device).memory_bytes
    return Budget(
        limit if memory is None else int(memory * (1 << 30)),
        None if minutes is None else 60 * minutes,
    )


def _kept(payload: dict[str, Any]) -> dict[str, Any]:
    """What is written beside the weights: all but the layers, which the file itself holds."""
    kept: dict[str, Any] = jsonable(payload)
    return {name: value for name, value in kept.items() if name not in ("layers", "out")}


def _settings(pairs: tuple[str, ...]) -> dict[str, str]:
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ArgumentError(f"--set {pair}: write it as part.field=value.")
        settings[name] = value
    return settings


def _calibrated(data: Data, other: Data) -> Data:
    """The evaluation images of one source with the calibration images of another."""
    evaluated = {image.tobytes() for image in data.evaluation.images}
    shared = any(image.tobytes() in evaluated for image in other.calibration.images)
    return Data(data.source, data.evaluation, other.calibration, shared)


def _account(model: Model, pruned: Pruned, request: Prune) -> dict[str, Any]:
    zeros = model.zeros
    layers = [
        {
            "name": layer.name,
            "shape": layer.shape,
            "parameters": layer.parameters,
            "zeros": zeros[layer.name],
            "sparsity": zeros[layer.name] / layer.parameters,
        }
        for layer in model.layers
    ]
    parameters = sum(layer.parameters for layer in model.layers)
    return {
        "sparsity": sum(zeros.values()) / parameters,
        "asked": request.target,
        "parameters": parameters,
        "zeros": sum(zeros.values()),
        "layers": layers,
        "notes": pruned.audit.notes,
        "warnings": pruned.audit.warnings,
        "seconds": pruned.seconds,
        "peak_memory_bytes": pruned.peak_memory_bytes,
    }


def _quality(result: Evaluation) -> dict[str, Any]:
    return {
        "accuracy": result.accuracy,
        "interval": result.interval,
        "loss": result.loss,
        "n": result.n,
    }


def _text(payload: dict[str, Any]) -> str:
    dense, pruned = payload["dense"], payload["pruned"]
    layers = table(
        ("layer", "shape", "parameters", "zeros", "sparsity"),
        [
            (la["name"], "×".join(map(str, la["shape"])), f"{la['parameters']:,}",
             f"{la['zeros']:,}", percent(la["sparsity"]))
            for la in payload["layers"]
        ],
    )  # fmt: skip
    lines = [
        layers,
        "",
        f"{payload['model']}: {payload['zeros']:,} of {payload['parameters']:,} prunable weights "
        f"are zero ({percent(payload['sparsity'], 3)})",
        f"accuracy {percent(dense['accuracy'])} dense, {percent(pruned['accuracy'])} pruned "
        f"(n = {pruned['n']:,}); loss {dense['loss']:.4f}, {pruned['loss']:.4f}",
        f"{payload['seconds']:.2f} s, {payload['peak_memory_bytes'] / 2**20:.0f} MiB at most",
    ]
    if payload["data"]["shared"]:
        lines.append("calibrated on images that it is evaluated on")
    lines += [f"note: {note}" for note in payload["notes"]]
    lines += [f"warning: {warning}" for warning in payload["warnings"]]
    if payload["out"] is not None:
        lines.append(f"written to {payload['out']}")
    return "\n".join(lines)
