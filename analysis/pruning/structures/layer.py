"""Layer: whole residual blocks, removed by masks so that only their shortcut is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer, ResidualBlock
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import exact_count
from analysis.pruning.macs import layer_macs
from analysis.pruning.part import Part, part
from analysis.pruning.parts import Allocation, Decision, LayerUnits, Level, Structure


@part
class Layer(Structure):
    """Residual blocks whose input and output have one shape: f of x + f(x) becomes zero.

    A block's score is the mean of the scores of its weights, or of its outputs. All its weights
    are masked, and what follows the last of them (bias, or scale and shift of a BatchNorm) is
    zero, so that the block can be cut out for good. Blocks that change the shape stay.
    """

    name: ClassVar[str] = "layer"
    title: ClassVar[str] = "Whole residual blocks"
    paper: ClassVar[str] = "Fan et al. 2020, arXiv:1909.11556"
    unit: ClassVar[str] = "blocks"
    empties_layers: ClassVar[bool] = True
    levels: ClassVar[frozenset[Level]] = frozenset({"weight", "filter"})

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["allocation"].name.startswith("per-row"):
            return "a block is no row: whole blocks cannot be shared out per row"
        if parts["schedule"].name == "layer-by-layer":
            return "a block has several layers: whole blocks do not go layer by layer"
        return ""

    def inapplicable(self, model: Model) -> str:
        if model.architecture.blocks:
            return ""
        return f"{model.architecture.title} has no residual block that could be left out"

    def taking_part(self, context: PruningContext) -> list[PrunableLayer]:
        """The layer that stands for all blocks. Raises ArgumentError when there are none."""
        blocks = _blocks(context.model)
        if not blocks:
            raise ArgumentError(self.inapplicable(context.model))
        return [next(iter(blocks.values()))[0]]

    def budget(self, context: PruningContext, sparsity: float) -> int:
        return exact_count(sparsity, len(_blocks(context.model)))

    def gone(self, context: PruningContext) -> int:
        return int(_gone(context.model).sum())

    def found(
        self, before: Model, after: Model, layer: PrunableLayer, companions: Sequence[Model] = ()
    ) -> int:
        return int(_gone(after).sum())

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        model, standing = context.model, self.taking_part(context)[0]
        blocks = _blocks(model)
        gone = _gone(model)
        values = torch.stack([_score(context, layers, scores) for layers in blocks.values()])
        values = values.masked_fill(gone.to(values.device), float("-inf"))
        macs = layer_macs(model.architecture, model.num_classes)
        each = sum(macs[layer.name] for layers in blocks.values() for layer in layers)
        units = [LayerUnits(standing, values, each / len(blocks))]
        removed = allocation.remove(context, units, sparsity)[0].cpu()
        keep: dict[str, Tensor] = {}
        updates: dict[str, Tensor] = {}
        for (block, layers), goes in zip(blocks.items(), removed, strict=True):
            if goes:
                keep |= {la.name: torch.zeros(la.shape, dtype=torch.bool) for la in layers}
                weights = {layer.parameter for layer in layers}
                updates |= {
                    name: torch.zeros_like(model.weights[name])
                    for name in block.last
                    if name not in weights
                }
        return Decision(keep, {standing.name: int(removed.sum())}, updates)


def _blocks(model: Model) -> dict[ResidualBlock, list[PrunableLayer]]:
    """The blocks that may go, with their layers, in forward order."""
    return {
        block: [la for la in model.layers if f"{la.name}.".startswith(f"{block.name}.")]
        for block in model.architecture.blocks
    }


def _gone(model: Model) -> Tensor:
    """Boolean (blocks,): blocks whose every weight is removed by masks."""
    return torch.tensor(
        [
            not any(bool(model.keep(la).any()) for la in layers)
            for layers in _blocks(model).values()
        ]
    )


def _score(
    context: PruningContext, layers: list[PrunableLayer], scores: Mapping[str, Tensor]
) -> Tensor:
    """Mean score of a block's weights or outputs; weights removed before count as 0."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for layer in layers:
        found = scores.get(layer.name)
        if found is None:
            continue
        if found.ndim > 1:
            found = found.masked_fill(context.removed(layer).to(found.device), 0)
        total = total.to(found.device) + found.sum(dtype=torch.float64)
        count += found.numel()
    if count == 0:
        raise ArgumentError(f"the criterion gives no layer beside {layers[0].name} a score")
    return total / count
