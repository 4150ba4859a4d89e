"""Block: small rectangles of the weight matrix, kept or removed as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from analysis.pruning.context import PruningContext
from analysis.pruning.counting import exact_count
from analysis.pruning.part import Part, part
from analysis.pruning.parts import Allocation, Decision, LayerUnits, Structure


@part
class Block(Structure):
    """Tiles of the matrix (outputs, inputs · kernel positions) are the units.

    Four consecutive weights of a row are the blocks of oBERT (Kurtic et al., The Optimal BERT
    Surgeon), which processors with vector instructions can skip. Columns run as in
    `weight.flatten(1)`: channel, kernel row, kernel column. Exactly round(sparsity × tiles) go;
    tiles at the edges are smaller where the matrix does not divide, and count as one each. A
    tile's score is the sum of its weights' scores; criteria that score groups as one (the block
    Fisher with group = columns) share that score out among the group's weights, so it is theirs.
    """

    name: ClassVar[str] = "block"
    title: ClassVar[str] = "Blocks (four in a row, as oBERT's)"
    paper: ClassVar[str] = "Kurtic et al. 2022, arXiv:2203.07259"
    unit: ClassVar[str] = "blocks"

    rows: int = Field(
        default=1,
        ge=1,
        le=256,
        title="Rows",
        description="Outputs that a block spans.",
        json_schema_extra={"unit": "outputs"},
    )
    columns: int = Field(
        default=4,
        ge=1,
        le=256,
        title="Columns",
        description="Consecutive inputs (channel, kernel row, kernel column) that a block spans.",
        json_schema_extra={"unit": "inputs"},
    )

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["schedule"].name == "layer-by-layer":
            return "layer by layer, shares are counted in single weights, not in blocks"
        return ""

    def budget(self, context: PruningContext, sparsity: float) -> int:
        tiles = [self._count(layer.shape) for layer in context.layers]
        return exact_count(sparsity, sum(tiles))

    def removed_units(self, keep: Tensor) -> int:
        return int((self.tiles(keep.float()) == 0).sum())

    def decide(
        self,
        context: PruningContext,
        scores: Mapping[str, Tensor],
        allocation: Allocation,
        sparsity: float,
    ) -> Decision:
        before = {layer.name: context.removed(layer) for layer in context.layers}
        units = []
        for layer in context.layers:
            removed = before[layer.name].to(scores[layer.name].device)
            found = self.tiles(scores[layer.name].masked_fill(removed, 0))
            whole = self.tiles((~removed).to(found.dtype)) == 0
            units.append(LayerUnits(layer, found.masked_fill(whole, float("-inf"))))
        gone = allocation.remove(context, units, sparsity)
        keep, asked = {}, {}
        for layer, tiles in zip(context.layers, gone, strict=True):
            keep[layer.name] = ~(self.spread(tiles.cpu(), layer.shape) | before[layer.name])
            asked[layer.name] = int(tiles.sum())
        return Decision(keep, asked)

    def tiles(self, values: Tensor) -> Tensor:
        """Sum over each tile of a weight-shaped tensor: (tile rows, tile columns)."""
        matrix = values.flatten(1)
        matrix = F.pad(
            matrix, (0, -matrix.shape[1] % self.columns, 0, -matrix.shape[0] % self.rows)
        )
        high, wide = matrix.shape[0] // self.rows, matrix.shape[1] // self.columns
        return matrix.reshape(high, self.rows, wide, self.columns).sum(dim=(1, 3))

    def spread(self, tiles: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A decision a tile, over the shape of the weight."""
        found = tiles.repeat_interleave(self.rows, 0).repeat_interleave(self.columns, 1)
        return found[: shape[0], : prod(shape[1:])].reshape(shape)

    def _count(self, shape: tuple[int, ...]) -> int:
        return -(-shape[0] // self.rows) * -(-prod(shape[1:]) // self.columns)
