"""Gram matrices XᵀX of what layers read, over all calibration images and positions.

A convolution is the linear layer over its unfolded patches, columns in the order (c, ky, kx) of
`weight.flatten(1)`; one with groups has a matrix a group. As many layers as fit under a limit of
memory are summed in one pass over the images; more layers take more passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import InputError
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import JobSize
from analysis.pruning.inputs import each_input, padded
from analysis.request import part_of
from kernels.gram import add_gram, unfolded_gram

LIMIT = 1 << 30
"""Bytes of matrices held at once; a single layer may take more."""


def grams_in_turn(
    context: PruningContext, limit: int = LIMIT, dtype: torch.dtype = torch.float32
) -> Iterator[tuple[PrunableLayer, Tensor]]:
    """Each layer of the round with its Gram matrix (groups, d, d), in module order.

    Parameters
    ----------
    limit: bytes of matrices to hold at once.
    dtype: least precision to sum in; float64 inputs are always summed in float64.

    Raises
    ------
    ArgumentError: a layer is never called in the forward pass.
    InputError: the inputs of a layer are not finite.
    """
    sizes = [gram_bytes(layer, _groups(context.module, layer), dtype) for layer in context.layers]
    portions = in_portions(context.layers, sizes, limit)
    for index, layers in enumerate(portions):
        stage = "" if len(portions) == 1 else f"part {index + 1} of {len(portions)}: "
        now = replace(context, report=part_of(context.report, index, len(portions), stage))
        grams = _grams(now, layers, dtype)
        for layer in layers:
            yield layer, grams.pop(layer.name)


def input_gram(module: nn.Module, x: Tensor) -> Tensor:
    """Gram matrix (groups, d, d) of one call: float64 for float64 inputs, else float32."""
    if isinstance(module, nn.Conv2d):
        return unfolded_gram(
            padded(module, x),
            module.kernel_size,
            module.stride,
            dilation=module.dilation,
            groups=module.groups,
        )
    rows = x.reshape(-1, x.shape[-1])
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    gram = torch.zeros(rows.shape[1], rows.shape[1], dtype=dtype, device=x.device)
    add_gram(gram, rows)
    return gram[None]


def gram_bytes(layer: PrunableLayer, groups: int = 1, dtype: torch.dtype = torch.float32) -> int:
    """Bytes of a layer's Gram matrices; its shape tells all but the number of groups."""
    columns = layer.parameters // layer.shape[0]
    return groups * columns * columns * dtype.itemsize


def gram_macs(job: JobSize) -> float:
    """Multiply-accumulates of all Gram matrices of a job, half of each by symmetry."""
    columns = {layer.name: layer.parameters // layer.shape[0] for layer in job.layers}
    per_image = sum(
        job.macs[layer.name] / layer.shape[0] * columns[layer.name] / 2 for layer in job.layers
    )
    return job.images * per_image


def in_portions(
    layers: Sequence[PrunableLayer], sizes: Sequence[int], limit: int
) -> list[list[PrunableLayer]]:
    """Runs of consecutive layers whose sizes add up to `limit` at most, or single larger ones."""
    portions: list[list[PrunableLayer]] = []
    held = 0
    for layer, size in zip(layers, sizes, strict=True):
        if not portions or held + size > limit:
            portions.append([])
            held = 0
        portions[-1].append(layer)
        held += size
    return portions


def _grams(
    context: PruningContext, layers: Sequence[PrunableLayer], dtype: torch.dtype
) -> dict[str, Tensor]:
    grams: dict[str, Tensor] = {}

    def add(layer: PrunableLayer, module: nn.Module, x: Tensor) -> None:
        x = x.to(torch.promote_types(x.dtype, dtype))
        try:
            found = input_gram(module, x)
        except ValueError as error:
            raise _unusable(context, layer, str(error)) from None
        if layer.name in grams:
            grams[layer.name] += found
        else:
            grams[layer.name] = found

    each_input(context, layers, add, "Gram matrices")
    for layer in layers:
        if not bool(grams[layer.name].isfinite().all()):
            raise _unusable(context, layer, "their squares are too large")
    return grams


def _unusable(context: PruningContext, layer: PrunableLayer, why: str) -> InputError:
    return InputError(
        context.model.name,
        f"the inputs of {layer.name} are unusable: {why}.",
        "Choose another criterion or model.",
    )


def _groups(module: nn.Module, layer: PrunableLayer) -> int:
    found = module.get_submodule(layer.name)
    return found.groups if isinstance(found, nn.Conv2d) else 1
