"""Signal-to-noise: weights that differ from model to model more than from zero go first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion
from analysis.request import Step


@part
class SignalToNoise(Criterion):
    """|mean| / standard deviation of each weight over the model and its companions.

    Lange and Sprekeler, Lottery Tickets in Evolutionary Optimization, take both from a search
    distribution; here they come from checkpoints of one architecture (other epochs,
    snapshots, seeds), as they compute with their masks. The standard deviation divides by n - 1. A
    weight that is the same in all models is certain: it stays longest, and one that is 0 in all
    goes first.

    It asks for noise around one solution, as snapshots of one training or draws from a posterior
    have it: networks of other seeds need not agree on which unit does what. Snapshots of a short
    fine-tuning differ most in the weights that are used most, and then the ranking harms.
    """

    name: ClassVar[str] = "signal-to-noise"
    title: ClassVar[str] = "Signal-to-noise |μ|/σ"
    paper: ClassVar[str] = "Lange and Sprekeler 2023, arXiv:2306.00045"
    needs: ClassVar[frozenset[Need]] = frozenset({"companion"})

    def cost(self, job: JobSize) -> Cost:
        return Cost(memory=40 * max((layer.parameters for layer in job.layers), default=0))

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        if not context.companions:
            raise ArgumentError(
                "a standard deviation needs another model of the same architecture at least"
            )
        scores, noisy = {}, False
        for done, layer in enumerate(context.layers):
            context.report(Step(done, len(context.layers), layer.name))
            weight = context.weight(layer)
            values = [weight, *(other.weight(layer.parameter) for other in context.companions)]
            ratio, deviation = signal_to_noise(values)
            noisy = noisy or bool((deviation > 0).any())
            scores[layer.name] = ratio.to(weight.dtype)
        if not noisy:
            raise ArgumentError(
                f"{context.model.name} and its companions have the same weights: choose models of "
                "other epochs or seeds"
            )
        return scores


def signal_to_noise(values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """|mean| / std and std of each weight, float64; no deviation: the largest float32, or 0.

    Mean and squares are added up model by model (Welford), so that two tensors are held however
    many models there are.
    """
    mean = torch.zeros_like(values[0], dtype=torch.float64)
    squares = torch.zeros_like(mean)
    for count, value in enumerate(values, 1):
        change = value.to(mean) - mean
        mean += change / count
        squares += change * (value.to(mean) - mean)
    deviation = (squares / (len(values) - 1)).sqrt()
    most = torch.finfo(torch.float32).max
    certain = torch.where(mean == 0, 0.0, most)
    ratio = torch.where(deviation > 0, mean.abs() / deviation, certain)
    return ratio.clamp(max=most), deviation
