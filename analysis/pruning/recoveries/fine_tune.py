"""Fine-tuning: train what is left on the calibration images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.part import Need, Part, part
from analysis.pruning.parts import Recovery, Repair
from analysis.pruning.training import Plan, train


class Trained(Recovery):
    """What all recoveries that train have in common."""

    needs: ClassVar[frozenset[Need]] = frozenset({"calibration", "labels", "training"})
    teachers: ClassVar[int] = 0
    """Forward passes of the dense model for every step of the pruned one."""

    epochs: int = Field(
        default=10,
        ge=1,
        le=1000,
        title="Epochs",
        description="Passes over the calibration images.",
        json_schema_extra={"unit": "epochs"},
    )
    learning_rate: float = Field(
        default=0.01,
        gt=0,
        le=10,
        title="Learning rate",
        description="Of the first step; it falls to zero along a cosine.",
    )
    batch: int = Field(
        default=64,
        ge=2,
        le=4096,
        title="Images per step",
        description="Images of one gradient step.",
        json_schema_extra={"unit": "images"},
    )
    norms: bool = Field(
        default=True,
        title="Train BatchNorm",
        description="Use batch statistics and estimate them anew at the end; off, they stay.",
    )

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["structure"].name in ("delta", "rank", "act-svd"):
            return (
                f"training would undo {parts['structure'].title!r}: masks survive it, "
                "but neither low rank nor equality with another model does"
            )
        return ""

    def cost(self, job: JobSize) -> Cost:
        seen = float(self.epochs * job.images)
        # parameters, gradients and momentum
        return Cost(forward=self.teachers * seen, backward=seen, memory=12 * job.parameters)

    @property
    def plan(self) -> Plan:
        return Plan(self.epochs, self.learning_rate, self.batch, train_norms=self.norms)


@part
class FineTune(Trained):
    """SGD on the cross-entropy of the calibration labels, masks kept.

    The masks hold for gradients, momentum and weights. With a gradual schedule whose recovery
    follows every round this is gradual magnitude pruning (Zhu and Gupta) in small.
    """

    name: ClassVar[str] = "fine-tune"
    title: ClassVar[str] = "Short fine-tuning"
    paper: ClassVar[str] = "Zhu and Gupta 2017, arXiv:1710.01878"

    def repair(self, context: PruningContext) -> Repair:
        def loss(module: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
            return F.cross_entropy(module(x), labels)

        return train(context, self.plan, loss)
