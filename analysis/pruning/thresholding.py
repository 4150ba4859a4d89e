"""Masks by hard thresholding: step down a slope, keep the largest weights, solve for them.

    weights - length · slope  →  structure and allocation choose  →  the kept weights solved for

A step is worth taking where the objective after all three is lower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.parts import Allocation, Decision, Structure
from analysis.pruning.regression import Regression

_GROWTHS = 20
"""Doublings of a step, at most."""
_HALVINGS = 6
"""Shorter steps tried where the first change of the mask does not pay."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A mask, its weights, and the objective they reach."""

    decision: Decision
    keep: Tensor
    weights: Tensor
    objective: float = math.inf

    def solved(self, regression: Regression, plan: Tensor) -> Choice:
        """The best weights for this mask and plan."""
        weights = regression.solve(self.keep, plan)
        return replace(self, weights=weights, objective=regression.objective(weights, plan))


@dataclass(frozen=True, eq=False)
class Chooser:
    """Hard thresholding: structure and allocation choose by the magnitudes of flat weights."""

    context: PruningContext
    structure: Structure
    allocation: Allocation
    sparsity: float

    def __call__(self, weights: Tensor) -> Choice:
        layers = self.context.layers
        magnitudes = zip(layers, self.split(weights.abs()), strict=True)
        scores = {layer.name: values for layer, values in magnitudes}
        decision = self.structure.decide(self.context, scores, self.allocation, self.sparsity)
        kept = [decision.keep.get(la.name, self.context.model.keep(la)) for la in layers]
        keep = _flat(kept).to(weights.device) & self.before
        return Choice(decision, keep, weights * keep)

    @cached_property
    def before(self) -> Tensor:
        """What earlier rounds left, flat."""
        kept = _flat([self.context.model.keep(layer) for layer in self.context.layers])
        return kept.to(self.context.compute.device)

    def split(self, weights: Tensor) -> list[Tensor]:
        """Flat weights by layer, in their shapes."""
        layers = self.context.layers
        parts = torch.split(weights, [layer.parameters for layer in layers])
        return [part.reshape(la.shape) for part, la in zip(parts, layers, strict=True)]


@dataclass(frozen=True, eq=False)
class Line:
    """Where steps of any length down one slope lead, thresholded and solved."""

    regression: Regression
    choose: Chooser
    weights: Tensor
    slope: Tensor
    plan: Tensor

    def __call__(self, length: float) -> Choice:
        there = self.choose(self.weights - length * self.slope)
        return there.solved(self.regression, self.plan)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def best_step(line: Callable[[float], Choice], now: Choice, length: float) -> Choice | None:
    """The step from `now` that lowers the objective most, by doubling; None if none does.

    Steps so short that the mask stays lead nowhere new, since the weights are solved for: the
    length at which it changes (τ_c in the paper) is bracketed first. Where the first change does
    not pay, shorter ones between the two lengths are tried.
    """
    there = line(length)
    for _ in range(_GROWTHS):
        if not torch.equal(there.keep, now.keep):
            break
        length *= 2
        there = line(length)
    shortest, longest = length / 2, length
    for _ in range(_HALVINGS):
        if there.objective < now.objective:
            return _growing(line, there, longest)
        length = (shortest + longest) / 2
        there = line(length)
        if torch.equal(there.keep, now.keep):
            shortest = length
        else:
            longest = length
    return there if there.objective < now.objective else None


def _growing(line: Callable[[float], Choice], best: Choice, length: float) -> Choice:
    """Double a step as long as the objective falls."""
    for _ in range(_GROWTHS):
        length *= 2
        longer = line(length)
        if longer.objective >= best.objective:
            break
        best = longer
    return best
