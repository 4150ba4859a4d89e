"""The recipes on the published ResNet-20 for CIFAR-10."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.data.dataset import Dataset
from analysis.models import Model
from analysis.pruning import Prune, pruned_model, recipe_named

PARAMETERS = 268_336


@pytest.fixture(scope="module")
def resnet(shared_data: Path) -> Model:
    path = shared_data / "checkpoints/cifar_resnet_akamaster/resnet20-12fca82f.th"
    return open_model(path)[0]


@pytest.fixture(scope="module")
def images(shared_data: Path, resnet: Model) -> Dataset:
    path = shared_data / "cifar10/train_10k.npz"
    return open_data(path, model=resnet, calibration_size=32).calibration


@pytest.mark.parametrize("name", ["global-magnitude", "wanda", "snip", "random", "erk-magnitude"])
def test_eighty_percent_to_one_weight(name: str, resnet: Model, images: Dataset) -> None:
    request = Prune(resnet, recipe_named(name), 0.8, images)
    pruned = request()
    zeros = pruned_model(resnet, pruned, request).zeros
    assert sum(zeros.values()) == pruned.audit.zeros == 214_669  # 0.8 × 268,336 = 214,668.8
    assert zeros == {row.name: row.zeros for row in pruned.audit.layers}


def test_two_of_four_but_for_the_three_colours(resnet: Model) -> None:
    request = Prune(resnet, recipe_named("nm-magnitude"), 0.5)
    pruned = request()
    model = pruned_model(resnet, pruned, request)
    for layer in model.layers[1:]:
        groups = (model.weight(layer.parameter) == 0).movedim(1, -1).reshape(-1, 4).sum(dim=1)
        assert set(groups.tolist()) == {2}
    assert pruned.audit.notes == ("conv1: 3 inputs make no group of 4; it stays dense",)
    assert pruned.audit.zeros == (PARAMETERS - 432) // 2


def test_ninety_percent_globally_names_the_collapsed_layer(resnet: Model) -> None:
    found = Prune(resnet, recipe_named("global-magnitude"), 0.9)().audit
    assert found.collapsed == ("layer3.2.conv2",)
    assert "layer3.2.conv2 keeps 268 of 36,864 weights" in found.warnings[0]
    settings = {"allocation.min_keep": "1000"}
    kept = Prune(resnet, recipe_named("global-magnitude", settings), 0.9)().audit
    assert kept.warnings == ()
    assert kept.removed == found.removed == 241_502
