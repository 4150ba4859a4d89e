"""From a source (a path or a demo's name) to a model that can be built and evaluated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from analysis.architectures import Comparison, compare, get, identify
from analysis.architectures.architecture import Architecture
from analysis.architectures.fingerprint import COUNTER, shapes
from analysis.architectures.registry import from_spec
from analysis.checkpoints.reading import from_bytes, read_checkpoint
from analysis.checkpoints.report import Checkpoint, LoadReport
from analysis.errors import ArgumentError, InputError
from analysis.models import Model
from analysis.request import digest

DEMOS = {"demo:resnet": "demo_resnet.safetensors", "demo:vit": "demo_vit.safetensors"}
SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".tar", ".ckpt", ".bin")
METADATA_KEY = "espalier"
"""Where `write_pruned` keeps the origin of the weights in a safetensors header."""


def open_model(
    source: str | Path, *, arch: str | None = None, name: str | None = None
) -> tuple[Model, LoadReport]:
    """Open a checkpoint, or `demo:resnet` / `demo:vit`.

    `arch` names the architecture when the weights do not identify it, or overrules them. A file
    written by `write_pruned` comes back as a dense model with its zeros in place; how it was made
    stands in the report's `origin`. Raises InputError for an unusable file, ArgumentError for an
    unknown `arch`.
    """
    checkpoint = read_source(source)
    found, report = resolve(checkpoint, arch)
    architecture = found.architecture
    model = Model(
        name=name or _name(source),
        # The architecture counts: it decides the normalisation, so the same tensors under another
        # entry give other results.
        key=digest({"tensors": checkpoint.key, "architecture": architecture.key}),
        architecture=architecture,
        num_classes=found.num_classes,
        weights=_weights(checkpoint, found),
        source=str(source),
        classes=_classes(checkpoint, architecture, found.num_classes),
    )
    return model, report


def read_source(source: str | Path) -> Checkpoint:
    """Read a path or a built-in demo model."""
    text = str(source)
    if not text.startswith("demo:"):
        return read_checkpoint(Path(source))
    if text not in DEMOS:
        problem = "There is no such built-in model."
        raise InputError(text, problem, f"Built in are {' and '.join(DEMOS)}.")
    try:
        content = files("resources").joinpath(DEMOS[text]).read_bytes()
    except OSError as error:
        remedy = "Install Espalier again."
        raise InputError(text, "Its weights are missing here.", remedy) from error
    return from_bytes(Path(text), content)


def resolve(checkpoint: Checkpoint, arch: str | None) -> tuple[Comparison, LoadReport]:
    """The architecture of a checkpoint, and its report completed with how that was found.

    In this order: `arch`; the name in the file's own metadata if the shapes agree; the shapes.
    """
    warnings = list(checkpoint.report.warnings)
    claimed = checkpoint.metadata.get("architecture", "")
    if arch is not None:
        found = compare(get(arch), checkpoint.tensors)
        _check_override(checkpoint, found)
        evidence: tuple[str, ...] = ("named by the user",)
        warnings += [f"{why} and not used" for why in found.reasons]
    elif (named := _named(claimed, checkpoint)) is not None:
        found = named
        evidence = ("named in the file, and all names and shapes agree",)
    else:
        if claimed:
            told = claimed if len(claimed) <= 80 else f"{claimed[:80]} …"
            warnings.append(f"the file calls itself {told!r}, which does not fit its tensors")
        match = identify(checkpoint.tensors, checkpoint.path)
        found, evidence = compare(match.architecture, checkpoint.tensors), match.reasons
    return found, replace(
        checkpoint.report,
        architecture=found.architecture.name,
        evidence=evidence,
        matched=len(found.matched),
        missing=found.missing,
        filled=found.filled,
        unexpected=found.unexpected,
        mismatched=found.mismatched,
        warnings=tuple(warnings),
        origin=_origin(checkpoint.metadata),
    )


def _named(spec: str, checkpoint: Checkpoint) -> Comparison | None:
    """What the file's own metadata names, if that exists and all its names and shapes agree.

    A network that was made smaller is described there by its edits; no shapes would identify it.
    """
    try:
        found = compare(from_spec(spec), checkpoint.tensors)
    except ArgumentError:
        return None
    return found if found.exact else None


def _check_override(checkpoint: Checkpoint, found: Comparison) -> None:
    if found.missing or found.mismatched:
        problem = f"It does not fit {found.architecture.name}: {', '.join(found.reasons)}."
        raise InputError(checkpoint.path, problem, "Leave --arch away to see what it looks like.")


def _weights(checkpoint: Checkpoint, found: Comparison) -> dict[str, Tensor]:
    """The complete state dict in module order, BatchNorm counters included."""
    weights = {}
    for name in shapes(found.architecture, found.num_classes):
        counter = name.endswith(COUNTER)
        tensor = checkpoint.tensors.get(name)
        if tensor is None:
            tensor = torch.zeros((), dtype=torch.int64)
        elif not counter and not tensor.is_floating_point():
            problem = f"{name!r} holds {str(tensor.dtype).removeprefix('torch.')} numbers."
            raise InputError(checkpoint.path, problem, "Quantised weights cannot be opened.")
        weights[name] = tensor.to(torch.int64) if counter else tensor
    return weights


def _classes(
    checkpoint: Checkpoint, architecture: Architecture, num_classes: int
) -> tuple[str, ...]:
    """Class names: from the file's metadata, else the architecture's, else numbers."""
    claimed = _json(checkpoint.metadata.get("classes", ""))
    if isinstance(claimed, tuple) and len(claimed) == num_classes:
        return tuple(str(name)[:80] for name in claimed)
    if num_classes == architecture.num_classes:
        return architecture.classes
    return tuple(str(label) for label in range(num_classes))


def _origin(metadata: Mapping[str, str]) -> dict[str, Any]:
    origin = _json(metadata.get(METADATA_KEY, ""))
    return origin if isinstance(origin, dict) else {}


def _json(text: str) -> Any:
    """JSON values with tuples for lists; None for what is no JSON."""
    try:
        return _frozen(json.loads(text)) if text else None
    except (ValueError, RecursionError):
        return None


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value


def _name(source: str | Path) -> str:
    text = str(source)
    if text in DEMOS:
        return text
    name = Path(source).name
    while (stem := Path(name).stem) and Path(name).suffix in SUFFIXES:
        name = stem
    return name
