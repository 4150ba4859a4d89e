from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from analysis.data.dataset import Dataset, batches
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning import PRESETS, Prune
from analysis.pruning.criteria.taylor_gate import TaylorGate
from tests.analysis.pruning.toys import ConvNet, OneLinear, context, noise, row_images, toy

MODEL = toy(ConvNet)
IMAGES = noise(10, MODEL)


def by_differences(model: Model, images: Dataset, name: str) -> float:
    """Σ_b (loss's change per relative change of channel 2)², by central differences in float64."""
    module = model.module().double()
    step, total = 1e-4, 0.0
    factor = torch.ones(model.module().get_submodule(name).weight.shape[0], dtype=torch.float64)

    def gate(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output * (factor.reshape(-1, 1, 1) if output.ndim == 4 else factor)

    module.get_submodule(name).register_forward_hook(gate)
    with torch.no_grad():
        for x, labels in batches(images, model.architecture, 4):
            found = []
            for sign in (1, -1):
                factor[2] = 1 + sign * step
                found.append(float(F.cross_entropy(module(x.double()), labels)))
            total += ((found[0] - found[1]) / (2 * step)) ** 2
    return total


@pytest.mark.parametrize("name", ["conv1", "conv2", "hidden"])
def test_output_gates_are_derivatives_of_the_loss(name: str) -> None:
    scores = TaylorGate(gate="output", batch=4).scores(context(MODEL, IMAGES))[name]
    assert scores.shape == (MODEL.weights[f"{name}.weight"].shape[0],)
    expected = by_differences(MODEL, IMAGES, name)
    assert float(scores[2]) == pytest.approx(expected, rel=1e-3)


def test_a_batch_norm_gate_leaves_its_shift_alone() -> None:
    """With β = 0 scaling γ is scaling the BatchNorm's output, which differences can do."""
    assert not bool(MODEL.weights["bn1.bias"].any())
    scores = TaylorGate(batch=4).scores(context(MODEL, IMAGES))
    assert float(scores["conv1"][2]) == pytest.approx(
        by_differences(MODEL, IMAGES, "bn1"), rel=1e-3
    )
    output = TaylorGate(gate="output", batch=4).scores(context(MODEL, IMAGES))
    assert torch.equal(scores["conv2"], output["conv2"])  # nothing follows it
    assert list(scores) == [layer.name for layer in MODEL.layers]


def test_a_linear_layer_equals_its_closed_form() -> None:
    """a = W x; ∂L/∂gate_o = mean over the batch of a_o (p - y)_o."""
    rng = np.random.default_rng(1)
    weight, inputs, labels = rng.normal(size=(3, 5)), rng.normal(size=(7, 5)), np.arange(7) % 3
    a = inputs @ weight.T
    p = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
    gates = a * (p - np.eye(3)[labels])
    expected = sum(gates[i : i + 3].mean(axis=0) ** 2 for i in range(0, 7, 3))
    model = toy(
        lambda: OneLinear(3, 5),
        state={"fc.weight": torch.from_numpy(weight)},
        matrix=torch.from_numpy(inputs),
    )
    scores = TaylorGate(gate="output", batch=3).scores(context(model, row_images(7, labels)))["fc"]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-12)


def test_gates_are_gone_afterwards() -> None:
    where = context(MODEL, IMAGES)
    TaylorGate(gate="output").scores(where)
    assert not any(child._forward_hooks for child in where.module.modules())
    assert not any(tensor.requires_grad for tensor in MODEL.weights.values())


class Unused(ConvNet):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 2)


def test_layers_without_gradient_are_named() -> None:
    model = toy(Unused)
    with pytest.raises(ArgumentError, match="spare takes no part"):
        TaylorGate().scores(context(model, IMAGES))


def test_the_preset_removes_whole_filters() -> None:
    found = Prune(MODEL, PRESETS["taylor-gate"].recipe, 0.5, IMAGES)()
    assert found.audit.got == 14  # of 8 + 8 + 12
    for name, mask in found.masks.items():
        rows = mask.keep().flatten(1)
        assert bool((rows.all(dim=1) | ~rows.any(dim=1)).all()), name
