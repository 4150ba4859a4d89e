"""What criteria, structures, allocations and recoveries may look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from analysis.architectures.architecture import PrunableLayer
from analysis.data.dataset import Dataset
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.request import Compute, Report


@dataclass(frozen=True, eq=False)
class PruningContext:
    """One round of a job.

    Attributes
    ----------
    model: the model as it is before this round (masks of earlier rounds applied).
    module: that model built on `compute.device`, in eval mode. On the CPU it shares its tensors
        with the dense model: no part writes into them, and only recoveries may replace them.
    layers: the layers to prune in this round, in module order.
    calibration: labelled images, or None when the recipe needs none.
    seed: seed of every random choice.
    base: the model as it was given, before the first round; what distillation learns from.
    companions: other models of the same architecture (a base model, other seeds).
    contrast: images of the second kind, where a criterion sets two data sets against each other.
    offset: prunable weights before the first of `layers`, when a round takes some layers only.
    memo: what the parts of this round computed and may use again (the Fisher of a criterion, for
        the recovery); by the name of what it is.
    """

    model: Model
    module: nn.Module
    layers: tuple[PrunableLayer, ...]
    calibration: Dataset | None
    seed: int
    compute: Compute
    report: Report
    base: Model | None = None
    companions: tuple[Model, ...] = ()
    contrast: Dataset | None = None
    offset: int = 0
    memo: dict[str, Any] = field(default_factory=dict)

    def weight(self, layer: PrunableLayer) -> Tensor:
        """The layer's weight as the module computes with it, on its device, without gradient."""
        return self.module.get_parameter(layer.parameter).detach()

    def removed(self, layer: PrunableLayer) -> Tensor:
        """Which weights earlier rounds and earlier prunings removed (True), on the CPU."""
        return ~self.model.keep(layer)

    def images(self) -> Dataset:
        """The calibration images; a part that calls this declares the need."""
        if self.calibration is None:
            raise ArgumentError("this recipe needs calibration images")
        return self.calibration
