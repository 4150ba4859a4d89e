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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from analysis.architectures.architecture import PrunableLayer
from analysis.data.dataset import Dataset
from analysis.models import Model
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
    module: that model built on `compute.device`, in eval mode; parts leave it unchanged unless
        they are recoveries.
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


class Criterion(Part):
    kind: ClassVar[str] = "criterion"

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Score of every weight (shape of the weight) by layer name; higher = keep."""
        raise NotImplementedError


class Structure(Part):
    kind: ClassVar[str] = "structure"


class Allocation(Part):
    kind: ClassVar[str] = "allocation"


class Schedule(Part):
    kind: ClassVar[str] = "schedule"

    def targets(self, sparsity: float) -> tuple[float, ...]:
        """Sparsity to reach after each round; the last one is `sparsity`."""
        raise NotImplementedError


class Recovery(Part):
    kind: ClassVar[str] = "recovery"

    def updates(self, context: PruningContext) -> Mapping[str, Tensor]:
        """Tensors of the state dict that change, by name."""
        raise NotImplementedError


PARTS: dict[str, dict[str, type[Part]]] = {kind: {} for kind in KINDS}

P = TypeVar("P", bound=type[Part])


def part(cls: P) -> P:
    """Register a part under its kind and name."""
    PARTS[cls.kind][cls.name] = cls
    return cls


def describe(value: Part) -> dict[str, Any]:
    """JSON form of a part: its name and its fields."""
    return {"name": value.name, **value.model_dump(mode="json")}
