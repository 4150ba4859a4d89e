"""HRank: outputs whose maps are of low rank go first."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.criteria.outputs import each_output
from analysis.pruning.macs import layer_positions
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion, Level

_PIXEL = 2000
"""Multiply-adds that take as long as the singular values of a map, by each of its pixels: 0.04 µs
for maps of 16×16 to 112×112, where a convolution does 50 G multiply-adds a second."""


@part
class HRank(Criterion):
    """Mean matrix rank of each output map of a convolution over some calibration images.

    Lin et al., HRank: Filter Pruning using High-Rank Feature Map (equation 7). The published code
    looks at the maps behind each ReLU, on 5 batches of 128 images. Ours are those that the layer
    puts out, behind the BatchNorm that reads it, with negative values set to zero as the ReLU
    does; where a shortcut is added before the ReLU, that is the branch without the shortcut.
    Ranks hardly depend on the images, so that a few will do. Layers whose maps are smaller than
    2×2 have no score.
    """

    name: ClassVar[str] = "hrank"
    title: ClassVar[str] = "Rank of the output maps"
    paper: ClassVar[str] = "Lin et al. 2020, arXiv:2002.10179"
    level: ClassVar[Level] = "filter"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration"})

    images: int = Field(
        default=128,
        ge=1,
        le=640,
        title="Images",
        description="The first calibration images, up to this many; 640 in the published code.",
        json_schema_extra={"unit": "images"},
    )

    def inapplicable(self, model: Model) -> str:
        positions = layer_positions(model.architecture, model.num_classes)
        if any(la.kind == "conv" and positions[la.name] >= 4 for la in model.layers):
            return ""
        return f"{model.name} has no convolution with maps of 2×2 or more, which HRank ranks"

    def cost(self, job: JobSize) -> Cost:
        images = min(self.images, job.images)
        macs, memory = 0.0, 0
        for layer in job.layers:
            positions = job.macs[layer.name] / layer.parameters
            if layer.kind == "conv":
                macs += images * layer.shape[0] * positions * _PIXEL
                memory = max(memory, int(8 * job.batch_size * layer.shape[0] * positions))
        return Cost(forward=images, macs=macs, memory=memory)

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        everything = context.images()
        images = everything.subset(np.arange(min(self.images, len(everything))))
        sums: dict[str, Tensor] = {}
        rows: dict[str, int] = {}

        def add(layer: PrunableLayer, output: Tensor) -> None:
            if min(output.shape[2:]) < 2:
                return
            found = ranks(output.relu()).sum(dim=0)
            sums[layer.name] = sums[layer.name] + found if layer.name in sums else found
            rows[layer.name] = rows.get(layer.name, 0) + len(output)

        layers = [layer for layer in context.layers if layer.kind == "conv"]
        each_output(context, layers, images, add, "ranks")
        if not sums:
            raise ArgumentError(
                f"{context.model.name} has no convolution with maps of 2×2 or more in this round: "
                "choose another criterion"
            )
        return {name: found / rows[name] for name, found in sums.items()}


def ranks(maps: Tensor) -> Tensor:
    """Rank of every map (N, out, H, W), as float32 (N, out); NaN where a map is not finite."""
    finite = maps.isfinite().all(dim=3).all(dim=2)
    found: Tensor = torch.linalg.matrix_rank(maps.where(finite[..., None, None], 0)).float()
    return found.where(finite, torch.nan)
