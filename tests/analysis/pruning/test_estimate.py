"""Estimates against their closed form and against jobs that ran."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.errors import ArgumentError
from analysis.pruning import Prune, PruningContext, Recipe, recipe_named
from analysis.pruning import estimate as estimating
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.estimate import Budget, Estimate, activations, check, estimate
from analysis.pruning.machine import Speed, free_memory, machine_speed
from analysis.pruning.parts import Criterion
from tests.analysis.pruning.toys import ConvNet, noise, toy

MODEL = toy(ConvNet)
IMAGES = noise(12, MODEL)


class Told(Criterion):
    """Costs what the test says."""

    name: ClassVar[str] = "told"
    title: ClassVar[str] = "Told"

    forward: float = 0
    backward: float = 0
    macs: float = 0
    memory: int = 0

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        return {layer.name: context.weight(layer).abs() for layer in context.layers}

    def cost(self, job: JobSize) -> Cost:
        return Cost(self.forward, self.backward, self.macs, self.memory)


@pytest.fixture(autouse=True)
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    speed = Speed(macs=1e6, elements=1e6, call=0.0)
    monkeypatch.setattr(estimating, "machine_speed", lambda device: speed)


def job(rounds: int = 1, **costs: float) -> Prune:
    schedule = {"name": "cubic", "rounds": rounds}
    recipe = Recipe.model_validate({"criterion": Told(**costs), "schedule": schedule})  # type: ignore[arg-type]
    return Prune(MODEL, recipe, 0.5, IMAGES)


def costs_more(by: Prune) -> Estimate:
    plain, found = estimate(job()), estimate(by)
    return Estimate(found.seconds - plain.seconds, found.memory_bytes - plain.memory_bytes, "")


def test_activations_of_the_toy() -> None:
    """conv1, bn1 512 each; conv2 8·16; conv3, bn3 12·16 each; hidden 10; fc 3."""
    found = activations(MODEL.architecture, 3)
    assert found.elements == 2 * 512 + 128 + 2 * 192 + 10 + 3
    assert found.largest == 512 + 512
    assert found.calls == 7


def test_seconds_are_work_by_speed() -> None:
    image = (19_734 + 1_549) / 1e6  # multiply-adds and outputs, at a million a second each
    assert costs_more(job(forward=12)).seconds == pytest.approx(12 * image)
    assert costs_more(job(backward=12)).seconds == pytest.approx(12 * image * estimating.BACK)
    assert costs_more(job(macs=5e6)).seconds == pytest.approx(5)


def test_rounds_multiply_work_but_not_memory() -> None:
    once, often = job(macs=5e6, memory=1000), job(rounds=8, macs=5e6, memory=1000)
    assert estimate(often).seconds == pytest.approx(
        8 * estimate(once).seconds, abs=estimating.START_SECONDS * 8
    )
    assert costs_more(often).memory_bytes == costs_more(once).memory_bytes == 1000


def test_memory_is_that_of_a_batch() -> None:
    """Forward keeps a layer's input and output; backward keeps everything put out."""
    assert costs_more(job(forward=12)).memory_bytes == 4 * 12 * 3 * 1024
    assert costs_more(job(backward=12)).memory_bytes == 4 * 12 * (1549 + 2 * 1024)
    assert costs_more(job(backward=2)).memory_bytes == 4 * 2 * (1549 + 2 * 1024)
    taylor = Prune(MODEL, recipe_named("taylor", {"criterion.batch": "3"}), 0.5, IMAGES)
    snip = Prune(MODEL, recipe_named("snip"), 0.5, IMAGES)
    smaller = estimate(snip).memory_bytes - estimate(taylor).memory_bytes
    assert smaller >= 4 * 9 * (1549 + 2 * 1024) - 1158 * 16


def test_a_recovery_after_every_round_counts_every_time() -> None:
    def seconds(recover: str) -> float:
        settings = {"schedule.recover": recover, "recovery": "bn-recalibration"}
        recipe = recipe_named("gradual-magnitude", settings)
        return estimate(Prune(MODEL, recipe, 0.5, IMAGES)).seconds

    assert seconds("after every round") > 1.5 * seconds("after the last round")


def test_words() -> None:
    text = estimate(job(rounds=3, backward=1200, macs=1e9)).text
    assert "3 rounds, 3,600 images forward and back" in text
    assert "about 5" in text  # 3000 s and some: minutes
    assert " min and " in text


@pytest.mark.parametrize(
    ("request_", "budget", "message"),
    [
        (
            job(memory=10**10),
            Budget(memory_bytes=10**9),
            r"10\.\d GB of memory, and 1 GB may be taken: change 'Told' \(forward, ",
        ),
        (
            job(backward=12),
            Budget(memory_bytes=10**6),
            "smaller batch than 12 images",
        ),
        (
            job(rounds=4, macs=1e9),
            Budget(seconds=60),
            "about 67 min, and 60 s may be taken: fewer rounds than 4 or a recipe",
        ),
        (
            Prune(MODEL, recipe_named("taylor"), 0.5, IMAGES),
            Budget(seconds=1e-3),
            "fewer calibration images than 12",
        ),
    ],
)
def test_what_is_too_much_is_refused_with_what_to_lower(
    request_: Prune, budget: Budget, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        check(request_, budget)


def test_what_fits_passes() -> None:
    assert check(job(), Budget()).seconds > 0
    budget = Budget.default("cpu")
    assert budget.memory_bytes is not None
    assert 1 << 26 < budget.memory_bytes <= free_memory("cpu")
    assert budget.seconds is None


def test_impossible_jobs_are_refused_like_the_job_itself() -> None:
    with pytest.raises(ArgumentError, match="sparsity"):
        estimate(Prune(MODEL, recipe_named("global-magnitude"), None))


def test_the_machine_is_measured_once_and_nothing_changes() -> None:
    rng = torch.random.get_rng_state()
    first = machine_speed("cpu")
    assert machine_speed("cpu") is first
    assert first.macs > 1e7
    assert first.elements > 1e6
    assert 0 < first.call < 1
    assert torch.equal(rng, torch.random.get_rng_state())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", ["demo:resnet", "demo:vit"])
def test_what_backward_keeps_is_about_what_autograd_saves(name: str) -> None:
    model = open_model(name)[0]
    module, saved = model.module(), dict[int, int]()
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    owned = {parameter.data_ptr() for parameter in module.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in owned:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = module(torch.zeros(10, *model.architecture.input_shape))
    assert output.requires_grad
    told = 10 * 4 * activations(model.architecture, model.num_classes).elements
    assert sum(saved.values()) / 2 < told < 2 * sum(saved.values())


def test_a_real_job_takes_about_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within about three on a quiet machine; a factor of ten here, where others work."""
    monkeypatch.setattr(estimating, "machine_speed", machine_speed)
    model = open_model("demo:resnet")[0]
    images = open_data("digits", model=model, calibration_size=256).calibration
    request = Prune(model, recipe_named("snip"), 0.8, images)
    request()  # whatever the first job of a process loads
    told, found = estimate(request), request()
    assert abs(math.log(told.seconds / found.seconds)) < math.log(10)


def test_a_layer_that_puts_out_tuples_is_counted() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.GRU(4, 4, batch_first=True)
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            found, _ = self.attend(x.reshape(len(x), -1, 4))
            return self.fc(found[:, -1])

    model = toy(Pair, input_shape=(1, 2, 4))
    assert activations(model.architecture, 3).elements == 2 * 4 + 4 + 3
