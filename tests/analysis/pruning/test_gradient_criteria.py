"""Hessian products, GraSP, diagonal Fisher and optimal brain damage against closed forms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian
from torch.nn import functional as F  # noqa: N812

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.models import Model
from analysis.pruning import Prune, PruningContext, recipe_named
from analysis.pruning.cost import JobSize
from analysis.pruning.criteria.fisher import Fisher
from analysis.pruning.criteria.gradients import curvature, hessian_product, mean_gradient
from analysis.pruning.criteria.grasp import Grasp
from analysis.pruning.criteria.obd import Obd, hessian_diagonal, random_signs
from analysis.pruning.criteria.snip import Snip
from analysis.pruning.criteria.taylor import Taylor
from analysis.request import Step
from tests.analysis.pruning.toys import ConvNet, OneLinear, context, noise, row_images, toy

RNG = np.random.default_rng(5)
INPUTS, LABELS = torch.from_numpy(RNG.normal(size=(7, 4))), torch.arange(7) % 3
WEIGHT = torch.from_numpy(RNG.normal(size=(3, 4)))


def regression(batch_size: int = 100, seed: int = 0) -> PruningContext:
    """Softmax regression: seven images, three classes, four inputs, float64."""
    model = toy(lambda: OneLinear(3, 4), state={"fc.weight": WEIGHT}, matrix=INPUTS)
    return context(model, row_images(7, LABELS.numpy()), seed, batch_size)


def loss(weight: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    return F.cross_entropy(INPUTS @ weight.T / temperature, LABELS)


def exact_hessian(temperature: float = 1.0) -> torch.Tensor:
    """(12, 12), by torch's own double differentiation."""
    found: torch.Tensor = hessian(lambda w: loss(w, temperature), WEIGHT)
    return found.reshape(12, 12)


def exact_gradient(temperature: float = 1.0) -> torch.Tensor:
    """Xᵀ(p - y) / (n T)."""
    p = (INPUTS @ WEIGHT.T / temperature).softmax(dim=1)
    return (p - F.one_hot(LABELS, 3)).T @ INPUTS / (7 * temperature)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_products_with_the_hessian_are_exact_for_any_batch_size(batch_size: int) -> None:
    where = regression(batch_size)
    torch.testing.assert_close(mean_gradient(where)["fc"], exact_gradient(), rtol=1e-12, atol=0)
    vector = torch.from_numpy(RNG.normal(size=(3, 4)))
    found = hessian_product(where, {"fc": vector})["fc"]
    expected = (exact_hessian() @ vector.reshape(-1)).reshape(3, 4)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_grasp_of_the_reference_toy() -> None:
    """L = ½ (w·x - y)², x = (1, 2), y = 1, w = (2, -1): -w·Hg = (10, -10), the largest goes."""
    w, x = torch.tensor([2.0, -1.0], requires_grad=True), torch.tensor([1.0, 2.0])
    value = ((w @ x - 1) ** 2) / 2
    (gradient,) = torch.autograd.grad(value, w, retain_graph=True)
    assert gradient.tolist() == [-1, -2]
    flow = curvature(value, {"l": w}, {"l": gradient})["l"]
    assert (-w * flow).tolist() == [10, -10]


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp_is_weight_times_hessian_times_gradient(temperature: float) -> None:
    scores = Grasp(temperature=temperature).scores(regression(2))["fc"]
    flow = exact_hessian(temperature) @ exact_gradient(temperature).reshape(-1)
    expected = WEIGHT * flow.reshape(3, 4)
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-18)


def test_fisher_averages_squares_of_single_images() -> None:
    p = (INPUTS @ WEIGHT.T).softmax(dim=1) - F.one_hot(LABELS, 3)
    gradients = p.unsqueeze(2) * INPUTS.unsqueeze(1)
    expected = WEIGHT.square() * gradients.square().mean(dim=0) / 2
    torch.testing.assert_close(Fisher().scores(regression())["fc"], expected, rtol=1e-12, atol=0)
    halves = [gradients[:4].mean(dim=0).square() * 4 / 7, gradients[4:].mean(0).square() * 3 / 7]
    expected = WEIGHT.square() * (halves[0] + halves[1]) / 2
    found = Fisher(batch=4).scores(regression())["fc"]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_sign_vectors_give_the_diagonal_in_the_mean() -> None:
    """Over all 2^6 sign vectors of six weights the mean of v ⊙ Hv is the diagonal exactly."""
    model = toy(lambda: OneLinear(3, 2), state={"fc.weight": WEIGHT[:, :2]}, matrix=INPUTS[:, :2])
    where = context(model, row_images(7, LABELS.numpy()))
    total = torch.zeros(3, 2, dtype=torch.float64)
    for signs in product([-1.0, 1.0], repeat=6):
        v = torch.tensor(signs, dtype=torch.float64).reshape(3, 2)
        total += v * hessian_product(where, {"fc": v})["fc"] / 64
    p = (INPUTS[:, :2] @ WEIGHT[:, :2].T).softmax(dim=1)
    exact = (p * (1 - p)).T @ INPUTS[:, :2].square() / 7
    torch.testing.assert_close(total, exact, rtol=1e-10, atol=1e-12)


def test_the_estimated_diagonal_is_as_near_as_its_variance_says() -> None:
    matrix = exact_hessian()
    found = hessian_diagonal(regression(), 200)["fc"].reshape(-1)
    off = matrix - matrix.diag().diag()
    sigma = (off.square().sum(dim=1) / 200).sqrt()
    assert bool(((found - matrix.diag()).abs() < 5 * sigma).all())


def test_obd_halves_the_squared_weight_times_the_size_of_the_diagonal() -> None:
    where = regression(seed=4)
    diagonal = hessian_diagonal(where, 1)["fc"]
    assert bool((diagonal < 0).any())
    scores = Obd(probes=1).scores(where)["fc"]
    assert torch.equal(scores, WEIGHT.square() * diagonal.abs() / 2)


def test_signs_depend_on_seed_probe_and_layer_only() -> None:
    model = toy(ConvNet)
    layers = model.layers
    one = context(model, seed=1)
    state = torch.random.get_rng_state()
    signs = random_signs(one, layers[2], 0)
    assert set(signs.unique().tolist()) == {-1, 1}
    assert torch.equal(signs, random_signs(context(model, seed=1), layers[2], 0))
    assert not torch.equal(signs, random_signs(one, layers[2], 1))
    assert not torch.equal(signs, random_signs(context(model, seed=2), layers[2], 0))
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("criterion", [Grasp(), Obd(probes=2), Fisher()])
def test_progress_ends_where_it_should_and_gradients_are_off_again(criterion: Grasp) -> None:
    model, steps = toy(ConvNet), []
    criterion.scores(context(model, noise(5, model), batch_size=2, report=steps.append))
    done = [step.done / step.total for step in steps if isinstance(step, Step)]
    assert done == sorted(done)
    assert done[-1] == 1
    assert not any(tensor.requires_grad for tensor in model.weights.values())


def test_costs_count_passes() -> None:
    job = JobSize(toy(ConvNet).layers, {}, images=64, batch_size=10)
    assert Snip().cost(job).backward == Taylor().cost(job).backward == 64
    assert Fisher().cost(job).backward == 64
    assert Obd(probes=5).cost(job).backward > 5 * 64
    assert Grasp().cost(job).backward > 2 * 64


@pytest.fixture(scope="module")
def vit() -> Model:
    return open_model("demo:vit")[0]


@pytest.mark.parametrize("name", ["grasp", "obd"])
def test_attention_can_be_differentiated_twice(name: str, vit: Model) -> None:
    images = open_data("digits", calibration_size=8).calibration
    settings = {"criterion.probes": "1"} if name == "obd" else {}
    found = Prune(vit, recipe_named(name, settings), 0.5, images)().audit
    assert found.got == found.asked
