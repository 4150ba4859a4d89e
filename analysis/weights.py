"""What pruning did to the weights of one layer: histogram, mask, dead units, N:M compliance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.records import record
from analysis.request import Report, Request, Step, silent
from kernels.bitmask import overlap, pack
from kernels.statistics import weight_statistics


@record
@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Weights of one layer in one model, beside those of a reference.

    Attributes
    ----------
    layer: name of the layer; shape: shape of its weight (out, in, ...).
    edges: B + 1 bin edges common to both histograms.
    counts: B counts of this model's non-zero weights.
    reference_counts: B counts of the reference's non-zero weights.
    kept: (out, in) fraction of non-zero weights over the remaining dimensions.
    kept_by_unit: (out,) fraction of non-zero weights of each output unit.
    zeros, reference_zeros: exact zeros; parameters: number of weights.
    both, only_this, only_reference, neither: how the two sets of non-zero weights overlap.
    nm_compliance: fraction of complete groups of four inputs with at most two non-zeros
        (NaN when no group is complete).
    """

    layer: str
    shape: tuple[int, ...]
    edges: np.ndarray
    counts: np.ndarray
    reference_counts: np.ndarray
    kept: np.ndarray
    kept_by_unit: np.ndarray
    parameters: int
    zeros: int
    reference_zeros: int
    both: int
    only_this: int
    only_reference: int
    neither: int
    nm_compliance: float

    @property
    def dead_units(self) -> int:
        """Output units that have lost every weight."""
        return int((self.kept_by_unit == 0).sum())


@dataclass(frozen=True, eq=False)
class Weights(Request[LayerWeights]):
    """Compare one layer's weights between a model and a reference of the same architecture."""

    model: Model
    reference: Model
    layer: str
    bins: int = 61

    @property
    def title(self) -> str:
        return f"Weights of {self.layer} in {self.model.name}"

    def __call__(self, report: Report = silent) -> LayerWeights:
        report(Step(0, 1, self.title))
        names = [layer.name for layer in self.model.layers]
        if self.layer not in names:
            raise ArgumentError(f"{self.model.name} has no prunable layer named {self.layer}.")
        if self.layer not in [layer.name for layer in self.reference.layers]:
            raise ArgumentError(
                f"{self.reference.name} has no prunable layer named {self.layer}; "
                "units cannot be compared."
            )
        parameter = f"{self.layer}.weight"
        this = self.model.weight(parameter).detach().cpu()
        other = self.reference.weight(parameter).detach().cpu()
        if this.shape != other.shape:
            raise ArgumentError(
                f"{self.layer} has shape {tuple(this.shape)} in {self.model.name} but "
                f"{tuple(other.shape)} in {self.reference.name}; units cannot be compared."
            )
        result = _compared(self.layer, this, other, self.bins)
        report(Step(1, 1, self.title))
        return result


def nm_compliance(alive: Tensor, n: int, m: int) -> float:
    """Fraction of complete groups of `m` along the input dimension with at most `n` non-zeros."""
    complete = alive.shape[1] // m
    if complete == 0:
        return float("nan")
    groups = alive[:, : complete * m].movedim(1, -1).reshape(-1, m)
    return float((groups.sum(1) <= n).float().mean())


def _compared(layer: str, this: Tensor, other: Tensor, bins: int) -> LayerWeights:
    """Both weights in two passes each: the common limit of the bins, then everything else."""
    limit = max(_largest(layer, this), _largest(layer, other)) or 1.0
    edges = np.linspace(-limit, limit, bins + 1)
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise ArgumentError(f"the weights of {layer} are too large or too small for a histogram")
    found, reference = weight_statistics(this, edges), weight_statistics(other, edges)
    alive = this != 0
    common = overlap([pack(alive), pack(other != 0)], this.numel())
    flat = alive.reshape(this.shape[0], this.shape[1], -1).float()
    return LayerWeights(
        layer=layer,
        shape=tuple(this.shape),
        edges=edges,
        counts=found.counts.numpy(),
        reference_counts=reference.counts.numpy(),
        kept=flat.mean(2).numpy(),
        kept_by_unit=flat.mean((1, 2)).numpy(),
        parameters=found.size,
        zeros=found.zeros,
        reference_zeros=reference.zeros,
        both=common.both,
        only_this=common.only_first,
        only_reference=common.only_second,
        neither=common.neither,
        nm_compliance=nm_compliance(alive, 2, 4),
    )


def _largest(layer: str, weight: Tensor) -> float:
    """The largest magnitude, without a tensor of magnitudes."""
    least, largest = torch.aminmax(weight)
    limit = max(-float(least), float(largest))
    if not np.isfinite(limit):
        raise ArgumentError(f"{layer} has a weight that is NaN or infinite: it has no histogram.")
    return limit
