from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels import sparsegpt
from kernels.inverse_factor import inverse_factor
from kernels.select import k_smallest_reference
from kernels.sparsegpt import (
    Swept,
    column_blocks,
    sweep,
    sweep_nm,
    sweep_nm_reference,
    sweep_reference,
)
from tests.analysis.pruning.toys import golden

SEQUENCES = 3  # the golden inputs are fed as 3 sequences of 4 tokens


def golden_layer(damp: float = 0.01) -> tuple[Tensor, Tensor, Tensor]:
    """W, X and the factor for H = 2/N XᵀX."""
    weight, inputs = map(torch.from_numpy, golden())
    return weight, inputs, inverse_factor(2 / SEQUENCES * inputs.T @ inputs, damp).factor


def triton_module() -> ModuleType:
    pytest.importorskip("triton", reason="Triton is not installed")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("Triton compiles for the device here: tests/gpu compares it")
    from kernels.cuda import sparsegpt as cuda

    return cuda


def triton_sweep(
    weight: Tensor,
    factor: Tensor,
    counts: list[int],
    block: int,
    removed: Tensor | None = None,
) -> Swept:
    return sparsegpt._sweep(weight, factor, counts, block, removed, triton_module().columns)


def triton_sweep_nm(
    weight: Tensor,
    factor: Tensor,
    n: int,
    m: int,
    block: int = 128,
    removed: Tensor | None = None,
) -> Swept:
    step = triton_module().columns_nm
    return sparsegpt._sweep_nm(weight, factor, (n, m), block, removed, step)


UNSTRUCTURED = pytest.mark.parametrize("function", [sweep, sweep_reference, triton_sweep])
PATTERNED = pytest.mark.parametrize("function", [sweep_nm, sweep_nm_reference, triton_sweep_nm])


def layer(
    rows: int, size: int, seed: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    inputs = torch.from_numpy(rng.normal(size=(3 * size, size)) @ rng.normal(size=(size, size)))
    weight = torch.from_numpy(rng.normal(size=(rows, size))).to(dtype)
    return weight, inputs, inverse_factor((inputs.T @ inputs).float()).factor


def published(
    weight: Tensor, factor: Tensor, counts: list[int], block: int, pattern: tuple[int, int] | None
) -> tuple[Tensor, Tensor]:
    """The loop of the authors' code written once more; -> pruned weight, keep-mask."""
    w, keep = weight.clone(), torch.ones(weight.shape, dtype=torch.bool)
    for b, start in enumerate(range(0, w.shape[1], block)):
        stop = min(start + block, w.shape[1])
        if pattern is None:
            scores = (w[:, start:stop] / factor.diagonal()[start:stop]).abs()
            keep[:, start:stop] = ~k_smallest_reference([scores], counts[b])[0]
        for i in range(start, stop):
            if pattern is not None and i % pattern[1] == 0 and i + pattern[1] <= w.shape[1]:
                inside = slice(i, i + pattern[1])
                scores = (w[:, inside] / factor.diagonal()[inside]).abs()
                for row in range(len(w)):
                    lowest = np.argsort(scores[row].numpy(), kind="stable")
                    keep[row, i + lowest[: pattern[1] - pattern[0]]] = False
            error = torch.where(keep[:, i], 0, w[:, i]) / factor[i, i]
            w[:, i:] -= torch.outer(error, factor[i, i:])
            w[~keep[:, i], i] = 0
    return w, keep


@UNSTRUCTURED
@pytest.mark.parametrize(
    ("damp", "block", "counts", "error", "loss", "row"),
    [
        (0.01, 128, [17], 91.986892, 31.8316, [0, 0, 0, 0, -0.90136, -0.72846, 0, 0.84434]),
        (0.01, 4, [9, 9], 209.188559, 70.8121, None),
        (0.1, 128, [17], 94.226472, 42.0349, None),
    ],
)
def test_golden_unstructured(
    function: Callable[..., Swept],
    damp: float,
    block: int,
    counts: list[int],
    error: float,
    loss: float,
    row: list[float] | None,
) -> None:
    weight, inputs, factor = golden_layer(damp)
    swept = function(weight, factor, counts, block)
    check_golden(swept, weight, inputs, (sum(counts), error, loss))
    if row is not None:
        np.testing.assert_allclose(swept.weight[0], row, atol=5e-6)


@PATTERNED
def test_golden_two_of_four(function: Callable[..., Swept]) -> None:
    weight, inputs, factor = golden_layer()
    for block in (128, 4, 3):
        swept = function(weight, factor, 2, 4, block)
        check_golden(swept, weight, inputs, (16, 178.295143, 60.3136))
        np.testing.assert_allclose(
            swept.weight[0], [0, 0.84481, 0, -0.55992, -0.98386, 0, 0, 0.82573], atol=5e-6
        )


def check_golden(
    swept: Swept, weight: Tensor, inputs: Tensor, expected: tuple[int, float, float]
) -> None:
    zeros, error, loss = expected
    found = float(((inputs @ (swept.weight - weight).T) ** 2).sum())
    assert int((swept.weight == 0).sum()) == int((~swept.keep).sum()) == zeros
    assert found == pytest.approx(error, abs=1e-5)
    assert swept.loss == pytest.approx(loss, abs=1e-4)
    assert found <= SEQUENCES * swept.loss


@UNSTRUCTURED
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_sweep_is_the_published_loop(function: Callable[..., Swept], data: st.DataObject) -> None:
    rows, size = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 11))
    block = data.draw(st.sampled_from([1, 3, 4, 16]))
    weight, _, factor = layer(rows, size, data.draw(st.integers(0, 50)))
    counts = [
        data.draw(st.integers(0, rows * (stop - start)))
        for start, stop in column_blocks(size, block)
    ]
    expected, keep = published(weight, factor, counts, block, None)
    swept = function(weight, factor, counts, block)
    assert torch.equal(swept.keep, keep)
    assert torch.equal(swept.weight == 0, ~keep)
    torch.testing.assert_close(swept.weight, expected, rtol=1e-4, atol=1e-4)


@PATTERNED
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_nm_sweep_is_the_published_loop(
    function: Callable[..., Swept], data: st.DataObject
) -> None:
    n, m = data.draw(st.sampled_from([(2, 4), (1, 2), (1, 3), (3, 5)]))
    weight, _, factor = layer(
        data.draw(st.integers(1, 5)), data.draw(st.integers(1, 11)), data.draw(st.integers(0, 50))
    )
    expected, keep = published(weight, factor, [], 2 * m, (n, m))
    swept = function(weight, factor, n, m, 2 * m)
    assert torch.equal(swept.keep, keep)
    torch.testing.assert_close(swept.weight, expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64]),
    seed=st.integers(0, 99),
    block=st.sampled_from([1, 5, 64]),
)
def test_numba_and_the_reference_agree_to_the_bit(
    dtype: torch.dtype, seed: int, block: int
) -> None:
    weight, _, factor = layer(6, 17, seed, dtype)
    weight = weight.round(decimals=0) + 0.0 * weight  # many ties and zeros of both signs
    counts = [3 * (stop - start) for start, stop in column_blocks(17, block)]
    removed = torch.from_numpy(np.random.default_rng(seed).random((6, 17)) < 0.1)
    removed &= removed.cumsum(0) <= 3
    for ours, reference in [
        (
            sweep(weight, factor, counts, block, removed),
            sweep_reference(weight, factor, counts, block, removed),
        ),
        (
            sweep_nm(weight, factor, 2, 4, block, removed),
            sweep_nm_reference(weight, factor, 2, 4, block, removed),
        ),
    ]:
        assert torch.equal(ours.weight, reference.weight)
        assert torch.equal(ours.keep, reference.keep)
        assert ours.loss == reference.loss
        assert ours.weight.dtype == dtype
        assert not (ours.keep & removed).any()


@UNSTRUCTURED
def test_without_correlation_it_is_magnitude_pruning(function: Callable[..., Swept]) -> None:
    weight = torch.tensor([[3.0, -1, 2, -2], [1, 0, 2, -5]])
    swept = function(weight, inverse_factor(7 * torch.eye(4)).factor, [4], 4)
    goes = torch.tensor([[False, True, True, False], [True, True, False, False]])  # 2 by position
    assert torch.equal(swept.keep, ~goes)
    assert torch.equal(swept.weight, weight.masked_fill(goes, 0))
    assert swept.loss == pytest.approx(1.01 * 7 * (1 + 4 + 1) / 2)


def test_error_is_bounded_by_the_loss_and_below_that_of_magnitude() -> None:
    weight, inputs, _ = layer(16, 64, 4, torch.float64)
    factor = inverse_factor(2 / 5 * inputs.T @ inputs).factor
    swept = sweep(weight, factor, [128] * 4, block=16)
    error = float(((inputs @ (swept.weight - weight).T) ** 2).sum())
    removed = weight * (weight.abs() <= weight.abs().median())
    assert error <= 5 * swept.loss
    assert error < float(((inputs @ removed.T) ** 2).sum())


def test_nothing_and_everything() -> None:
    weight, _, factor = layer(3, 5, 1)
    none = sweep(weight, factor, [0, 0], block=3)
    assert torch.equal(none.weight, weight)
    assert (none.loss, bool(none.keep.all())) == (0, True)
    assert sweep(weight, factor, [9, 6], block=3).weight.abs().sum() == 0
    assert sweep(weight[:0], factor, [0], block=5).keep.shape == (0, 5)


@PATTERNED
def test_incomplete_groups_stay(function: Callable[..., Swept]) -> None:
    weight, _, factor = layer(4, 10, 2)
    keep = function(weight, factor, 2, 4).keep
    assert keep[:, 8:].all()
    assert keep[:, :8].reshape(4, 2, 4).sum(dim=2).eq(2).all()


@pytest.mark.parametrize(
    ("unstructured", "patterned"), [(sweep, sweep_nm), (triton_sweep, triton_sweep_nm)]
)
def test_removed_entries_go_first_and_count(
    unstructured: Callable[..., Swept], patterned: Callable[..., Swept]
) -> None:
    weight, _, factor = layer(4, 8, 3)
    removed = torch.zeros(4, 8, dtype=torch.bool)
    removed[0, :4] = True
    swept = unstructured(weight, factor, [5, 2], 4, removed)
    assert [int((~swept.keep[:, :4]).sum()), int((~swept.keep[:, 4:]).sum())] == [5, 2]
    assert not swept.keep[removed].any()
    groups = patterned(weight, factor, 2, 4, 4, removed).keep.reshape(4, 2, 4).sum(dim=2)
    assert groups.tolist() == [[0, 2], [2, 2], [2, 2], [2, 2]]
    with pytest.raises(ValueError, match="4 went before"):
        unstructured(weight, factor, [3, 2], 4, removed)


def test_the_given_weights_are_left_alone() -> None:
    weight, _, factor = layer(4, 8, 5)
    before = weight.clone()
    strided = torch.nn.Parameter(weight.T.contiguous().T)
    swept = sweep(strided, factor, [16])
    assert torch.equal(strided, before)
    assert torch.equal(swept.weight, sweep(weight, factor, [16]).weight)
    assert not swept.weight.requires_grad


def test_bad_input_is_refused() -> None:
    weight, _, factor = layer(2, 4, 6)
    with pytest.raises(ValueError, match="counts do not fit"):
        sweep(weight, factor, [1, 1])
    with pytest.raises(ValueError, match="cannot go"):
        sweep(weight, factor, [9])
    with pytest.raises(ValueError, match="does not fit weights"):
        sweep(weight, factor[:3, :3], [1])
    with pytest.raises(ValueError, match="positive diagonal"):
        sweep(weight, -factor, [1])
    with pytest.raises(ValueError, match="no pattern"):
        sweep_nm(weight, factor, 4, 4)
    with pytest.raises(ValueError, match="boolean"):
        sweep(weight, factor, [1], removed=weight)
    with pytest.raises(ValueError, match="at least one column"):
        sweep(weight, factor, [1], block=0)
    for value in ("nan", "inf"):
        with pytest.raises(ValueError, match="NaN or infinite"):
            sweep(torch.full((2, 4), float(value)), factor, [1])
    with pytest.raises(ValueError, match="more damping"):
        sweep(torch.full((1, 2), 1e38), torch.tensor([[1.0, 1e6], [0, 1e-6]]), [1])
