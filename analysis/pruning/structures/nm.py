"""N:M: of every m consecutive inputs, n weights are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, model_validator
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.part import Part, part
from analysis.pruning.parts import Allocation, Decision, Structure
from analysis.pruning.structures.weight import without
from kernels.nm import complete, nm_keep


@part
class NM(Structure):
    """n of every m consecutive weights along the input dimension stay, the largest scores.

    "2:4" keeps two of four. Groups run along dimension 1 of the weight, at each kernel position
    on its own, as sparse tensor cores read them (Mishra et al., Accelerating Sparse Deep Neural
    Networks). Inputs beyond the last complete group stay dense, and the audit names those layers.
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

    def resolve(self, sparsity: float | None) -> float:
        pattern = 1 - self.n / self.m
        if sparsity is not None and not abs(sparsity - pattern) <= 1e-9:
            raise ArgumentError(
                f"{self.n}:{self.m} keeps {self.n} of every {self.m} weights, which is a sparsity "
                f"of {pattern:g}, not {sparsity:g}: leave the sparsity out or change n and m"
            )
        return pattern

    def budget(self, context: PruningContext, sparsity: float) -> int:
        return sum(self._asked(layer, context) for layer in context.layers)

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        keep = {}
        for layer in context.layers:
            removed = context.removed(layer).to(scores[layer.name].device)
            chosen = nm_keep(without(scores[layer.name], removed), self.n, self.m)
            keep[layer.name] = chosen & ~removed
        return Decision(
            keep=keep,
            asked={layer.name: self._asked(layer, context) for layer in context.layers},
            notes=tuple(note for layer in context.layers if (note := self._note(layer))),
        )

    def _asked(self, layer: PrunableLayer, context: PruningContext) -> int:
        """m - n of every complete group, or more where earlier prunings removed more."""
        gone = context.removed(layer).movedim(1, -1)
        end = complete(layer.shape[1], self.m)
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
