"""Which convolutions follow each other with nothing but BatchNorm and an activation between.

    conv1 -> bn1 -> relu1 -> conv2 -> bn2        one chain of two links, joined at relu1

Seen in one forward pass: a link reads the very tensor that the one before it made, and no other
module reads it. What a plain addition reads cannot be seen that way, so every joint is tried out:
merging it has to leave a network of random weights as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from analysis.architectures.architecture import Architecture
from analysis.architectures.edit import Edit
from analysis.architectures.edits import ACTIVATIONS, Linearise, apply
from analysis.architectures.merges import Hoist, Merge
from analysis.errors import ArgumentError
from analysis.pruning.depth.merging import Affine, affine
from analysis.pruning.tracing import random_module


@dataclass(frozen=True)
class Link:
    """A convolution of a chain.

    Attributes
    ----------
    convolution: its name; norm: of the BatchNorm that reads it, or "".
    activation: name of the activation after it, or "" for the last link.
    height, width: of its input.
    """

    convolution: str
    norm: str
    activation: str
    height: int
    width: int


Chain = tuple[Link, ...]


@lru_cache(maxsize=32)
def chains(architecture: Architecture, num_classes: int) -> tuple[Chain, ...]:
    """The chains of at least two links, in forward order."""
    module = random_module(replace(architecture, num_classes=num_classes), torch.float64)
    watch = _Watch(module, architecture)
    candidates = [chain for chain in watch.chains() if len(chain) > 1]
    if _merges(module, architecture, candidates):  # all at once: the rule
        return tuple(candidates)
    return tuple(part for chain in candidates for part in _tried(module, architecture, chain))


def linear_edits(module: nn.Module, links: Sequence[Link]) -> list[Edit]:
    """What takes the activations out from between links, all padding moved to the first one."""
    edits: list[Edit] = []
    head = module.get_submodule(links[0].convolution)
    assert isinstance(head, nn.Conv2d)
    scale = (int(head.stride[0]), int(head.stride[1]))
    for before, link in pairwise(links):
        edits.append(Linearise(before.activation))
        edits.append(Hoist(links[0].convolution, link.convolution, scale))
        layer = module.get_submodule(link.convolution)
        assert isinstance(layer, nn.Conv2d)
        scale = (scale[0] * int(layer.stride[0]), scale[1] * int(layer.stride[1]))
    return edits


def linear_runs(module: nn.Module, architecture: Architecture) -> list[Chain]:
    """The runs of convolutions that edits of the architecture made linear, padding first."""
    runs: dict[str, list[str]] = {}
    for edit in architecture.edits:
        if isinstance(edit, Hoist):
            runs.setdefault(edit.module, [edit.module]).append(edit.later)
    if not runs:
        return []
    watch = _Watch(copy.deepcopy(module).double(), architecture)
    there = dict(module.named_modules())  # a block may have been cut out since
    return [
        tuple(Link(name, watch.norm_after(name), "", *watch.sizes[name]) for name in names)
        for names in runs.values()
        if all(isinstance(there.get(name), nn.Conv2d) for name in names)
    ]


def merge_edit(module: nn.Module, links: Sequence[Link]) -> tuple[Merge, Affine]:
    """The edit that makes links one, and its numbers; `module` must be linear between them."""
    whole: Affine | None = None
    absorbed: list[str] = []
    for link in links:
        layer = module.get_submodule(link.convolution)
        norm = module.get_submodule(link.norm) if link.norm else None
        assert isinstance(layer, nn.Conv2d)
        assert norm is None or isinstance(norm, _BatchNorm)
        one = affine(layer, norm)
        whole = one if whole is None else whole.then(one)
        absorbed += [link.convolution] if link is not links[0] else []
        absorbed += [link.norm] if link.norm else []
    assert whole is not None
    kernel = (int(whole.weight.shape[2]), int(whole.weight.shape[3]))
    edit = Merge(
        links[0].convolution,
        tuple(absorbed),
        len(whole.weight),
        kernel,
        whole.stride,
        whole.padding,
    )
    return edit, whole


def load(module: nn.Module, edit: Merge, whole: Affine) -> None:
    """Apply a merge with its weights."""
    edit.apply(module)
    layer = module.get_submodule(edit.module)
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight.copy_(whole.weight)
        layer.bias.copy_(whole.bias)


class _Watch:
    """Who made and who read each tensor in one forward pass."""

    def __init__(self, module: nn.Module, architecture: Architecture) -> None:
        self.names = {child: name for name, child in module.named_modules()}
        self.kept: list[Any] = []  # tensors that are alive keep their ids to themselves
        self.readers: dict[int, list[str]] = {}
        self.calls: dict[str, int] = {}
        self.outputs: dict[str, int] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.module = module
        handles = [
            child.register_forward_hook(self._call)
            for child in module.modules()
            if not list(child.children())
        ]
        try:
            with torch.no_grad():
                module(_probe(architecture))
        finally:
            for handle in handles:
                handle.remove()

    def _call(self, child: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        name = self.names[child]
        self.calls[name] = self.calls.get(name, 0) + 1
        if not (args and isinstance(args[0], Tensor) and isinstance(output, Tensor)):
            return
        self.kept += [args[0], output]
        self.readers.setdefault(id(args[0]), []).append(name)
        self.outputs[name] = id(output)
        if args[0].ndim == 4:
            self.sizes[name] = (int(args[0].shape[2]), int(args[0].shape[3]))

    def after(self, name: str) -> str:
        """The one module that reads what `name` made, both called once; "" if there is none."""
        readers = self.readers.get(self.outputs.get(name, 0), [])
        if self.calls.get(name) != 1 or len(readers) != 1 or self.calls[readers[0]] != 1:
            return ""
        return readers[0]

    def chains(self) -> list[Chain]:
        """Convolutions that could be joined, as far as modules tell."""
        following = {
            name: self._joint(name) for name, child in self.convolutions() if _plain(child)
        }
        inner = {later for _, _, later in following.values() if later}
        return [self._chain(name, following) for name in following if name not in inner]

    def convolutions(self) -> Iterator[tuple[str, nn.Module]]:
        """Those that were called once, in module order."""
        for child, name in self.names.items():
            if isinstance(child, nn.Conv2d) and self.calls.get(name) == 1:
                yield name, child

    def norm_after(self, name: str) -> str:
        """The BatchNorm that alone reads a convolution, or ""."""
        norm = self.after(name)
        return norm if norm and isinstance(self.module.get_submodule(norm), _BatchNorm) else ""

    def _joint(self, name: str) -> tuple[str, str, str]:
        """BatchNorm, activation and convolution after a convolution; "" where there is none."""
        norm = self.norm_after(name)
        activation = self.after(norm or name)
        if not (activation and isinstance(self.module.get_submodule(activation), ACTIVATIONS)):
            return norm, "", ""
        later = self.after(activation)
        if not (later and _plain(self.module.get_submodule(later))):
            return norm, "", ""
        return norm, activation, later

    def _chain(self, name: str, following: Mapping[str, tuple[str, str, str]]) -> Chain:
        links: list[Link] = []
        while name:
            norm, activation, later = following[name]
            links.append(Link(name, norm, activation, *self.sizes[name]))
            name = later
        return tuple(links)


def _plain(child: nn.Module) -> bool:
    return (
        isinstance(child, nn.Conv2d)
        and child.groups == 1
        and child.padding_mode == "zeros"
        and not isinstance(child.padding, str)
        and tuple(child.dilation) == (1, 1)
    )


def _probe(architecture: Architecture) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(1, *architecture.input_shape, dtype=torch.float64, generator=generator)


def _tried(module: nn.Module, architecture: Architecture, chain: Chain) -> list[Chain]:
    """The parts of a chain whose joints can really be merged."""
    parts: list[list[Link]] = [[chain[0]]]
    for before, link in pairwise(chain):
        if _merges(module, architecture, [(before, link)]):
            parts[-1].append(link)
        else:
            parts[-1][-1] = replace(parts[-1][-1], activation="")
            parts.append([link])
    return [tuple(part) for part in parts if len(part) > 1]


def _merges(module: nn.Module, architecture: Architecture, parts: Sequence[Chain]) -> bool:
    """Whether the network with these chains merged equals the one that is linear there."""
    x = _probe(architecture)
    linear = copy.deepcopy(module)
    try:
        with torch.no_grad():
            for links in parts:
                apply(linear, linear_edits(linear, links))
            wanted = linear(x)
            for links in parts:
                load(linear, *merge_edit(linear, links))
            found = linear(x)
    except (ArgumentError, RuntimeError):
        return False
    return bool(torch.allclose(found, wanted, rtol=1e-8, atol=1e-8))
