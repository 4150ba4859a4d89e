from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.checkpoints import open_model
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning import Prune, Recipe, pruned_model
from analysis.pruning.low_rank import energy_ranks, matricise, numerical_ranks, truncate
from tests.analysis.pruning.toys import ConvNet, toy

MODEL = toy(ConvNet)


def low_rank(matrix: str) -> Recipe:
    return Recipe.from_json(
        {
            "criterion": "magnitude",
            "structure": {"name": "rank", "matrix": matrix},
            "allocation": "uniform",
        }
    )


def run(matrix: str, sparsity: float, model: Model = MODEL) -> Model:
    request = Prune(model, low_rank(matrix), sparsity)
    return pruned_model(model, request(), request)


def test_energies_of_three_two_one() -> None:
    singular = torch.tensor([[3.0, 2.0, 1.0]])
    shares = [9 / 14, 13 / 14, 1.0]
    assert shares == pytest.approx([0.642857, 0.928571, 1.0], abs=1e-6)
    ranks = [int(energy_ranks(singular, e)[0]) for e in (0.6, 0.642, 0.643, 0.9, 0.93, 1.0)]
    assert ranks == [1, 1, 2, 2, 3, 3]
    assert int(energy_ranks(torch.zeros(1, 3), 0.9)[0]) == 0


@pytest.mark.parametrize("form", ["NC", "VH", "ND"])
def test_matrices_come_back_and_have_the_published_shapes(form: str) -> None:
    weight = torch.randn(5, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    matrices, back = matricise(weight, form)  # type: ignore[arg-type]
    assert matrices.shape == {"NC": (1, 5, 24), "VH": (1, 12, 10), "ND": (5, 4, 6)}[form]
    assert torch.equal(back(matrices), weight)


@pytest.mark.parametrize("form", ["NC", "VH", "ND"])
@pytest.mark.parametrize("energy", [0.5, 0.9, 0.999])
def test_truncation_is_the_nearest_matrix_of_that_rank(form: str, energy: float) -> None:
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    cut, before, after = truncate(weight, form, energy)  # type: ignore[arg-type]
    shape = {"NC": (1, 6, 36), "VH": (1, 12, 18), "ND": (6, 4, 9)}[form]
    matrices = (
        weight.permute(1, 2, 3, 0).reshape(shape) if form == "VH" else weight.reshape(shape)
    ).numpy()
    lost = 0.0
    for i, matrix in enumerate(matrices):  # Eckart and Young: the error is the energy of the tail
        squares = np.linalg.svd(matrix.astype(float), compute_uv=False) ** 2
        tail = squares[int(after[i]) :].sum()
        assert tail <= (1 - energy) * squares.sum() * (1 + 1e-9)
        assert tail + squares[int(after[i]) - 1] > (1 - energy) * squares.sum()
        lost += tail
    assert float((weight - cut).square().sum()) == pytest.approx(lost, rel=1e-4)
    assert torch.equal(numerical_ranks(cut, form), after)  # type: ignore[arg-type]
    assert bool((before >= after).all())


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["NC", "VH", "ND"]), st.floats(0, 0.99))
def test_the_audit_finds_the_ranks_that_were_asked_for(matrix: str, sparsity: float) -> None:
    found = Prune(MODEL, low_rank(matrix), sparsity)().audit
    assert found.unit == "ranks"
    assert found.got == found.asked == sum(row.got for row in found.layers)
    assert found.removed == 0


def test_all_energy_is_the_dense_model() -> None:
    after = run("NC", 0.0)
    assert after.updates == {}
    assert all(torch.equal(after.weight(n), t) for n, t in MODEL.weights.items())


@pytest.mark.parametrize("demo", ["demo:resnet", "demo:vit"])
def test_a_tenth_of_the_energy_is_hardly_missed(demo: str) -> None:
    model, _ = open_model(demo)
    after = run("NC", 0.1, model)
    for layer in model.layers:
        dense, cut = model.weight(layer.parameter), after.weight(layer.parameter)
        error = float((dense - cut).square().sum() / dense.square().sum())
        assert error <= 0.1 + 1e-6


def test_what_does_not_go_together_is_explained() -> None:
    with pytest.raises(ArgumentError, match="allocation 'uniform' only"):
        Recipe.from_json({"criterion": "magnitude", "structure": "rank", "allocation": "global"})
    masked = Prune(MODEL, Recipe(criterion="magnitude"), 0.5)
    half = pruned_model(MODEL, masked(), masked)
    with pytest.raises(ArgumentError, match="has masks"):
        Prune(half, low_rank("NC"), 0.1)()
