"""Ranks of a layer's outputs: directions that the outputs hardly use, or use most, go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.counting import shared_counts
from analysis.pruning.grams import gram_macs, grams_in_turn
from analysis.pruning.low_rank import numerical_ranks
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Allocation, Decision
from analysis.pruning.structures.rank import LowRank


@part
class ActSVD(LowRank):
    """W' = U Uᵀ W, U the directions of the layer's outputs W X that are kept.

    Left singular vectors of W X over the calibration images, bias aside. Keeping the strongest is
    the best approximation of the outputs at that rank; removing the strongest takes out what
    these images rely on. Wei et al., Assessing the Brittleness of Safety Alignment (section 3.2).
    Exactly round(sparsity × ranks) directions go, by cumulative rounding over the layers. Layers
    with groups stay whole.
    """

    name: ClassVar[str] = "act-svd"
    title: ClassVar[str] = "Ranks of the outputs"
    paper: ClassVar[str] = "Wei et al. 2024, arXiv:2402.05162"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration"})

    remove: Literal["weakest", "strongest"] = Field(
        default="weakest",
        title="What goes",
        description="Directions that the outputs hardly use, or those that they use most.",
    )

    def taking_part(self, context: PruningContext) -> Sequence[PrunableLayer]:
        return [layer for layer in context.layers if _groups(context, layer) == 1]

    def budget(self, context: PruningContext, sparsity: float) -> int:
        return sum(self._counts(context, sparsity).values())

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        counts = self._counts(context, sparsity)
        updates = {}
        for layer, grams in grams_in_turn(context, dtype=torch.float64):
            if counts.get(layer.name, 0):
                weight = context.model.weight(layer.parameter)
                gram = grams[0].cpu()
                updates[layer.parameter] = project(
                    weight, gram, counts[layer.name], self.remove == "weakest"
                )
        whole = [layer.name for layer in context.layers if layer.name not in counts]
        notes = (f"{', '.join(whole)}: layers with groups stay whole",) if whole else ()
        return Decision({}, counts, updates, notes)

    def cost(self, job: JobSize) -> Cost:
        return super().cost(job) + Cost(forward=job.images, macs=gram_macs(job))

    def _counts(self, context: PruningContext, sparsity: float) -> dict[str, int]:
        layers = self.taking_part(context)
        ranks = [
            int(numerical_ranks(context.model.weight(la.parameter), "NC").sum()) for la in layers
        ]
        counts = shared_counts(ranks, sparsity)
        return {layer.name: count for layer, count in zip(layers, counts, strict=True)}


def project(weight: Tensor, gram: Tensor, count: int, weakest: bool) -> Tensor:
    """`weight` without `count` directions of its outputs; the shape and dtype of `weight`.

    Parameters
    ----------
    gram: XᵀX of the inputs (columns of the flattened weight), float64.
    weakest: whether the directions of least output energy go, or those of most.

    The directions are sought within the column space of the weight, so that every one that goes
    lowers the rank by one, also where inputs are never used.
    """
    matrix = weight.detach().double().flatten(1)
    left, _, _ = torch.linalg.svd(matrix, full_matrices=False)
    rank = int(numerical_ranks(weight, "NC").sum())
    basis = left[:, :rank]
    reduced = basis.T @ matrix
    _, turned = torch.linalg.eigh(reduced @ gram @ reduced.T)  # ascending
    kept = turned[:, count:] if weakest else turned[:, : rank - count]
    directions = basis @ kept
    kept_part: Tensor = directions @ (directions.T @ matrix)
    return kept_part.reshape(weight.shape).to(weight.dtype)


def _groups(context: PruningContext, layer: PrunableLayer) -> int:
    module = context.module.get_submodule(layer.name)
    return int(getattr(module, "groups", 1))
