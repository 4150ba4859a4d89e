"""The committed weights of the demo models keep what the README promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import resources
from analysis.architectures import demo_resnet, demo_vit
from analysis.architectures.architecture import Architecture
from analysis.data.dataset import batches
from analysis.data.digits import MEAN, STD, digits_test, digits_train
from analysis.models import Model

FOLDER = Path(resources.__file__).parent
DEMOS = [
    pytest.param("demo_resnet", demo_resnet.ARCHITECTURE, 0.98, id="resnet"),
    pytest.param("demo_vit", demo_vit.ARCHITECTURE, 0.97, id="vit"),
]


def opened(file: str, architecture: Architecture) -> Model:
    weights = load_file(FOLDER / f"{file}.safetensors")
    return Model(file, file, architecture, 10, weights)


@pytest.mark.parametrize(("file", "architecture", "promised"), DEMOS)
def test_accuracy_on_the_test_split(
    file: str, architecture: Architecture, promised: float
) -> None:
    module = opened(file, architecture).module()
    data = digits_test()
    with torch.no_grad():
        correct = sum(
            int((module(x).argmax(1) == y).sum()) for x, y in batches(data, architecture, 150)
        )
    assert len(data) == 450
    assert correct / 450 >= promised
    with safe_open(FOLDER / f"{file}.safetensors", framework="pt") as stored:
        metadata = stored.metadata()
    assert metadata["architecture"] == architecture.name
    assert metadata["num_classes"] == "10"
    # One image may fall the other way on a machine with other vector instructions.
    assert float(metadata["accuracy"]) == pytest.approx(correct / 450, abs=1.5 / 450)


@pytest.mark.parametrize(("file", "architecture", "promised"), DEMOS)
def test_the_declared_layers_exist(file: str, architecture: Architecture, promised: float) -> None:
    module = opened(file, architecture).module()
    modules = dict(module.named_modules())
    outputs: dict[str, torch.Tensor] = {}
    for layer in architecture.path_layers:
        modules[layer.name].register_forward_hook(
            lambda _m, _i, out, name=layer.name: outputs.__setitem__(name, out)
        )
    features: list[torch.Tensor] = []
    modules[architecture.classifier].register_forward_pre_hook(
        lambda _m, inputs: features.append(inputs[0])
    )
    logits = module(torch.zeros(2, *architecture.input_shape))
    assert logits.shape == (2, 10)
    assert list(outputs) == [layer.name for layer in architecture.path_layers]
    for layer in architecture.path_layers:
        assert outputs[layer.name].ndim == (4 if layer.units == "channel" else 3)
    assert features[0].shape == (2, modules[architecture.classifier].in_features)
    parameters = sum(p.numel() for p in module.parameters())
    assert 100_000 <= parameters <= 300_000


def test_attention_is_the_scaled_dot_product() -> None:
    torch.manual_seed(0)
    attention = demo_vit.Attention()
    x = torch.randn(3, 17, 64)
    qkv = attention.qkv(x).view(3, 17, 3, 4, 16).permute(2, 0, 3, 1, 4)
    mixed = torch.nn.functional.scaled_dot_product_attention(*qkv)
    expected = attention.proj(mixed.transpose(1, 2).reshape(3, 17, 64))
    torch.testing.assert_close(attention(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("file", "architecture", "promised"), DEMOS)
def test_second_derivatives_exist(file: str, architecture: Architecture, promised: float) -> None:
    module = opened(file, architecture).module()
    x, y = next(batches(digits_test(), architecture, 4))
    weight = module.get_submodule(architecture.prunable(10)[1].name).weight.requires_grad_()
    loss = torch.nn.functional.cross_entropy(module(x), y)
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    (product,) = torch.autograd.grad(gradient.square().sum(), weight)
    assert torch.isfinite(product).all()
    assert product.any()


def test_the_split_is_disjoint_stratified_and_fixed() -> None:
    train, test = digits_train(), digits_test()
    assert (len(train), len(test)) == (1347, 450)
    assert train.images.dtype == np.uint8
    assert train.images.shape[1:] == (8, 8, 1)
    assert int(train.images.max()) == 255
    share = np.bincount(test.labels) / np.bincount(np.concatenate([train.labels, test.labels]))
    np.testing.assert_allclose(share, 450 / 1797, atol=0.01)
    scaled = train.images / 255
    np.testing.assert_allclose([scaled.mean(), scaled.std()], [*MEAN, *STD], atol=5e-5)
    # The key is what stored results are filed under: another split would be other data.
    assert test.key[:16] == "3ad3c1944d358351"
