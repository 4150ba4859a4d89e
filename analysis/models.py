"""A model as the analyses see it: shared dense weights, masks over them, and where it came from.

A pruned model is never a copy: it holds the very tensors of its base, bit-packed masks and the
few tensors that a recovery changed. Every unit keeps its dense coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from analysis.architectures.architecture import Architecture, PrunableLayer
from analysis.masks import Mask


@dataclass(frozen=True)
class Origin:
    """How a pruned model was made.

    Attributes
    ----------
    base: key of the dense model.
    recipe: JSON form of the recipe (`Recipe.model_dump(mode="json")`).
    sparsity: what was asked for.
    seed: seed of every random choice.
    calibration: key of the calibration data, or "" when the recipe needs none.
    """

    base: str
    recipe: Mapping[str, Any]
    sparsity: float
    seed: int
    calibration: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A network that can be built, evaluated and pruned.

    Attributes
    ----------
    name: what the user calls it.
    key: content hash (dense: of its tensors; pruned: of base, masks and updates).
    weights: state dict of the dense base; shared between models, never written to.
    masks: keep-mask by parameter name; empty for a dense model.
    updates: tensors that replace those of the base (BatchNorm statistics, zeroed biases).
    source: path or `demo:` name the base came from.
    """

    name: str
    key: str
    architecture: Architecture
    num_classes: int
    weights: Mapping[str, Tensor]
    masks: Mapping[str, Mask] = field(default_factory=dict)
    updates: Mapping[str, Tensor] = field(default_factory=dict)
    origin: Origin | None = None
    source: str = ""
    classes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.architecture.name}, {self.key[:8]})"

    @property
    def is_dense(self) -> bool:
        return self.origin is None

    @property
    def layers(self) -> tuple[PrunableLayer, ...]:
        """The prunable layers, in module order."""
        return self.architecture.prunable(self.num_classes)

    def weight(self, parameter: str) -> Tensor:
        """One tensor of the state dict as this model computes with it (masked, updated)."""
        tensor = self.updates.get(parameter, self.weights[parameter])
        mask = self.masks.get(parameter)
        return tensor if mask is None else mask.apply(tensor)

    def keep(self, layer: PrunableLayer) -> Tensor:
        """Which weights of a layer no mask removes: boolean, its shape, on the CPU."""
        mask = self.masks.get(layer.parameter)
        return torch.ones(layer.shape, dtype=torch.bool) if mask is None else mask.keep()

    def state_dict(self) -> dict[str, Tensor]:
        return {name: self.weight(name) for name in self.weights}

    def module(self, device: str = "cpu") -> nn.Module:
        """A fresh module in eval mode on `device`; unmasked tensors are shared on the CPU."""
        if torch.device(device).type != "cpu":
            # CUDA convolutions would round their inputs to 10 bits: other numbers than the CPU's
            # under the same key.
            torch.backends.cudnn.allow_tf32 = False
        with torch.device("meta"):
            module = self.architecture.build(self.num_classes)
        state = {name: tensor.to(device) for name, tensor in self.state_dict().items()}
        module.load_state_dict(state, strict=True, assign=True)
        return module.eval()

    @cached_property
    def zeros(self) -> Mapping[str, int]:
        """Zero weights of each prunable layer, counted once, by layer name."""
        return {
            layer.name: layer.parameters - int(torch.count_nonzero(self.weight(layer.parameter)))
            for layer in self.layers
        }

    @property
    def sparsity(self) -> float:
        """Zeros among the weights of the prunable layers, divided by their number."""
        return sum(self.zeros.values()) / sum(layer.parameters for layer in self.layers)

    def renamed(self, name: str) -> Model:
        return replace(self, name=name)
