"""Least squares for given masks, against numpy's own solution row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.data.dataset import batches
from analysis.models import Model
from analysis.pruning import Prune, pruned_model, recipe_named
from analysis.pruning.masked_lstsq import correct_rows
from tests.analysis.pruning.toys import (
    ConvNet,
    golden,
    golden_model,
    noise,
    row_images,
    toy,
)


def lstsq(inputs: np.ndarray, target: np.ndarray, keep: np.ndarray) -> np.ndarray:
    found = np.zeros((target.shape[1], inputs.shape[1]))
    for row, kept in enumerate(keep):
        if kept.any():
            found[row, kept] = np.linalg.lstsq(inputs[:, kept], target[:, row], rcond=None)[0]
    return found


def repaired(model: Model, name: str, sparsity: float, **more: str) -> tuple[Model, Model]:
    """The pruned model as it is, and with least squares."""
    images = row_images(12) if model.layers[0].name == "fc" else noise(24, model)
    found = []
    for recovery in ("none", "least-squares"):
        extra = {f"recovery.{k}": v for k, v in more.items()} if recovery != "none" else {}
        request = Prune(
            model, recipe_named(name, {"recovery": recovery, **extra}), sparsity, images
        )
        found.append(pruned_model(model, request(), request))
    return found[0], found[1]


@pytest.mark.parametrize("name", ["wanda", "uniform-magnitude", "sparsegpt"])
def test_a_linear_layer_gets_numpys_solution(name: str) -> None:
    weight, inputs = golden()
    _, after = repaired(golden_model(), name, 0.5, damping="1e-12")
    keep = after.masks["fc.weight"].keep().numpy()
    expected = lstsq(inputs, inputs @ weight.T, keep)
    np.testing.assert_allclose(after.weight("fc.weight").numpy(), expected, rtol=1e-7, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.95), st.sampled_from([1, 3000, 1 << 25]))
def test_rows_are_solved_whatever_their_masks(seed: int, share: float, limit: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, before = rng.normal(size=(40, 11)), rng.normal(size=(7, 11))
    keep = rng.random((7, 11)) > share
    keep[1] = keep[0]  # rows with one mask share a factor
    target = rng.normal(size=(40, 7))
    before = before * keep
    missing = (target - inputs @ before.T).T @ inputs
    gram, lack, mask = (torch.from_numpy(a) for a in (inputs.T @ inputs, missing, keep))
    change, used = correct_rows(gram, lack, mask, 1e-12, limit)
    assert used == 1e-12
    np.testing.assert_allclose(
        before + change.numpy(), lstsq(inputs, target, keep), rtol=1e-6, atol=1e-8
    )


def test_inputs_that_say_nothing_raise_the_damping() -> None:
    row = torch.ones(1, 6, dtype=torch.float64)
    change, used = correct_rows(row.T @ row - 1e-9 * torch.eye(6).double(), row, row > 0, 1e-12)
    assert used > 1e-12
    assert float(change.sum()) == pytest.approx(1, rel=1e-2)
    nothing, same = correct_rows(torch.zeros(6, 6).double(), row, row > 0, 0.1)
    assert same == 0.1
    assert not bool(nothing.any())


def layer_errors(dense: Model, model: Model, inputs: str, count: int = 24) -> dict[str, float]:
    """Squared error of each layer's own output, its inputs from the pruned or dense network."""
    x = next(batches(noise(count, dense), dense.architecture, count))[0]
    modules = dense.module(), model.module()
    seen: list[dict[str, Tensor]] = [{}, {}]
    for module, found in zip(modules, seen, strict=True):
        for layer in dense.layers:
            module.get_submodule(layer.name).register_forward_hook(
                lambda _, args, out, name=layer.name, found=found: found.update({name: args[0]})
            )
        with torch.no_grad():
            module(x)
    errors = {}
    for layer in dense.layers:
        goal, now = (m.get_submodule(layer.name) for m in modules)
        read = seen[1 if inputs == "pruned" else 0][layer.name]
        with torch.no_grad():
            lack = goal.forward(seen[0][layer.name]) - now.forward(read)
        errors[layer.name] = float(lack.double().square().sum())
    return errors


@pytest.mark.parametrize("inputs", ["dense", "pruned"])
@pytest.mark.parametrize("damping", ["1e-6", "1"])
@pytest.mark.parametrize("name", ["uniform-magnitude", "sparsegpt", "nm-magnitude", "filter-l1"])
def test_no_layers_error_grows(name: str, damping: str, inputs: str) -> None:
    model = toy(ConvNet)
    plain, after = repaired(model, name, 0.5, damping=damping, inputs=inputs)
    now = layer_errors(model, after, inputs)
    if inputs == "dense":
        before = layer_errors(model, plain, inputs)
    else:  # the same inputs, with the weights of the layer as they were
        before = {}
        for layer in model.layers:
            mixed = {**after.updates, layer.parameter: plain.weight(layer.parameter)}
            other = Model(**{**vars(after), "updates": mixed})
            before[layer.name] = layer_errors(model, other, inputs)[layer.name]
    for layer in model.layers:
        assert now[layer.name] <= before[layer.name] * (1 + 1e-4) + 1e-6, layer.name
    if (name, inputs) != (
        "filter-l1",
        "dense",
    ):  # whole filters that read what they read are exact
        assert sum(now.values()) < sum(before.values())
    for name_, mask in plain.masks.items():
        assert torch.equal(after.masks[name_].keep(), mask.keep())


def test_a_grouped_convolution_is_solved_group_by_group() -> None:
    model = toy(ConvNet)
    plain, after = repaired(model, "uniform-magnitude", 0.5, damping="1e-9", inputs="dense")
    x = next(batches(noise(24, model), model.architecture, 24))[0]
    module, seen = model.module(), {}
    module.conv2.register_forward_hook(lambda _, args, out: seen.update(x=args[0]))
    with torch.no_grad():
        module(x)
    columns = F.unfold(seen["x"], 3, stride=2, padding=1).double().reshape(24, 8, 9, -1)
    for group in range(8):
        rows = columns[:, group].movedim(1, -1).reshape(-1, 9).numpy()
        weight = model.weights["conv2.weight"][group].reshape(1, 9).double().numpy()
        keep = after.masks["conv2.weight"].keep()[group].reshape(1, 9).numpy()
        expected = lstsq(rows, rows @ weight.T, keep)
        found = after.weight("conv2.weight")[group].reshape(1, 9).numpy()
        np.testing.assert_allclose(found, expected, rtol=5e-3, atol=1e-4)
    assert "conv2.bias" not in after.updates
    assert set(plain.masks) == set(after.masks)


def test_nothing_removed_is_nothing_changed() -> None:
    model = toy(ConvNet)
    request = Prune(model, recipe_named("wanda-least-squares"), 0.0, noise(5, model))
    pruned = request()
    assert pruned.updates == {}
    assert "changed nothing" in pruned.audit.notes[0]


@pytest.mark.parametrize("demo", ["demo:resnet", "demo:vit"])
def test_outputs_of_the_demo_networks_come_nearer(demo: str) -> None:
    model = open_model(demo)[0]
    data = open_data("digits", model=model)
    x = next(batches(data.evaluation, model.architecture, 100))[0]
    errors = []
    for name in ("wanda", "wanda-least-squares"):
        request = Prune(model, recipe_named(name), 0.6, data.calibration.sample(64, 0))
        after = pruned_model(model, request(), request)
        with torch.no_grad():
            errors.append(float((after.module()(x) - model.module()(x)).square().sum()))
    assert errors[1] < 0.5 * errors[0]
