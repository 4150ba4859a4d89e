"""What a file holds, layer by layer; works on weights alone when nobody knows the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from analysis.architectures import Comparison
from analysis.architectures.fingerprint import COUNTER
from analysis.checkpoints.opening import read_source, resolve
from analysis.checkpoints.report import Checkpoint, Inspection, LayerInspection, LoadReport
from analysis.errors import InputError

STATISTICS = ("running_mean", "running_var", COUNTER)
"""Ends of names that are buffers of a normalisation layer, not trained numbers."""


def inspect(source: str | Path, arch: str | None = None) -> Inspection:
    """Format, architecture, layers and zeros of a checkpoint or a `demo:` model.

    Without a known architecture the layers are all tensors called `*.weight` with two or more
    dimensions, and the report's warnings say so. Raises InputError for an unreadable file, and
    when `arch` is given and does not fit.
    """
    checkpoint = read_source(source)
    try:
        found, report = resolve(checkpoint, arch)
    except InputError as unknown:
        if arch is not None:
            raise
        note = "weights only: layers are all *.weight tensors of two or more dimensions"
        warnings = (*checkpoint.report.warnings, unknown.problem, note)
        layers = _weight_tensors(checkpoint)
        report = replace(checkpoint.report, warnings=warnings)
        return _inspection(checkpoint, "", _trained(checkpoint), layers, report)
    layers = tuple(
        _layer(layer.name, checkpoint.tensors[layer.parameter])
        for layer in found.architecture.prunable(found.num_classes)
    )
    name = found.architecture.name
    return _inspection(checkpoint, name, _parameters(found), layers, report)


def _inspection(
    checkpoint: Checkpoint,
    architecture: str,
    parameters: int,
    layers: tuple[LayerInspection, ...],
    report: LoadReport,
) -> Inspection:
    zeros = sum(layer.zeros for layer in layers)
    total = sum(layer.parameters for layer in layers)
    return Inspection(
        format=checkpoint.format,
        architecture=architecture,
        parameters=parameters,
        sparsity=zeros / total if total else 0.0,
        layers=layers,
        report=report,
    )


def _layer(name: str, weight: Tensor) -> LayerInspection:
    count = weight.numel()
    zeros = count - int(torch.count_nonzero(weight))
    return LayerInspection(
        name, tuple(weight.shape), count, zeros, zeros / count if count else 0.0
    )


def _weight_tensors(checkpoint: Checkpoint) -> tuple[LayerInspection, ...]:
    return tuple(
        _layer(name.removesuffix(".weight"), tensor)
        for name, tensor in checkpoint.tensors.items()
        if name.endswith(".weight") and tensor.ndim >= 2
    )


def _trained(checkpoint: Checkpoint) -> int:
    return sum(
        tensor.numel()
        for name, tensor in checkpoint.tensors.items()
        if tensor.is_floating_point() and not name.endswith(STATISTICS)
    )


def _parameters(found: Comparison) -> int:
    with torch.device("meta"):
        module: nn.Module = found.architecture.build(found.num_classes)
    return sum(parameter.numel() for parameter in module.parameters())
