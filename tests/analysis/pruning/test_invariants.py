"""Invariants that hold for every implementation of the published methods."""

from __future__ import annotations

import pytest
import torch

from analysis.pruning import PRESETS, Prune, pruned_model, recipe_named
from analysis.pruning.criteria.lamp import Lamp
from kernels.fisher import fisher_inverse
from tests.analysis.pruning.toys import ConvNet, OneLinear, context, noise, row_images, toy

MODEL = toy(ConvNet)
AGAIN = ["global-magnitude", "uniform-magnitude", "lamp", "wanda", "sparsegpt", "snip", "obert"]


def test_wanda_with_identity_inputs_is_magnitude_in_every_row() -> None:
    model = toy(lambda: OneLinear(6, 8), classes=6, matrix=torch.eye(8, dtype=torch.float64))
    masks = []
    for name, settings in (("wanda", {}), ("wanda", {"criterion": "magnitude"})):
        request = Prune(model, recipe_named(name, settings), 0.5, row_images(8))
        masks.append(request().masks["fc.weight"].keep())
    assert torch.equal(*masks)
    weight = model.weights["fc.weight"]
    smallest = weight.abs().argsort(dim=1, stable=True)[:, :4]
    assert not bool(masks[0].gather(1, smallest).any())


@pytest.mark.parametrize("name", AGAIN)
def test_pruning_again_to_the_same_sparsity_changes_no_mask(name: str) -> None:
    request = Prune(MODEL, PRESETS[name].recipe, 0.5, noise(12, MODEL))
    once = pruned_model(MODEL, request(), request)
    again = Prune(once, PRESETS[name].recipe, 0.5, noise(12, MODEL))()
    assert again.masks.keys() == once.masks.keys()
    assert all(torch.equal(again.masks[k].keep(), once.masks[k].keep()) for k in once.masks)


def test_the_fisher_of_one_gradient_is_the_rank_one_formula() -> None:
    gradient = torch.tensor([[1.0, -2.0, 0.5, 3.0]], dtype=torch.float64)
    found = fisher_inverse(gradient, 4, 0.1)[0]
    g = gradient[0]
    identity = torch.eye(4, dtype=torch.float64)
    expected = identity / 0.1 - torch.outer(g, g) / 0.01 / (1 + float(g @ g) / 0.1)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_lamp_scores_do_not_depend_on_the_scale_of_a_layer() -> None:
    scaled = toy(ConvNet, state={k: 7 * v for k, v in MODEL.weights.items()})
    one, two = (Lamp().scores(context(m)) for m in (MODEL, scaled))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-5, atol=1e-9)
