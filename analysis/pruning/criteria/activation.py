"""Activation-magnitude: a weight counts as much as the input it multiplies is large (Wanda)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from analysis.data.dataset import batches
from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion
from analysis.request import Step


@part
class ActivationMagnitude(Criterion):
    """|W_ij| · ‖X_:j‖₂, the norm of input j over all calibration images and positions.

    Sun et al., A Simple and Effective Pruning Approach for Large Language Models (equation 1).
    A convolution is the linear layer over its unfolded patches: column (c, ky, kx) holds what
    that kernel position reads, padding included. All layers see the inputs of the model as it is
    before this round, in one pass; the reference implementation re-runs each transformer block
    after pruning it and so feeds the next one pruned inputs.
    """

    name: ClassVar[str] = "activation-magnitude"
    title: ClassVar[str] = "Activation × magnitude |w|·‖x‖"
    paper: ClassVar[str] = "Sun et al. 2023, arXiv:2306.11695"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration"})

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        sums = input_square_sums(context)
        scores = {}
        for layer in context.layers:
            weight = context.weight(layer)
            scores[layer.name] = weight.abs() * per_weight(sums[layer.name].sqrt(), weight)
        return scores


def input_square_sums(context: PruningContext) -> dict[str, Tensor]:
    """Σ x² of every input column, float64, by layer name.

    Linear: (in,). Convolution: (in channels, kh, kw), all groups.

    Raises
    ------
    ArgumentError: a layer was never called in the forward pass, so its inputs are unknown.
    """
    images = context.images()
    sums: dict[str, Tensor] = {}
    done = 0
    model, compute = context.model, context.compute
    with torch.no_grad(), _watching(context, sums):
        for x, _ in batches(images, model.architecture, compute.batch_size, compute.device):
            context.module(x)
            done += len(x)
            context.report(Step(done, len(images), "input norms"))
    unseen = [layer.name for layer in context.layers if layer.name not in sums]
    if unseen:
        raise ArgumentError(
            f"the inputs of {', '.join(unseen)} cannot be seen: the network uses these weights "
            "without calling the layer. Choose another criterion."
        )
    return sums


def square_sums(layer: nn.Module, x: Tensor) -> Tensor:
    """Σ x² of every input column of one call, in float64.

    For a convolution the squares are first added over the images; unfolding that one map gives
    the same sums as unfolding every image.
    """
    if not isinstance(layer, nn.Conv2d):
        rows = x.detach().reshape(-1, x.shape[-1])
        return rows.square().sum(dim=0, dtype=torch.float64)
    energy = x.detach().square().sum(dim=0, keepdim=True, dtype=torch.float64)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = F.pad(energy, _padding(layer), mode=mode)
    kernel, dilation, stride = layer.kernel_size, layer.dilation, layer.stride
    columns = F.unfold(padded, kernel, dilation=dilation, stride=stride).sum(dim=(0, 2))
    return columns.reshape(x.shape[1], *kernel)


def per_weight(columns: Tensor, weight: Tensor) -> Tensor:
    """One value an input column, shaped to multiply a weight (out, in / groups, ...)."""
    groups = columns.shape[0] // weight.shape[1]
    grouped = columns.to(weight).reshape(groups, *weight.shape[1:])
    return grouped if groups == 1 else grouped.repeat_interleave(len(weight) // groups, dim=0)


@contextmanager
def _watching(context: PruningContext, sums: dict[str, Tensor]) -> Iterator[None]:
    """Add up square sums of the layers' inputs while the block runs."""

    def watcher(name: str) -> Any:
        def add(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            found = square_sums(layer, args[0])
            sums[name] = sums[name] + found if name in sums else found

        return add

    handles = [
        context.module.get_submodule(layer.name).register_forward_pre_hook(watcher(layer.name))
        for layer in context.layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _padding(layer: nn.Conv2d) -> list[int]:
    """Left, right, top, bottom, as `F.pad` wants them."""
    if isinstance(layer.padding, str):
        totals = [
            d * (k - 1) if layer.padding == "same" else 0
            for d, k in zip(layer.dilation, layer.kernel_size, strict=True)
        ]
        high, wide = totals
        return [wide // 2, wide - wide // 2, high // 2, high - high // 2]
    rows, columns = layer.padding
    return [columns, columns, rows, rows]
