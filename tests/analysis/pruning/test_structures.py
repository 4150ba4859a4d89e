from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning import PRESETS, Prune, Pruned, Recipe, pruned_model, recipe_named
from analysis.pruning.following import following_norms
from analysis.pruning.structures.nm import NM
from tests.analysis.pruning.toys import ConvNet, context, noise, toy


def run(model: Model, recipe: Recipe, sparsity: float | None) -> tuple[Model, Pruned]:
    request = Prune(model, recipe, sparsity)
    pruned = request()
    return pruned_model(model, pruned, request), pruned


def outputs(model: Model, names: list[str]) -> dict[str, Tensor]:
    module, found = model.module(), {}
    for name in names:
        module.get_submodule(name).register_forward_hook(
            lambda _, args, out, name=name: found.update({name: out})
        )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        module(torch.randn(4, *model.architecture.input_shape, generator=generator))
    return found


def trained_looking(model: Model) -> Model:
    """BatchNorm scales, shifts and statistics away from their initial values."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.weights.items():
        if tensor.dtype == torch.float32 and ("bn" in name or name.endswith("bias")):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model


@pytest.mark.parametrize("score", ["sum", "mean", "l2"])
def test_removed_filters_put_out_exactly_zero(score: str) -> None:
    model = trained_looking(toy(ConvNet))
    recipe = recipe_named("filter-l1", {"structure.score": score})
    after, pruned = run(model, recipe, 0.5)
    assert (pruned.audit.unit, pruned.audit.asked, pruned.audit.got) == ("filters", 14, 14)
    reads = {"conv1": "bn1", "conv2": "conv2", "conv3": "bn3"}
    found = outputs(after, list(reads.values()))
    gone_in_all = 0
    for conv, reader in reads.items():
        gone = (after.weight(f"{conv}.weight").flatten(1) == 0).all(dim=1)
        gone_in_all += int(gone.sum())
        assert torch.count_nonzero(found[reader][:, gone]) == 0
        assert torch.count_nonzero(found[reader][:, ~gone]) > 0
    assert gone_in_all == 14
    assert not any(name.startswith(("fc", "hidden")) for name in after.masks)


def test_filters_go_by_their_l1_norm() -> None:
    model = toy(ConvNet)
    after, _ = run(model, PRESETS["filter-l1"].recipe, 0.5)
    norms = model.weights["conv3.weight"].abs().sum(dim=(1, 2, 3))
    gone = (after.weight("conv3.weight").flatten(1) == 0).all(dim=1)
    assert int(gone.sum()) == 6
    assert norms[gone].max() < norms[~gone].min()


def test_hidden_neurons_go_when_asked_but_never_classes() -> None:
    model = trained_looking(toy(ConvNet))
    recipe = recipe_named("filter-l1", {"structure.layers": "convolutions and hidden linear"})
    after, pruned = run(model, recipe, 0.5)
    asked = {row.name: row.asked for row in pruned.audit.layers}
    assert asked == {"conv1": 4, "conv2": 4, "conv3": 6, "hidden": 5, "fc": 0}
    found = outputs(after, ["hidden"])["hidden"]
    assert int((found == 0).all(dim=0).sum()) == 5


def test_a_network_without_filters_is_refused() -> None:
    model = toy(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), classifier="1")
    with pytest.raises(ArgumentError, match="no layer whose filters"):
        run(model, PRESETS["filter-l1"].recipe, 0.5)


class PreActivation(nn.Module):
    """Norms stand before convolutions, and in another order than they are used in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.late = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.early = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(torch.relu(self.early(self.conv1(x))))
        return self.fc(torch.relu(self.late(x)).mean(dim=(2, 3)))


def test_norms_are_found_by_what_they_read() -> None:
    assert following_norms(context(toy(ConvNet))) == {"conv1": "bn1", "conv3": "bn3"}
    assert following_norms(context(toy(PreActivation))) == {"conv1": "early", "conv2": "late"}


def test_two_of_four_along_the_inputs_of_each_kernel_position() -> None:
    model = toy(ConvNet)
    after, pruned = run(model, PRESETS["nm-magnitude"].recipe, None)
    groups = (after.weight("conv3.weight") != 0).movedim(1, -1).reshape(-1, 4)
    assert set(groups.sum(dim=1).tolist()) == {2}
    rows = {row.name: row for row in pruned.audit.layers}
    assert {name: row.zeros for name, row in rows.items()} == {
        "conv1": 0, "conv2": 0, "conv3": 12 * 8 * 9 // 2, "hidden": 60, "fc": 3 * 4
    }  # fmt: skip
    assert pruned.audit.notes == (
        "conv1: 1 inputs make no group of 4; it stays dense",
        "conv2: 1 inputs make no group of 4; it stays dense",
        "fc: the last 2 of 10 inputs make no group of 4; they stay dense",
    )


def test_a_sparsity_beside_the_pattern_is_explained() -> None:
    recipe = recipe_named("nm-magnitude", {"structure.n": "1"})
    assert NM(n=1, m=4).resolve(0.75) == 0.75
    with pytest.raises(ArgumentError, match=r"1:4 keeps 1 of every 4 .* 0\.75, not 0\.5"):
        run(toy(ConvNet), recipe, 0.5)


def test_other_structures_need_a_sparsity() -> None:
    with pytest.raises(ArgumentError, match="needs a sparsity"):
        run(toy(ConvNet), PRESETS["global-magnitude"].recipe, None)


def test_a_pattern_on_a_pruned_model_keeps_its_zeros() -> None:
    model = toy(ConvNet)
    half, _ = run(model, PRESETS["global-magnitude"].recipe, 0.5)
    both, pruned = run(half, PRESETS["nm-magnitude"].recipe, None)
    for name, mask in half.masks.items():
        assert not bool((both.masks[name].keep() & ~mask.keep()).any())
    kept = both.masks["conv3.weight"].keep().movedim(1, -1).reshape(-1, 4).sum(dim=1)
    assert kept.max() <= 2
    assert pruned.audit.got == sum(row.removed for row in pruned.audit.layers)


def test_filters_of_a_sparse_model() -> None:
    """Single zeros of an earlier pruning do not make a filter count as removed."""
    model = toy(ConvNet)
    sparse, _ = run(model, PRESETS["uniform-magnitude"].recipe, 0.5)
    after, pruned = run(sparse, PRESETS["filter-l1"].recipe, 0.25)
    assert (pruned.audit.asked, pruned.audit.got) == (7, 7)
    assert after.sparsity > sparse.sparsity


def test_images_are_not_needed_for_noise_free_structures() -> None:
    model = toy(ConvNet)
    with_images = Prune(model, PRESETS["filter-l1"].recipe, 0.5, noise(3, model))
    assert with_images.key == Prune(model, PRESETS["filter-l1"].recipe, 0.5).key
