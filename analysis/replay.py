"""Run a network again from one layer on, without knowing its forward.

Everything that ended before the layer began cannot depend on its weights; so its outputs are
recorded once a batch and handed back instead of being computed:

    conv1    -> recorded output                 tape = [conv1, bn1, layer1, layer2 (open), ...]
    bn1      -> recorded output
    layer1   -> recorded output of the whole stage, its children are not called
    layer2   -> entered, since the layer lies inside
    layer2.0.conv1 is the layer: from here on everything is computed

What lies between the modules (an addition, a reshape) runs as written. The forward must call its
modules in the same order whatever the numbers; whoever replays checks this on the first batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn


class ReplayError(Exception):
    """The network calls its modules in another order than it did when recorded."""


class _Reached(BaseException):
    """Ends the recording at the layer; no error, so no `except Exception` may swallow it."""


@dataclass(eq=False)
class _Call:
    """One call of a module on the tape; `output` is unset while the call is open."""

    module: nn.Module
    output: Any = None
    ended: bool = False


class Replay:
    """Wraps all submodules of `module`, which must be the caller's own.

    Parameters
    ----------
    module: a network in eval mode, taking one tensor.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._mode: Literal["plain", "record", "replay"] = "plain"
        self._tape: list[_Call] = []
        self._position = 0
        self._layer: nn.Module | None = None
        for child in module.modules():
            if child is not module:
                child.forward = self._wrapped(child, child.forward)

    def whole(self, images: Tensor) -> Tensor:
        """Output of an ordinary forward."""
        with torch.no_grad():
            output: Tensor = self.module(images)
        return output

    def record(self, images: Tensor, layer: str) -> bool:
        """Run up to `layer` and keep what came before; False when the forward never calls it."""
        self._tape, self._layer = [], self.module.get_submodule(layer)
        self._mode = "record"
        try:
            self.whole(images)
        except _Reached:
            return True
        finally:
            self._mode = "plain"
        self._tape = []
        return False

    def rest(self, images: Tensor) -> Tensor:
        """Output of the network for the recorded batch, computed from the layer on.

        Raises ReplayError when the modules are called in another order than recorded.
        """
        self._position, self._mode = 0, "replay"
        try:
            return self.whole(images)
        finally:
            self._mode = "plain"

    def faithful(self, images: Tensor) -> bool:
        """Whether the rest of the recorded batch equals a whole forward and can be run again."""
        before = self._versions()
        try:
            rest = self.rest(images)
        except ReplayError:
            return False
        same = torch.allclose(rest, self.whole(images), rtol=1e-4, atol=1e-5, equal_nan=True)
        return same and before == self._versions()

    def _versions(self) -> list[int]:
        """Write counts of the recorded tensors: they change when something writes into them."""
        return [
            tensor._version
            for call in self._tape
            if call.ended
            for tensor in (call.output if isinstance(call.output, tuple) else (call.output,))
            if isinstance(tensor, Tensor)
        ]

    def _wrapped(self, child: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._mode == "record":
                return self._record(child, forward, *args, **kwargs)
            if self._mode == "replay" and self._position < len(self._tape):
                entry = self._tape[self._position]
                self._position += 1
                if entry.module is not child:
                    raise ReplayError("the modules are called in another order than recorded")
                if entry.ended:
                    return entry.output
            return forward(*args, **kwargs)

        return call

    def _record(
        self, child: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        if child is self._layer:
            raise _Reached
        entry, start = _Call(child), len(self._tape)
        self._tape.append(entry)
        entry.output = forward(*args, **kwargs)
        entry.ended = True
        del self._tape[start + 1 :]  # calls inside this one are not needed any more
        return entry.output
