"""Criteria that look at what layers put out: activation norms and HRank."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.checkpoints import open_model
from analysis.data.dataset import Dataset, batches
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning import PRESETS, Prune
from analysis.pruning.cost import JobSize
from analysis.pruning.criteria.activation_norm import ActivationNorm
from analysis.pruning.criteria.hrank import HRank, ranks
from analysis.pruning.macs import layer_macs
from analysis.request import Step
from tests.analysis.pruning.test_filter_criteria import trained_looking
from tests.analysis.pruning.toys import context, noise, toy

MODEL = trained_looking()
IMAGES = noise(7, MODEL)


def outputs(model: Model, images: Dataset, names: list[str]) -> dict[str, np.ndarray]:
    """What the named modules put out, in float64, all images at once."""
    module, found = model.module(), {}
    for name in names:
        module.get_submodule(name).register_forward_hook(
            lambda _, args, out, name=name: found.update({name: out.double().numpy()})
        )
    with torch.no_grad():
        module(next(batches(images, model.architecture, len(images)))[0])
    return found


@pytest.mark.parametrize("batch_size", [3, 100])
def test_norms_are_taken_behind_batchnorm_and_before_relu(batch_size: int) -> None:
    where = context(MODEL, IMAGES, batch_size=batch_size)
    reads = {"conv1": "bn1", "conv2": "conv2", "conv3": "bn3"}
    seen = outputs(MODEL, IMAGES, [*reads.values(), "hidden"])
    found = {
        measure: ActivationNorm(measure=measure).scores(where)
        for measure in ("l2 of means", "mean", "positive")
    }
    for layer, reader in reads.items():
        maps = seen[reader]
        means = np.abs(maps).mean(axis=(2, 3))
        expected = np.sqrt((means**2).sum(axis=0))
        np.testing.assert_allclose(found["l2 of means"][layer], expected, rtol=1e-5)
        np.testing.assert_allclose(found["mean"][layer], means.mean(axis=0), rtol=1e-5)
        share = np.maximum(maps, 0).astype(bool).mean(axis=(0, 2, 3))  # 1 - APoZ behind the ReLU
        np.testing.assert_allclose(found["positive"][layer], share, rtol=1e-12)
    expected = np.abs(seen["hidden"]).mean(axis=0)
    np.testing.assert_allclose(found["mean"]["hidden"], expected, rtol=1e-5)


class Tokens(nn.Module):
    """A linear layer that is called on tokens, twice, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.fc, self.idle = nn.Linear(8, 8), nn.Linear(8, 3), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.mix(torch.relu(self.mix(x.squeeze(1)))).mean(dim=1))


def test_tokens_are_positions_and_calls_add_up() -> None:
    model = toy(Tokens)
    images = noise(4, model)
    module = model.module()
    found = ActivationNorm(measure="mean").scores(context(model, images))
    x = next(batches(images, model.architecture, 4))[0].squeeze(1)
    with torch.no_grad():
        one = module.mix(x)
        two = module.mix(torch.relu(one))
    expected = torch.stack([one, two]).abs().mean(dim=(0, 1, 2))
    np.testing.assert_allclose(found["mix"], expected, rtol=1e-5)
    assert set(found) == {"mix", "fc"}


def test_rank_is_numpys_of_every_map() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 4, 6, 5, generator=generator).relu()
    maps[0, 1] = 0
    maps[1, 2] = torch.outer(maps[1, 2, :, 0], maps[1, 2, 0])
    expected = [[np.linalg.matrix_rank(m) for m in image] for image in maps.numpy()]
    assert ranks(maps).tolist() == expected
    assert ranks(maps)[0, 1] == 0
    assert ranks(maps)[1, 2] <= 1
    maps[2, 3, 0, 0] = torch.inf
    assert bool(ranks(maps)[2, 3].isnan())


def test_mean_ranks_of_the_first_images_behind_the_relu() -> None:
    found = HRank(images=5).scores(context(MODEL, IMAGES, batch_size=2))
    seen = outputs(MODEL, IMAGES.subset(np.arange(5)), ["bn1", "conv2", "bn3"])
    assert set(found) == {"conv1", "conv2", "conv3"}
    for layer, reader in {"conv1": "bn1", "conv2": "conv2", "conv3": "bn3"}.items():
        maps = np.maximum(seen[reader], 0).astype(np.float32)
        expected = [[np.linalg.matrix_rank(m) for m in image] for image in maps]
        np.testing.assert_allclose(found[layer], np.mean(expected, axis=0), rtol=1e-6)


class Shrinking(nn.Module):
    """The maps of the second convolution are 1×1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, stride=2), nn.Conv2d(4, 6, 3)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv2(torch.relu(self.conv1(x))).flatten(1))


def test_points_have_no_rank_to_go_by() -> None:
    model = toy(Shrinking)
    images = noise(3, model)
    assert set(HRank().scores(context(model, images))) == {"conv1"}
    pruned = Prune(model, PRESETS["hrank"].recipe, 0.2, images)()
    asked = {row.name: row.asked for row in pruned.audit.layers}
    assert asked == {"conv1": 2, "conv2": 0, "fc": 0}
    assert pruned.audit.notes[0].startswith("conv2: the criterion gives its filters no score")
    with pytest.raises(ArgumentError, match="no convolution with maps"):
        HRank().scores(replace(context(model, images), layers=model.layers[1:2]))


def test_networks_without_maps_are_told_so() -> None:
    model = toy(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), classifier="1")
    assert "no convolution with maps" in HRank().inapplicable(model)
    assert HRank().inapplicable(MODEL) == ""
    assert HRank().inapplicable(open_model("demo:vit")[0]) == ""


@pytest.mark.parametrize("criterion", [ActivationNorm(), HRank(images=4)])
def test_progress_is_told_and_hooks_are_gone(criterion: ActivationNorm | HRank) -> None:
    steps: list[Step] = []
    where = context(MODEL, IMAGES, batch_size=2, report=steps.append)
    criterion.scores(where)
    assert len(steps) >= 2
    assert steps[-1].done == steps[-1].total
    assert not any(child._forward_hooks for child in where.module.modules())


def test_cost_counts_the_images_that_are_looked_at() -> None:
    job = JobSize(MODEL.layers, layer_macs(MODEL.architecture, 3), images=256, batch_size=100)
    assert ActivationNorm().cost(job).forward == 256
    cost = HRank(images=64).cost(job)
    assert cost.forward == 64
    # conv1 puts out 8 maps of 64 pixels, conv2 8 and conv3 12 of 16.
    assert cost.macs == pytest.approx(64 * 2000 * (8 * 64 + 8 * 16 + 12 * 16))


def test_activations_too_large_are_named() -> None:
    weights = {k: v * 1e30 if v.ndim > 1 else v for k, v in MODEL.weights.items()}
    huge = replace(MODEL, weights=weights)
    found = HRank().scores(context(huge, IMAGES))
    assert bool(found["conv3"].isnan().all())
