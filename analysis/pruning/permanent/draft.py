"""A network while it is made smaller: an architecture, its tensors, and what changed so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from analysis.architectures.architecture import Architecture
from analysis.architectures.cuts import Cut
from analysis.architectures.edits import Edit, apply
from analysis.models import Model


@dataclass(frozen=True, eq=False)
class Draft:
    """What one step of making a network permanent hands to the next.

    Attributes
    ----------
    architecture: as it is by now, edits included.
    weights: complete state dict that goes with it; its tensors are never written to.
    edits: what was done, in order.
    notes: what the user should know, in full sentences.
    """

    architecture: Architecture
    num_classes: int
    weights: Mapping[str, Tensor]
    edits: tuple[Edit, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, model: Model) -> Draft:
        """The model with its zeros in place."""
        return cls(model.architecture, model.num_classes, model.state_dict())

    def module(self) -> nn.Module:
        """The network in eval mode, on the CPU, sharing the draft's tensors."""
        with torch.device("meta"):
            module = self.architecture.build(self.num_classes)
        module.load_state_dict(dict(self.weights), strict=True, assign=True)
        return module.eval()

    def changed(self, edits: tuple[Edit, ...], *notes: str) -> Draft:
        """With edits that slice or take away tensors (`Cut`, `Drop`), and with their weights."""
        smaller = apply(self.module(), edits)
        weights = {name: tensor.detach() for name, tensor in smaller.state_dict().items()}
        return replace(
            self,
            architecture=self.architecture.edited(edits),
            weights=weights,
            edits=self.edits + edits,
            notes=self.notes + notes,
        )

    @property
    def kept(self) -> dict[str, tuple[int, ...]]:
        """Outputs that stay, in dense coordinates, of each layer that lost some."""
        return {e.module: e.keep for e in self.edits if isinstance(e, Cut) and e.axis == "out"}
