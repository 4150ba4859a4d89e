"""Delta weights: what fine-tuning changed goes back to what it was (DARE)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import exact_count
from analysis.pruning.part import Need, Part, part
from analysis.pruning.parts import Allocation, Decision, LayerUnits, Structure
from analysis.pruning.structures.weight import without

_NO_BASE = "changes from a base model need that model as a companion"


@part
class Delta(Structure):
    """The units are the changes δ = w - w_base of a fine-tuned model from its base model.

    Yu et al., Language Models are Super Mario. The model is the fine-tuned one, its first
    companion the base. Removing a delta weight sets the weight to the base's value, so that masks
    stay empty and the weights change. The classifier is kept whole. Exactly round(sparsity × n)
    of the other layers' weights end at the base's value, those that never left it among them;
    published is a coin toss for each.
    """

    name: ClassVar[str] = "delta"
    title: ClassVar[str] = "Changes from a base model"
    paper: ClassVar[str] = "Yu et al. 2024, arXiv:2311.03099"
    needs: ClassVar[frozenset[Need]] = frozenset({"companion"})
    unit: ClassVar[str] = "delta weights"
    measure: ClassVar[str] = "changes"

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["schedule"].name == "layer-by-layer":
            return "layer by layer, shares are counted over all layers, the classifier among them"
        return ""

    def inapplicable(self, model: Model) -> str:
        if model.masks:
            return (
                f"{model.name} has masks, and weights behind a mask cannot go back to those of a "
                "base model"
            )
        if not self._prunable(model, model.layers):
            return f"{model.name} has no layer but its classifier"
        return ""

    def taking_part(self, context: PruningContext) -> list[PrunableLayer]:
        return self._prunable(context.model, context.layers)

    def budget(self, context: PruningContext, sparsity: float) -> int:
        return exact_count(sparsity, sum(la.parameters for la in self.taking_part(context)))

    def gone(self, context: PruningContext) -> int:
        base = base_model(context)
        return sum(same(context.model, base, layer) for layer in self.taking_part(context))

    def found(
        self, before: Model, after: Model, layer: PrunableLayer, companions: Sequence[Model] = ()
    ) -> int:
        """Weights of the finished model that are the base's, bit for bit."""
        if not companions:
            raise ArgumentError(_NO_BASE)
        return same(after, companions[0], layer)

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        base, layers, units = base_model(context), self.taking_part(context), []
        for layer in layers:
            unchanged = context.model.weight(layer.parameter) == base.weight(layer.parameter)
            units.append(LayerUnits(layer, without(scores[layer.name], unchanged)))
        gone = allocation.remove(context, units, sparsity)
        asked, updates = {}, {}
        for layer, removed in zip(layers, gone, strict=True):
            asked[layer.name] = int(removed.sum())
            now, then = (m.weight(layer.parameter) for m in (context.model, base))
            updates[layer.parameter] = torch.where(removed.cpu(), then, now)
        return Decision({}, asked, updates)

    def _prunable(self, model: Model, layers: Sequence[PrunableLayer]) -> list[PrunableLayer]:
        return [layer for layer in layers if layer.name != model.architecture.classifier]


def base_model(context: PruningContext) -> Model:
    """The first companion. Raises ArgumentError when there is none."""
    if not context.companions:
        raise ArgumentError(_NO_BASE)
    return context.companions[0]


def same(model: Model, base: Model, layer: PrunableLayer) -> int:
    """How many weights of a layer are the base's."""
    return int((model.weight(layer.parameter) == base.weight(layer.parameter)).sum())
