"""N:M: of every m consecutive inputs, n weights are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.part import Part, part
from analysis.pruning.parts import Allocation, Decision, Structure
from analysis.pruning.permutation import find_orders
from analysis.pruning.structures.weight import without
from kernels.nm import complete, nm_keep

PATTERN = "pattern"
"""Under this name the pattern of a round is found in `PruningContext.memo`."""

SEARCH = 1000
"""Multiply-adds that fit into the time which the search takes for each weight and input."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """How the inputs of each layer are grouped.

    Attributes
    ----------
    n, m: n of every m are kept.
    orders: (in,) int64 by layer name: the inputs in the order in which every m make a group.
        Layers without one are grouped as they stand.
    notes: what was treated otherwise, and what the search for orders gained.
    """

    n: int
    m: int
    orders: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()

    def order(self, layer: PrunableLayer) -> Tensor:
        """(in / groups,) the order of the layer's inputs, on the CPU."""
        return self.orders.get(layer.name, torch.arange(layer.shape[1]))


@part
class NM(Structure):
    """n of every m consecutive weights along the input dimension stay, the largest scores.

    "2:4" keeps two of four. Groups run along dimension 1 of the weight, at each kernel position
    on its own, as sparse tensor cores read them (Mishra et al., Accelerating Sparse Deep Neural
    Networks). Inputs beyond the last complete group stay dense, and the audit names those layers.

    With a search for permutations (Pool and Yu, Channel Permutations for N:M Sparsity, 2021) the
    inputs are grouped in another order, so that the groups keep more. Masks stay in the order of
    the network, which is not changed itself; whoever runs it sparsely permutes the channels of
    weights and inputs alike. Layers that read the same tensor therefore share one order. Layers
    that earlier prunings took weights from, and convolutions with groups, keep theirs.
    """

    name: ClassVar[str] = "nm"
    title: ClassVar[str] = "N:M pattern"
    paper: ClassVar[str] = "Mishra et al. 2021, arXiv:2104.08378"

    n: int = Field(
        default=2,
        ge=1,
        le=64,
        title="N kept",
        description="Weights kept in each group.",
        json_schema_extra={"unit": "weights"},
    )
    m: int = Field(
        default=4,
        ge=2,
        le=64,
        title="of M",
        description="Consecutive weights along the input dimension that make a group.",
        json_schema_extra={"unit": "weights"},
    )
    permutation: Literal["none", "search"] = Field(
        default="none",
        title="Order of the inputs",
        description="Group inputs as they stand, or search for an order that keeps more.",
    )

    @model_validator(mode="after")
    def _is_pattern(self) -> NM:
        if self.n >= self.m:
            raise ValueError(f"{self.n}:{self.m} removes nothing: n must be smaller than m")
        return self

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["allocation"].name != "uniform":
            return (
                "an N:M pattern gives every group the same budget: it goes with the uniform "
                "allocation only"
            )
        if parts["schedule"].name not in ("one-shot", "layer-by-layer"):
            return (
                "an N:M pattern has no sparsity in between: it goes with one-shot and "
                "layer-by-layer only"
            )
        return ""

    def cost(self, job: JobSize) -> Cost:
        if self.permutation == "none":
            return Cost()
        swaps = sum(layer.parameters * layer.shape[1] for layer in job.layers)
        widest = max((layer.shape[1] for layer in job.layers), default=0)
        return Cost(macs=SEARCH * swaps, memory=8 * widest**2 + 8 * job.parameters)

    def resolve(self, sparsity: float | None) -> float:
        pattern = 1 - self.n / self.m
        if sparsity is not None and not abs(sparsity - pattern) <= 1e-9:
            raise ArgumentError(
                f"{self.n}:{self.m} keeps {self.n} of every {self.m} weights, which is a sparsity "
                f"of {pattern:g}, not {sparsity:g}: leave the sparsity out or change n and m"
            )
        return pattern

    def budget(self, context: PruningContext, sparsity: float) -> int:
        return sum(self.asked(context).values())

    def asked(self, context: PruningContext) -> dict[str, int]:
        """m - n of every complete group, or more where earlier prunings removed more.

        In a layer that lost weights before, groups stand as they are; in all others every group
        loses m - n, whatever the order of the inputs.
        """
        return {layer.name: self._asked(context.removed(layer)) for layer in context.layers}

    def pattern(self, context: PruningContext, scores: Mapping[str, Tensor]) -> Pattern:
        """How each layer of the round is grouped; left in `context.memo` for the recovery.

        `scores` are looked at only when permutations are searched for.
        """
        notes = [note for layer in context.layers if (note := self._note(layer))]
        orders: dict[str, Tensor] = {}
        if self.permutation == "search":
            orders, found = find_orders(context, scores, self.n, self.m)
            notes += found
        pattern = Pattern(self.n, self.m, orders, tuple(notes))
        context.memo[PATTERN] = pattern
        return pattern

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        pattern, keep = self.pattern(context, scores), {}
        for layer in context.layers:
            values = scores[layer.name]
            removed = context.removed(layer).to(values.device)
            order = pattern.order(layer).to(values.device)
            chosen = nm_keep(without(values, removed)[:, order], self.n, self.m)
            keep[layer.name] = torch.empty_like(chosen)
            keep[layer.name][:, order] = chosen & ~removed[:, order]
        return Decision(keep, self.asked(context), notes=pattern.notes)

    def _asked(self, removed: Tensor) -> int:
        gone = removed.movedim(1, -1)
        end = complete(removed.shape[1], self.m)
        groups = gone[..., :end].reshape(-1, self.m).sum(dim=1)
        return int(groups.clamp(min=self.m - self.n).sum() + gone[..., end:].sum())

    def _note(self, layer: PrunableLayer) -> str:
        inputs = layer.shape[1]
        rest = inputs - complete(inputs, self.m)
        if rest == 0:
            return ""
        if rest == inputs:
            return f"{layer.name}: {inputs} inputs make no group of {self.m}; it stays dense"
        return (
            f"{layer.name}: the last {rest} of {inputs} inputs make no group of {self.m}; "
            "they stay dense"
        )
