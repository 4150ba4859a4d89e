"""What Espalier knows about a family of networks besides its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Literal

import torch
from torch import Tensor, nn

from analysis.architectures import edits as editing
from analysis.architectures.edits import Edit
from analysis.errors import ArgumentError


@dataclass(frozen=True)
class PathLayer:
    """One column of a neuron path.

    Attributes
    ----------
    name: module whose output holds the units (a ReLU after a block's addition, a ViT's FFN GELU).
    units: "channel" = dim 1 of N,C,H,W, summed over positions; "token" = last dim of N,T,D,
        read at the CLS token (index 0).
    """

    name: str
    units: Literal["channel", "token"]


@dataclass(frozen=True)
class PrunableLayer:
    """A convolution or linear layer whose weight may be pruned."""

    name: str
    kind: Literal["conv", "linear"]
    shape: tuple[int, ...]

    @property
    def parameter(self) -> str:
        return f"{self.name}.weight"

    @property
    def parameters(self) -> int:
        return int(torch.Size(self.shape).numel())


@dataclass(frozen=True)
class AttentionLayer:
    """Multi-head self-attention whose heads can be cut.

    Attributes
    ----------
    qkv: linear layer; its rows are those of query, key and value, in this order, and in each of
        the three head by head.
    proj: linear layer; its columns are the outputs of the heads, head by head.
    heads: how many there are.
    module: module that computes with `heads`, an attribute that may be changed.
    """

    qkv: str
    proj: str
    heads: int
    module: str

    def rows(self, head: int, outputs: int) -> tuple[int, ...]:
        """Rows of `qkv` (of `outputs` in all) that belong to one head."""
        width = outputs // (3 * self.heads)
        starts = (which * outputs // 3 + head * width for which in range(3))
        return tuple(row for start in starts for row in range(start, start + width))

    def columns(self, head: int, inputs: int) -> tuple[int, ...]:
        """Columns of `proj` (of `inputs` in all) that belong to one head."""
        width = inputs // self.heads
        return tuple(range(head * width, (head + 1) * width))


@dataclass(frozen=True)
class ResidualBlock:
    """A block x + f(x) that may be dropped: its input has the shape of its output.

    Attributes
    ----------
    name: module of the block; the identity may stand in its place once f is zero.
    last: parameters that make f zero when they are.
    """

    name: str
    last: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Architecture:
    """One entry of the registry.

    Attributes
    ----------
    name: registry name, as in `--arch`.
    build: num_classes -> module in eval mode with its own initialisation.
    input_shape: C, H, W that the network is made for.
    mean, std: per channel, for images scaled to 0..1.
    classifier: name of the last linear layer: its input is the feature, its rows the class
        directions.
    path_layers: num_classes-independent columns for neuron paths, in forward order.
    attention: the attention modules whose heads may be cut.
    blocks: the residual blocks that may be dropped, in forward order.
    edits: what makes it differ from the registry entry it stands on (see `edited`).
    """

    name: str
    title: str
    build: Callable[[int], nn.Module]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_classes: int
    classes: tuple[str, ...]
    classifier: str
    path_layers: tuple[PathLayer, ...]
    paper: str = ""
    attention: tuple[AttentionLayer, ...] = ()
    blocks: tuple[ResidualBlock, ...] = ()
    edits: tuple[Edit, ...] = ()

    @property
    def key(self) -> str:
        return self.name

    @property
    def spec(self) -> str:
        """For `registry.from_spec`: the bare name, or JSON {"name": ..., "edits": [...]}."""
        if not self.edits:
            return self.name
        content = {"name": _entry(self.name), "edits": editing.to_json(self.edits)}
        return json.dumps(content, separators=(",", ":"))

    def edited(self, edits: Sequence[Edit]) -> Architecture:
        """This architecture with the edits applied to what it builds.

        It is called "cifar-resnet20+ab12cd34", after its entry and a digest of all edits. Columns
        of neuron paths, attention modules and blocks that the edits took away are left out.

        Raises
        ------
        ArgumentError: an edit does not fit, or the edited network cannot be run.
        """
        if not edits:
            return self
        everything = (*self.edits, *edits)
        text = json.dumps(editing.to_json(everything), sort_keys=True)
        name = f"{_entry(self.name)}+{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        build = partial(_build_edited, self.build, tuple(edits))
        found = replace(self, name=name, build=build, edits=everything)
        module = _checked(found)
        parts, parameters = dict(module.named_modules()), dict(module.named_parameters())
        return replace(
            found,
            title=f"{self.title.removesuffix(', edited')}, edited",
            path_layers=tuple(layer for layer in self.path_layers if layer.name in parts),
            attention=tuple(
                replace(layer, heads=getattr(parts[layer.module], "heads", layer.heads))
                for layer in self.attention
                if isinstance(parts.get(layer.qkv), nn.Linear)
                and isinstance(parts.get(layer.proj), nn.Linear)
            ),
            blocks=tuple(block for block in self.blocks if parameters.keys() >= set(block.last)),
        )

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 or float 0..255 N,H,W,C -> normalised float32 N,C,H,W."""
        x = images.to(torch.float32).permute(0, 3, 1, 2) / 255
        mean = torch.tensor(self.mean, device=x.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=x.device).view(1, -1, 1, 1)
        return ((x - mean) / std).contiguous()

    def prunable(self, num_classes: int) -> tuple[PrunableLayer, ...]:
        """All convolution and linear layers in module order."""
        return _prunable(self, num_classes)


def _entry(name: str) -> str:
    """The registry entry that an edited architecture stands on."""
    return name.partition("+")[0]


def _build_edited(
    build: Callable[[int], nn.Module], edits: tuple[Edit, ...], num_classes: int
) -> nn.Module:
    return editing.apply(build(num_classes), edits)


def _checked(architecture: Architecture) -> nn.Module:
    """The network on shapes alone, after a forward pass. Raises ArgumentError if it has none."""
    classes, head = architecture.num_classes, architecture.classifier
    with torch.device("meta"), torch.no_grad():
        try:
            module = architecture.build(classes).eval()
            for child in module.modules():
                child.register_forward_hook(_check_size)
            like = next(module.parameters())
            logits = module(torch.zeros(1, *architecture.input_shape, dtype=like.dtype))
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ArgumentError(f"the edited network cannot be run: {error}") from None
    classifier = dict(module.named_modules()).get(head)
    if not isinstance(classifier, nn.Linear) or logits.shape[-1] != classes:
        raise ArgumentError(f"the edits change the classifier {head!r}: its rows are the classes")
    return module


MOST_OUTPUTS = 1 << 22
"""Numbers that a layer of an edited network may put out for one image: 16 MiB of float32."""


def _check_size(module: nn.Module, args: object, output: object) -> None:
    """Edits from a file may ask for paddings that blow up a small image."""
    if isinstance(output, Tensor) and output.numel() > MOST_OUTPUTS:
        raise ValueError(f"a layer would put out {output.numel():,} numbers for one image")


@lru_cache(maxsize=256)
def _prunable(architecture: Architecture, num_classes: int) -> tuple[PrunableLayer, ...]:
    with torch.device("meta"):
        module = architecture.build(num_classes)
    layers = []
    for name, child in module.named_modules():
        if isinstance(child, nn.Conv2d):
            layers.append(PrunableLayer(name, "conv", tuple(child.weight.shape)))
        elif isinstance(child, nn.Linear):
            layers.append(PrunableLayer(name, "linear", tuple(child.weight.shape)))
    return tuple(layers)
