"""SparseGPT: masks from the curvature of each layer, and new weights that make up for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import InputError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.counting import bounded
from analysis.pruning.grams import LIMIT, gram_bytes, gram_macs, grams_in_turn
from analysis.pruning.inputs import never_called
from analysis.pruning.part import Need, Part, part
from analysis.pruning.parts import (
    Allocation,
    Criterion,
    Decision,
    LayerAllocation,
    LayerUnits,
    Structure,
)
from analysis.pruning.structures.nm import NM
from analysis.pruning.structures.weight import without
from analysis.pruning.sweeps import (
    Choose,
    block_counts,
    by_counts,
    by_pattern,
    grouped_columns,
    sweep_layer,
)
from kernels.inverse_factor import inverse_factor

Plan = tuple[Tensor, Choose]
"""The columns in the order of the sweep, and what each group of the layer loses."""


@part
class SparseGPT(Criterion):
    """Columns are pruned one by one; what goes is made up for by the later weights of its row.

    Frantar and Alistarh, SparseGPT (algorithm 1), with H the Gram matrix of the layer's inputs.
    Within each block of columns the weights of least w² / U_ii² go, over all rows jointly, U being
    the upper Cholesky factor of H⁻¹; in an N:M pattern, the least of every group as the sweep
    reaches it. The layer's count comes from the allocation and is shared over the blocks by
    cumulative rounding; the reference removes one weight more in each block.

    A convolution is the linear layer over its unfolded patches; groups are swept one by one. Where
    H is not positive definite the damping grows, and the audit says so. Weights of inputs that are
    always zero cost nothing and go first; those that stay keep their value (the reference sets all
    of them to zero).
    """

    name: ClassVar[str] = "sparsegpt"
    title: ClassVar[str] = "SparseGPT"
    paper: ClassVar[str] = "Frantar and Alistarh 2023, arXiv:2301.00774"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration"})
    joint: ClassVar[bool] = True

    damping: float = Field(
        default=0.01,
        ge=0,
        le=10,
        title="Damping",
        description="Added to the diagonal of H, so that it can be inverted.",
        json_schema_extra={"unit": "of the mean of the diagonal"},
    )
    block: int = Field(
        default=128,
        ge=1,
        le=4096,
        title="Columns in a block",
        description="The mask is chosen once a block; every block loses the same share.",
        json_schema_extra={"unit": "columns"},
    )

    def objection(self, parts: Mapping[str, Part]) -> str:
        structure, allocation = parts["structure"], parts["allocation"]
        if structure.name not in ("weight", "nm"):
            return (
                f"{self.title} chooses single weights or an N:M pattern itself: it does not go "
                f"with {structure.title!r}"
            )
        rows = getattr(allocation, "within", "layer") != "layer"
        if rows or not isinstance(allocation, LayerAllocation):
            return (
                f"{self.title} compares weights by its own costs and takes only counts of layers "
                f"from an allocation (uniform, erk, owl within layers), not {allocation.title!r}"
            )
        return ""

    def inapplicable(self, model: Model) -> str:
        return never_called(model)

    def cost(self, job: JobSize) -> Cost:
        columns = {layer.name: layer.parameters // layer.shape[0] for layer in job.layers}
        sweeps = sum(columns[la.name] ** 3 + la.parameters * columns[la.name] for la in job.layers)
        largest = max((gram_bytes(layer) for layer in job.layers), default=0)
        held = min(sum(gram_bytes(layer) for layer in job.layers), LIMIT)
        return Cost(
            forward=job.images,
            macs=gram_macs(job) + sweeps,
            memory=max(held, largest) + 4 * largest + 4 * job.parameters,
        )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """w² / U_ii² before any weight is updated: what the first block chooses by."""
        scores = {}
        for layer, grams in grams_in_turn(context):
            weight = context.weight(layer)
            costs = [inverse_factor(gram, self.damping).factor.diagonal() for gram in grams]
            spread = torch.stack(costs).repeat_interleave(len(weight) // len(grams), dim=0)
            scores[layer.name] = (weight.flatten(1) / spread).square().reshape(weight.shape)
        return scores

    def decide(
        self,
        context: PruningContext,
        structure: Structure,
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        with torch.no_grad():
            if isinstance(structure, NM):
                return self._decide_pattern(context, structure)
            assert isinstance(allocation, LayerAllocation)  # see `objection`
            return self._decide_counts(context, allocation, sparsity)

    def _decide_counts(
        self, context: PruningContext, allocation: LayerAllocation, sparsity: float
    ) -> Decision:
        units = [
            LayerUnits(layer, without(context.weight(layer).abs(), context.removed(layer)))
            for layer in context.layers
        ]
        counts = allocation.counts(context, units, sparsity)
        gone, sizes = [unit.gone for unit in units], [unit.size for unit in units]
        counts = bounded(counts, gone, sizes, sum(counts))
        asked = dict(zip((layer.name for layer in context.layers), counts, strict=True))
        del units

        def plan(layer: PrunableLayer, groups: int) -> Plan:
            removed = context.removed(layer)
            counts = block_counts(removed, groups, asked[layer.name], self.block)
            return torch.arange(removed[0].numel()), by_counts(counts, self.block)

        return self._sweep(context, asked, plan, ())

    def _decide_pattern(self, context: PruningContext, structure: NM) -> Decision:
        searching = structure.permutation == "search"
        pattern = structure.pattern(context, self.scores(context) if searching else {})

        def plan(layer: PrunableLayer, groups: int) -> Plan:
            order, width = grouped_columns(layer.shape, pattern.m, pattern.order(layer))
            return order, by_pattern(pattern.n, pattern.m, width, self.block)

        return self._sweep(context, structure.asked(context), plan, pattern.notes)

    def _sweep(
        self,
        context: PruningContext,
        asked: Mapping[str, int],
        plan: Callable[[PrunableLayer, int], Plan],
        notes: tuple[str, ...],
    ) -> Decision:
        """Sweep every layer that is to lose weights."""
        keep, updates, told = {}, {}, list(notes)
        for layer, grams in grams_in_turn(context):
            removed, weight = context.removed(layer), context.weight(layer)
            if asked[layer.name] == int(removed.sum()):
                continue
            order, choose = plan(layer, len(grams))
            device = weight.device
            try:
                swept = sweep_layer(
                    weight, grams, removed.to(device), self.damping, order.to(device), choose
                )
            except ValueError as error:
                raise InputError(
                    context.model.name,
                    f"{layer.name} cannot be swept: {error}.",
                    "Raise the damping, or choose another criterion or model.",
                ) from None
            keep[layer.name] = swept.keep.cpu()
            updates[layer.parameter] = swept.weight.cpu()
            told += [f"{layer.name}: {note}" for note in swept.notes]
        return Decision(keep, asked, updates, tuple(told))
