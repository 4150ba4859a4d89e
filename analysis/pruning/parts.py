"""The five kinds of parts that a recipe is composed of, and their one registry.

    criterion    tensor of scores, one a weight; higher = keep
    structure    what a unit is, and how unit decisions become weight masks
    allocation   how the budget is shared between layers and rows
    schedule     in how many rounds the budget is reached
    recovery     what is repaired after the masks are set

A part is a small frozen pydantic model: its fields carry range, unit and help once, and the form
in the window, `--set`, validation and the docs all read them there. A new method is one new part
in one file: subclass its kind, decorate with `@part`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from analysis.architectures.architecture import PrunableLayer
from analysis.data.dataset import Dataset
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.counting import check_sparsity
from analysis.request import Compute, Report

Need = Literal["calibration", "labels", "gradients"]
KINDS = ("criterion", "structure", "allocation", "schedule", "recovery")


class Part(BaseModel):
    """Base of all parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset()


@dataclass(frozen=True, eq=False)
class PruningContext:
    """What criteria and recoveries may look at.

    Attributes
    ----------
    model: the model as it is before this round (masks of earlier rounds applied).
    module: that model built on `compute.device`, in eval mode. On the CPU it shares its tensors
        with the dense model: no part writes into them, and only recoveries may replace them.
    layers: the layers to prune, in module order.
    calibration: labelled images, or None when the recipe needs none.
    seed: seed of every random choice.
    """

    model: Model
    module: nn.Module
    layers: tuple[PrunableLayer, ...]
    calibration: Dataset | None
    seed: int
    compute: Compute
    report: Report

    def weight(self, layer: PrunableLayer) -> Tensor:
        """The layer's weight as the module computes with it, on its device, without gradient."""
        return self.module.get_parameter(layer.parameter).detach()

    def removed(self, layer: PrunableLayer) -> Tensor:
        """Which weights earlier rounds and earlier prunings removed (True), on the CPU."""
        mask = self.model.masks.get(layer.parameter)
        return torch.zeros(layer.shape, dtype=torch.bool) if mask is None else ~mask.keep()

    def images(self) -> Dataset:
        """The calibration images; a part that calls this declares the need."""
        if self.calibration is None:
            raise ArgumentError("this recipe needs calibration images")
        return self.calibration


class Criterion(Part):
    kind: ClassVar[str] = "criterion"

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Score of every weight (shape of the weight) by layer name; higher = keep."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class LayerUnits:
    """What an allocation chooses between in one layer.

    Attributes
    ----------
    scores: one a unit: the shape of the weight, or (filters,). Higher = keep; -inf = already
        removed, which stays so.
    """

    layer: PrunableLayer
    scores: Tensor

    @property
    def size(self) -> int:
        return self.scores.numel()

    @property
    def gone(self) -> int:
        """How many units are already removed."""
        return int(torch.isneginf(self.scores).sum())


class Allocation(Part):
    kind: ClassVar[str] = "allocation"

    def remove(self, units: Sequence[LayerUnits], sparsity: float) -> list[Tensor]:
        """Choose exactly round(sparsity × all units), those already removed among them.

        Returns boolean tensors in the shapes of the scores, in order; True = removed. Ties go by
        position, in module order. Raises ArgumentError when the budget cannot be met.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Decision:
    """What a structure decided.

    Attributes
    ----------
    keep: keep-mask (shape of the weight) by layer name.
    asked: units that were to be removed by then, by name of each layer that takes part.
    updates: tensors of the state dict that must change with the masks, by name.
    notes: what the user should know about layers that were treated otherwise.
    """

    keep: Mapping[str, Tensor]
    asked: Mapping[str, int]
    updates: Mapping[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Structure(Part):
    kind: ClassVar[str] = "structure"
    unit: ClassVar[str] = "weights"
    """What is counted, in the plural."""

    def objection(self, allocation: Allocation, schedule: Schedule) -> str:
        """Why this structure cannot go with these parts; "" when it can."""
        return ""

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

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        """Turn weight scores into masks; what `context.removed` says stays removed."""
        raise NotImplementedError


class Schedule(Part):
    kind: ClassVar[str] = "schedule"

    def targets(self, sparsity: float) -> tuple[float, ...]:
        """Sparsity to reach after each round; the last one is `sparsity`."""
        raise NotImplementedError


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

    def repair(self, context: PruningContext) -> Repair:
        """Repair the pruned model; may put new tensors into `context.module`."""
        raise NotImplementedError


PARTS: dict[str, dict[str, type[Part]]] = {kind: {} for kind in KINDS}

P = TypeVar("P", bound=type[Part])


def part(cls: P) -> P:
    """Register a part under its kind and name."""
    PARTS[cls.kind][cls.name] = cls
    return cls


def make(kind: str, settings: Mapping[str, Any]) -> Part:
    """The part of this kind that `settings["name"]` names, with the other entries as its fields.

    Raises
    ------
    ArgumentError: no such part, no such field, or a value outside its field's range.
    """
    fields = dict(settings)
    name = str(fields.pop("name", "")).replace("_", "-")
    if name not in PARTS[kind]:
        known = ", ".join(PARTS[kind])
        raise ArgumentError(f"there is no {kind} {name!r}; known: {known}")
    try:
        return PARTS[kind][name].model_validate(fields)
    except ValidationError as error:
        raise ArgumentError(f"{kind} {name}: {problems(error)}") from None


def problems(error: ValidationError) -> str:
    """Pydantic's findings in one line: "min_keep: Input should be a valid integer, not 'x'"."""
    return "; ".join(
        f"{'.'.join(map(str, found['loc']))}: {found['msg']}, not {found['input']!r}"
        if found["loc"]
        else found["msg"].removeprefix("Value error, ")
        for found in error.errors()
    )


def describe(value: Part) -> dict[str, Any]:
    """JSON form of a part: its name and its fields."""
    return {"name": value.name, **value.model_dump(mode="json")}
