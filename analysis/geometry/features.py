"""Features of any layer, one vector an image, read through hooks."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import ArgumentError, InputError


def pooled(output: Tensor) -> Tensor:
    """One vector an image: N,C,H,W is averaged over positions, N,T,D is read at CLS (index 0)."""
    if output.dim() == 4:
        return output.mean(dim=(2, 3))
    if output.dim() == 3:
        return output[:, 0]
    return output.flatten(1)


class Reader:
    """Runs a module and keeps what one layer saw.

    Parameters
    ----------
    module: the network, in eval mode.
    classifier: name of its last linear layer.
    layer: whose output is read; "" = the input of the classifier.
    source: the model's name, for messages.
    """

    def __init__(self, module: nn.Module, classifier: str, layer: str, source: str) -> None:
        modules = dict(module.named_modules())
        name = layer or classifier
        if name not in modules:
            close = difflib.get_close_matches(name, modules, n=3) or list(modules)[1:4]
            raise ArgumentError(f"{source} has no layer {name!r}; for example {', '.join(close)}.")
        self.module = module
        self.layer = layer
        self.source = source
        self._watched = modules[name]
        self._seen: list[Tensor] = []

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features N,D and logits N,K of normalised images, on the module's device."""
        self._seen.clear()
        with torch.no_grad(), self._hook():
            logits: Tensor = self.module(images)
        if len(self._seen) != 1:
            raise InputError(
                self.source,
                f"the layer {self.layer or 'before the classifier'!r} ran {len(self._seen)} times "
                "in one pass, so its features are not one vector an image.",
                "Choose another layer.",
            )
        return self._seen.pop(), logits

    @contextmanager
    def _hook(self) -> Iterator[None]:
        if self.layer:
            handle = self._watched.register_forward_hook(self._keep_output)
        else:
            handle = self._watched.register_forward_pre_hook(self._keep_input)
        try:
            yield
        finally:
            handle.remove()

    def _keep_input(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._seen.append(pooled(inputs[0].detach()))

    def _keep_output(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor):
            raise InputError(
                self.source,
                f"the layer {self.layer!r} returns no tensor.",
                "Choose another layer.",
            )
        self._seen.append(pooled(output.detach()).clone())
