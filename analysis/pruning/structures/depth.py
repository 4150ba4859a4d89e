"""Depth: activations between convolutions go, and the convolutions become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.architectures.edit import Edit
from analysis.architectures.edits import Linearise
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.depth.chains import Chain, chains, linear_edits
from analysis.pruning.depth.tables import Segment
from analysis.pruning.part import Part, part
from analysis.pruning.parts import Allocation, Decision, Structure


@part
class Depth(Structure):
    """Activations inside a run of convolutions; their padding moves before the first one.

    All weights stay as they are, so nothing is lost yet and masks stay comparable; made
    permanent, every run becomes one convolution with the same outputs. Here the sparsity is the
    share of the time of all such convolutions that is to be saved.
    """

    name: ClassVar[str] = "depth"
    title: ClassVar[str] = "Merged convolutions"
    paper: ClassVar[str] = "Kim et al. 2023, arXiv:2301.12187"
    unit: ClassVar[str] = "activations"
    measure: ClassVar[str] = "time"

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["criterion"].name != "linear-segments":
            return "runs of convolutions are ranked by the criterion 'linear-segments' only"
        return ""

    def inapplicable(self, model: Model) -> str:
        # Only what the shapes tell: whether convolutions really follow each other takes a pass.
        if sum(layer.kind == "conv" for layer in model.layers) < 2:
            return f"{model.architecture.title} has no two convolutions that could become one"
        return ""

    def chains(self, context: PruningContext) -> tuple[Chain, ...]:
        """The runs of convolutions of this network. Raises ArgumentError when there are none."""
        found = chains(context.model.architecture, context.model.num_classes)
        if not found:
            raise ArgumentError(
                f"{context.model.architecture.title} has no two plain convolutions with nothing "
                "but BatchNorm and an activation between them"
            )
        return found

    def budget(self, context: PruningContext, sparsity: float) -> int:
        raise ArgumentError("the budget of merged convolutions is time, not a count")

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        raise ArgumentError("merged convolutions are chosen by segments, not by scores")

    def linear(
        self,
        context: PruningContext,
        found: tuple[Chain, ...],
        chosen: Sequence[tuple[Segment, ...]],
        note: str,
    ) -> Decision:
        """The decision that makes the chosen segments linear; their parts are to become one."""
        edits: list[Edit] = []
        asked = {link.convolution: 0 for chain in found for link in chain}
        for parts in chosen:
            for index, (chain, first, last) in enumerate(parts):
                links = found[chain][first : last + 1]
                edits += linear_edits(context.module, links)
                inner = links if index < len(parts) - 1 else links[:-1]
                edits += [Linearise(link.activation) for link in inner[len(links) - 1 :]]
                asked |= {link.convolution: 1 for link in inner}
        return Decision({}, asked, notes=(note,), edits=tuple(edits))

    def found(
        self, before: Model, after: Model, layer: PrunableLayer, companions: Sequence[Model] = ()
    ) -> int:
        gone = {edit.module for edit in after.architecture.edits if isinstance(edit, Linearise)}
        links = {
            link.convolution: link.activation
            for chain in chains(before.architecture, before.num_classes)
            for link in chain
        }
        return int(links.get(layer.name, "") in gone)
