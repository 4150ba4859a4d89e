"""What layers read on the calibration images, batch by batch.

A forward ends where the last of the layers begins: a schedule that takes one block at a time would
otherwise run the whole network for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from analysis.architectures.architecture import PrunableLayer
from analysis.data.dataset import batches
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.macs import layer_positions
from analysis.request import Step

See = Callable[[PrunableLayer, nn.Module, Tensor], None]


class _Enough(BaseException):
    """Ends a forward behind which nothing is seen; no error, so nothing may swallow it."""


class Inputs:
    """Runs a module on batches and hands over what each of some layers reads.

    `see(layer, module of the layer, input)` is called at every call of a layer, before it runs.
    The calls of one forward are counted on an image of its own, so the network must call its
    layers equally often whatever the numbers.

    Parameters
    ----------
    module: the network, in eval mode.
    layers: which of its layers to look at.
    image: (1, ...) one normalised image.

    Raises ArgumentError when the forward never calls one of the layers.
    """

    def __init__(
        self, module: nn.Module, layers: Sequence[PrunableLayer], image: Tensor, see: See
    ) -> None:
        self._module, self._layers = module, layers
        self._see: See = self._count
        self._calls = {layer.name: 0 for layer in layers}
        self._left = -1
        self._run(image)
        unseen = [name for name, count in self._calls.items() if count == 0]
        if unseen:
            raise ArgumentError(_unseen(unseen))
        self._see = see

    def __call__(self, x: Tensor) -> None:
        self._left = sum(self._calls.values())
        self._run(x)

    def _count(self, layer: PrunableLayer, module: nn.Module, x: Tensor) -> None:
        self._calls[layer.name] += 1

    def _run(self, x: Tensor) -> None:
        handles = [
            self._module.get_submodule(layer.name).register_forward_pre_hook(self._hook(layer))
            for layer in self._layers
        ]
        try:
            with torch.no_grad():
                self._module(x)
        except _Enough:
            pass
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, layer: PrunableLayer) -> Any:
        def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            self._see(layer, module, args[0].detach())
            self._left -= 1
            if self._left == 0:
                raise _Enough

        return look


def each_input(
    context: PruningContext, layers: Sequence[PrunableLayer], see: See, message: str
) -> None:
    """Send the calibration images through the module; see `Inputs` for what `see` gets.

    Raises ArgumentError when the forward never calls one of the layers.
    """
    images, compute, done = context.images(), context.compute, 0
    inputs = Inputs(context.module, layers, first_image(context), see)
    for x, _ in batches(images, context.model.architecture, compute.batch_size, compute.device):
        inputs(x)
        done += len(x)
        context.report(Step(done, len(images), message))


def first_image(context: PruningContext) -> Tensor:
    """(1, ...) the first calibration image, normalised, on the device."""
    images = context.images()
    if not len(images):
        raise ArgumentError(f"{images.name} holds no images")
    one = images.subset(np.arange(1))
    return next(batches(one, context.model.architecture, 1, context.compute.device))[0]


def never_called(model: Model) -> str:
    """Why the inputs of some of the model's layers cannot be seen; "" when all can."""
    positions = layer_positions(model.architecture, model.num_classes)
    unseen = [layer.name for layer in model.layers if positions[layer.name] == 0]
    return _unseen(unseen) if unseen else ""


def padding(layer: nn.Conv2d) -> list[int]:
    """What a convolution adds on the left, right, top and bottom, as `F.pad` wants it."""
    if isinstance(layer.padding, str):
        high, wide = (
            d * (k - 1) if layer.padding == "same" else 0
            for d, k in zip(layer.dilation, layer.kernel_size, strict=True)
        )
        return [wide // 2, wide - wide // 2, high // 2, high - high // 2]
    rows, columns = layer.padding
    return [columns, columns, rows, rows]


def padded(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """The map that the convolution slides over."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(x, padding(layer), mode=mode)


def _unseen(names: Sequence[str]) -> str:
    return (
        f"the inputs of {', '.join(names)} cannot be seen: the network uses these weights "
        "without calling the layer (as attention in one fused piece does)"
    )
