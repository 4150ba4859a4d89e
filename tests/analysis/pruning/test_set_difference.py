from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.data.dataset import Dataset
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning import PRESETS, Prune, Recipe, pruned_model, recipe_named
from analysis.pruning.counting import exact_count
from analysis.pruning.criteria.set_difference import (
    ContrastDifference,
    SetDifference,
    class_numbers,
    difference_scores,
)
from analysis.request import Step
from kernels.select import k_smallest
from tests.analysis.pruning.toys import ConvNet, OneLinear, context, noise, row_images, toy

LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])


def regression() -> tuple[np.ndarray, np.ndarray, Model]:
    """W (3,5), the gradients (p - y) xᵀ of cross-entropy for 8 inputs, and the model."""
    rng = np.random.default_rng(5)
    weight, inputs = rng.normal(size=(3, 5)), rng.normal(size=(8, 5))
    logits = inputs @ weight.T
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    model = toy(
        lambda: OneLinear(3, 5),
        state={"fc.weight": torch.from_numpy(weight)},
        matrix=torch.from_numpy(inputs),
    )
    return weight, np.einsum("no,ni->noi", p - np.eye(3)[LABELS], inputs), model


def run(recipe: Recipe, sparsity: float, model: Model, images: Dataset, **more: Dataset) -> Model:
    request = Prune(model, recipe, sparsity, images, **more)
    return pruned_model(model, request(), request)


def test_golden_by_hand() -> None:
    """I_A = (9, 1, 8, 2, 7, 0), I_B = (6, 0, 1, 2, 3, 5); p = 1/3 protects the first and last.

    Outside, the largest I_A go: third, fifth, fourth, second; then the last (5) and the first (6).
    """
    a = torch.tensor([[9.0, 1, 8], [2, 7, 0]])
    b = torch.tensor([[6.0, 0, 1], [2, 3, 5]])
    scores = difference_scores({"l": a}, {"l": b}, 1 / 3)["l"]
    assert torch.argsort(scores.reshape(-1)).tolist() == [2, 4, 3, 1, 5, 0]


def test_nothing_protected_is_the_importance_for_a_alone() -> None:
    a, b = torch.tensor([1.0, 3, 2]), torch.tensor([0.0, 9, 9])
    assert torch.equal(difference_scores({"l": a}, {"l": b}, 0.0)["l"], -a)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 999), st.floats(0, 0.9), st.floats(0, 1))
def test_removed_are_the_top_of_a_outside_the_top_of_b(
    seed: int, protect: float, share: float
) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 5, 20).astype(float), rng.integers(0, 5, 20).astype(float)
    scores = difference_scores({"l": torch.from_numpy(a)}, {"l": torch.from_numpy(b)}, protect)[
        "l"
    ]
    count = round(share * 20)
    gone = set(np.flatnonzero(k_smallest([scores], count)[0].numpy()))
    protected = set(np.argsort(-b, kind="stable")[: exact_count(protect, 20)])
    free = [i for i in np.argsort(-a, kind="stable") if i not in protected]
    assert len(gone) == count
    if count <= len(free):
        assert gone == set(free[:count])
    else:
        assert set(free) < gone or not protected
        assert sum(b[list(gone & protected)]) == sum(
            sorted(b[list(protected)])[: count - len(free)]
        )


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_importance_adds_up_magnitudes_of_gradients(batch: int) -> None:
    weight, gradients, model = regression()
    images = row_images(8, LABELS)
    found = SetDifference(classes="1", protect=0.0, batch=batch).scores(context(model, images))
    mine = gradients[LABELS == 1]
    parts = [mine[i : i + batch].sum(axis=0) for i in range(0, len(mine), batch)]
    expected = np.abs(weight) * sum(np.abs(g) for g in parts)
    np.testing.assert_allclose(-found["fc"].numpy(), expected, rtol=1e-10)


def test_mask_of_the_preset_from_the_closed_form() -> None:
    weight, gradients, model = regression()
    a = np.abs(weight) * np.abs(gradients[LABELS == 2]).sum(axis=0)
    b = np.abs(weight) * np.abs(gradients[LABELS != 2]).sum(axis=0)
    recipe = recipe_named("set-difference", {"criterion.classes": "c", "criterion.protect": "0.4"})
    model = replace(model, classes=("a", "b", "c"))
    after = run(recipe, 0.2, model, row_images(8, LABELS))
    protected = set(np.argsort(-b, axis=None)[:6])
    expected = [i for i in np.argsort(-a, axis=None) if i not in protected][:3]
    assert sorted(np.flatnonzero(after.weight("fc.weight").numpy() == 0)) == sorted(expected)


def test_two_data_sets_are_the_two_sets() -> None:
    _, _, model = regression()
    images = row_images(8, LABELS)
    a, b = (images.subset(np.flatnonzero(found)) for found in (LABELS == 2, LABELS != 2))
    by_class = {"criterion": {"name": "set-difference", "classes": "2"}, "allocation": "uniform"}
    by_data = {"criterion": "contrast-difference", "allocation": "uniform"}
    one = run(Recipe.from_json(by_class), 0.4, model, images)
    two = run(Recipe.from_json(by_data), 0.4, model, a, contrast=b)
    assert one.key == two.key
    with pytest.raises(ArgumentError, match="a second set of images"):
        run(Recipe.from_json(by_data), 0.4, model, a)
    with pytest.raises(ArgumentError, match="second kind"):
        ContrastDifference().scores(context(model, a))


def test_classes_are_numbers_or_names() -> None:
    model = replace(toy(ConvNet), classes=("cat", "Dog", "0"))
    assert class_numbers("0", model) == [0]
    assert class_numbers(" dog , 2,CAT,", model) == [0, 1, 2]
    for unknown in ("3", "bird", "-1", "1.0"):
        with pytest.raises(ArgumentError, match="has no class"):
            class_numbers(unknown, model)
    with pytest.raises(ArgumentError, match="no class is named"):
        recipe_named("set-difference", {"criterion.classes": " , "})


def test_what_cannot_be_is_told_before_the_job() -> None:
    model = toy(ConvNet)
    assert SetDifference().inapplicable(model) == ""
    assert "has no class 'cat'" in SetDifference(classes="cat").inapplicable(model)
    assert "none is left for B" in SetDifference(classes="0,1,2").inapplicable(model)


@pytest.mark.parametrize(("label", "message"), [(0, "belong to set A"), (1, "belong to set B")])
def test_both_sets_need_images(label: int, message: str) -> None:
    model = toy(ConvNet)
    images = replace(noise(4, model), labels=np.full(4, label))
    with pytest.raises(ArgumentError, match=message):
        run(PRESETS["set-difference"].recipe, 0.1, model, images)


def test_progress_names_the_sets_and_rises() -> None:
    steps: list[Step] = []
    model = toy(ConvNet)
    SetDifference().scores(context(model, noise(8, model), report=steps.append))
    fractions = [step.done / step.total for step in steps]
    assert fractions == sorted(fractions)
    assert {step.message[:6] for step in steps} == {"set A:", "set B:"}
