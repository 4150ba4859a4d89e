"""Filter: whole output channels, removed by masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import exact_count
from analysis.pruning.following import following_norms
from analysis.pruning.part import Part, part
from analysis.pruning.parts import Allocation, Decision, LayerUnits, Level, Structure


@part
class Filter(Structure):
    """Output filters of convolutions (and, if asked, neurons of hidden linear layers).

    The budget counts filters: exactly round(sparsity × filters) go. With a filter's weights its
    bias and the scale and shift of the BatchNorm that reads its output become zero, so that the
    channel is zero exactly. The classifier is never pruned: its rows are the classes. Layers that
    the criterion gives no score (a criterion of BatchNorm, where there is none) keep all their
    filters; they count as well, so the others give more.
    """

    name: ClassVar[str] = "filter"
    title: ClassVar[str] = "Whole filters"
    paper: ClassVar[str] = "Li et al. 2017, arXiv:1608.08710"
    unit: ClassVar[str] = "filters"
    levels: ClassVar[frozenset[Level]] = frozenset({"weight", "filter"})

    score: Literal["sum", "mean", "l2"] = Field(
        default="sum",
        title="Score of a filter",
        description="How the scores of its weights are put together; sum of magnitudes = L1 norm.",
    )
    layers: Literal["convolutions", "convolutions and hidden linear"] = Field(
        default="convolutions",
        title="Layers",
        description="Which layers may lose outputs.",
    )

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["allocation"].name.startswith("per-row"):
            return "a filter is a row: whole filters cannot be shared out per row"
        if parts["schedule"].name == "layer-by-layer":
            return "layer by layer, shares are counted in single weights, not in whole filters"
        return ""

    def inapplicable(self, model: Model) -> str:
        return "" if self._prunable(model, model.layers) else _no_layer(model)

    def budget(self, context: PruningContext, sparsity: float) -> int:
        return exact_count(sparsity, sum(layer.shape[0] for layer in self.taking_part(context)))

    def removed_units(self, keep: Tensor) -> int:
        return int((~keep.flatten(1).any(dim=1)).sum())

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        layers = self.taking_part(context)
        before = {layer.name: context.removed(layer) for layer in context.layers}
        removed = {la.name: before[la.name].flatten(1).all(dim=1) for la in layers}
        scored = [layer for layer in layers if layer.name in scores]
        units = [LayerUnits(la, self._score(scores[la.name], before[la.name])) for la in scored]
        if len(scored) < len(layers) and allocation.exact:
            kept = sum(int(mask.sum()) for name, mask in removed.items() if name not in scores)
            budget = self.budget(context, sparsity) - kept
            sparsity = _share(budget, sum(unit.size for unit in units))
        gone = allocation.remove(context, units, sparsity)
        removed |= {la.name: mask.cpu() for la, mask in zip(scored, gone, strict=True)}
        keep = {name: ~mask for name, mask in before.items()}
        for layer in layers:
            keep[layer.name] = keep[layer.name] & ~_spread(removed[layer.name], layer)
        asked = {name: int(filters.sum()) for name, filters in removed.items()}
        notes = tuple(
            f"{layer.name}: the criterion gives its filters no score; they stay, and others go"
            for layer in layers
            if layer.name not in scores
        )
        return Decision(keep, asked, _silence(context, removed), notes)

    def taking_part(self, context: PruningContext) -> list[PrunableLayer]:
        """Layers whose filters may go. Raises ArgumentError when there is none."""
        chosen = self._prunable(context.model, context.layers)
        if not chosen:
            raise ArgumentError(_no_layer(context.model))
        return chosen

    def _prunable(self, model: Model, layers: Sequence[PrunableLayer]) -> list[PrunableLayer]:
        kinds = ("conv",) if self.layers == "convolutions" else ("conv", "linear")
        classifier = model.architecture.classifier
        return [la for la in layers if la.kind in kinds and la.name != classifier]

    def _score(self, scores: Tensor, removed: Tensor) -> Tensor:
        """One score a filter; weights removed before count as 0, whole filters as -inf."""
        gone = removed.to(scores.device).flatten(1)
        if scores.ndim == 1:
            return scores.masked_fill(gone.all(dim=1), float("-inf"))
        values = scores.flatten(1).masked_fill(gone, 0)
        if self.score == "l2":
            found = values.square().sum(dim=1).sqrt()
        else:
            found = values.sum(dim=1) if self.score == "sum" else values.mean(dim=1)
        return found.masked_fill(gone.all(dim=1), float("-inf"))


def _no_layer(model: Model) -> str:
    return f"{model.name} has no layer whose filters may be removed"


def _share(budget: int, size: int) -> float:
    """The sparsity that removes `budget` of the filters that have a score."""
    if not 0 <= budget <= size or size == 0:
        raise ArgumentError(
            f"{budget} filters are to go, but the criterion gives only {size} a score: choose a "
            "lower sparsity or another criterion"
        )
    return budget / size


def _spread(filters: Tensor, layer: PrunableLayer) -> Tensor:
    """A decision a filter, over the shape of the weight."""
    return filters.reshape(-1, *[1] * (len(layer.shape) - 1)).expand(layer.shape)


def _silence(context: PruningContext, removed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Biases of removed filters, and scale and shift of their BatchNorm channels, set to zero."""
    norms = following_norms(context)
    updates = {}
    for name, filters in removed.items():
        if not bool(filters.any()):
            continue
        owners = [f"{name}.bias"]
        if name in norms:
            owners += [f"{norms[name]}.weight", f"{norms[name]}.bias"]
        for parameter in owners:
            if parameter in context.model.weights:
                tensor = context.model.weight(parameter)
                updates[parameter] = torch.where(filters, torch.zeros_like(tensor), tensor)
    return updates
