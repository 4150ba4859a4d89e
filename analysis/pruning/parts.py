"""The five kinds of parts that a recipe is composed of.

criterion    tensor of scores, one a weight or one an output; higher = keep
structure    what a unit is, and how unit decisions become weight masks
allocation   how the budget is shared between layers and rows
schedule     in how many rounds the budget is reached
recovery     what is repaired after the masks are set
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.architectures.edit import Edit
from analysis.errors import ArgumentError, InputError
from analysis.masks import Mask
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import bounded, check_sparsity
from analysis.pruning.part import Part
from analysis.request import Step, part_of
from kernels.select import k_smallest

Level = Literal["weight", "filter"]


class Criterion(Part):
    kind: ClassVar[str] = "criterion"
    level: ClassVar[Level] = "weight"
    """What it scores: single weights, or whole outputs of a layer."""
    joint: ClassVar[bool] = False
    """Whether it chooses masks together with new weights or edits, instead of scoring."""

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Scores by layer name; higher = keep.

        Level "weight": the shape of the weight. Level "filter": (out,), for the layers whose
        outputs it can score.
        """
        raise NotImplementedError

    def decide(
        self,
        context: PruningContext,
        structure: Structure,
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        """Scores, and what the structure makes of them.

        Methods that choose masks and new weights in one go (SparseGPT, SWAP) override this.
        """
        scoring = replace(context, report=part_of(context.report, 0, 2, ""))
        scoring.report(Step(0, 1, "scores"))
        scores = self.scores(scoring)
        for layer, found in scores.items():
            if bool(torch.isnan(found).any()):
                raise InputError(
                    context.model.name,
                    f"the {self.name} scores of {layer} are NaN.",
                    "Its weights or activations are too large: choose another criterion or model.",
                )
        context.report(Step(1, 2, "masks"))
        with torch.no_grad():
            return structure.decide(context, scores, allocation, sparsity)


@dataclass(frozen=True, eq=False)
class LayerUnits:
    """What an allocation chooses between in one layer.

    Attributes
    ----------
    layer: the layer, or the one that stands for a coupled group of layers.
    scores: one a unit: the shape of the weight, or (filters,). Higher = keep; -inf = already
        removed, which stays so.
    macs: multiply-accumulates for one image that one unit takes; 0 where nobody counted.
    """

    layer: PrunableLayer
    scores: Tensor
    macs: float = 0.0

    @property
    def size(self) -> int:
        return self.scores.numel()

    @property
    def gone(self) -> int:
        """How many units are already removed."""
        return int(torch.isneginf(self.scores).sum())


class Allocation(Part):
    kind: ClassVar[str] = "allocation"
    exact: ClassVar[bool] = True
    """Whether the budget is a number of units, not another resource (MACs, milliseconds)."""

    def remove(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[Tensor]:
        """Choose exactly round(sparsity × all units), those already removed among them.

        Returns boolean tensors in the shapes of the scores, in order; True = removed. Ties go by
        position, in module order. Raises ArgumentError when the budget cannot be met. An
        allocation that is not `exact` chooses what its own budget demands.
        """
        raise NotImplementedError


class LayerAllocation(Allocation):
    """Says how many units each layer loses; within a layer the lowest scores go."""

    def counts(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[int]:
        """Units to remove in each layer, adding up to round(sparsity × all units).

        They may lie outside what earlier prunings allow; `remove` moves them between its bounds.
        """
        raise NotImplementedError

    def remove(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[Tensor]:
        return remove_counts(units, self.counts(context, units, sparsity))


def remove_counts(units: Sequence[LayerUnits], counts: Sequence[int]) -> list[Tensor]:
    """The lowest scores of each layer: `counts` of them, or as near as earlier prunings allow."""
    counts = bounded(
        counts, [unit.gone for unit in units], [unit.size for unit in units], sum(counts)
    )
    return [k_smallest([unit.scores], count)[0] for unit, count in zip(units, counts, strict=True)]


@dataclass(frozen=True, eq=False)
class Decision:
    """What a structure decided.

    Attributes
    ----------
    keep: keep-mask (shape of the weight) by layer name.
    asked: units that were to be removed by then, by name of each layer that takes part.
    updates: tensors of the state dict that must change with the masks, by name.
    notes: what the user should know about layers that were treated otherwise.
    edits: changes to the structure of the network that leave names and shapes of its weights.
    packed: keep-masks that were written packed at once, instead of `keep`.
    """

    keep: Mapping[str, Tensor]
    asked: Mapping[str, int]
    updates: Mapping[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()
    packed: Mapping[str, Mask] = field(default_factory=dict)


class Structure(Part):
    kind: ClassVar[str] = "structure"
    unit: ClassVar[str] = "weights"
    """What is counted, in the plural."""
    measure: ClassVar[str] = ""
    """What a sparsity is a fraction of; empty = of the units."""
    empties_layers: ClassVar[bool] = False
    """Whether it is meant to empty layers, so that none has collapsed by it."""
    levels: ClassVar[frozenset[Level]] = frozenset({"weight"})
    """Scores that it can choose by."""

    def resolve(self, sparsity: float | None) -> float:
        """The sparsity to reach, in units. Raises ArgumentError for one that cannot be."""
        if sparsity is None:
            raise ArgumentError(f"the structure {self.name!r} needs a sparsity")
        return check_sparsity(sparsity)

    def taking_part(self, context: PruningContext) -> Sequence[PrunableLayer]:
        """The layers that this structure may prune."""
        return context.layers

    def budget(self, context: PruningContext, sparsity: float) -> int:
        """How many units are to be removed in all, those removed already among them."""
        raise NotImplementedError

    def gone(self, context: PruningContext) -> int:
        """How many units are removed already."""
        layers = self.taking_part(context)
        return sum(self.removed_units(~context.removed(layer)) for layer in layers)

    def removed_units(self, keep: Tensor) -> int:
        """Units that a keep-mask (shape of the weight) removes."""
        return keep.numel() - int(torch.count_nonzero(keep))

    def found(
        self, before: Model, after: Model, layer: PrunableLayer, companions: Sequence[Model] = ()
    ) -> int:
        """Units that are gone from a layer of the finished model, counted there by the audit."""
        return self.removed_units(after.keep(layer))

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        """Turn weight scores into masks; what `context.removed` says stays removed."""
        raise NotImplementedError


@dataclass(frozen=True)
class Round:
    """One round of a schedule: reach `sparsity` in `layers`."""

    sparsity: float
    layers: tuple[PrunableLayer, ...]


class Schedule(Part):
    kind: ClassVar[str] = "schedule"

    @property
    def recovers_each_round(self) -> bool:
        """Whether the recovery follows every round, not only the last one."""
        return False

    def targets(self, sparsity: float) -> tuple[float, ...]:
        """Sparsity to reach after each round; the last one is `sparsity`."""
        raise NotImplementedError

    def plan(self, layers: tuple[PrunableLayer, ...], sparsity: float) -> tuple[Round, ...]:
        """The rounds in order. By default each takes all layers."""
        return tuple(Round(target, layers) for target in self.targets(sparsity))


@dataclass(frozen=True, eq=False)
class Repair:
    """What a recovery did.

    Attributes
    ----------
    updates: tensors of the state dict that change, by name, on the CPU.
    notes: what the user should know.
    """

    updates: Mapping[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Recovery(Part):
    kind: ClassVar[str] = "recovery"
    each_round: ClassVar[bool] = False
    """Whether it follows every round, whatever the schedule says: updates that go with masks."""

    def repair(self, context: PruningContext) -> Repair:
        """Repair the pruned model; may put new tensors into `context.module`."""
        raise NotImplementedError
