"""Every recipe on both demo models: it holds what was asked for, or says why it does not apply."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.data.dataset import Data
from analysis.errors import ArgumentError
from analysis.evaluate import Evaluate
from analysis.models import Model
from analysis.pruning import PRESETS, Prune, pruned_model, recipe_named
from analysis.pruning.counting import exact_count

DEMOS = ("demo:resnet", "demo:vit")
INAPPLICABLE = {
    "demo:resnet": {"neuron-l1", "neuron-taylor", "head-l1", "head-taylor"},
    "demo:vit": {"slimming", "channel-l1", "channel-l2", "channel-taylor", "depth-dp"},
}
"""No hidden neurons or heads; no BatchNorm, coupled channels or runs of convolutions."""
SHORTER = {
    "swap": {"criterion.rows": "8", "schedule.rounds": "2"},
    "swap-lr": {"criterion.rows": "8", "schedule.rounds": "2"},
    "synflow": {"schedule.rounds": "10"},
}
"""Fewer rounds than published, where a round more shows nothing new."""
MEASURED = {"depth-dp"}
"""What can be saved depends on the machine: it may be nothing."""


@pytest.fixture(scope="module")
def data() -> Data:
    return open_data("digits", calibration_size=32, limit=60)


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: open_model(name)[0] for name in DEMOS}


def companion(model: Model) -> Model:
    """The same network a little away: a base that this one was fine-tuned from."""
    generator = torch.Generator().manual_seed(7)
    weights = {
        name: tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
        if tensor.is_floating_point() and tensor.ndim > 1
        else tensor
        for name, tensor in model.weights.items()
    }
    return replace(model, name="base", key="companion", weights=weights)


def request(name: str, model: Model, data: Data) -> Prune:
    structure = PRESETS[name].recipe.structure
    try:
        structure.resolve(None)
        sparsity = None
    except ArgumentError:
        sparsity = 0.3
    return Prune(
        model,
        recipe_named(name, SHORTER.get(name)),
        sparsity,
        data.calibration,
        companions=(companion(model),),
        contrast=data.evaluation,
    )


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("demo", DEMOS)
def test_recipe_on_a_demo_model(
    name: str, demo: str, models: dict[str, Model], data: Data
) -> None:
    model, recipe = models[demo], PRESETS[name].recipe
    reason = recipe.inapplicable(model)
    assert bool(reason) == (name in INAPPLICABLE[demo]), reason
    job = request(name, model, data)
    if reason:
        with pytest.raises(ArgumentError, match="choose another recipe or model"):
            job()
        return
    try:
        pruned = job()
    except ArgumentError:
        if name in MEASURED:
            return
        raise
    after = pruned_model(model, pruned, job)
    audit = pruned.audit
    assert audit.got == audit.asked == sum(row.got for row in audit.layers)
    assert audit.zeros == sum(after.zeros.values())
    if recipe.structure.name == "weight" and recipe.allocation.exact:
        weights = sum(layer.parameters for layer in model.layers)
        assert audit.removed == exact_count(0.3, weights)
    assert 0 <= Evaluate(after, data.evaluation)().accuracy <= 1
