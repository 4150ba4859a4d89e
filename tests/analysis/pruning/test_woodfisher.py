"""WoodFisher, oBERT and the optimal brain surgeon update against dense algebra and goldens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.errors import ArgumentError, InputError
from analysis.pruning import PRESETS, Prune, PruningContext, Recipe, pruned_model, recipe_named
from analysis.pruning.cost import JobSize
from analysis.pruning.criteria import block_fisher
from analysis.pruning.criteria.block_fisher import MEMO, BlockFisher, portions
from analysis.pruning.criteria.gradients import loss_gradients
from analysis.pruning.criteria.woodfisher import WoodFisher
from analysis.pruning.recoveries.obs_update import ObsUpdate
from tests.analysis.pruning.toys import ConvNet, OneLinear, context, noise, row_images, toy

MODEL = toy(ConvNet)
IMAGES = noise(20, MODEL)
GOLDEN = [[1.0, 0, 2, 1], [0, 1, 1, 0], [2, 1, 0, 1]]


@pytest.fixture
def golden(monkeypatch: pytest.MonkeyPatch) -> PruningContext:
    """One row of four weights whose three gradients are those of the reference."""
    state = {"fc.weight": torch.tensor([[0.5, -1.0, 0.2, 0.8]], dtype=torch.float64)}
    model = toy(lambda: OneLinear(1, 4), classes=1, state=state)

    def given(where: PruningContext, batch: int) -> Iterator[tuple[int, dict[str, Tensor]]]:
        for gradient in GOLDEN:
            yield 1, {"fc": torch.tensor([gradient], dtype=torch.float64)}

    monkeypatch.setattr(block_fisher, "loss_gradients", given)
    return context(model, row_images(3))


def test_scores_and_update_of_the_reference(golden: PruningContext) -> None:
    """λ = .1: ρ = (.041910, .243109, .021123, .044295), the third goes, and the rest moves."""
    scores = WoodFisher(damping=0.1).scores(golden)["fc"]
    expected = [[0.041910, 0.243109, 0.021123, 0.044295]]
    np.testing.assert_allclose(scores.numpy(), expected, atol=5e-7)
    for rule in ("jointly", "one by one"):
        recipe = Recipe(criterion=WoodFisher(damping=0.1), recovery=ObsUpdate(removed=rule))
        request = Prune(golden.model, recipe, 0.25, golden.calibration)
        after = pruned_model(golden.model, request(), request).weight("fc.weight")
        np.testing.assert_allclose(after.numpy(), [[0.383399, -0.942526, 0, 1.101013]], atol=5e-7)
        assert after[0, 2] == 0


def test_a_group_is_scored_as_one_and_shared_out(golden: PruningContext) -> None:
    """½ w_Qᵀ ([F⁻¹]_QQ)⁻¹ w_Q, by a dense inverse."""
    g, w = np.array(GOLDEN), np.array([0.5, -1, 0.2, 0.8])
    inverse = np.linalg.inv(0.1 * np.eye(4) + g.T @ g / 3)
    expected = [w[q] @ np.linalg.inv(inverse[np.ix_(q, q)]) @ w[q] / 2 for q in ([0, 1], [2, 3])]
    scores = WoodFisher(block=4, group=2, damping=0.1).scores(golden)["fc"]
    np.testing.assert_allclose(scores.numpy().reshape(2, 2).sum(axis=1), expected, rtol=1e-10)
    assert scores[0, 0] == scores[0, 1]
    whole = BlockFisher(golden, block_fisher.Settings(4, 3, 1, 0.1, 1, group=3))
    assert whole.group(golden.layers[0]) == 1  # a row of four has no whole groups of three


def dense_blocks(where: PruningContext, damping: float, block: int) -> dict[str, np.ndarray]:
    """Inverse blocks by numpy from single gradients, float64."""
    rows: dict[str, list[np.ndarray]] = {layer.name: [] for layer in where.layers}
    for _, gradients in loss_gradients(where, 1):
        for layer in where.layers:
            masked = gradients[layer.name].double() * ~where.removed(layer)
            rows[layer.name].append(masked.numpy().reshape(-1))
    found = {}
    for name, gradients in rows.items():
        g = np.stack(gradients)
        blocks = [g[:, i : i + block] for i in range(0, g.shape[1], block)]
        found[name] = [
            np.linalg.inv(damping * np.eye(b.shape[1]) + b.T @ b / len(b)) for b in blocks
        ]
    return found


@pytest.mark.parametrize("memory", [1, 2048])
def test_scores_equal_dense_inverses_whatever_the_memory(memory: int) -> None:
    """With blocks of 512 a MiB holds one of them: portions recompute their gradients."""
    where = context(MODEL, IMAGES)
    criterion = WoodFisher(block=512, damping=1e-3, memory=memory)
    assert len(portions(MODEL.layers, 512, memory)) == (1 if memory > 1 else 6)
    scores = criterion.scores(where)
    for name, blocks in dense_blocks(where, 1e-3, 512).items():
        diagonal = np.concatenate([np.diag(b) for b in blocks])
        weight = MODEL.weights[f"{name}.weight"].double().numpy().reshape(-1)
        found = scores[name].numpy().reshape(-1)
        np.testing.assert_allclose(found, weight**2 / (2 * diagonal), rtol=2e-3)


def test_portions_cut_between_blocks_and_hold_what_they_may() -> None:
    cut = portions(MODEL.layers, 256, 1)  # 256 KiB a block: four at once
    assert max(sum(piece.bytes(256) for piece in part) for part in cut) <= 1 << 20
    pieces = [piece for part in cut for piece in part]
    assert all(piece.start % 256 == 0 for piece in pieces)
    for layer in MODEL.layers:
        own = [piece for piece in pieces if piece.layer == layer]
        assert own[0].start == 0
        assert own[-1].stop == layer.parameters
        assert all(a.stop == b.start for a, b in pairwise(own))


def test_an_update_is_the_optimum_of_its_quadratic() -> None:
    """Block by block: F_KK δ_K = F_KQ w_Q, solved densely; never worse than zeros."""
    where = context(MODEL, IMAGES)
    recipe = Recipe(criterion=WoodFisher(block=40, damping=1e-3), recovery=ObsUpdate())
    request = Prune(MODEL, recipe, 0.6, IMAGES)
    after = pruned_model(MODEL, request(), request)
    inverses = dense_blocks(where, 1e-3, 40)
    for layer in MODEL.layers:
        w = MODEL.weights[layer.parameter].double().numpy().reshape(-1)
        new = after.weight(layer.parameter).double().numpy().reshape(-1)
        keep = after.keep(layer).numpy().reshape(-1)
        assert not new[~keep].any()
        for index, inverse in enumerate(inverses[layer.name]):
            some = slice(40 * index, 40 * index + len(inverse))
            fisher, k, change = np.linalg.inv(inverse), keep[some], (new - w)[some]
            if k.all() or not k.any():
                continue
            expected = np.linalg.solve(fisher[k][:, k], fisher[k][:, ~k] @ w[some][~k])
            np.testing.assert_allclose(change[k], expected, rtol=2e-2, atol=2e-4)
            zeros = np.where(k, 0, -w[some])
            assert change @ fisher @ change <= zeros @ fisher @ zeros * (1 + 1e-6)


def test_one_by_one_is_the_rule_of_the_authors_code() -> None:
    where = context(MODEL, IMAGES)
    criterion = WoodFisher(block=40, damping=1e-3)
    request = Prune(MODEL, Recipe(criterion=criterion, recovery="none"), 0.6, IMAGES)
    gone = ~pruned_model(MODEL, request(), request).keep(MODEL.layers[2]).reshape(-1)
    recipe = Recipe(criterion=criterion, recovery=ObsUpdate(removed="one by one"))
    request = Prune(MODEL, recipe, 0.6, IMAGES)
    found = pruned_model(MODEL, request(), request).weight("conv3.weight").reshape(-1)
    w = MODEL.weights["conv3.weight"].double().reshape(-1).numpy()
    for index, inverse in enumerate(dense_blocks(where, 1e-3, 40)["conv3"]):
        some = slice(40 * index, 40 * index + len(inverse))
        marked = gone[some].numpy()
        expected = w[some] - inverse @ (w[some] * marked / np.diag(inverse))
        expected[marked] = 0
        np.testing.assert_allclose(found[some].numpy(), expected, rtol=2e-2, atol=2e-4)


@pytest.mark.parametrize("name", ["woodfisher", "obert", "obert-block4"])
def test_presets_move_kept_weights_and_leave_the_dense_model(name: str) -> None:
    before = {key: tensor.clone() for key, tensor in MODEL.weights.items()}
    request = Prune(MODEL, PRESETS[name].recipe, 0.6, IMAGES)
    pruned = request()
    assert pruned.audit.got == pruned.audit.asked
    after = pruned_model(MODEL, pruned, request)
    moved = [
        not torch.equal(after.weight(la.parameter), MODEL.weights[la.parameter] * after.keep(la))
        for la in MODEL.layers
    ]
    assert any(moved)
    assert all(torch.equal(MODEL.weights[key], tensor) for key, tensor in before.items())


def test_small_memory_gives_the_same_update() -> None:
    found = []
    for memory in (1, 2048):
        criterion = WoodFisher(block=512, damping=1e-3, memory=memory)
        request = Prune(MODEL, Recipe(criterion=criterion, recovery=ObsUpdate()), 0.5, IMAGES)
        found.append(pruned_model(MODEL, request(), request))
    for layer in MODEL.layers:
        one, two = (model.weight(layer.parameter) for model in found)
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_removing_nothing_changes_nothing() -> None:
    request = Prune(MODEL, PRESETS["woodfisher"].recipe, 0.0, IMAGES)
    assert request().updates == {}


def test_weights_that_went_before_take_no_part() -> None:
    """Their gradients are zero: the others' scores are those of a Fisher without them."""
    request = Prune(MODEL, PRESETS["global-magnitude"].recipe, 0.4)
    half = pruned_model(MODEL, request(), request)
    where = context(half, IMAGES)
    WoodFisher(block=40, damping=1e-3).scores(where)
    expected = dense_blocks(where, 1e-3, 40)
    for piece, inverse in where.memo[MEMO].inverses():
        gone = piece.of(where.removed(piece.layer))
        for index, block in enumerate(inverse):
            dense = expected[piece.layer.name][index]
            np.testing.assert_allclose(
                block[: len(dense), : len(dense)].numpy(), dense, rtol=1e-2, atol=1e-2
            )
            marked = gone[40 * index : 40 * index + len(dense)]
            crossed = block[: len(dense), : len(dense)][marked][:, ~marked]
            assert not bool(crossed.any())


def test_gradients_are_as_many_as_asked_for() -> None:
    seen = []
    where = context(MODEL, IMAGES, report=seen.append)
    WoodFisher(gradients=3, batch=4, damping=1e-3).scores(where)
    assert [step.done for step in seen] == [333, 666, 1000]


def test_what_does_not_fit_is_explained() -> None:
    with pytest.raises(ArgumentError, match="Fisher blocks of the criterion"):
        recipe_named("global-magnitude", {"recovery": "obs-update"})
    with pytest.raises(ArgumentError, match="must fill a Fisher block of 50"):
        recipe_named("woodfisher", {"criterion.group": "4"})
    with pytest.raises(ArgumentError, match="no Fisher matrix"):
        ObsUpdate().repair(context(MODEL, IMAGES))
    large = {k: v * 1e30 if v.ndim > 1 else v for k, v in MODEL.weights.items()}
    with pytest.raises(InputError, match="not finite"):
        Prune(replace(MODEL, weights=large), PRESETS["woodfisher"].recipe, 0.5, IMAGES)()


def test_cost_counts_portions() -> None:
    job = JobSize(MODEL.layers, {}, images=64, batch_size=10)
    one, many = (WoodFisher(block=512, memory=memory).cost(job) for memory in (2048, 1))
    assert one.backward == 64
    assert many.backward == 6 * 64
    assert many.memory <= 1 << 20 < one.memory
