from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from analysis.data.dataset import batches
from analysis.errors import ArgumentError
from analysis.pruning import Prune, pruned_model, recipe_named
from analysis.pruning.recoveries.batchnorm import BatchNormRecalibration
from tests.analysis.pruning.toys import ConvNet, OneLinear, context, golden_model, noise, toy


def test_statistics_equal_those_of_the_images() -> None:
    """bn1 reads conv1's output: mean and unbiased variance a batch, averaged over batches."""
    model = toy(ConvNet)
    images = noise(10, model)
    found = BatchNormRecalibration(batch=5).repair(context(model, images)).updates
    conv = model.module().get_submodule("conv1")
    means, variances = [], []
    for x, _ in batches(images, model.architecture, 5):
        with torch.no_grad():
            out = conv(x).double().transpose(0, 1).flatten(1)
        means.append(out.mean(dim=1))
        variances.append(out.var(dim=1))
    expected = torch.stack(means).mean(dim=0), torch.stack(variances).mean(dim=0)
    torch.testing.assert_close(
        found["bn1.running_mean"].double(), expected[0], atol=1e-6, rtol=1e-5
    )
    torch.testing.assert_close(
        found["bn1.running_var"].double(), expected[1], atol=1e-6, rtol=1e-5
    )
    assert int(found["bn1.num_batches_tracked"]) == 2


def test_only_buffers_of_norms_change_and_the_dense_model_none() -> None:
    model = toy(ConvNet)
    before = {name: tensor.clone() for name, tensor in model.weights.items()}
    request = Prune(
        model, recipe_named("random", {"recovery": "bn-recalibration"}), 0.5, noise(9, model)
    )
    pruned = request()
    assert set(pruned.updates) == {
        f"{norm}.{buffer}"
        for norm in ("bn1", "bn3")
        for buffer in ("running_mean", "running_var", "num_batches_tracked")
    }
    after = pruned_model(model, pruned, request)
    assert not torch.equal(after.weight("bn3.running_mean"), before["bn3.running_mean"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.weights.items())


def test_last_batch_is_never_a_single_image() -> None:
    """A channel of one value has no variance: five images in batches of four are 5, not 4 + 1."""
    model = toy(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.BatchNorm1d(3)))
    found = BatchNormRecalibration(batch=4).repair(context(model, noise(5, model)))
    assert int(found.updates["2.num_batches_tracked"]) == 1


def test_one_image_is_too_few() -> None:
    model = toy(ConvNet)
    with pytest.raises(ArgumentError, match="at least two"):
        BatchNormRecalibration().repair(context(model, noise(1, model)))


def test_a_network_without_norms_is_noted() -> None:
    model = golden_model()
    request = Prune(
        model,
        recipe_named("global-magnitude", {"recovery": "bn-recalibration"}),
        0.5,
        noise(3, toy(lambda: OneLinear())),
    )
    pruned = request()
    assert pruned.updates == {}
    assert pruned.audit.notes == ("there is no BatchNorm layer: nothing was recalibrated",)


def test_statistics_do_not_depend_on_compute_batches() -> None:
    model = toy(ConvNet)
    images = noise(10, model)
    one = BatchNormRecalibration().repair(context(model, images, batch_size=1)).updates
    many = BatchNormRecalibration().repair(context(model, images, batch_size=100)).updates
    for name, tensor in one.items():
        np.testing.assert_array_equal(tensor.numpy(), many[name].numpy())
