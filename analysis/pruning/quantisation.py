"""Pruning beside quantisation: how much of a layer's signal each keeps at equal compression.

SQNR = 10 log10(E[w²] / E[(w - f(w))²]) in dB, weights cast to float16 first. b bits stand against
magnitude pruning to a sparsity of 1 - b / 16, both measured from 16-bit weights (Kuzmin et al.,
Pruning vs Quantization: Which is Better?, NeurIPS 2023, arXiv:2307.02973). The bits that a mask
costs (one a weight, 6.25 % of 16-bit weights) are counted on neither side, as there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.counting import exact_count
from analysis.records import record
from analysis.request import Report, Request, Step, silent

BITS = (2, 3, 4, 5, 6, 8)
BASE_BITS = 16
CANDIDATES = 100
"""Scales tried by the line search, as in the reference implementation."""
SEARCHED = 1 << 18
"""Weights that the line search looks at; the error is always that of all weights."""


@record
@dataclass(frozen=True, eq=False)
class QuantisationError:
    """SQNR of quantised and of pruned weights, layer by layer.

    Attributes
    ----------
    layers: names of the prunable layers (L); bits: widths (B).
    sparsities: equal compression by pruning, 1 - bits / 16 (B).
    quantised, pruned: dB, L,B; NaN for a layer of zeros, infinite where nothing is lost.
    quantised_zeros: fraction of the weights that the quantiser makes zero, L,B.
    kurtosis: excess kurtosis of each layer's weights (L); outliers speak for pruning.
    """

    layers: tuple[str, ...]
    bits: tuple[int, ...]
    sparsities: tuple[float, ...]
    quantised: np.ndarray
    pruned: np.ndarray
    quantised_zeros: np.ndarray
    kurtosis: np.ndarray


@dataclass(frozen=True, eq=False)
class Quantisation(Request[QuantisationError]):
    """Compare pruning with quantisation at equal compression in every prunable layer.

    Raises ArgumentError for bit widths outside 2..15.
    """

    model: Model
    bits: tuple[int, ...] = BITS

    def __post_init__(self) -> None:
        if not self.bits or any(not 2 <= b < BASE_BITS for b in self.bits):
            raise ArgumentError(f"bits must lie between 2 and 15, not {self.bits}")

    @property
    def title(self) -> str:
        return f"Pruning against quantisation in {self.model.name}"

    def __call__(self, report: Report = silent) -> QuantisationError:
        layers = self.model.layers
        shape = (len(layers), len(self.bits))
        quantised, pruned, zeros = (np.empty(shape) for _ in range(3))
        kurtosis = np.empty(len(layers))
        for row, layer in enumerate(layers):
            report(Step(row, len(layers), layer.name))
            weight = half(self.model.weight(layer.parameter))
            kurtosis[row] = excess_kurtosis(weight)
            for column, bits in enumerate(self.bits):
                rounded = quantise(weight, bits)
                quantised[row, column] = sqnr(weight, weight - rounded)
                zeros[row, column] = float((rounded == 0).mean())
                pruned[row, column] = pruned_sqnr(weight, 1 - bits / BASE_BITS)
        report(Step(len(layers), len(layers), self.title))
        return QuantisationError(
            layers=tuple(layer.name for layer in layers),
            bits=self.bits,
            sparsities=tuple(1 - bits / BASE_BITS for bits in self.bits),
            quantised=quantised,
            pruned=pruned,
            quantised_zeros=zeros,
            kurtosis=kurtosis,
        )


def half(weight: Tensor) -> np.ndarray:
    """The weights rounded to float16, flat, as float32 (float16 arithmetic would overflow)."""
    return weight.detach().cpu().reshape(-1).to(torch.float16).to(torch.float32).numpy()


def sqnr(weight: np.ndarray, error: np.ndarray) -> float:
    """10 log10(Σ w² / Σ error²) in dB; NaN for weights that are all zero."""
    signal = float(np.dot(weight, weight.astype(np.float64)))
    noise = float(np.dot(error, error.astype(np.float64)))
    if signal == 0:
        return float("nan")
    return float("inf") if noise == 0 else 10 * float(np.log10(signal / noise))


def quantise(weight: np.ndarray, bits: int) -> np.ndarray:
    """Round to the symmetric uniform grid -2^(b-1) .. 2^(b-1) - 1 at the best of 100 scales.

    Candidates are equal fractions of the scale that just holds the largest magnitude; the one of
    least mean squared error wins, on an evenly spaced part of the weights where there are many.
    """
    largest = float(np.abs(weight).max(initial=0.0))
    if largest == 0:
        return np.zeros_like(weight)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    part = weight[:: max(1, -(-weight.size // SEARCHED))]
    scales = [largest / high * (i + 1) / CANDIDATES for i in range(CANDIDATES)]
    errors = [float(np.square(part - _grid(part, s, low, high)).mean()) for s in scales]
    return _grid(weight, scales[int(np.argmin(errors))], low, high)


def pruned_sqnr(weight: np.ndarray, sparsity: float) -> float:
    """SQNR in dB when the round(sparsity × n) smallest magnitudes become zero."""
    gone = exact_count(sparsity, weight.size)
    magnitudes = np.abs(weight)
    smallest = np.partition(magnitudes, gone - 1)[:gone] if gone else magnitudes[:0]
    return sqnr(weight, smallest)


def excess_kurtosis(weight: np.ndarray) -> float:
    """E[(w - mean)⁴] / E[(w - mean)²]² - 3; 0 for a normal distribution, NaN for a constant."""
    centred = weight.astype(np.float64) - weight.mean(dtype=np.float64)
    variance = float(np.square(centred).mean())
    return float((centred**4).mean() / variance**2 - 3) if variance else float("nan")


def _grid(weight: np.ndarray, scale: float, low: int, high: int) -> np.ndarray:
    rounded: np.ndarray = np.clip(np.rint(weight / np.float32(scale)), low, high)
    return rounded * np.float32(scale)
