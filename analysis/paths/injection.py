"""Reading and overwriting the units of a network's path layers, through forward hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from analysis.architectures.architecture import PathLayer
from analysis.errors import InputError


@dataclass(frozen=True, eq=False)
class Overwrite:
    """What takes the place of a layer's units in one pass.

    Attributes
    ----------
    values: R,U,*positions for all units, or R,*positions for one unit a row.
    unit: int64 R, the one unit that `values` replace; None = all of them.
    others: R,U,*positions, what the other units are clamped to; None = left as they come.
    """

    values: Tensor
    unit: Tensor | None = None
    others: Tensor | None = None

    def applied(self, current: Tensor) -> Tensor:
        """The new units. Always a fresh tensor: what follows may work in place."""
        if self.unit is None:
            return self.values.clone()
        units = (current if self.others is None else self.others).clone()
        units[torch.arange(len(self.unit), device=units.device), self.unit] = self.values
        return units


class Instrument:
    """A module whose path layers can be read and overwritten.

    Units are R,U,*positions: the whole output of a "channel" layer, the CLS token (index 0) of
    a "token" layer. The module's parameters stop requiring gradients.
    """

    def __init__(self, module: nn.Module, layers: Sequence[PathLayer], source: str) -> None:
        self.module = module.requires_grad_(False)
        self.layers = tuple(layers)
        self.source = source
        named = dict(module.named_modules())
        missing = [layer.name for layer in self.layers if layer.name not in named]
        if missing or not self.layers:
            raise InputError(
                source,
                f"the network has no path layer {missing[0]!r}."
                if missing
                else "its architecture declares no layers for neuron paths.",
                "Choose a model of an architecture with path layers.",
            )
        self._watched = [named[layer.name] for layer in self.layers]

    def read(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Units of every path layer, in order, and logits of normalised images; no gradients."""
        seen: list[list[Tensor]] = [[] for _ in self.layers]

        def keep(index: int, module: nn.Module, inputs: Any, output: Any) -> None:
            seen[index].append(self._units(index, output).detach().clone())

        with torch.no_grad(), self._hooks(keep, range(len(self.layers))):
            logits: Tensor = self.module(images)
        for layer, found in zip(self.layers, seen, strict=True):
            if len(found) != 1:
                raise InputError(
                    self.source,
                    f"path layer {layer.name!r} ran {len(found)} times in one pass, not once.",
                    "Its architecture must name modules that run once.",
                )
        return [found[0] for found in seen], logits

    def run(self, images: Tensor, overwrites: Mapping[int, Overwrite]) -> Tensor:
        """Logits with the given layers (by index) overwritten, as a graph to the new values."""

        def replace(index: int, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            units = overwrites[index].applied(self._units(index, output))
            if self.layers[index].units == "channel":
                return units
            tokens = output.clone()
            tokens[:, 0] = units
            return tokens

        with self._hooks(replace, overwrites):
            logits: Tensor = self.module(images)
        return logits

    def cuts(self, images: Tensor) -> tuple[bool, ...]:
        """Which layers, once overwritten, are all that the logits depend on.

        True for the layers of a chain (a ReLU after a residual addition), false where a residual
        stream or other tokens go around. Behind a cut, earlier layers have zero gradients and
        the number of image rows no longer matters, which saves the work before the cut.
        """
        units, _ = self.read(images[:1])
        return tuple(self._is_cut(images[:1], i, found) for i, found in enumerate(units))

    def _is_cut(self, image: Tensor, index: int, units: Tensor) -> bool:
        if self.layers[index].units != "channel":
            return False
        with torch.enable_grad():
            pixels = image.clone().requires_grad_()
            twice = torch.cat([units, units]).requires_grad_()
            try:
                logits = self.run(pixels, {index: Overwrite(twice)})
            except RuntimeError:  # one row of something else does not meet two rows of units
                return False
            if len(logits) != 2:
                return False
            around, through = torch.autograd.grad(logits.sum(), [pixels, twice], allow_unused=True)
        return around is None and through is not None

    def _units(self, index: int, output: Any) -> Tensor:
        layer = self.layers[index]
        if not isinstance(output, Tensor) or output.dim() < (2 if layer.units == "channel" else 3):
            raise InputError(
                self.source,
                f"the output of path layer {layer.name!r} has no {layer.units} dimension.",
                "Its architecture must declare the kind of units that the layer has.",
            )
        return output if layer.units == "channel" else output[:, 0]

    @contextmanager
    def _hooks(self, hook: Any, indices: Any) -> Iterator[None]:
        handles = [self._watched[i].register_forward_hook(partial(hook, i)) for i in indices]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def over_positions(values: Tensor) -> Tensor:
    """R,U,*positions -> R,U sums over positions (after R: R,*positions -> R)."""
    return values.flatten(2).sum(dim=2) if values.dim() > 2 else values
