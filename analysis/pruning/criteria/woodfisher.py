"""WoodFisher and oBERT: the inverse Fisher matrix in blocks says what a weight is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.criteria.block_fisher import MEMO, BlockFisher, Settings, portions
from analysis.pruning.part import Need, Part, part
from analysis.pruning.parts import Criterion
from kernels.fisher import scores_group, scores_single


@part
class WoodFisher(Criterion):
    """½ w² / [F⁻¹]_ii, F = λ I + 1/m Σ g gᵀ in diagonal blocks, g gradients of the loss.

    Singh and Alistarh, WoodFisher (equation 9, global ranking); Kurtic et al., The Optimal BERT
    Surgeon (equation 6, arXiv:2203.07259). It is the loss, under the quadratic that F stands for,
    from removing one weight and letting its block make up for it; the recovery `obs-update` does
    the making up. Weights that were removed before have no gradient and stay removed.

    The damping has the unit of a squared gradient. Large values turn the scores into magnitudes;
    small ones let directions that none of the images has shown count as free. The published 1e-7
    goes with 1024 gradients and training afterwards. Without either it is far too small: a
    ResNet-20 for CIFAR-10 (80 % removed at once, 256 images, joint update) keeps 27 % accuracy
    with 1e-7, 53 % with 1e-5 and 55 % with 1e-3, the default here; magnitude keeps 40 %.
    """

    name: ClassVar[str] = "woodfisher"
    title: ClassVar[str] = "Block Fisher w²/[F⁻¹]"
    paper: ClassVar[str] = "Singh and Alistarh 2020, arXiv:2004.14340"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration", "labels", "gradients"})

    block: int = Field(
        default=50,
        ge=1,
        le=1024,
        title="Block",
        description="Neighbouring weights that may make up for each other.",
        json_schema_extra={"unit": "weights"},
    )
    gradients: int = Field(
        default=256,
        ge=1,
        le=65536,
        title="Gradients",
        description="How many gradients the Fisher matrix is made of, where there are so many.",
    )
    batch: int = Field(
        default=1,
        ge=1,
        le=4096,
        title="Images per gradient",
        description="One is the empirical Fisher exactly; more read more images in less time.",
        json_schema_extra={"unit": "images"},
    )
    damping: float = Field(
        default=1e-3,
        gt=0,
        le=1e6,
        title="Damping",
        description="Added to the diagonal, in the unit of a squared gradient.",
    )
    group: int = Field(
        default=1,
        ge=1,
        le=64,
        title="Group",
        description="Neighbours in a row that go together and are scored as one; "
        "4 with blocks of 1 x 4.",
        json_schema_extra={"unit": "weights"},
    )
    memory: int = Field(
        default=2048,
        ge=1,
        title="Memory for the Fisher",
        description="Larger networks are taken in portions, with new gradients for each.",
        json_schema_extra={"unit": "MiB"},
    )

    def objection(self, parts: Mapping[str, Part]) -> str:
        if self.block % self.group:
            return f"groups of {self.group} must fill a Fisher block of {self.block} weights"
        return ""

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        """Of a group every weight gets the same share, so that their sum is the group's score."""
        fisher = BlockFisher(context, Settings(**dict(self)))
        context.memo[MEMO] = fisher
        scores = {
            layer.name: torch.empty(layer.parameters, dtype=context.weight(layer).dtype)
            for layer in context.layers
        }
        for piece, inverse in fisher.inverses():
            weights = piece.of(context.weight(piece.layer))
            size = fisher.group(piece.layer)
            if size == 1:
                found = scores_single(weights, inverse)
            else:
                found = (scores_group(weights, inverse, size) / size).repeat_interleave(size)
            piece.of(scores[piece.layer.name]).copy_(found)
        return {layer.name: scores[layer.name].reshape(layer.shape) for layer in context.layers}

    def cost(self, job: JobSize) -> Cost:
        used = min(self.gradients, -(-job.images // self.batch))
        parts = portions(job.layers, self.block, self.memory)
        largest = max(sum(piece.bytes(self.block) for piece in part) for part in parts)
        return Cost(
            backward=float(used * self.batch * len(parts)),
            macs=2.0 * used * self.block * job.parameters,
            memory=largest,
        )
