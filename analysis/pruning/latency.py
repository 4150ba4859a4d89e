"""How long networks and layers take on this machine: medians over repeats, after a warm-up.

>>> table = Latency((dense, masked, smaller), batch=1)()      # doctest: +SKIP
>>> [row.milliseconds for row in table.rows]                  # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.records import record
from analysis.request import Compute, Report, Request, Step, compute_field, silent

WARM_UP = 2
"""Calls before the first one that counts: memory is there then, and kernels are chosen."""


ZEROS = (
    "Zeros among kept shapes give no speed-up: dense kernels multiply them like any other number. "
    "Only smaller shapes (permanent removal of filters, channels, heads or blocks), or sparse "
    "kernels made for the pattern, make a network faster."
)


@dataclass(frozen=True)
class Timing:
    """Seconds of one call.

    Attributes
    ----------
    median: half of the calls were faster.
    spread: distance between the first and the third quartile.
    """

    median: float
    spread: float


def measure(module: nn.Module, images: Tensor, repeats: int = 10) -> Timing:
    """Time `module(images)` in the state it is in, without gradients.

    The number of threads is left as it is. Raises ArgumentError for less than one repeat.
    """
    if repeats < 1:
        raise ArgumentError(f"a time needs at least one repeat, not {repeats}")
    for _ in range(WARM_UP):
        once(module, images)
    return timing(np.array([once(module, images) for _ in range(repeats)]))


def once(module: nn.Module, images: Tensor) -> float:
    """Seconds of one call without gradients, waiting for the device before and after."""
    with torch.no_grad():
        _wait(images)
        started = time.perf_counter()
        module(images)
        _wait(images)
        return time.perf_counter() - started


def timing(seconds: np.ndarray) -> Timing:
    """Median and interquartile range of measured seconds."""
    low, middle, high = np.percentile(seconds, [25, 50, 75])
    return Timing(float(middle), float(high - low))


def layer_timings(
    module: nn.Module, names: Sequence[str], images: Tensor, repeats: int = 10
) -> Mapping[str, Timing]:
    """Time each of the named layers alone, on the inputs it gets for `images`.

    A layer that is called several times counts with its first input; one that the forward never
    calls has no entry.
    """
    inputs: dict[str, Tensor] = {}

    def keeper(name: str) -> Any:
        def keep(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            inputs.setdefault(name, args[0].detach())

        return keep

    handles = [module.get_submodule(n).register_forward_pre_hook(keeper(n)) for n in names]
    try:
        with torch.no_grad():
            module(images)
    finally:
        for handle in handles:
            handle.remove()
    return {n: measure(module.get_submodule(n), x, repeats) for n, x in inputs.items()}


def _wait(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)


@record
@dataclass(frozen=True)
class LatencyRow:
    """One model.

    Attributes
    ----------
    milliseconds: median time of one batch.
    spread: interquartile range, in milliseconds.
    sparsity: zeros among its prunable weights; `parameters` of them, zeros included.
    """

    name: str
    milliseconds: float
    spread: float
    sparsity: float
    parameters: int


@record
@dataclass(frozen=True)
class LatencyTable:
    """Times of models on one machine; they hold for this machine only.

    Attributes
    ----------
    batch: images at once.
    device, threads: where, and with how many threads of PyTorch on the CPU.
    note: "" or what a reader must know to read the times: that zeros save none.
    """

    rows: tuple[LatencyRow, ...]
    batch: int
    repeats: int
    device: str
    threads: int
    note: str = ""


@dataclass(frozen=True, eq=False)
class Latency(Request[LatencyTable]):
    """Time the forward pass of models, interleaved: one batch of each in turn, over and over.

    So what slows the machine down for a while slows all of them down. Inputs are noise of each
    model's own input shape. Raises ArgumentError for no model, batch or repeat.
    """

    models: tuple[Model, ...]
    batch: int = 1
    repeats: int = 30
    compute: Compute = compute_field()

    def __post_init__(self) -> None:
        if not self.models or self.batch < 1 or self.repeats < 1:
            raise ArgumentError("a latency needs a model, a batch and a repeat at least")

    @property
    def title(self) -> str:
        return f"Latency of {', '.join(model.name for model in self.models)}"

    @property
    def parameters(self) -> dict[str, Any]:
        """As for every request; times of another device are other results."""
        return {**super().parameters, "device": self.compute.device}

    def __call__(self, report: Report = silent) -> LatencyTable:
        device = self.compute.device
        modules = [model.module(device) for model in self.models]
        inputs = [self._noise(model) for model in self.models]
        seconds = np.zeros((len(modules), self.repeats))
        pairs = list(zip(modules, inputs, strict=True))
        for _ in range(WARM_UP):
            for module, images in pairs:
                once(module, images)
        for repeat in range(self.repeats):
            for row, (module, images) in enumerate(pairs):
                seconds[row, repeat] = once(module, images)
            report(Step(repeat + 1, self.repeats, f"batch {repeat + 1} of {self.repeats}"))
        rows = tuple(map(_row, self.models, seconds))
        note = ZEROS if any(row.sparsity > 0 for row in rows) else ""
        threads = torch.get_num_threads()
        return LatencyTable(rows, self.batch, self.repeats, device, threads, note)

    def _noise(self, model: Model) -> torch.Tensor:
        shape = (self.batch, *model.architecture.input_shape)
        generator = torch.Generator().manual_seed(0)
        return torch.randn(shape, generator=generator).to(self.compute.device)


def _row(model: Model, seconds: np.ndarray) -> LatencyRow:
    found = timing(seconds)
    weights = sum(layer.parameters for layer in model.layers)
    return LatencyRow(model.name, 1e3 * found.median, 1e3 * found.spread, model.sparsity, weights)
