"""The published checkpoints reach their published accuracy through our module and our loader.

Accuracies: ../shared/data/README.md (first 2,000 test images), measured there with the original
code; one image is 0.05 points.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from analysis.architectures import ARCHITECTURES
from analysis.checkpoints import open_model
from analysis.data import Dataset, open_data
from analysis.evaluate import Evaluate


@pytest.fixture(scope="module")
def first_2000(shared_data: Path) -> Dataset:
    data = open_data(shared_data / "cifar10" / "test_10k.npz").evaluation
    return Dataset("CIFAR-10 test", data.images[:2000], data.labels[:2000], data.classes)


@pytest.mark.parametrize(
    ("file", "accuracy"),
    [
        ("cifar_resnet_akamaster/resnet20-12fca82f.th", 0.9170),
        ("resnet20_distiller/resnet20_cifar10.pth.tar", 0.9105),
        pytest.param(
            "resnet56_torch_pruning/reg_cifar10_resnet56_group_sl_0.0005.pth",
            0.9345,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_published_accuracy(
    shared_data: Path, first_2000: Dataset, file: str, accuracy: float
) -> None:
    model, _ = open_model(shared_data / "checkpoints" / file)
    assert Evaluate(model, first_2000)().accuracy == pytest.approx(accuracy, abs=0.00051)


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_depth_counts_weighted_layers(depth: int) -> None:
    """He et al. 2016, 4.2: 6 n + 2 convolutions and linear layers; option A adds none."""
    assert len(ARCHITECTURES[f"cifar-resnet{depth}"].prunable(10)) == depth


@pytest.mark.parametrize(
    ("name", "millions"),
    [("20", 0.27), ("32", 0.46), ("44", 0.66), ("56", 0.85), ("110", 1.7)],
)
def test_parameters_are_those_of_the_paper(name: str, millions: float) -> None:
    """He et al. 2016, table 6."""
    module = ARCHITECTURES[f"cifar-resnet{name}"].build(10)
    count = sum(parameter.numel() for parameter in module.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.03)


def test_convolutional_shortcuts_have_the_published_count() -> None:
    module = ARCHITECTURES["cifar-resnet56-conv"].build(10)
    assert sum(parameter.numel() for parameter in module.parameters()) == 855_770


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_path_layers_are_separate_modules_called_once_in_order(name: str) -> None:
    architecture = ARCHITECTURES[name]
    module = architecture.build(architecture.num_classes)
    called: list[str] = []
    for layer in architecture.path_layers:
        module.get_submodule(layer.name).register_forward_hook(
            lambda *_, layer=layer: called.append(layer.name)
        )
    with torch.no_grad():
        logits = module(torch.zeros(2, *architecture.input_shape))
    assert called == [layer.name for layer in architecture.path_layers]
    assert logits.shape == (2, architecture.num_classes)
    assert not module.training


def test_padding_shortcut_is_option_a() -> None:
    from analysis.architectures.cifar_resnet import PaddingShortcut

    x = torch.randn(2, 16, 8, 8)
    y = PaddingShortcut(16, 32)(x)
    assert y.shape == (2, 32, 4, 4)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()
