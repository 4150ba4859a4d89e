"""Random scores: the control that every method has to beat."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import torch
from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.part import part
from analysis.pruning.parts import Criterion


@part
class Random(Criterion):
    """Uniform on [0, 1), from a generator of its own for each layer, seeded by (seed, name).

    A layer's scores therefore depend neither on the device nor on which other layers are pruned,
    and they are the same in every round.
    """

    name: ClassVar[str] = "random"
    title: ClassVar[str] = "Random"

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        return {
            layer.name: torch.rand(layer.shape, generator=_generator(context.seed, layer.name)).to(
                context.weight(layer).device
            )
            for layer in context.layers
        }


def _generator(seed: int, layer: str) -> torch.Generator:
    state = hashlib.sha256(f"{seed}:{layer}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(state[:8], "little") >> 1)
