"""Identification: exact or not at all, with reasons."""

from __future__ import annotations

import pytest
import torch

from analysis.architectures import ARCHITECTURES, compare, get, identify
from analysis.errors import ArgumentError, InputError


def state(name: str, num_classes: int = 10) -> dict[str, torch.Tensor]:
    return dict(ARCHITECTURES[name].build(num_classes).state_dict())


@pytest.mark.parametrize("name", list(ARCHITECTURES))
@pytest.mark.parametrize("num_classes", [2, 10, 37])
def test_every_entry_identifies_itself_with_any_head(name: str, num_classes: int) -> None:
    match = identify(state(name, num_classes))
    assert match.architecture.name == name
    assert match.num_classes == num_classes


def test_missing_counters_are_tolerated_and_named() -> None:
    tensors = {k: v for k, v in state("cifar-resnet20").items() if "num_batches" not in k}
    assert identify(tensors).architecture.name == "cifar-resnet20"
    assert len(compare(ARCHITECTURES["cifar-resnet20"], tensors).filled) == 19


def test_one_missing_tensor_is_a_near_miss_never_a_match() -> None:
    tensors = state("cifar-resnet20")
    del tensors["layer1.0.conv1.weight"]
    with pytest.raises(InputError) as caught:
        identify(tensors, "file.pth")
    assert "cifar-resnet20: 1 tensors are missing (layer1.0.conv1.weight)" in str(caught.value)


def test_nearest_miss_comes_first() -> None:
    tensors = state("cifar-resnet32") | {"extra": torch.zeros(1)}
    with pytest.raises(InputError) as caught:
        identify(tensors)
    problem = caught.value.problem
    assert problem.index("cifar-resnet32:") < problem.index("cifar-resnet44:")


def test_physically_pruned_widths_are_explained() -> None:
    tensors = state("cifar-resnet56-conv")
    tensors["layer1.0.conv1.weight"] = torch.zeros(9, 16, 3, 3)
    with pytest.raises(InputError) as caught:
        identify(tensors)
    assert "layer1.0.conv1.weight is 9×16×3×3, expected 16×16×3×3" in caught.value.problem
    assert "physical removal" in caught.value.remedy


def test_nothing_alike_lists_what_is_known() -> None:
    with pytest.raises(InputError) as caught:
        identify({"weight": torch.zeros(3)})
    assert "demo-resnet" in caught.value.remedy


def test_unknown_name_is_a_wrong_argument() -> None:
    with pytest.raises(ArgumentError, match="demo-vit"):
        get("resnet-of-tomorrow")
