"""Rescale: what is left of a fine-tuning is made larger, so that its sum is what it was (DARE)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from analysis.architectures.architecture import PrunableLayer
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.criteria.activation import column_sums, per_weight, unfold
from analysis.pruning.inputs import each_input, never_called
from analysis.pruning.part import Need, Part, part
from analysis.pruning.parts import Recovery, Repair
from analysis.pruning.structures.delta import base_model

STEP = 1e-3
"""Divisors are tried in steps of this size."""
PASSED = 0.8
"""The scan ends when this share of the rows is past its optimum; the others are outliers."""


class _Rescaling(Recovery):
    """w = w_base + kept δ / q, with a divisor q for each layer."""

    needs: ClassVar[frozenset[Need]] = frozenset({"companion"})

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["structure"].name != "delta":
            return (
                f"{self.title} makes changes from a base model larger: it goes with the "
                "structure delta only"
            )
        return ""

    def repair(self, context: PruningContext) -> Repair:
        changes = _changes(context)
        divisors = self._divisors(context, changes)
        updates = {}
        for change in changes:
            if divisors[change.layer.name] < 1:
                grown = change.base + change.delta / divisors[change.layer.name]
                weight = torch.where(change.kept, grown, change.base).to(change.dtype)
                updates[change.layer.parameter] = weight
        low, high = (f(divisors, key=lambda name: divisors[name]) for f in (min, max))
        note = (
            f"what is left of the changes was divided by {divisors[low]:.4g} ({low}) to "
            f"{divisors[high]:.4g} ({high})"
        )
        return Repair(updates, (note,) if updates else ())

    def _divisors(
        self, context: PruningContext, changes: Sequence[_Change]
    ) -> Mapping[str, float]:
        """q in (0, 1] for each layer, by name; 1 leaves it as it is."""
        raise NotImplementedError


@part
class Rescale(_Rescaling):
    """Divide what is left by the share that is left, so that its expectation is what it was.

    Yu et al., Language Models are Super Mario (equation 2): q = 1 - p, p the share removed. p is
    counted in each layer over the weights that fine-tuning changed, so that the expectation over
    random removals is exact although counts are.
    """

    name: ClassVar[str] = "rescale"
    title: ClassVar[str] = "Rescale changes by 1/(1-p)"
    paper: ClassVar[str] = "Yu et al. 2024, arXiv:2311.03099"

    q: Literal["1-p", "none"] = Field(
        default="1-p",
        title="Divisor",
        description="The share of changes that is left, or none: they stay as they are.",
    )

    def _divisors(
        self, context: PruningContext, changes: Sequence[_Change]
    ) -> Mapping[str, float]:
        return {ch.layer.name: ch.left if self.q == "1-p" else 1.0 for ch in changes}


@part
class RescaleAnalytic(_Rescaling):
    """Divide what is left by q in [1 - p, 1], from a bound on the change of the outputs.

    Deng et al., DARE the Extreme (DAREx-q, the analytical choice for each layer). For every row,
    with c_j = δ_j · mean of input j, q is where this is nearest to zero, in steps of 0.001:

        η (1 - (1-p)/q) Σc + η² φ(p) Σc² / (4 q²) + ln(2 / (1-γ)),  φ(p) = (1-2p) / ln((1-p)/p)

    The scan ends when 80 % of the rows are past their optimum, and the layer's q is the mean over
    its rows. The published η were tuned to tasks: 0.27 to 1.01.
    """

    name: ClassVar[str] = "rescale-analytic"
    title: ClassVar[str] = "Rescale changes, analytic (DAREx-q)"
    paper: ClassVar[str] = "Deng et al. 2024, arXiv:2410.09344"
    needs: ClassVar[frozenset[Need]] = frozenset({"companion", "calibration"})

    eta: float = Field(
        default=1.0,
        gt=0,
        le=100,
        title="η",
        description="How much the change of the outputs weighs; the published values were tuned.",
    )
    gamma: float = Field(
        default=0.95,
        gt=0,
        lt=1,
        title="γ",
        description="Probability with which the bound is to hold.",
    )

    def inapplicable(self, model: Model) -> str:
        return never_called(model)

    def cost(self, job: JobSize) -> Cost:
        rows = sum(layer.shape[0] for layer in job.layers)
        return Cost(forward=job.images, macs=rows / STEP, memory=8 * job.parameters)

    def _divisors(
        self, context: PruningContext, changes: Sequence[_Change]
    ) -> Mapping[str, float]:
        means = _mean_inputs(context, [change.layer for change in changes])
        found = {}
        for change in changes:
            inputs = per_weight(means[change.layer.name].cpu(), change.delta)
            rows = (change.delta * inputs).flatten(1)
            found[change.layer.name] = analytic_divisor(
                rows, 1 - change.left, self.eta, self.gamma
            )
        return found


@dataclass(frozen=True, eq=False)
class _Change:
    """What fine-tuning did to a layer, in float64 on the CPU, and which of it is kept."""

    layer: PrunableLayer
    base: Tensor
    delta: Tensor
    kept: Tensor
    dtype: torch.dtype

    @property
    def left(self) -> float:
        """Share of the changed weights that is kept; 1 where there are none, or none is kept."""
        changed = int(torch.count_nonzero(self.delta))
        return (int(self.kept.sum()) / changed or 1.0) if changed else 1.0


def _changes(context: PruningContext) -> list[_Change]:
    """The layers that lost changes or may have, all but the classifier."""
    base, fine = base_model(context), context.base or context.model
    found = []
    for layer in context.layers:
        if layer.name == context.model.architecture.classifier:
            continue
        then, now = base.weight(layer.parameter), context.model.weight(layer.parameter)
        delta = fine.weight(layer.parameter).double() - then.double()
        found.append(_Change(layer, then.double(), delta, now != then, now.dtype))
    return found


def analytic_divisor(c: Tensor, p: float, eta: float, gamma: float) -> float:
    """q in [1 - p, 1] of DAREx-q for a layer.

    Parameters
    ----------
    c: (rows, columns) changes times mean inputs, float64.
    p: share of changes removed, in [0, 1).
    """
    steps = round(p / STEP)
    if steps == 0:
        return 1.0
    q = torch.linspace(1 - p, 1, steps + 1, dtype=c.dtype)
    first = eta * (1 - (1 - p) / q) * c.sum(dim=1, keepdim=True)
    second = eta**2 * phi(p) * c.square().sum(dim=1, keepdim=True) / (4 * q.square())
    best = (first + second + math.log(2 / (1 - gamma))).abs().argmin(dim=1)
    last = torch.sort(best).values[math.ceil(PASSED * len(best)) - 1]
    return float(q[best.clamp(max=int(last))].mean())


def phi(p: float) -> float:
    """(1 - 2p) / ln((1-p)/p), continued to 1/2 at p = 1/2 and to 0 at p = 0."""
    if p == 0:
        return 0.0
    if abs(p - 0.5) < 1e-6:
        return 0.5
    return (1 - 2 * p) / math.log((1 - p) / p)


def _mean_inputs(context: PruningContext, layers: Sequence[PrunableLayer]) -> dict[str, Tensor]:
    """Mean of what each input column reads in the fine-tuned model, float64, by layer name."""
    fine = context.base or context.model
    where = replace(context, module=fine.module(context.compute.device))
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def add(layer: PrunableLayer, module: nn.Module, x: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            found = column_sums(module, x.sum(dim=0, keepdim=True, dtype=torch.float64))
            rows = len(x) * unfold(module, x[:1, :1]).shape[2]
        else:
            found = x.reshape(-1, x.shape[-1]).sum(dim=0, dtype=torch.float64)
            rows = x.numel() // x.shape[-1]
        sums[layer.name] = sums[layer.name] + found if layer.name in sums else found
        counts[layer.name] = counts.get(layer.name, 0) + rows

    each_input(where, layers, add, "mean inputs")
    return {name: total / counts[name] for name, total in sums.items()}
