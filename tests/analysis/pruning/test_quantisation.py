"""Against the analytic values for N(0, 1) weights and a toy worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kurtosis, norm

from analysis.checkpoints import open_model
from analysis.errors import ArgumentError
from analysis.pruning.quantisation import (
    Quantisation,
    excess_kurtosis,
    half,
    pruned_sqnr,
    quantise,
    sqnr,
)
from analysis.records import pack, unpack

# A normal sample without sampling noise: midpoints of 2^20 equally likely intervals.
NORMAL = norm.ppf((np.arange(1 << 20) + 0.5) / (1 << 20)).astype(np.float32)


@pytest.mark.parametrize(
    ("sparsity", "decibel"),
    [(0.5, 11.4675), (0.625, 8.3141), (0.75, 5.5847), (0.8125, 4.3028), (0.875, 3.0307)],
)
def test_pruned_normal_weights(sparsity: float, decibel: float) -> None:
    assert pruned_sqnr(NORMAL, sparsity) == pytest.approx(decibel, abs=2e-3)


@pytest.mark.parametrize(
    ("bits", "decibel"), [(8, 40.57), (6, 29.82), (5, 24.53), (4, 19.26), (3, 13.91), (2, 8.26)]
)
def test_quantised_normal_weights(bits: int, decibel: float) -> None:
    # 100 scales miss the best one by at most half a percent
    assert sqnr(NORMAL, NORMAL - quantise(NORMAL, bits)) == pytest.approx(decibel, abs=0.05)


def test_half_of_eight_magnitudes() -> None:
    weight = np.array([s * i / 10 for i in range(1, 9) for s in (1, -1)], dtype=np.float32)
    assert pruned_sqnr(weight, 0.5) == pytest.approx(8.3251, abs=1e-4)


def test_kurtosis_is_scipys_fisher_kurtosis() -> None:
    weight = np.random.default_rng(0).standard_t(6, 5000).astype(np.float32)
    assert excess_kurtosis(weight) == pytest.approx(kurtosis(weight, fisher=True), rel=1e-6)


def test_every_layer_of_a_model_is_compared() -> None:
    model, _ = open_model("demo:vit")
    found = Quantisation(model, (2, 8))()
    assert found.layers == tuple(layer.name for layer in model.layers)
    assert found.sparsities == (0.875, 0.5)
    assert found.quantised.shape == found.pruned.shape == (len(found.layers), 2)
    assert np.all(found.quantised[:, 1] > found.quantised[:, 0])
    weight = half(model.weight(model.layers[0].parameter))
    assert found.pruned[0, 1] == pruned_sqnr(weight, 0.5)
    back = unpack(*pack(found))
    np.testing.assert_array_equal(back.quantised, found.quantised)


def test_degenerate_layers() -> None:
    zeros = np.zeros(8, dtype=np.float32)
    assert math.isnan(sqnr(zeros, zeros - quantise(zeros, 4)))
    exact = np.array([1.0, -1.0, 0.0, 1.0], dtype=np.float32)
    assert sqnr(exact, exact - quantise(exact, 2)) == math.inf
    assert math.isnan(excess_kurtosis(np.ones(4, dtype=np.float32)))
    assert half(torch.tensor([1e-9, 0.1])).tolist() == [0.0, pytest.approx(0.1, abs=1e-4)]


@pytest.mark.parametrize("bits", [(), (1,), (16,)])
def test_impossible_widths_are_refused(bits: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="between 2 and 15"):
        Quantisation(open_model("demo:vit")[0], bits)
