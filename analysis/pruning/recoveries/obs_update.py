"""Optimal brain surgeon update: the kept weights of a block make up for those that went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.criteria.block_fisher import MEMO, BlockFisher, Piece
from analysis.pruning.criteria.woodfisher import WoodFisher
from analysis.pruning.part import Part, part
from analysis.pruning.parts import Recovery, Repair
from analysis.request import Step
from kernels.fisher import compensation, compensation_exact


@part
class ObsUpdate(Recovery):
    """w ← w - F⁻¹ E_Q ([F⁻¹]_QQ)⁻¹ w_Q with the Fisher blocks of the criterion.

    Q is what the round removed from a block. "Jointly" is the optimum under the Fisher quadratic
    (Hassibi and Stork, Optimal Brain Surgeon; Kurtic et al., equation 5). "One by one" adds up
    what each removed weight, or group, would call for alone: the rule of the authors' code, which
    leaves out what the removed ones do to each other. It follows every round, because the next
    one starts from the updated weights.
    """

    name: ClassVar[str] = "obs-update"
    title: ClassVar[str] = "Optimal brain surgeon update"
    paper: ClassVar[str] = "Kurtic et al. 2022, arXiv:2203.07259"
    each_round: ClassVar[bool] = True

    removed: Literal["jointly", "one by one"] = Field(
        default="jointly",
        title="Removed weights of a block",
        description="Made up for together, exactly, or each as if it went alone.",
    )

    def objection(self, parts: Mapping[str, Part]) -> str:
        if isinstance(parts["criterion"], WoodFisher):
            return ""
        return f"{self.title} uses the Fisher blocks of the criterion {WoodFisher.title!r}"

    def repair(self, context: PruningContext) -> Repair:
        fisher = context.memo.get(MEMO)
        if not isinstance(fisher, BlockFisher):
            raise ArgumentError("the criterion left no Fisher matrix: choose woodfisher")
        went = {
            layer.name: context.removed(layer) & ~fisher.context.removed(layer)
            for layer in context.layers
        }
        if not any(bool(gone.any()) for gone in went.values()):
            return Repair()
        updates: dict[str, Tensor] = {}
        for done, (piece, inverse) in enumerate(fisher.inverses()):
            context.report(Step(done, done + 1, "update"))
            if not bool(went[piece.layer.name].any()):
                continue
            parameter = piece.layer.parameter
            if parameter not in updates:
                updates[parameter] = fisher.context.weight(piece.layer).cpu().clone()
            change = self._change(fisher, piece, inverse, went[piece.layer.name])
            piece.of(updates[parameter]).add_(change.to(updates[parameter]))
        for layer in context.layers:
            if layer.parameter in updates:
                updates[layer.parameter].masked_fill_(context.removed(layer), 0)
        return Repair(updates)

    def _change(self, fisher: BlockFisher, piece: Piece, inverse: Tensor, went: Tensor) -> Tensor:
        """Change of the piece's weights, flat."""
        weights = piece.of(fisher.context.weight(piece.layer))
        gone = piece.of(went).to(weights.device)
        try:
            if self.removed == "jointly":
                return compensation_exact(weights, inverse, gone)
            size = _whole_groups(fisher, piece.layer, went)
            return compensation(weights, inverse, gone, size)
        except ValueError as error:
            raise ArgumentError(f"{piece.layer.name}: {error}") from None


def _whole_groups(fisher: BlockFisher, layer: PrunableLayer, went: Tensor) -> int:
    """Size of the groups in which weights went; 1 when they did not go in whole groups."""
    size = fisher.group(layer)
    groups = went.reshape(-1, size)
    return size if bool((groups.all(dim=1) == groups.any(dim=1)).all()) else 1
