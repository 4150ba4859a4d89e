from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from analysis.checkpoints import open_model
from analysis.errors import ArgumentError
from analysis.pruning import PRESETS, Prune
from analysis.pruning.criteria.synflow import SynFlow
from analysis.request import Step
from tests.analysis.pruning.toys import ConvNet, context, toy

FIRST = torch.tensor([[1.0, -2], [3, 4]])
SECOND = torch.tensor([[-1.0, 0.5]])


class TwoLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, 2, bias=False)
        self.fc = nn.Linear(2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.hidden(x.flatten(1))))


class Unused(TwoLinear):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 2)


def test_two_layers_of_the_reference() -> None:
    """R = 6.5; scores [[1, 2], [1.5, 2]] and [[3, 3.5]]: each layer adds up to R."""
    state = {"hidden.weight": FIRST, "fc.weight": SECOND}
    model = toy(TwoLinear, input_shape=(1, 1, 2), classes=1, state=state)
    scores = SynFlow().scores(context(model))
    assert scores["hidden"].tolist() == [[1, 2], [1.5, 2]]
    assert scores["fc"].tolist() == [[3, 3.5]]


def trained() -> Tensor:
    """A network with shifts everywhere, as training leaves them."""
    model = toy(ConvNet)
    generator = torch.Generator().manual_seed(3)
    state = dict(model.weights)
    for name, tensor in state.items():
        if "bn" in name and tensor.ndim == 1:
            state[name] = torch.rand(tensor.shape, generator=generator) + 0.1
    return replace(model, weights=state)


def test_every_layer_of_a_chain_passes_the_whole_flow() -> None:
    model = trained()
    scores = SynFlow().scores(context(model))
    sums = torch.stack([value.sum() for value in scores.values()])
    torch.testing.assert_close(sums, sums[:1].expand_as(sums), rtol=1e-12, atol=0)
    assert all(value.dtype == torch.float64 for value in scores.values())


def test_the_flow_is_that_of_absolute_weights_and_gains() -> None:
    """By hand: ones through |w|, γ / √(σ² + ε) and means, no shift."""
    model = trained()
    weight = {name: tensor.double().abs() for name, tensor in model.weights.items()}

    def gain(norm: str) -> Tensor:
        scale = weight[f"{norm}.weight"] / (weight[f"{norm}.running_var"] + 1e-5).sqrt()
        return scale.reshape(1, -1, 1, 1)

    x = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    conv = nn.functional.conv2d
    x = conv(x, weight["conv1.weight"], padding=1) * gain("bn1")
    x = conv(x, weight["conv2.weight"], stride=2, padding=1, groups=8)
    x = conv(x, weight["conv3.weight"], padding=1) * gain("bn3")
    x = x.mean(dim=(2, 3)) @ weight["hidden.weight"].T @ weight["fc.weight"].T
    scores = SynFlow().scores(context(model))
    torch.testing.assert_close(scores["fc"].sum(), x.sum(), rtol=1e-12, atol=0)


def test_absolute_shifts_add_to_the_flow_of_later_layers() -> None:
    model = trained()
    plain = SynFlow().scores(context(model))
    shifted = SynFlow(shifts="absolute").scores(context(model))
    assert float(shifted["fc"].sum()) != pytest.approx(float(plain["fc"].sum()))


def test_the_model_is_left_alone_and_needs_no_images() -> None:
    model, steps = trained(), []
    before = {name: tensor.clone() for name, tensor in model.weights.items()}
    where = context(model, report=steps.append)
    SynFlow().scores(where)
    assert all(torch.equal(model.weights[name], tensor) for name, tensor in before.items())
    assert not any(child._forward_hooks for child in where.module.modules())
    assert not any(p.requires_grad for p in model.weights.values())
    assert steps == [Step(1, 1, "flow")]
    assert PRESETS["synflow"].recipe.needs == frozenset()


def test_layers_without_flow_are_named() -> None:
    model = toy(Unused, input_shape=(1, 1, 2), classes=1)
    with pytest.raises(ArgumentError, match="spare takes no part"):
        SynFlow().scores(context(model))


def test_transformers_can_be_pruned_though_queries_score_low() -> None:
    model = open_model("demo:vit")[0]
    scores = SynFlow().scores(context(model))["blocks.0.attn.qkv"]
    assert bool(torch.isfinite(scores).all())
    query, _, value = scores.sum(dim=1).reshape(3, -1).sum(dim=1)
    assert query < value
    found = Prune(model, PRESETS["synflow"].recipe, 0.3)().audit
    assert found.got == found.asked
