"""Filter: whole output channels, removed by masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import ArgumentError
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
    channel is zero exactly. The classifier is never pruned: its rows are the classes.
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
        return ""

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
        units = [LayerUnits(la, self._score(scores[la.name], before[la.name])) for la in layers]
        gone = allocation.remove(context, units, sparsity)
        keep = {name: ~removed for name, removed in before.items()}
        for layer, filters in zip(layers, gone, strict=True):
            keep[layer.name] = keep[layer.name] & ~_spread(filters.cpu(), layer)
        removed = {la.name: mask.cpu() for la, mask in zip(layers, gone, strict=True)}
        asked = {name: int(filters.sum()) for name, filters in removed.items()}
        return Decision(keep, asked, _silence(context, removed))

    def taking_part(self, context: PruningContext) -> list[PrunableLayer]:
        """Layers whose filters may go. Raises ArgumentError when there is none."""
        kinds = ("conv",) if self.layers == "convolutions" else ("conv", "linear")
        classifier = context.model.architecture.classifier
        chosen = [la for la in context.layers if la.kind in kinds and la.name != classifier]
        if not chosen:
            raise ArgumentError(f"{context.model.name} has no layer whose filters may be removed")
        return chosen

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
