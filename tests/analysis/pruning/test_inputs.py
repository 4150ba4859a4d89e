"""What layers read: forwards end early, and sums are those of the unfolded inputs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from analysis.data.dataset import batches
from analysis.errors import ArgumentError, InputError
from analysis.pruning import Prune, recipe_named
from analysis.pruning.cost import JobSize
from analysis.pruning.grams import gram_macs, grams_in_turn, in_portions
from analysis.pruning.inputs import Inputs, each_input, never_called
from analysis.pruning.macs import layer_macs
from analysis.pruning.readers import shared_readers
from tests.analysis.pruning.toys import ConvNet, context, noise, toy


class Counted(ConvNet):
    """Counts calls of its last layer's activation input."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        type(self).calls += 1
        return out


def test_a_forward_ends_where_the_last_layer_begins() -> None:
    model = toy(Counted)
    where, seen = context(model, noise(10, model), batch_size=4), []
    before = Counted.calls
    each_input(where, model.layers[:2], lambda la, _, x: seen.append((la.name, len(x))), "")
    assert seen == [(name, n) for n in (4, 4, 2) for name in ("conv1", "conv2")]
    assert Counted.calls == before + 1  # the one image that counts the calls
    assert not any(child._forward_pre_hooks for child in where.module.modules())


def test_inputs_are_those_of_a_whole_forward() -> None:
    model = toy(ConvNet)
    images = noise(6, model)
    where = context(model, images, batch_size=6)
    x = next(batches(images, model.architecture, 6))[0]
    whole: dict[str, Tensor] = {}
    handles = [
        where.module.get_submodule(name).register_forward_hook(
            lambda _, args, out, name=name: whole.update({name: args[0]})
        )
        for name in ("conv3", "fc")
    ]
    with torch.no_grad():
        where.module(x)
    for handle in handles:
        handle.remove()
    seen: dict[str, Tensor] = {}
    layers = [la for la in model.layers if la.name in whole]
    Inputs(where.module, layers, x[:1], lambda la, _, x: seen.update({la.name: x}))(x)
    assert all(torch.equal(seen[name], whole[name]) for name in whole)


class Twice(nn.Module):
    """Calls one layer twice and never calls another, as fused attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.fc = nn.Linear(8, 3)
        self.fused = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(self.inner(x.mean(dim=(1, 2))))
        return self.fc(F.linear(x, self.fused.weight))


def test_repeated_calls_are_all_seen_and_missing_ones_named() -> None:
    model = toy(Twice)
    where, seen = context(model, noise(3, model)), []
    each_input(where, model.layers[:1], lambda la, _, x: seen.append(len(x)), "")
    assert seen == [3, 3]
    assert "inputs of fused cannot be seen" in never_called(model)
    for name in ("wanda", "sparsegpt", "wanda-least-squares"):
        with pytest.raises(ArgumentError, match="inputs of fused cannot be seen"):
            Prune(model, recipe_named(name), 0.5, noise(3, model))()


def test_no_images_are_refused() -> None:
    model = toy(ConvNet)
    with pytest.raises(ArgumentError, match="holds no images"):
        each_input(context(model, noise(0, model)), model.layers, lambda *_: None, "")


@pytest.mark.parametrize("limit", [1, 1 << 30])
def test_grams_are_products_of_the_unfolded_inputs(limit: int) -> None:
    model = toy(ConvNet)
    images = noise(7, model)
    seen: dict[str, Tensor] = {}
    probe = context(model, images)
    x = next(batches(images, model.architecture, 7))[0]
    see = lambda la, _, x: seen.update({la.name: x})  # noqa: E731
    Inputs(probe.module, model.layers, x[:1], see)(x)
    found = {la.name: g for la, g in grams_in_turn(context(model, images, batch_size=3), limit)}
    assert list(found) == [layer.name for layer in model.layers]
    patches = F.unfold(seen["conv3"], 3, padding=1).transpose(1, 2).reshape(-1, 72).double()
    torch.testing.assert_close(
        found["conv3"][0].double(), patches.T @ patches, rtol=1e-4, atol=1e-3
    )
    depthwise = F.unfold(seen["conv2"], 3, stride=2, padding=1).reshape(7, 8, 9, -1).double()
    expected = torch.einsum("ngip,ngjp->gij", depthwise, depthwise)
    torch.testing.assert_close(found["conv2"].double(), expected, rtol=1e-4, atol=1e-3)
    rows = seen["fc"].double()
    torch.testing.assert_close(found["fc"][0].double(), rows.T @ rows, rtol=1e-5, atol=1e-5)


def test_layers_share_passes_up_to_the_limit() -> None:
    layers = toy(ConvNet).layers
    portions = in_portions(layers, [5, 5, 30, 1, 1], 10)
    assert [[la.name for la in part] for part in portions] == [
        ["conv1", "conv2"], ["conv3"], ["hidden", "fc"]
    ]  # fmt: skip


def test_unusable_inputs_are_the_models_fault() -> None:
    model = toy(ConvNet)
    weights = {k: v * 1e30 if v.ndim > 1 else v for k, v in model.weights.items()}
    with pytest.raises(InputError, match=r"inputs of .* are unusable"):
        Prune(replace(model, weights=weights), recipe_named("sparsegpt"), 0.5, noise(4, model))()


def test_multiply_adds_of_gram_matrices() -> None:
    """A linear layer over t tokens: t d² / 2; a convolution over its positions alike."""
    model = toy(ConvNet)
    macs = layer_macs(model.architecture, 3)
    job = JobSize(model.layers[2:3], macs, images=10, batch_size=5)
    assert gram_macs(job) == 10 * 16 * 72 * 72 / 2


class Branches(nn.Module):
    """A block's first convolution and its shortcut read the same tensor; so do q, k and v."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3)
        self.main = nn.Conv2d(8, 8, 1)
        self.short = nn.Conv2d(8, 8, 1)
        self.q, self.k = nn.Linear(8, 8), nn.Linear(8, 8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = (self.main(x) + self.short(x)).mean(dim=(2, 3))
        return self.fc(self.q(x) + self.k(x))


def test_readers_of_one_tensor_are_found() -> None:
    groups = shared_readers(context(toy(Branches)))
    assert [[layer.name for layer in group] for group in groups] == [
        ["stem"], ["main", "short"], ["q", "k"], ["fc"]
    ]  # fmt: skip
