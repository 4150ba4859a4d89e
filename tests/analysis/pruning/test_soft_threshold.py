"""S-STE's projection: goldens, continuity, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import ArgumentError
from analysis.pruning import Prune, Recipe, pruned_model, recipe_named
from analysis.pruning.recoveries.soft_threshold import soft_threshold
from kernels.nm import nm_keep
from tests.analysis.pruning.toys import ConvNet, toy

VALUES = st.floats(-4, 4, width=32)


@pytest.mark.parametrize(
    ("weight", "shrunk"),
    [((0.1, -0.5, 0.3, 0.9), (0, -0.2, 0, 0.6)), ((3.0, -1.0, 2.0, 0.5), (2, 0, 1, 0))],
)
def test_goldens(weight: tuple[float, ...], shrunk: tuple[float, ...]) -> None:
    w = torch.tensor([weight], dtype=torch.float64)
    found, scale = soft_threshold(w, nm_keep(w.abs(), 2, 4), 4)
    assert scale == pytest.approx(1.6)
    torch.testing.assert_close(found / scale, torch.tensor([shrunk], dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=4, max_size=4), st.lists(VALUES, min_size=4, max_size=4))
def test_the_projection_is_continuous(weight: list[float], other: list[float]) -> None:
    """Unlike hard masks: 1-Lipschitz in each entry and in the threshold, so 2 max |Δw| at most."""
    rows = torch.tensor([weight, other], dtype=torch.float64)
    shrunk = []
    for row in rows.split(1):
        found, scale = soft_threshold(row, nm_keep(row.abs(), 2, 4), 4)
        shrunk.append(found / scale)
    change = (shrunk[0] - shrunk[1]).abs().max()
    assert float(change) <= 2 * float((rows[0] - rows[1]).abs().max()) + 1e-9
    assert all(int(torch.count_nonzero(row)) <= 2 for row in shrunk)


def test_the_scale_is_the_best_one() -> None:
    w = torch.randn(6, 8, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, scale = soft_threshold(w, nm_keep(w.abs(), 2, 4), 4)
    errors = [
        float((w - found * s / scale).square().sum()) for s in (scale, scale * 1.01, scale * 0.99)
    ]
    assert min(errors) == errors[0]


def test_through_prune_groups_shrink_and_the_rest_is_untouched() -> None:
    model = toy(ConvNet)
    request = Prune(model, recipe_named("s-ste"), None)
    pruned = request()
    after = pruned_model(model, pruned, request)
    dense = model.weights["conv3.weight"].movedim(1, -1).reshape(-1, 4).numpy()
    found = after.weight("conv3.weight").movedim(1, -1).reshape(-1, 4).numpy()
    scale = next(n for n in pruned.audit.notes if "soft threshold" in n).split("conv3 ")[1]
    for before, now in zip(dense, found, strict=True):
        threshold = sorted(abs(before))[1]
        for w, v in zip(before, now, strict=True):
            size = max(abs(float(w)) - threshold, 0) * float(scale.split(",")[0])
            assert abs(float(v)) == pytest.approx(size, rel=1e-3, abs=1e-6)
            assert v == 0 or v * w > 0
    fc = model.weights["fc.weight"]
    assert torch.equal(after.weight("fc.weight")[:, 8:], fc[:, 8:])
    assert "conv1.weight" not in after.updates
    assert (pruned.audit.got, pruned.audit.asked) == (12 * 8 * 9 // 2 + 60 + 12,) * 2


@pytest.mark.parametrize("structure", ["weight", "filter"])
def test_it_wants_a_pattern(structure: str) -> None:
    with pytest.raises(ArgumentError, match="goes with the structure nm only"):
        Recipe.from_json(
            {
                "criterion": "magnitude",
                "structure": structure,
                "allocation": "uniform",
                "recovery": "soft-threshold",
            }
        )


def test_layer_by_layer_gives_the_same_for_magnitude() -> None:
    model = toy(ConvNet)
    keys = set()
    for schedule in ("one-shot", "layer-by-layer"):
        request = Prune(model, recipe_named("s-ste", {"schedule": schedule}), None)
        keys.add(pruned_model(model, request(), request).key)
    assert len(keys) == 1
