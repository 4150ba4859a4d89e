"""Layer by layer: each sees the outputs of those that are pruned already."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from typing import ClassVar, Literal

from pydantic import Field

from analysis.architectures.architecture import PrunableLayer
from analysis.pruning.part import Part, part
from analysis.pruning.parts import LayerAllocation, Round, Schedule

_BLOCK = re.compile(r"^(.*\.\d+)\..+$")


@part
class LayerByLayer(Schedule):
    """One pass over the network in module order; scores come from the network pruned so far.

    The order of the code of Wanda and SparseGPT: statistics of a block are taken with its own
    weights dense and everything before it pruned. Needs an allocation that can tell the share of
    a layer without the others' scores.
    """

    name: ClassVar[str] = "layer-by-layer"
    title: ClassVar[str] = "Layer by layer"
    paper: ClassVar[str] = "Frantar and Alistarh 2023, arXiv:2301.00774"

    step: Literal["block", "layer"] = Field(
        default="block",
        title="At once",
        description="Layers of one block together, as published, or every layer by itself.",
    )

    def objection(self, parts: Mapping[str, Part]) -> str:
        allocation = parts["allocation"]
        if isinstance(allocation, LayerAllocation) or allocation.name.startswith("per-row"):
            return ""
        return (
            f"layer by layer, the share of a layer must not depend on the scores of the others: "
            f"it does not go with {allocation.title!r}"
        )

    def targets(self, sparsity: float) -> tuple[float, ...]:
        return (sparsity,)

    def plan(self, layers: tuple[PrunableLayer, ...], sparsity: float) -> tuple[Round, ...]:
        if self.step == "layer":
            return tuple(Round(sparsity, (layer,)) for layer in layers)
        return tuple(
            Round(sparsity, tuple(group))
            for _, group in groupby(layers, lambda la: block(la.name))
        )


def block(layer: str) -> str:
    """The block that a layer stands in: "layer1.0.conv2" -> "layer1.0"; itself outside of any."""
    found = _BLOCK.match(layer)
    return found.group(1) if found else layer
