"""Sketch: weights are kept by chance, the more likely the higher their score."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.counting import exact_count
from analysis.pruning.part import part
from analysis.pruning.parts import Allocation, LayerUnits
from kernels.select import k_smallest

_WORTHLESS = -1e4
"""Stands for the logarithm of 0: below that of every positive number by more than chance adds."""


@part
class Sketch(Allocation):
    """Units of all layers are drawn without replacement, with probabilities in ratio of scores.

    Bar and Giryes, Pruning at Initialization - A Sketching Perspective: a mask is a sketch of the
    weights, and sketches sample. The draw is a Gumbel-top-k on the logarithm of the scores (Kool
    et al., Stochastic Beams and Where to Find Them, arXiv:1903.06059), which keeps exactly as
    many as are asked for. Scores of zero are drawn last. Every layer has a generator of its own,
    seeded by (seed, name), whose numbers are the same in every round: rounds with the same scores
    come to the same masks as one.
    """

    name: ClassVar[str] = "sketch"
    title: ClassVar[str] = "Sketch, drawn by score"
    paper: ClassVar[str] = "Bar and Giryes 2023, arXiv:2305.17559"

    def cost(self, job: JobSize) -> Cost:
        return Cost(memory=32 * job.parameters)

    def remove(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[Tensor]:
        budget = exact_count(sparsity, sum(unit.size for unit in units))
        keys = [
            gumbel_keys(unit.scores, _generator(context.seed, unit.layer.name)) for unit in units
        ]
        return k_smallest(keys, budget)


def gumbel_keys(scores: Tensor, generator: torch.Generator) -> Tensor:
    """log(score) + Gumbel noise, float64: the k largest are a weighted draw of k.

    Parameters
    ----------
    scores: not negative, but for -inf, which marks what is removed already and stays -inf.

    Raises
    ------
    ArgumentError: a score is negative: it is no probability.
    """
    values = scores.double()
    if bool(((values < 0) & ~torch.isneginf(values)).any()):
        raise ArgumentError(
            "the sketch allocation draws in ratio of the scores, and some are negative: choose "
            "another criterion or allocation"
        )
    uniform = torch.rand(values.shape, generator=generator, dtype=torch.float64)
    smallest = torch.finfo(torch.float64).tiny
    noise = -(-uniform.clamp(min=smallest).log()).log()
    logarithms = values.clamp(min=0).log().clamp(min=_WORTHLESS)
    return (logarithms + noise.to(values.device)).masked_fill(
        torch.isneginf(values), float("-inf")
    )


def _generator(seed: int, layer: str) -> torch.Generator:
    state = hashlib.sha256(f"sketch:{seed}:{layer}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(state[:8], "little") >> 1)
