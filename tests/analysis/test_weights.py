"""Weights of a layer beside a reference: counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.architectures.demo_resnet import ARCHITECTURE
from analysis.architectures.demo_vit import ARCHITECTURE as VIT
from analysis.errors import ArgumentError
from analysis.masks import Mask
from analysis.models import Model
from analysis.records import pack, unpack
from analysis.weights import Weights, nm_compliance


@pytest.fixture
def dense() -> Model:
    torch.manual_seed(0)
    module = ARCHITECTURE.build(10)
    return Model("dense", "d", ARCHITECTURE, 10, module.state_dict())


def pruned(dense: Model, layer: str, keep: torch.Tensor) -> Model:
    return replace(dense, key="p", masks={f"{layer}.weight": Mask.from_keep(keep)})


def test_overlap_and_zeros_are_counted(dense: Model) -> None:
    layer = dense.layers[1]
    keep = torch.ones(layer.shape, dtype=torch.bool)
    keep[0] = False
    keep[1, 0] = False
    result = Weights(pruned(dense, layer.name, keep), dense, layer.name)()
    gone = int((~keep).sum())
    assert (result.zeros, result.reference_zeros) == (gone, 0)
    assert (result.only_reference, result.only_this) == (gone, 0)
    assert result.both == layer.parameters - gone
    assert result.dead_units == 1
    np.testing.assert_allclose(result.kept[1, :2], (0.0, 1.0))


def test_histogram_counts_every_non_zero_weight(dense: Model) -> None:
    layer = dense.layers[0].name
    result = Weights(dense, dense, layer)()
    assert result.counts.sum() == result.parameters - result.zeros
    np.testing.assert_array_equal(result.counts, result.reference_counts)


def test_counts_are_those_of_numpy(dense: Model) -> None:
    layer = dense.layers[1]
    keep = torch.rand(layer.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    model = pruned(dense, layer.name, keep)
    result = Weights(model, dense, layer.name, bins=40)()
    limit = float(dense.weight(layer.parameter).abs().max())
    np.testing.assert_array_equal(result.edges, np.linspace(-limit, limit, 41))
    for of, counts in ((model, result.counts), (dense, result.reference_counts)):
        weight = of.weight(layer.parameter).double().numpy()
        expected, _ = np.histogram(weight[weight != 0], bins=result.edges)
        np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(dense: Model, value: float) -> None:
    parameter = dense.layers[0].parameter
    weight = dense.weight(parameter).clone()
    weight.view(-1)[3] = value
    broken = replace(dense, key="b", weights={**dense.weights, parameter: weight})
    with pytest.raises(ArgumentError, match="NaN or infinite"):
        Weights(broken, dense, dense.layers[0].name)()


def test_nm_compliance_counts_complete_groups_only() -> None:
    alive = torch.tensor([[1, 1, 0, 0, 1], [1, 1, 1, 0, 1]], dtype=torch.bool)
    assert nm_compliance(alive, 2, 4) == 0.5
    assert np.isnan(nm_compliance(alive[:, :3], 2, 4))


def test_unknown_layer_is_refused(dense: Model) -> None:
    with pytest.raises(ArgumentError, match="no prunable layer named nowhere"):
        Weights(dense, dense, "nowhere")()


def test_result_survives_the_disk(dense: Model) -> None:
    result = Weights(dense, dense, dense.layers[0].name)()
    again = unpack(*pack(result))
    assert again.shape == result.shape
    np.testing.assert_array_equal(again.kept, result.kept)


def test_a_layer_that_the_reference_lacks_is_named(dense: Model) -> None:
    torch.manual_seed(0)
    other = Model("other", "o", VIT, 10, VIT.build(10).state_dict())
    with pytest.raises(ArgumentError, match="other has no prunable layer"):
        Weights(dense, other, dense.layers[1].name)()
