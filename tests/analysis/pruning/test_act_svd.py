from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.pruning import Prune, Recipe, pruned_model
from analysis.pruning.low_rank import numerical_ranks
from analysis.pruning.structures.act_svd import project
from tests.analysis.pruning.toys import ConvNet, golden, golden_model, noise, row_images, toy


def act_svd(remove: str = "weakest") -> Recipe:
    return Recipe.from_json(
        {
            "criterion": "magnitude",
            "structure": {"name": "act-svd", "remove": remove},
            "allocation": "uniform",
        }
    )


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("remove", ["weakest", "strongest"])
def test_the_outputs_lose_exactly_the_energy_of_what_goes(count: int, remove: str) -> None:
    weight, inputs = golden()
    request = Prune(golden_model(), act_svd(remove), count / 4, row_images(12))
    after = pruned_model(golden_model(), request(), request).weight("fc.weight").numpy()
    lost = ((inputs @ (after - weight).T) ** 2).sum()
    energies = np.linalg.svd(inputs @ weight.T, compute_uv=False) ** 2
    gone = energies[-count:] if remove == "weakest" else energies[:count]
    assert lost == pytest.approx(gone.sum(), rel=1e-9)
    assert np.linalg.matrix_rank(after) == 4 - count


def test_unused_inputs_do_not_confuse_the_ranks() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 5, generator=generator)
    inputs = torch.randn(20, 5, generator=generator, dtype=torch.float64)
    inputs[:, :3] = 0  # three inputs are never used: only two output directions have energy
    for count in range(1, 5):
        for weakest in (True, False):
            after = project(weight, inputs.T @ inputs, count, weakest)
            assert int(numerical_ranks(after, "NC")) == 5 - count


@pytest.mark.parametrize("demo", ["demo:resnet", "demo:vit"])
@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.8])
def test_the_audit_finds_the_ranks_that_were_asked_for(demo: str, sparsity: float) -> None:
    model = open_model(demo)[0]
    found = Prune(model, act_svd(), sparsity, open_data("digits").calibration)().audit
    ranks = sum(
        int(numerical_ranks(model.weight(la.parameter), "NC").sum()) for la in model.layers
    )
    assert found.got == found.asked == int(sparsity * ranks + 0.5)


def test_layers_with_groups_stay_whole_and_are_named() -> None:
    model = toy(ConvNet)
    found = Prune(model, act_svd(), 0.5, noise(8, model))()
    assert "conv2: layers with groups stay whole" in found.audit.notes
    assert "conv2.weight" not in found.updates
