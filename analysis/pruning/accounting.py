"""What pruning saves on paper: parameters, multiply-adds and bytes, counted in the tensors.

    >>> found = Account(model)()                              # doctest: +SKIP
    >>> found.compression, found.speed_up                     # doctest: +SKIP

What it saves in time is another question; `Latency` (latency.py) measures that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.models import Model
from analysis.pruning.macs import CONVENTION, layer_macs
from analysis.records import record
from analysis.request import Report, Request, Step, silent

MACS_CONVENTION = f"{CONVENTION}; non-zero: times the layer's share of non-zero weights"
INDEX_BYTES = 4
"""A column index or row pointer of CSR, as in scipy and torch for tensors below 2³¹ entries."""


@record
@dataclass(frozen=True)
class Bytes:
    """Size of one weight, or of a whole model, in four formats.

    Attributes
    ----------
    dense: all values.
    bitmask: one bit a weight, and the values that are not zero.
    csr: rows are outputs; values that are not zero, their 4-byte column indices, row pointers.
    two_four: half of the values and 2 bits for the place of each; None where a group of four
        consecutive inputs holds more than two values that are not zero, or inputs make no groups.
        In a model's total, layers without it count as dense.
    """

    dense: int
    bitmask: int
    csr: int
    two_four: int | None


@record
@dataclass(frozen=True)
class LayerAccount:
    """One prunable layer.

    Attributes
    ----------
    parameters, nonzero: weights, and those that are not zero; without the bias.
    macs: multiply-accumulates for one image.
    macs_nonzero: macs × nonzero / parameters.
    """

    name: str
    parameters: int
    nonzero: int
    macs: float
    macs_nonzero: float
    bytes: Bytes

    @property
    def density(self) -> float:
        return self.nonzero / self.parameters


@record
@dataclass(frozen=True)
class Accounting:
    """A whole model.

    Attributes
    ----------
    layers: the prunable layers, in module order.
    parameters, nonzero: everything that can be trained, biases and normalisation included, as in
        ShrinkBench; buffers (running statistics) are not counted.
    bytes: the prunable weights in each format, and all other parameters dense.
    convention: how multiply-accumulates are counted; goes wherever their number goes.
    """

    layers: tuple[LayerAccount, ...]
    parameters: int
    nonzero: int
    bytes: Bytes
    convention: str = MACS_CONVENTION

    @property
    def prunable(self) -> int:
        """Weights of the prunable layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def zeros(self) -> int:
        """Zeros among them."""
        return self.prunable - sum(layer.nonzero for layer in self.layers)

    @property
    def density(self) -> float:
        """Non-zero share of the prunable weights."""
        return 1 - self.zeros / self.prunable

    @property
    def compression(self) -> float:
        """Total by non-zero parameters (Blalock et al. 2020, arXiv:2003.03033); inf if none."""
        return self.parameters / self.nonzero if self.nonzero else float("inf")

    @property
    def macs(self) -> float:
        """Multiply-accumulates for one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def macs_nonzero(self) -> float:
        """Those with a weight that is not zero."""
        return sum(layer.macs_nonzero for layer in self.layers)

    @property
    def speed_up(self) -> float:
        """Theoretical: macs by macs_nonzero; inf when none is left. No measured time."""
        return self.macs / self.macs_nonzero if self.macs_nonzero else float("inf")


@dataclass(frozen=True, eq=False)
class Account(Request[Accounting]):
    """Count a model's parameters, multiply-accumulates and bytes."""

    model: Model

    @property
    def title(self) -> str:
        return f"Account of {self.model.name}"

    def __call__(self, report: Report = silent) -> Accounting:
        model = self.model
        macs = layer_macs(model.architecture, model.num_classes)
        rows = []
        for done, layer in enumerate(model.layers):
            report(Step(done, len(model.layers), layer.name))
            rows.append(_layer(model, layer, macs[layer.name]))
        weights = {layer.parameter for layer in model.layers}
        others = [model.weight(name) for name in _trainable(model) if name not in weights]
        kept = sum(int(torch.count_nonzero(tensor)) for tensor in others)
        report(Step(1, 1, "parameters"))
        return Accounting(
            layers=tuple(rows),
            parameters=sum(r.parameters for r in rows) + sum(t.numel() for t in others),
            nonzero=sum(r.nonzero for r in rows) + kept,
            bytes=_total([row.bytes for row in rows], sum(t.nbytes for t in others)),
        )


def stored_bytes(weight: Tensor) -> Bytes:
    """Size of a weight (out, in, ...) in each format. A convolution's row is one filter."""
    count, width = weight.numel(), weight.element_size()
    kept = int(torch.count_nonzero(weight))
    pairs = None
    if fits_two_four(weight):
        # Two values of every four are stored, zeros among them where fewer are left.
        pairs = count // 2 * width + -(-count // 8)
    return Bytes(
        dense=count * width,
        bitmask=-(-count // 8) + kept * width,
        csr=kept * (width + INDEX_BYTES) + (weight.shape[0] + 1) * INDEX_BYTES,
        two_four=pairs,
    )


def fits_two_four(weight: Tensor) -> bool:
    """Whether every four consecutive inputs (dimension 1) have at most two non-zero weights."""
    if weight.shape[1] % 4:
        return False
    groups = (weight != 0).movedim(1, -1).reshape(-1, 4)
    return bool((groups.sum(dim=1) <= 2).all())


def _layer(model: Model, layer: PrunableLayer, macs: float) -> LayerAccount:
    weight = model.weight(layer.parameter)
    kept = int(torch.count_nonzero(weight))
    share = kept / layer.parameters
    sizes = stored_bytes(weight)
    return LayerAccount(layer.name, layer.parameters, kept, macs, macs * share, sizes)


def _total(rows: Iterable[Bytes], others: int) -> Bytes:
    rows = list(rows)
    pairs = None
    if any(row.two_four is not None for row in rows):
        pairs = others + sum(r.dense if r.two_four is None else r.two_four for r in rows)
    return Bytes(
        dense=others + sum(row.dense for row in rows),
        bitmask=others + sum(row.bitmask for row in rows),
        csr=others + sum(row.csr for row in rows),
        two_four=pairs,
    )


def _trainable(model: Model) -> list[str]:
    """Names of the module's parameters; a tensor under two names counts once."""
    with torch.device("meta"):
        module = model.architecture.build(model.num_classes)
    return [name for name, _ in module.named_parameters()]
