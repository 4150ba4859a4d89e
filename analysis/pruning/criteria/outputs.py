"""What layers put out on calibration images, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from analysis.architectures.architecture import PrunableLayer
from analysis.data.dataset import Dataset, batches
from analysis.pruning.context import PruningContext
from analysis.pruning.following import following_norms
from analysis.request import Step

Take = Callable[[PrunableLayer, Tensor], None]


def each_output(
    context: PruningContext,
    layers: Sequence[PrunableLayer],
    images: Dataset,
    take: Take,
    message: str,
) -> None:
    """Send the images through the module and hand over what each layer puts out.

    The output is taken behind the BatchNorm that reads it unchanged, where there is one, and
    before the activation. `take(layer, output)` gets (N, out, positions...), once a call of the
    layer: a convolution's map, a linear layer's tokens behind its outputs. A layer that the
    forward pass does not call is never handed over.
    """
    model, compute = context.model, context.compute
    done = 0
    with torch.no_grad(), _watching(context, layers, take):
        for x, _ in batches(images, model.architecture, compute.batch_size, compute.device):
            context.module(x)
            done += len(x)
            context.report(Step(done, len(images), message))


@contextmanager
def _watching(
    context: PruningContext, layers: Sequence[PrunableLayer], take: Take
) -> Iterator[None]:
    def watcher(layer: PrunableLayer) -> Any:
        def hand_over(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            take(layer, output if layer.kind == "conv" else output.movedim(-1, 1))

        return hand_over

    norms = following_norms(context)
    handles = [
        context.module.get_submodule(norms.get(layer.name, layer.name)).register_forward_hook(
            watcher(layer)
        )
        for layer in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
