"""Channels, hidden neurons and attention heads, with all that goes with them in other layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from analysis.architectures.architecture import Architecture, PrunableLayer
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import exact_count
from analysis.pruning.coupled import (
    ChannelGroup,
    Kind,
    Member,
    gone_units,
    masks,
    unit_macs,
)
from analysis.pruning.dependencies import coupling, known
from analysis.pruning.part import Part, part
from analysis.pruning.parts import Allocation, Decision, LayerUnits, Level, Structure


class Coupled(Structure):
    """Base: units of coupled layers, removed by masks so that they can be cut out for good.

    A unit takes the rows of every layer that produces it, with their biases and the scale and
    shift of the BatchNorms on the way, and the columns of every layer that reads it. Units are
    counted on the first layer of each group; one of each group stays at least. The classifier's
    outputs and the network's inputs stay, and so does what cannot be cut exactly
    (`analysis.pruning.dependencies`), with a note.
    """

    levels: ClassVar[frozenset[Level]] = frozenset({"weight", "filter"})
    kept_kind: ClassVar[Kind]

    score: Literal["sum", "mean", "l2"] = Field(
        default="sum",
        title="Score of a unit in a layer",
        description="How scores of single weights or rows are put together; sum of magnitudes = "
        "L1 norm. Over several layers the mean is taken (of squares, for l2).",
    )
    over: Literal["producers", "producers and readers"] = Field(
        default="producers",
        title="Scored by",
        description="Rows of the layers that produce a unit, or the columns that read it as well.",
    )
    normalise: bool = Field(
        default=False,
        title="Divide by the group's mean",
        description="Makes groups of different layers alike under one global threshold.",
    )
    round_to: int = Field(
        default=1,
        ge=1,
        le=256,
        title="Keep a multiple of",
        description="Units go in bundles of this many, the lowest together; a group whose size "
        "is no multiple stays whole. Multiples of 8 are fast.",
        json_schema_extra={"unit": "units"},
    )

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["allocation"].name.startswith("per-row"):
            return f"{self.unit} are whole rows: they cannot be shared out per row"
        if parts["schedule"].name == "layer-by-layer":
            return f"{self.unit} go from several layers at once, not layer by layer"
        return ""

    def inapplicable(self, model: Model) -> str:
        found = known(model.architecture)
        possible = self._possible(model) if found is None else bool(found.of(self.kept_kind))
        return "" if possible else self._none(model)

    def _possible(self, model: Model) -> bool:
        """Whether there may be such units, told without tracing the network."""
        raise NotImplementedError

    def _none(self, model: Model) -> str:
        return f"{model.architecture.title} has no {self.unit} that could be cut out"

    def taking_part(self, context: PruningContext) -> list[PrunableLayer]:
        """The layers that stand for the groups. Raises ArgumentError when there is none."""
        layers = {layer.name: layer for layer in context.layers}
        return [layers[group.root] for group in self.groups(context)]

    def groups(self, context: PruningContext) -> list[ChannelGroup]:
        """The groups of this kind whose units may go."""
        architecture = context.model.architecture
        layers = {layer.name for layer in context.layers}
        found = [
            group
            for group in coupling(architecture, context.report).of(self.kept_kind)
            if group.root in layers and self._chosen(group, architecture)
        ]
        fitting = [group for group in found if group.size % self.round_to == 0]
        if not fitting:
            bundles = f" in multiples of {self.round_to}" if found else ""
            raise ArgumentError(self._none(context.model) + bundles)
        return fitting

    def _chosen(self, group: ChannelGroup, architecture: Architecture) -> bool:
        return True

    def budget(self, context: PruningContext, sparsity: float) -> int:
        """Units to remove; with `round_to`, that many times the bundles to remove."""
        bundles = sum(group.size // self.round_to for group in self.groups(context))
        return self.round_to * exact_count(sparsity, bundles)

    def gone(self, context: PruningContext) -> int:
        """Units removed already; with `round_to`, of all bundles that have to go for it."""
        counts = [int(gone_units(context.model, group).sum()) for group in self.groups(context)]
        return sum(-(-count // self.round_to) * self.round_to for count in counts)

    def found(
        self, before: Model, after: Model, layer: PrunableLayer, companions: Sequence[Model] = ()
    ) -> int:
        groups = coupling(after.architecture).of(self.kept_kind)
        group = next(group for group in groups if group.root == layer.name)
        return int(gone_units(after, group).sum())

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        groups = self.groups(context)
        layers = {layer.name: layer for layer in context.model.layers}
        unit_scores = [self._score(context, group, scores) for group in groups]
        orders = [torch.argsort(found, stable=True) for found in unit_scores]
        macs = unit_macs(context.model, groups)
        units = [
            LayerUnits(layers[group.root], self._bundled(found, order), cost * self.round_to)
            for group, found, order, cost in zip(groups, unit_scores, orders, macs, strict=True)
        ]
        chosen = one_stays(units, allocation.remove(context, units, sparsity))
        gone = {
            group.root: self._unbundled(bundles, order).cpu()
            for group, bundles, order in zip(groups, chosen, orders, strict=True)
        }
        keep, updates = masks(context.model, groups, gone)
        asked = {root: int(removed.sum()) for root, removed in gone.items()}
        return Decision(keep, asked, updates, self._notes(context))

    def _bundled(self, scores: Tensor, order: Tensor) -> Tensor:
        """Sums of the `round_to` lowest scores, of the next ones, and so on; rising."""
        return scores if self.round_to == 1 else scores[order].view(-1, self.round_to).sum(dim=1)

    def _unbundled(self, removed: Tensor, order: Tensor) -> Tensor:
        if self.round_to == 1:
            return removed
        found = torch.zeros(len(order), dtype=torch.bool, device=removed.device)
        found[order.to(removed.device)] = removed.repeat_interleave(self.round_to)
        return found

    def _score(
        self, context: PruningContext, group: ChannelGroup, scores: Mapping[str, Tensor]
    ) -> Tensor:
        """One score a unit, the mean over its members; -inf where it is removed already."""
        members = list(group.along("out", scores))
        if self.over != "producers":
            members += [m for m in group.along("in", scores) if scores[m.module].ndim > 1]
        if not members:
            raise ArgumentError(f"the criterion gives the outputs of {group.root} no score")
        layers = {layer.name: layer for layer in context.model.layers}
        parts = []
        for member in members:
            removed = context.removed(layers[member.module])
            parts.append(self._of_member(member, scores[member.module], removed))
        found = torch.stack(parts).mean(dim=0)
        found = found.sqrt() if self.score == "l2" else found
        gone = gone_units(context.model, group).to(found.device)
        if self.normalise and float(found.mean()) != 0:
            found = found / found.mean()
        return found.masked_fill(gone, float("-inf"))

    def _of_member(self, member: Member, scores: Tensor, removed: Tensor) -> Tensor:
        """One value a unit from the scores of one layer; weights removed before count as 0."""
        if scores.ndim > 1:
            scores = scores.masked_fill(removed.to(scores.device), 0)
        rows = scores.transpose(0, 1) if member.axis == "in" else scores
        values = rows.reshape(len(rows), -1)
        values = values.square() if self.score == "l2" else values
        sums, width = values.sum(dim=1), values.shape[1]
        found = torch.stack([sums[list(indices)].sum() for indices in member.indices])
        if self.score == "mean":
            entries = [width * len(indices) for indices in member.indices]
            found = found / torch.tensor(entries, device=found.device)
        return found

    def _notes(self, context: PruningContext) -> tuple[str, ...]:
        found = coupling(context.model.architecture)
        odd = [group for group in found.of(self.kept_kind) if group.size % self.round_to]
        return (
            *(found.notes if self.kept_kind == "channels" else ()),
            *(
                f"{group.root}: {group.size} {self.unit} are no multiple of {self.round_to}; "
                "it stays whole"
                for group in odd
            ),
        )


@part
class Channel(Coupled):
    """Channels of convolutions, with everything coupled to them (DepGraph).

    A channel of a residual stream goes from every convolution that writes to the stream and
    every one that reads it; a channel inside a block from two.
    """

    name: ClassVar[str] = "channel"
    title: ClassVar[str] = "Coupled channels"
    paper: ClassVar[str] = "Fang et al. 2023, arXiv:2301.12900"
    unit: ClassVar[str] = "channels"
    kept_kind: ClassVar[Kind] = "channels"

    scope: Literal["all coupled", "inner"] = Field(
        default="all coupled",
        title="Which channels",
        description="All that can be cut, or only those inside blocks, produced by one layer.",
    )

    def _possible(self, model: Model) -> bool:
        convolutions = [layer for layer in model.layers if layer.kind == "conv"]
        # The convolution that makes a transformer's patches writes to a stream that LayerNorm
        # reads, and LayerNorm looks at all its channels at once.
        return len(convolutions) > (1 if model.architecture.attention else 0)

    def _chosen(self, group: ChannelGroup, architecture: Architecture) -> bool:
        if self.scope == "all coupled":
            return True
        layers = (layer.name for layer in architecture.prunable(architecture.num_classes))
        return len(group.along("out", layers)) == 1


@part
class Neuron(Coupled):
    """Hidden neurons: a row of one linear layer and the columns that read it."""

    name: ClassVar[str] = "neuron"
    title: ClassVar[str] = "Hidden neurons"
    paper: ClassVar[str] = "Fang et al. 2023, arXiv:2301.12900"
    unit: ClassVar[str] = "neurons"
    kept_kind: ClassVar[Kind] = "neurons"

    def _possible(self, model: Model) -> bool:
        architecture = model.architecture
        other = {name for layer in architecture.attention for name in (layer.qkv, layer.proj)}
        other.add(architecture.classifier)
        return any(layer.kind == "linear" and layer.name not in other for layer in model.layers)


@part
class Head(Coupled):
    """Attention heads: the rows of query, key and value, and the columns of the projection."""

    name: ClassVar[str] = "head"
    title: ClassVar[str] = "Attention heads"
    paper: ClassVar[str] = "Michel et al. 2019, arXiv:1905.10650"
    unit: ClassVar[str] = "heads"
    kept_kind: ClassVar[Kind] = "heads"

    def _possible(self, model: Model) -> bool:
        return any(layer.heads > 1 for layer in model.architecture.attention)


def one_stays(units: Sequence[LayerUnits], removed: Sequence[Tensor]) -> list[Tensor]:
    """The choice of an allocation, with one unit left in every group at least.

    A layer without outputs cuts the network in two, and cannot be built. The best unit of a group
    that was to lose all comes back, and the weakest of the group that keeps the largest part goes
    in its place. Raises ArgumentError where that is not possible.
    """
    found = [mask.clone() for mask in removed]
    missing = 0
    for unit, mask in zip(units, found, strict=True):
        if bool(mask.all()) and unit.gone < unit.size:
            mask[int(unit.scores.argmax())] = False
            missing += 1
    for _ in range(missing):
        parts = [float((~mask).sum() - 1) / mask.numel() for mask in found]
        most = max(range(len(parts)), key=parts.__getitem__)
        if parts[most] <= 0:
            raise ArgumentError(
                f"one unit of each of the {len(units)} groups has to stay: choose a lower sparsity"
            )
        scores = units[most].scores.masked_fill(found[most], float("inf"))
        found[most][int(scores.argmin())] = True
    return found
