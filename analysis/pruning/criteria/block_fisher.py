"""The inverse Fisher matrix of a network in diagonal blocks, a portion of the weights at a time.

    layers      conv1 | conv2 ............ | fc
    pieces      conv1 | conv2 a | conv2 b  | fc       whole blocks, none larger than the memory
    portions   (conv1,  conv2 a) (conv2 b,   fc)      held at once, gradients anew for each

Holding all gradients instead (m numbers a weight, against the block size) would take more memory
than the inverse wherever there are more gradients than weights in a block, which is the rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import ArgumentError, InputError
from analysis.pruning.context import PruningContext
from analysis.pruning.criteria.gradients import labelled, loss_gradients
from analysis.request import part_of
from kernels.fisher import start_inverse, update

MEMO = "block-fisher"
"""Where a criterion leaves its `BlockFisher` for the recovery of the same round."""
DTYPE = torch.float32
TOGETHER = 16
"""Gradients brought into the inverse at once: they are in memory together."""


@dataclass(frozen=True)
class Settings:
    """What the criterion says about its Fisher matrix.

    Attributes
    ----------
    block: weights in a block.
    gradients: gradients at most, of `batch` images each.
    damping: λ, in the unit of a squared gradient.
    memory: MiB of inverse blocks held at once.
    group: neighbours in a row that go together.
    """

    block: int
    gradients: int
    batch: int
    damping: float
    memory: int
    group: int = 1


@dataclass(frozen=True)
class Piece:
    """Weights start .. stop of a layer, in row-major order; `start` begins a block."""

    layer: PrunableLayer
    start: int
    stop: int

    def of(self, tensor: Tensor) -> Tensor:
        """The piece of a tensor in the shape of the layer's weight, flat."""
        return tensor.reshape(-1)[self.start : self.stop]

    def bytes(self, block: int) -> int:
        """What its inverse blocks take."""
        return -(-(self.stop - self.start) // block) * block * block * DTYPE.itemsize


def portions(
    layers: Sequence[PrunableLayer], block: int, memory: int
) -> tuple[tuple[Piece, ...], ...]:
    """Pieces of all layers, in order, in portions of at most `memory` MiB of inverse blocks."""
    limit = memory << 20
    step = max(1, limit // (block * block * DTYPE.itemsize)) * block
    found: list[tuple[Piece, ...]] = []
    held: list[Piece] = []
    for layer in layers:
        for start in range(0, layer.parameters, step):
            piece = Piece(layer, start, min(start + step, layer.parameters))
            if held and sum(p.bytes(block) for p in (*held, piece)) > limit:
                found.append(tuple(held))
                held = []
            held.append(piece)
    return (*found, tuple(held))


class BlockFisher:
    """F⁻¹ of the layers of one round, F = λ I + 1/m Σ g gᵀ, at the weights before its masks.

    Gradients of weights that were removed before are zero. Where everything fits into one portion
    it is computed once and kept; else `inverses` computes each portion anew, from the same images
    and the same weights, so it gives the same blocks again.
    """

    def __init__(self, context: PruningContext, settings: Settings) -> None:
        self.context, self.settings = context, settings
        self._portions = portions(context.layers, settings.block, settings.memory)
        self._kept: dict[Piece, Tensor] | None = None

    def group(self, layer: PrunableLayer) -> int:
        """Weights of this layer that go together: 1 where groups would reach over a row's end."""
        group = self.settings.group
        return group if layer.parameters // layer.shape[0] % group == 0 else 1

    def inverses(self) -> Iterator[tuple[Piece, Tensor]]:
        """Every piece with its inverse blocks (blocks, B, B), in module order."""
        if self._kept is not None:
            yield from self._kept.items()
            return
        for index, pieces in enumerate(self._portions):
            found = self._portion(index, pieces)
            if len(self._portions) == 1:
                self._kept = found
            yield from found.items()

    def _portion(self, index: int, pieces: Sequence[Piece]) -> dict[Piece, Tensor]:
        context = self.context
        owners = {piece.layer.name for piece in pieces}
        images = labelled(context)
        used = min(self.settings.gradients * self.settings.batch, len(images))
        now = replace(
            context,
            layers=tuple(layer for layer in context.layers if layer.name in owners),
            calibration=images.subset(np.arange(used)),
            report=part_of(context.report, index, len(self._portions), ""),
        )
        total = -(-used // self.settings.batch)
        keep = {la.name: ~context.removed(la).to(context.compute.device) for la in now.layers}
        inverse = {
            piece: start_inverse(
                piece.of(context.weight(piece.layer)), self.settings.block, self.settings.damping
            )
            for piece in pieces
        }
        waiting: list[dict[Piece, Tensor]] = []
        for _, gradients in loss_gradients(now, self.settings.batch):
            masked = {name: value * keep[name] for name, value in gradients.items()}
            waiting.append({piece: piece.of(masked[piece.layer.name]) for piece in pieces})
            if len(waiting) == TOGETHER:
                self._bring_in(inverse, waiting, total)
                waiting = []
        if waiting:
            self._bring_in(inverse, waiting, total)
        return inverse

    def _bring_in(
        self,
        inverse: Mapping[Piece, Tensor],
        gradients: Sequence[Mapping[Piece, Tensor]],
        total: int,
    ) -> None:
        for piece, blocks in inverse.items():
            rows = torch.stack([found[piece] for found in gradients])
            if not bool(torch.isfinite(rows).all()):
                raise InputError(
                    self.context.model.name,
                    f"the gradients of {piece.layer.name} are not finite.",
                    "Its weights or activations are too large: choose another recipe or model.",
                )
            try:
                update(blocks, rows, total)
            except ValueError as error:
                raise ArgumentError(f"{piece.layer.name}: {error}") from None
