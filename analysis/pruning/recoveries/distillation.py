"""Distillation: train what is left to answer, or to feel, like the dense model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.part import part
from analysis.pruning.parts import Repair
from analysis.pruning.recoveries.fine_tune import Trained
from analysis.pruning.training import train

Features = Mapping[str, Tensor]


class Distilled(Trained):
    """Cross-entropy plus a distance between the features of dense and pruned blocks.

    Features are the outputs of the architecture's blocks, those whose units the neuron paths
    use. Masks keep all widths, so no projection between them is needed.
    """

    teachers: ClassVar[int] = 1

    learning_rate: float = Field(
        default=0.001,
        gt=0,
        le=10,
        title="Learning rate",
        description="Of the first step; it falls to zero along a cosine.",
    )
    weight: float = Field(
        default=20.0,
        ge=0,
        le=1e6,
        title="Weight",
        description="Of the distance between features, against a weight of 1 for the labels.",
    )

    def inapplicable(self, model: Model) -> str:
        if not model.architecture.path_layers:
            return f"{model.architecture.title} names no blocks whose features could be compared"
        return ""

    def distance(self, dense: Tensor, pruned: Tensor) -> Tensor:
        """Distance between the features of one block."""
        raise NotImplementedError

    def repair(self, context: PruningContext) -> Repair:
        if context.base is None:
            raise ArgumentError(f"{self.title} needs the model as it was before pruning")
        teacher = context.base.module(context.compute.device)
        names = [layer.name for layer in context.model.architecture.path_layers]

        def loss(module: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
            with torch.no_grad(), recorded(teacher, names) as dense:
                teacher(x)
            with recorded(module, names) as pruned:
                answers = F.cross_entropy(module(x), labels)
            return answers + self.weight * mean_distance(dense, pruned, self.distance)

        return train(context, self.plan, loss)


@part
class InnerDistillation(Distilled):
    """Σ over blocks of γ · MSE(pruned block, dense block), averaged over blocks.

    Aflalo et al., Knapsack Pruning with Inner Distillation (section 3.3); γ = 20 there.
    """

    name: ClassVar[str] = "inner-distillation"
    title: ClassVar[str] = "Inner distillation"
    paper: ClassVar[str] = "Aflalo et al. 2020, arXiv:2002.08258"

    def distance(self, dense: Tensor, pruned: Tensor) -> Tensor:
        return F.mse_loss(pruned, dense)


@part
class ChannelDistillation(Distilled):
    """KL divergence between each channel's softmax over positions, pruned against dense.

    Shu et al., Channel-wise Knowledge Distillation for Dense Prediction (equations 2 and 3):
    T² / (N·C) · Σ KL. Channels of N,C,H,W are compared over H·W, those of N,T,D over tokens.
    """

    name: ClassVar[str] = "channel-distillation"
    title: ClassVar[str] = "Channel-wise distillation"
    paper: ClassVar[str] = "Shu et al. 2021, arXiv:2011.13256"

    temperature: float = Field(
        default=4.0,
        gt=0,
        le=1000,
        title="Temperature",
        description="Divides the activations before the softmax.",
    )

    def distance(self, dense: Tensor, pruned: Tensor) -> Tensor:
        return channel_divergence(dense, pruned, self.temperature)


def channel_divergence(dense: Tensor, pruned: Tensor, temperature: float) -> Tensor:
    """T² / (N·C) · Σ KL(softmax(dense / T) ‖ softmax(pruned / T)) over positions, in nats.

    Both N,C,H,W (positions H·W) or N,T,D (channels D, positions T).
    """
    teacher, student = (_by_channel(features) / temperature for features in (dense, pruned))
    wanted, found = teacher.log_softmax(dim=-1), student.log_softmax(dim=-1)
    total = F.kl_div(found, wanted, reduction="sum", log_target=True)
    return total * temperature**2 / (teacher.shape[0] * teacher.shape[1])


def mean_distance(
    dense: Features, pruned: Features, distance: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """The distance averaged over blocks."""
    return torch.stack([distance(dense[name], pruned[name]) for name in dense]).mean()


@contextmanager
def recorded(module: nn.Module, names: list[str]) -> Iterator[dict[str, Tensor]]:
    """Outputs of submodules while the block runs, by name."""
    found: dict[str, Tensor] = {}

    def keeper(name: str) -> Any:
        def keep(child: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            found[name] = output

        return keep

    handles = [module.get_submodule(name).register_forward_hook(keeper(name)) for name in names]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _by_channel(features: Tensor) -> Tensor:
    """N,C,positions."""
    return features.flatten(2) if features.ndim == 4 else features.transpose(1, 2)
