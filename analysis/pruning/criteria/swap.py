"""SWAP: masks and weights together, by a regression that may exchange noisy targets."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from analysis.errors import ArgumentError, InputError
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.criteria.gradients import loss_gradients
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Allocation, Criterion, Decision, Structure
from analysis.pruning.regression import Regression
from analysis.pruning.thresholding import Choice, Chooser, Line, best_step
from analysis.pruning.transport import transport_plan
from analysis.request import Report, Step, part_of

_TRIES, _STEPS = 8, 4
"""What a search usually takes: lengths tried a step, and steps."""
_ENOUGH = 1e-4
"""Relative fall of the objective below which further steps are not worth their time."""


@part
class Swap(Criterion):
    """Least n/2 ⟨Π, C⟩ + n/2 λ ‖w - w̄‖² over masks and weights, C_ij = (x_i - y_j)².

    You et al., SWAP: Sparse Entropic Wasserstein Regression for Robust Network Pruning (equation
    5). x = G w and y = G w̄ are what the gradients G (n rows of calibration images) predict for
    the pruned and the dense weights w̄; the plan Π transports one to the other. With Π = I / n it
    is the linear regression of CHITA (Benbaki et al. 2023, arXiv:2302.14623).

    As in the paper, Π and w are improved in turn, and w by hard thresholding of a gradient step
    that is at least so long that the mask changes and grows while the objective falls. The kept
    weights are then solved for exactly (hard thresholding pursuit, Foucart 2011) where the
    authors take more gradient steps. ε is given in units of the mean cost between the y
    themselves, because gradients of networks differ in scale by orders of magnitude, and so is λ
    in units of the mean squared gradient. The paper does not report its ε. The exact plan is the
    default here: an entropic one draws targets towards each other, and on clean images (ResNet-20
    for CIFAR-10, 80 % removed in four rounds) ε = 0.001 kept 36 % accuracy where ε = 0 kept 62 %.
    """

    name: ClassVar[str] = "swap"
    title: ClassVar[str] = "SWAP, Wasserstein regression"
    paper: ClassVar[str] = "You et al. 2024, arXiv:2310.04918"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration", "labels", "gradients"})
    joint: ClassVar[bool] = True

    rows: int = Field(
        default=64,
        ge=2,
        le=4096,
        title="Gradients",
        description="Rows of the regression; each is the mean gradient of its share of images.",
    )
    plan: Literal["transport", "identity"] = Field(
        default="transport",
        title="Plan",
        description="Optimal transport between predictions, or each to its own as in CHITA.",
    )
    epsilon: float = Field(
        default=0.0,
        ge=0,
        le=1e3,
        title="Entropy",
        description="Weight of the plan's entropy, relative to the mean cost; 0 = exact plan. "
        "More averages targets over images, which helps where labels are wrong and costs else.",
    )
    ridge: float = Field(
        default=1.0,
        gt=0,
        le=1e9,
        title="Ridge",
        description="Pull of the kept weights to their old values, relative to the mean squared "
        "gradient of a weight.",
    )
    steps: int = Field(
        default=20,
        ge=1,
        le=1000,
        title="Steps",
        description="Improvements of plan, mask and weights at most.",
    )
    memory: int = Field(
        default=2048,
        ge=1,
        title="Memory for gradients",
        description="Where the rows would take more, fewer are used, each of more images.",
        json_schema_extra={"unit": "MiB"},
    )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """|w|: what the search starts from."""
        return {layer.name: context.weight(layer).abs() for layer in context.layers}

    def decide(
        self,
        context: PruningContext,
        structure: Structure,
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        counting = replace(context, report=part_of(context.report, 0, 2, ""))
        regression, notes = self._regression(counting)
        choose = Chooser(context, structure, allocation, sparsity)
        with torch.no_grad():
            start = choose(regression.dense)
            if torch.equal(start.keep, choose.before):
                return replace(start.decision, notes=(*start.decision.notes, *notes))
            searching = part_of(context.report, 1, 2, "")
            found = self._search(regression, choose, start, searching)
        updates = {
            layer.parameter: weights.cpu()
            for layer, weights in zip(context.layers, choose.split(found.weights), strict=True)
        }
        return replace(
            found.decision,
            updates={**found.decision.updates, **updates},
            notes=(*found.decision.notes, *notes),
        )

    def cost(self, job: JobSize) -> Cost:
        rows = min(self.rows, job.images)
        size = float(job.parameters)
        tries = _TRIES * min(self.steps, _STEPS)
        return Cost(
            backward=job.images,
            macs=tries * rows * (rows + 6) * size,
            memory=2 * 4 * min(rows, self._affordable(job.parameters)) * job.parameters,
        )

    def _affordable(self, weights: int) -> int:
        """Rows of gradients that fit into the memory."""
        return (self.memory << 20) // (4 * max(weights, 1))

    def _regression(self, context: PruningContext) -> tuple[Regression, tuple[str, ...]]:
        """Gradients of equal shares of the images, and what has to be told about their number."""
        images, size = len(context.images()), sum(la.parameters for la in context.layers)
        most = min(self.rows, self._affordable(size), images)
        if most < 2:
            raise ArgumentError(
                f"SWAP needs two gradients of {size:,} weights: allow it more than "
                f"{self.memory} MiB, or give it more images"
            )
        share = -(-images // most)
        rows = [
            torch.cat([found[layer.name].reshape(-1) for layer in context.layers])
            for _, found in loss_gradients(context, share)
        ]
        gradients = torch.stack(rows)
        squared = float(gradients.square().mean(dtype=torch.float64))
        if not math.isfinite(squared):
            raise InputError(
                context.model.name,
                "its gradients are not finite.",
                "Its weights or activations are too large: choose another recipe or model.",
            )
        if squared == 0:
            raise ArgumentError("the loss has no gradient on these images: nothing can be fitted")
        dense = torch.cat([context.weight(layer).reshape(-1) for layer in context.layers])
        asked = min(self.rows, images)
        notes = () if most == asked else (f"SWAP: {len(rows)} gradients instead of {asked}",)
        return Regression(gradients, dense, self.ridge * squared), notes

    def _search(
        self, regression: Regression, choose: Chooser, start: Choice, report: Report
    ) -> Choice:
        """Plan, weights and mask in turn, until no step lowers the objective.

        It starts from the linear regression: with the predictions of weights that were merely cut
        the first plan would join what does not belong together.
        """
        best = start.solved(regression, regression.identity)
        for step in range(self.steps):
            report(Step(step, self.steps, "regression"))
            plan = self._plan(regression, best.weights)
            best = best.solved(regression, plan)
            slope = regression.slope(best.weights, plan)
            line = Line(regression, choose, best.weights, slope, plan)
            better = best_step(line, best, 1 / regression.steepness)
            if better is None:
                break
            fell = best.objective - better.objective
            best = better
            if fell < _ENOUGH * best.objective:
                break
        return best

    def _plan(self, regression: Regression, weights: Tensor) -> Tensor:
        if self.plan == "identity":
            return regression.identity
        x, y = regression.predictions(weights), regression.outputs
        spread = 2 * float(y.double().var(correction=0))  # mean of (y_i - y_j)²
        return transport_plan(x, y, self.epsilon * spread)
