from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from analysis.data.dataset import Dataset, batches
from analysis.errors import ArgumentError
from analysis.pruning.criteria.activation import (
    ActivationMagnitude,
    input_square_sums,
    per_weight,
    square_sums,
)
from analysis.pruning.criteria.gradients import loss_gradients
from analysis.pruning.criteria.magnitude import Magnitude
from analysis.pruning.criteria.random_scores import Random
from analysis.pruning.criteria.snip import Snip, sensitivities
from analysis.pruning.criteria.taylor import Taylor
from analysis.request import Step
from tests.analysis.pruning.toys import ConvNet, OneLinear, context, noise, row_images, toy

CONVOLUTIONS = [
    nn.Conv2d(3, 4, 3, padding=1),
    nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(2, 0), dilation=(1, 2)),
    nn.Conv2d(6, 4, 3, groups=2),
    nn.Conv2d(4, 4, 5, padding=2, groups=4, stride=2),
    nn.Conv2d(3, 2, 4, padding="same"),
    nn.Conv2d(3, 2, 3, padding="valid"),
    nn.Conv2d(3, 2, 3, padding=2, padding_mode="reflect"),
    nn.Conv2d(3, 2, 3, padding=(1, 2), padding_mode="circular"),
]


def test_magnitude_is_the_absolute_weight() -> None:
    model = toy(ConvNet)
    scores = Magnitude().scores(context(model))
    assert list(scores) == [layer.name for layer in model.layers]
    for layer in model.layers:
        assert torch.equal(scores[layer.name], model.weights[layer.parameter].abs())


def test_random_scores_depend_on_seed_and_name_only() -> None:
    model = toy(ConvNet)
    torch.manual_seed(1)
    first = Random().scores(context(model, seed=3))
    state = torch.random.get_rng_state()
    alone = Random().scores(replace(context(model, seed=3), layers=model.layers[2:3]))
    assert torch.equal(first["conv3"], alone["conv3"])
    assert not torch.equal(first["conv3"], Random().scores(context(model, seed=4))["conv3"])
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("conv", CONVOLUTIONS, ids=str)
def test_square_sums_are_those_of_the_unfolded_input(conv: nn.Conv2d) -> None:
    """The convolution as a matrix product tells which columns there are, whatever the padding."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, conv.in_channels, 9, 8, generator=generator, dtype=torch.float64)
    found = square_sums(conv, x)
    position = 0
    # A kernel that is one at one position reads exactly that column of the unfolded input.
    for channel in range(conv.in_channels):
        for ky, kx in np.ndindex(*conv.kernel_size):
            probe = nn.Conv2d(
                conv.in_channels, 1, conv.kernel_size, conv.stride, conv.padding, conv.dilation,
                bias=False, padding_mode=conv.padding_mode, dtype=torch.float64,
            )  # fmt: skip
            with torch.no_grad():
                probe.weight.zero_()[0, channel, ky, kx] = 1
                expected = probe(x).square().sum()
            torch.testing.assert_close(found[channel, ky, kx], expected, rtol=1e-12, atol=1e-12)
            position += 1
    assert found.numel() == position


def test_groups_read_their_own_columns() -> None:
    columns = torch.arange(6.0).reshape(6, 1, 1) + 1
    spread = per_weight(columns, torch.zeros(4, 3, 1, 1))
    assert spread[:, :, 0, 0].tolist() == [[1, 2, 3], [1, 2, 3], [4, 5, 6], [4, 5, 6]]


def test_wanda_scores_equal_their_definition() -> None:
    model = toy(ConvNet)
    images = noise(7, model)
    seen: dict[str, torch.Tensor] = {}
    module = model.module()
    for name in ("conv2", "conv3", "hidden"):
        module.get_submodule(name).register_forward_hook(
            lambda _, args, out, name=name: seen.update({name: args[0]})
        )
    x = next(batches(images, model.architecture, 7))[0]
    with torch.no_grad():
        module(x)
    scores = ActivationMagnitude().scores(context(model, images, batch_size=3))
    norms = F.unfold(seen["conv3"], 3, padding=1).double().square().sum(dim=(0, 2)).sqrt()
    weight = model.weights["conv3.weight"]
    expected = weight.abs() * norms.reshape(1, *weight.shape[1:]).float()
    torch.testing.assert_close(scores["conv3"], expected, rtol=1e-5, atol=0)
    norms = F.unfold(seen["conv2"], 3, stride=2, padding=1).double().square().sum((0, 2)).sqrt()
    expected = model.weights["conv2.weight"].abs() * norms.reshape(8, 1, 3, 3).float()
    torch.testing.assert_close(scores["conv2"], expected, rtol=1e-5, atol=0)
    expected = model.weights["hidden.weight"].abs() * seen["hidden"].norm(dim=0)
    torch.testing.assert_close(scores["hidden"], expected, rtol=1e-5, atol=0)


def test_wanda_with_unit_inputs_orders_like_magnitude() -> None:
    model = toy(OneLinear, classes=4, matrix=torch.eye(8, dtype=torch.float64))
    scores = ActivationMagnitude().scores(context(model, row_images(8)))["fc"]
    torch.testing.assert_close(scores, model.weights["fc.weight"].abs(), rtol=1e-15, atol=0)


def test_token_inputs_are_summed_over_positions() -> None:
    x = torch.arange(24.0).reshape(2, 3, 4)
    found = square_sums(nn.Linear(4, 2), x)
    assert found.tolist() == x.reshape(6, 4).square().sum(dim=0).tolist()


class Bypass(nn.Module):
    """Uses a layer's weight without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x.flatten(1), self.fc.weight)


def test_layers_that_are_never_called_are_named() -> None:
    model = toy(Bypass)
    with pytest.raises(ArgumentError, match="inputs of fc, unused"):
        ActivationMagnitude().scores(context(model, noise(2, model)))
    with pytest.raises(ArgumentError, match="unused takes no part"):
        Snip().scores(context(model, noise(2, model)))


def test_hooks_are_gone_afterwards() -> None:
    where = context(toy(ConvNet), noise(2, toy(ConvNet)))
    input_square_sums(where)
    assert not any(child._forward_pre_hooks for child in where.module.modules())


def softmax_regression() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """W (3,5), X (7,5), labels and the per-image gradients (p - y) xᵀ of cross-entropy."""
    rng = np.random.default_rng(5)
    weight, inputs, labels = rng.normal(size=(3, 5)), rng.normal(size=(7, 5)), np.arange(7) % 3
    logits = inputs @ weight.T
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return weight, inputs, labels, np.einsum("no,ni->noi", p - np.eye(3)[labels], inputs)


def test_snip_equals_its_closed_form_for_any_batch_size() -> None:
    weight, inputs, labels, gradients = softmax_regression()
    raw = np.abs(weight * gradients.mean(axis=0))
    model = toy(
        lambda: OneLinear(3, 5),
        state={"fc.weight": torch.from_numpy(weight)},
        matrix=torch.from_numpy(inputs),
    )
    for batch in (1, 2, 3, 100):
        scores = Snip().scores(context(model, row_images(7, labels), batch_size=batch))["fc"]
        np.testing.assert_allclose(scores.numpy(), raw / raw.sum(), rtol=1e-12)


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_taylor_adds_squares_over_its_own_batches(batch: int) -> None:
    weight, inputs, labels, gradients = softmax_regression()
    parts = [gradients[i : i + batch].mean(axis=0) for i in range(0, 7, batch)]
    expected = sum((weight * g) ** 2 for g in parts)
    model = toy(
        lambda: OneLinear(3, 5),
        state={"fc.weight": torch.from_numpy(weight)},
        matrix=torch.from_numpy(inputs),
    )
    where = context(model, row_images(7, labels), batch_size=2)
    scores = Taylor(batch=batch).scores(where)["fc"]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-12)


def test_linear_toy_of_the_reference() -> None:
    """L = ½ (w·x - y)² with x = (1, 2), y = 1, w = (2, -1): g = (-1, -2)."""
    w, g = torch.tensor([2.0, -1.0]), torch.tensor([-1.0, -2.0])
    assert sensitivities({"l": w}, {"l": g})["l"].tolist() == [0.5, 0.5]
    assert (w * g).square().tolist() == [4.0, 4.0]


def test_snip_adds_up_to_one_over_all_layers() -> None:
    model = toy(ConvNet)
    scores = Snip().scores(context(model, noise(9, model)))
    total = sum(float(value.double().sum()) for value in scores.values())
    assert total == pytest.approx(1, abs=1e-5)


def test_gradients_work_without_ambient_grad_and_report() -> None:
    model, steps = toy(ConvNet), []
    with torch.no_grad():
        where = context(model, noise(5, model), report=steps.append)
        batch_sizes = [count for count, _ in loss_gradients(where, 2)]
    assert batch_sizes == [2, 2, 1]
    assert [(s.done, s.total) for s in steps if isinstance(s, Step)] == [(2, 5), (4, 5), (5, 5)]
    assert not any(tensor.requires_grad for tensor in model.weights.values())


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_that_are_no_classes_are_refused(label: int) -> None:
    model = toy(ConvNet)
    images = noise(4, model)
    bad = Dataset("bad", images.images, np.full(4, label), images.classes)
    with pytest.raises(ArgumentError, match="3 classes"):
        Taylor().scores(context(model, bad))


def test_missing_labels_are_refused() -> None:
    model = toy(ConvNet)
    images = noise(4, model)
    bare = Dataset("bare", images.images, np.zeros(0, dtype=np.int64), images.classes)
    with pytest.raises(ArgumentError, match="no labels"):
        Snip().scores(context(model, bare))
