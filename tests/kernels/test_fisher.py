from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels import fisher
from kernels.fisher import (
    compensation,
    compensation_exact,
    fisher_inverse,
    scores_group,
    scores_single,
    start_inverse,
    update,
    update_reference,
)


def float64(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def triton_update(inverse: Tensor, gradients: Tensor, total: int) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton compiles for the device here: tests/gpu compares it")
    from kernels.cuda import fisher as cuda

    for blocks, part in fisher._portions(inverse, gradients):
        cuda.woodbury(blocks, part, total)


UPDATES = pytest.mark.parametrize("function", [update, update_reference, triton_update])

# methods_general.md 3.3: this F and w; its inverse is what the functions on blocks are given.
FISHER = float64([2, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 0.5])
WEIGHTS = float64(0.5, -1, 0.8)
INVERSE = torch.linalg.inv(FISHER).unsqueeze(0)

# methods_llm.md 12, oBERT.
GRADIENTS = float64([1, 0, 2, 1], [0, 1, 1, 0], [2, 1, 0, 1])
OBERT_WEIGHTS = float64(0.5, -1, 0.2, 0.8)


def marks(size: int, *positions: int) -> Tensor:
    marked = torch.zeros(size, dtype=torch.bool)
    marked[list(positions)] = True
    return marked


def problem(size: int, block: int, samples: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, a mask of what goes, gradients."""
    rng = np.random.default_rng(seed)
    gradients = torch.from_numpy(rng.normal(size=(samples, size)))
    return (
        torch.from_numpy(rng.normal(size=size)),
        torch.from_numpy(rng.random(size) < 0.5),
        gradients,
    )


def direct(gradients: Tensor, block: int, damp: float) -> list[np.ndarray]:
    """The Fisher matrix of every block, undamped padding left out."""
    array = gradients.double().numpy()
    parts = [array[:, start : start + block] for start in range(0, array.shape[1], block)]
    return [damp * np.eye(p.shape[1]) + p.T @ p / len(array) for p in parts]


@UPDATES
def test_woodbury_golden(function: Callable[..., None]) -> None:
    gradients = float64([1, 0, 1], [0, 2, 1])
    inverse = start_inverse(gradients, 3, 0.1)
    function(inverse, gradients, 2)
    np.testing.assert_allclose(inverse[0, 0], [5.0192, 1.9157, -4.0230], atol=5e-5)
    expected = np.linalg.inv(0.1 * np.eye(3) + 0.5 * gradients.numpy().T @ gradients.numpy())
    np.testing.assert_allclose(inverse[0], expected, rtol=1e-14)


def test_obert_golden() -> None:
    inverse = fisher_inverse(GRADIENTS, 4, 0.1)
    np.testing.assert_allclose(
        inverse[0].diagonal(), [2.982559, 2.056688, 0.946816, 7.224343], atol=5e-7
    )
    rho = scores_single(OBERT_WEIGHTS, inverse)
    np.testing.assert_allclose(rho, [0.041910, 0.243109, 0.021123, 0.044295], atol=5e-7)
    for change in (compensation, compensation_exact):
        after = OBERT_WEIGHTS + change(OBERT_WEIGHTS, inverse, marks(4, 2))
        np.testing.assert_allclose(after, [0.383399, -0.942526, 0, 1.101013], atol=5e-7)
        assert after[2] == 0


def test_single_golden() -> None:
    rho = scores_single(WEIGHTS, INVERSE)
    np.testing.assert_allclose(rho, [0.2160, 0.3975, 0.1454], atol=5e-5)
    for change in (compensation, compensation_exact):
        delta = change(WEIGHTS, INVERSE, marks(3, 2))
        np.testing.assert_allclose(WEIGHTS + delta, [0.4543, -0.8171, 0], atol=5e-5)
        assert float(delta @ FISHER @ delta) / 2 == pytest.approx(float(rho[2]))


@pytest.mark.parametrize(
    ("pair", "loss", "after"),
    [
        ((0, 1), 0.46, (0, 0, 0.4)),
        ((0, 2), 0.32595, (0, -0.59, 0)),
        ((1, 2), 0.4375, (0.25, 0, 0)),
    ],
)
def test_pairs_golden(
    pair: tuple[int, int], loss: float, after: tuple[float, float, float]
) -> None:
    delta = compensation_exact(WEIGHTS, INVERSE, marks(3, *pair))
    np.testing.assert_allclose(WEIGHTS + delta, after, atol=1e-12)
    assert float(delta @ FISHER @ delta) / 2 == pytest.approx(loss, abs=1e-5)
    # The same as a group, the pair moved to the front of a block of four.
    order = [*pair, ({0, 1, 2} - set(pair)).pop()]
    padded = torch.eye(4, dtype=torch.float64)
    padded[:3, :3] = INVERSE[0][order][:, order]
    weights, inverse = WEIGHTS[order], padded.unsqueeze(0)
    assert float(scores_group(weights, inverse, 2)[0]) == pytest.approx(loss, abs=1e-5)
    grouped = weights + compensation(weights, inverse, marks(3, 0, 1), size=2)
    np.testing.assert_allclose(grouped, np.array(after)[order], atol=1e-12)


@UPDATES
@settings(max_examples=15, deadline=None)
@given(
    size=st.integers(1, 23),
    block=st.sampled_from([1, 2, 5, 8, 30]),
    samples=st.integers(1, 6),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 99),
)
def test_updates_give_the_inverse(
    function: Callable[..., None],
    size: int,
    block: int,
    samples: int,
    dtype: torch.dtype,
    seed: int,
) -> None:
    gradients = problem(size, block, samples, seed)[2].to(dtype)
    inverse = start_inverse(gradients, block, 0.1)
    function(inverse, gradients, samples)
    assert inverse.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(inverse, inverse.mT)
    for found, matrix in zip(inverse, direct(gradients, block, 0.1), strict=True):
        width = len(matrix)
        tolerance = 1e-9 if dtype == torch.float64 else 2e-4
        np.testing.assert_allclose(
            found[:width, :width], np.linalg.inv(matrix), rtol=tolerance, atol=tolerance
        )
        rest = torch.eye(block, dtype=inverse.dtype) / 0.1
        torch.testing.assert_close(found[width:], rest[width:])


def test_portions_of_gradients_and_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = problem(37, 5, 9, 0)[2]
    whole = fisher_inverse(gradients, 5, 0.01)
    inverse = start_inverse(gradients, 5, 0.01)
    for part in (gradients[:0], gradients[:4], gradients[4:]):
        update(inverse, part, 9)
    torch.testing.assert_close(inverse, whole)
    monkeypatch.setattr(fisher, "_PORTION", 50)
    strided = gradients.T.contiguous().T
    assert torch.equal(fisher_inverse(strided, 5, 0.01), whole)
    torch.testing.assert_close(
        fisher_inverse(gradients.half(), 5, 0.01), whole.float(), rtol=0.05, atol=0.5
    )


def test_one_gradient_is_the_rank_one_formula() -> None:
    g = float64(1, -2, 3)
    expected = torch.eye(3) / 0.5 - torch.outer(g, g) / 0.25 / (1 + 14 / 0.5)
    torch.testing.assert_close(fisher_inverse(g[None], 3, 0.5)[0], expected)


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 20), block=st.sampled_from([1, 3, 6]), seed=st.integers(0, 200))
def test_compensation_never_costs_more_than_zeroing(size: int, block: int, seed: int) -> None:
    weights, gone, gradients = problem(size, block, 8, seed)
    inverse = fisher_inverse(gradients, block, 0.05)
    delta = compensation_exact(weights, inverse, gone)
    assert torch.equal((weights + delta)[gone], torch.zeros(int(gone.sum()), dtype=torch.float64))

    def loss(change: Tensor) -> float:
        parts = [change[s : s + block].numpy() for s in range(0, size, block)]
        matrices = direct(gradients, block, 0.05)
        return sum(p @ m @ p for p, m in zip(parts, matrices, strict=True)) / 2

    zeroing = torch.where(gone, -weights, 0)
    assert loss(delta) <= loss(zeroing) + 1e-9
    for start in range(0, size, block):  # the optimum of each block, solved on its own
        some = slice(start, start + block)
        stays = ~gone[some].numpy()
        matrix = direct(gradients, block, 0.05)[start // block]
        best = np.linalg.solve(
            matrix[stays][:, stays], -matrix[stays][:, ~stays] @ zeroing[some].numpy()[~stays]
        )
        np.testing.assert_allclose(delta[some].numpy()[stays], best, atol=1e-9)


def test_the_published_rule_drops_cross_terms() -> None:
    weights, gone, gradients = problem(11, 4, 6, 3)
    inverse = fisher_inverse(gradients, 4, 0.1)
    delta = compensation(weights, inverse, gone)
    expected = np.zeros(12)
    for i in np.flatnonzero(gone.numpy()):
        b, j = divmod(int(i), 4)
        column = inverse[b, :, j].numpy()
        expected[4 * b : 4 * b + 4] -= column * float(weights[i]) / column[j]
    np.testing.assert_allclose(delta[~gone], expected[:11][~gone.numpy()], rtol=1e-12)
    assert torch.equal((weights + delta)[gone], torch.zeros(int(gone.sum()), dtype=torch.float64))


def test_groups_are_solved_one_by_one_and_a_rest_counts_with_what_it_has() -> None:
    weights, _, gradients = problem(10, 8, 6, 5)
    inverse = fisher_inverse(gradients, 8, 0.1)
    scores = scores_group(weights, inverse, 4)
    assert scores.shape == (3,)
    gone = marks(10, 0, 1, 2, 3, 8, 9)
    delta = compensation(weights, inverse, gone, size=4)
    for group, (b, inside, some) in enumerate(
        [
            (0, slice(0, 4), slice(0, 4)),
            (0, slice(4, 8), slice(4, 8)),
            (1, slice(0, 2), slice(8, 10)),
        ]
    ):
        solved = np.linalg.solve(inverse[b, inside, inside].numpy(), weights[some].numpy())
        assert float(scores[group]) == pytest.approx(weights[some].numpy() @ solved / 2)
        if group == 0:
            expected = -inverse[0, 4:8, 0:4].numpy() @ solved
            np.testing.assert_allclose(delta[4:8], expected, rtol=1e-10)
    assert (weights + delta)[gone].abs().sum() == 0
    torch.testing.assert_close(scores_group(weights, inverse, 1), scores_single(weights, inverse))


def test_bad_input_is_refused() -> None:
    inverse = fisher_inverse(GRADIENTS, 4, 0.1)
    with pytest.raises(ValueError, match="must be positive"):
        fisher_inverse(GRADIENTS, 4, 0.0)
    with pytest.raises(ValueError, match="must be positive"):
        fisher_inverse(GRADIENTS, 0, 1.0)
    with pytest.raises(ValueError, match="samples, weights"):
        fisher_inverse(GRADIENTS[:0], 4, 0.1)
    with pytest.raises(ValueError, match="NaN or infinite"):
        fisher_inverse(GRADIENTS * float("nan"), 4, 0.1)
    with pytest.raises(ValueError, match="more than the 2"):
        update(inverse, GRADIENTS, 2)
    with pytest.raises(ValueError, match="do not fit"):
        update(inverse, GRADIENTS.repeat(1, 2), 3)
    with pytest.raises(ValueError, match="do not fit"):
        scores_single(WEIGHTS.repeat(3), inverse)
    with pytest.raises(ValueError, match="cross the borders"):
        scores_group(OBERT_WEIGHTS, inverse, 3)
    with pytest.raises(ValueError, match="whole groups"):
        compensation(OBERT_WEIGHTS, inverse, marks(4, 1), size=2)
    with pytest.raises(ValueError, match="one entry a weight"):
        compensation_exact(OBERT_WEIGHTS, inverse, marks(3, 1))
    with pytest.raises(ValueError, match="overflows"):
        fisher_inverse(GRADIENTS.float(), 4, 1e-38)


def test_damping_lost_in_float32_is_found() -> None:
    """Nearly equal gradients and a tiny damping: rounding makes a diagonal entry negative."""
    noise = torch.randn(4, 4, generator=torch.Generator().manual_seed(8))
    gradients = torch.cat([noise[:1], noise[:1] + 1e-3 * noise[1:]])
    with pytest.raises(ValueError, match="gradients in float64"):
        fisher_inverse(gradients, 4, 1e-7)
    assert (fisher_inverse(gradients.double(), 4, 1e-7).diagonal(dim1=1, dim2=2) > 0).all()
