"""Fine-tuning and distillation: masks hold in every state, losses against closed forms."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.errors import ArgumentError
from analysis.evaluate import Evaluate
from analysis.models import Model
from analysis.pruning import Prune, Recipe, pruned_model, recipe_named
from analysis.pruning.recoveries.distillation import channel_divergence
from analysis.pruning.training import Plan, train
from tests.analysis.pruning.toys import ConvNet, context, noise, toy

MODEL = toy(ConvNet)
IMAGES = noise(24, MODEL)


def pruned(recovery: str, recipe: str = "global-magnitude", **fields: str) -> tuple[Model, Model]:
    settings = {"recovery": recovery} | {f"recovery.{k}": v for k, v in fields.items()}
    request = Prune(MODEL, recipe_named(recipe, settings), 0.6, IMAGES)
    before = Prune(MODEL, recipe_named(recipe), 0.6, IMAGES)
    return pruned_model(MODEL, before(), before), pruned_model(MODEL, request(), request)


def loss_of(model: Model) -> float:
    return Evaluate(model, IMAGES)().loss


@pytest.mark.parametrize("recovery", ["fine-tune", "channel-distillation"])
@pytest.mark.parametrize("recipe", ["global-magnitude", "filter-l1"])
def test_training_lowers_the_loss_and_keeps_every_zero(recovery: str, recipe: str) -> None:
    model = open_model("demo:resnet")[0]
    images = open_data("digits").calibration
    settings = {"recovery": recovery, "recovery.epochs": "2"}
    before, after = (Prune(model, recipe_named(recipe, s), 0.9, images) for s in ({}, settings))
    masked, trained = (pruned_model(model, job(), job) for job in (before, after))
    losses = [Evaluate(m, images)().loss for m in (masked, trained)]
    assert losses[1] < losses[0]
    assert all(
        np.array_equal(trained.masks[name].packed, mask.packed)
        for name, mask in masked.masks.items()
    )
    for name, tensor in masked.updates.items():  # silenced filters keep their zero shifts
        zero = (tensor == 0) & (model.weights[name] != 0)
        assert not bool((trained.weight(name)[zero] != 0).any())


def test_one_step_is_sgd_on_the_masked_gradient() -> None:
    request = Prune(MODEL, recipe_named("global-magnitude"), 0.6, IMAGES)
    masked = pruned_model(MODEL, request(), request)
    where = context(masked, IMAGES)
    plan = Plan(1, 0.1, len(IMAGES), momentum=0.0, weight_decay=0.0, train_norms=False)
    found = train(where, plan, lambda m, x, y: F.cross_entropy(m(x), y)).updates
    module = copy.deepcopy(where.module).requires_grad_(True)
    x = MODEL.architecture.normalise(torch.from_numpy(IMAGES.images))
    F.cross_entropy(module(x), torch.from_numpy(IMAGES.labels)).backward()
    for name, parameter in module.named_parameters():
        gradient = parameter.grad
        assert gradient is not None
        if name in masked.masks:
            gradient = gradient * masked.masks[name].keep()
        torch.testing.assert_close(
            found.get(name, parameter.detach()), (parameter - 0.1 * gradient).detach()
        )


def test_momentum_never_moves_a_removed_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[torch.optim.SGD] = []
    original = torch.optim.SGD.__init__

    def remember(self: torch.optim.SGD, *args: object, **more: object) -> None:
        original(self, *args, **more)  # type: ignore[arg-type]
        kept.append(self)

    monkeypatch.setattr(torch.optim.SGD, "__init__", remember)
    _, after = pruned("fine-tune", epochs="3")
    (optimiser,) = kept
    names = [name for name, _ in after.module().named_parameters()]
    for name, parameter in zip(names, optimiser.param_groups[0]["params"], strict=True):
        if name in after.masks:
            gone = ~after.masks[name].keep()
            assert not bool(optimiser.state[parameter]["momentum_buffer"][gone].any())


def test_channel_divergence_is_the_published_one() -> None:
    teacher = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 1.0]]]])
    found = channel_divergence(teacher, torch.zeros_like(teacher), 4.0)
    assert float(found) == pytest.approx(0.3550723, abs=1e-6)
    assert float(channel_divergence(teacher, teacher, 4.0)) == 0


def test_inner_distillation_pulls_features_to_the_dense_ones() -> None:
    model, images = open_model("demo:resnet")[0], open_data("digits").calibration
    settings = {"recovery": "inner-distillation", "recovery.epochs": "2"}
    jobs = [
        Prune(model, recipe_named("uniform-magnitude", s), 0.8, images) for s in ({}, settings)
    ]
    x = model.architecture.normalise(torch.from_numpy(images.images[:64]))

    def features(of: Model) -> torch.Tensor:
        found: list[torch.Tensor] = []
        module = of.module()
        module.get_submodule("layer3.1.relu2").register_forward_hook(
            lambda m, a, output: found.append(output)
        )
        with torch.no_grad():
            module(x)
        return found[0]

    masked, distilled = (pruned_model(model, job(), job) for job in jobs)
    gaps = [float(F.mse_loss(features(m), features(model))) for m in (masked, distilled)]
    assert gaps[1] < gaps[0]


def test_the_same_job_gives_the_same_numbers_and_leaves_no_trace() -> None:
    rng = torch.random.get_rng_state()
    one, two = pruned("fine-tune", epochs="2")[1], pruned("fine-tune", epochs="2")[1]
    assert one.key == two.key
    assert torch.equal(rng, torch.random.get_rng_state())
    assert not any(tensor.requires_grad for tensor in MODEL.weights.values())


def test_dropout_is_not_drawn_from_the_global_generator() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(64, 8)
            self.drop = nn.Dropout(0.5)
            self.fc = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.drop(torch.relu(self.hidden(x.flatten(1)))))

    model = toy(Dropping)
    rng = torch.random.get_rng_state()
    Prune(model, recipe_named("random", {"recovery": "fine-tune"}), 0.5, noise(8, model))()
    assert torch.equal(rng, torch.random.get_rng_state())


def test_a_network_without_named_blocks_cannot_be_distilled() -> None:
    recipe = recipe_named("global-magnitude", {"recovery": "inner-distillation"})
    with pytest.raises(ArgumentError, match="names no blocks"):
        Prune(MODEL, recipe, 0.5, IMAGES)()


def test_fine_tuning_can_follow_every_round() -> None:
    recipe = Recipe.from_json(
        {
            "criterion": "magnitude",
            "schedule": {"name": "iterative", "rounds": 2, "recover": "after every round"},
            "recovery": {"name": "fine-tune", "epochs": 1},
        }
    )
    request = Prune(MODEL, recipe, 0.6, IMAGES)
    found = request()
    assert found.audit.got == found.audit.asked
    steps: list[str] = []
    request(lambda step: steps.append(step.message))
    assert any(text.startswith("round 1 of 2, training") for text in steps)


@pytest.mark.parametrize("structure", ["filter", "channel"])
def test_filters_that_a_round_removed_stay_removed_through_training(structure: str) -> None:
    recipe = Recipe.from_json(
        {
            "criterion": "magnitude",
            "structure": structure,
            "allocation": "uniform",
            "schedule": {"name": "iterative", "rounds": 2, "recover": "after every round"},
            "recovery": {"name": "fine-tune", "epochs": 1},
        }
    )
    model = open_model("demo:resnet")[0]
    shifts = {n: torch.zeros_like(t) for n, t in model.weights.items() if n.endswith("bn2.bias")}
    model = replace(model, weights={**model.weights, **shifts})  # zero before anything is removed
    request = Prune(model, recipe, 0.4, open_data("digits", calibration_size=33).calibration)
    after = pruned_model(model, request(), request)
    for layer in model.layers:
        norm = layer.name.replace("conv", "bn")
        empty = ~after.keep(layer).flatten(1).any(dim=1)
        if f"{norm}.bias" in model.weights and norm != layer.name:
            assert not bool(after.weight(f"{norm}.bias")[empty].any())


def test_a_last_batch_of_one_image_is_no_batch() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(64, 8)
            self.norm = nn.BatchNorm1d(8)
            self.fc = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(torch.relu(self.norm(self.hidden(x.flatten(1)))))

    model = toy(Flat)
    recipe = recipe_named("random", {"recovery": "fine-tune", "recovery.epochs": "1"})
    assert Prune(model, recipe, 0.5, noise(65, model))().audit.got > 0
