"""N:M patterns in a searched order of the inputs: shared by readers, counted as any other."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from analysis.checkpoints import open_model
from analysis.models import Model
from analysis.pruning import Prune, Pruned, pruned_model, recipe_named
from analysis.pruning.permutation import find_orders
from analysis.pruning.structures.nm import NM, PATTERN
from kernels.nm import nm_keep
from tests.analysis.pruning.toys import ConvNet, context, noise, toy


def run(model: Model, name: str, settings: dict[str, str]) -> tuple[Model, Pruned]:
    request = Prune(model, recipe_named(name, settings), None, noise(16, model))
    pruned = request()
    return pruned_model(model, pruned, request), pruned


class Shared(nn.Module):
    """Two convolutions read one tensor, and 14 channels are no whole number of groups."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 14, 3, padding=1)
        self.main = nn.Conv2d(14, 8, 3, padding=1)
        self.short = nn.Conv2d(14, 8, 1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.q, self.k = nn.Linear(8, 8), nn.Linear(8, 8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.main(x) + self.short(x))
        x = self.deep(x).mean(dim=(2, 3))
        return self.fc(self.q(x) * self.k(x))


def orders_of(model: Model, n: int = 2, m: int = 4) -> dict[str, Tensor]:
    where = context(model, noise(16, model))
    scores = {la.name: model.weights[la.parameter].abs() for la in model.layers}
    return find_orders(where, scores, n, m)[0]


def test_masks_are_patterns_in_the_searched_order_and_readers_share_it() -> None:
    model = toy(Shared)
    after, pruned = run(model, "nm-magnitude", {"structure.permutation": "search"})
    plain, as_is = run(model, "nm-magnitude", {})
    orders = orders_of(model)
    assert set(orders) == {"main", "short", "q", "k", "fc"}
    assert torch.equal(orders["main"], orders["short"])
    assert torch.equal(orders["q"], orders["k"])
    for name, order in orders.items():
        assert sorted(order.tolist()) == list(range(len(order)))
        whole = len(order) // 4 * 4
        assert order[whole:].tolist() == list(range(whole, len(order)))
        weight, keep = model.weights[f"{name}.weight"], after.masks[f"{name}.weight"].keep()
        expected = torch.empty_like(keep)
        expected[:, order] = nm_keep(weight.abs()[:, order], 2, 4)
        assert torch.equal(keep, expected)
        groups = keep[:, order][:, :whole].movedim(1, -1).reshape(-1, 4).sum(dim=1)
        assert set(groups.tolist()) == {2}
    counts = [(row.asked, row.got, row.removed) for row in pruned.audit.layers]
    assert counts == [(row.asked, row.got, row.removed) for row in as_is.audit.layers]

    def kept(of: Model) -> float:
        return sum(float(of.weight(f"{n}.weight").abs().sum()) for n in ("main", "short"))

    assert kept(after) > kept(plain)
    note = next(note for note in pruned.audit.notes if note.startswith("main, short: in another"))
    found = re.search(r"keeps ([\d.]+) of score instead of ([\d.]+), ([\d.]+)%", note)
    assert found is not None
    assert float(found[1]) == pytest.approx(kept(after), rel=1e-5)
    assert float(found[2]) == pytest.approx(kept(plain), rel=1e-5)
    best = 0.0
    for name in ("main", "short"):
        rows = model.weights[f"{name}.weight"].abs().movedim(1, -1).reshape(-1, 14)
        best += float(rows[:, :12].topk(6, dim=1).values.sum() + rows[:, 12:].sum())
    share = (kept(after) - kept(plain)) / (best - kept(plain))
    assert float(found[3]) == pytest.approx(100 * share, abs=0.1)


def test_the_order_of_the_channels_does_not_matter_to_the_kept_score() -> None:
    """Shuffled inputs can be put back: what the search keeps is about the same."""
    model = toy(Shared)
    shuffle = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    both = torch.cat([shuffle, torch.tensor([12, 13])])
    weights = dict(model.weights)
    for name in ("main", "short"):
        weights[f"{name}.weight"] = weights[f"{name}.weight"][:, both]
    other = Model(**{**vars(model), "weights": weights, "key": "shuffled"})
    kept = []
    for one in (model, other):
        after, _ = run(one, "nm-permuted", {})
        kept.append(sum(float(after.weight(f"{n}.weight").abs().sum()) for n in ("main", "short")))
    assert kept[0] == pytest.approx(kept[1], rel=0.02)


def test_layers_that_lost_weights_before_keep_their_order() -> None:
    model = toy(Shared)
    first = Prune(model, recipe_named("global-magnitude"), 0.3)
    sparse = pruned_model(model, first(), first)
    after, pruned = run(sparse, "nm-permuted", {})
    assert any(
        note.endswith("weights were removed before; the inputs keep their order")
        for note in pruned.audit.notes
    )
    same, _ = run(sparse, "nm-magnitude", {})
    assert torch.equal(after.masks["main.weight"].keep(), same.masks["main.weight"].keep())
    assert pruned.audit.asked == pruned.audit.got


def test_readers_in_other_rounds_and_groups_keep_their_order() -> None:
    settings = {"schedule": "layer-by-layer", "structure.permutation": "search"}
    _, pruned = run(toy(Shared), "nm-magnitude", settings)
    notes = [n for n in pruned.audit.notes if "another round" in n]
    assert notes[0].startswith("main, short: some of them are pruned in another round")
    _, pruned = run(toy(ConvNet), "nm-permuted", {"structure.n": "1", "structure.m": "2"})
    assert not any("conv2" in note and "another order" in note for note in pruned.audit.notes)


def test_the_demo_network_keeps_more() -> None:
    model = open_model("demo:resnet")[0]
    found = {}
    for name in ("nm-magnitude", "nm-permuted"):
        request = Prune(model, recipe_named(name), None)
        pruned = request()
        after = pruned_model(model, pruned, request)
        kept = sum(float(after.weight(la.parameter).abs().sum()) for la in model.layers)
        found[name] = (pruned.audit.got, kept)
    assert found["nm-magnitude"][0] == found["nm-permuted"][0]
    assert found["nm-permuted"][1] > 1.01 * found["nm-magnitude"][1]


def test_sparsegpt_sweeps_in_the_searched_order() -> None:
    model = toy(Shared)
    settings = {"structure.permutation": "search", "schedule": "one-shot"}
    recipe = recipe_named("sparsegpt-nm", settings)
    where = context(model, noise(16, model))
    decision = recipe.criterion.decide(where, recipe.structure, recipe.allocation, 0.5)
    pattern = where.memo[PATTERN]
    assert set(pattern.orders) == {"main", "short", "q", "k", "fc"}
    for name, order in pattern.orders.items():
        keep = decision.keep[name][:, order][:, : len(order) // 4 * 4]
        assert set(keep.movedim(1, -1).reshape(-1, 4).sum(dim=1).tolist()) == {2}
    assert sum((~keep).sum() for keep in decision.keep.values()) == sum(decision.asked.values())


def test_the_soft_threshold_finds_its_groups_in_that_order() -> None:
    model = toy(Shared)
    after, _ = run(model, "s-ste", {"structure.permutation": "search"})
    order = orders_of(model)["main"]
    dense = model.weights["main.weight"][:, order[:12]].movedim(1, -1).reshape(-1, 4)
    found = after.weight("main.weight")[:, order[:12]].movedim(1, -1).reshape(-1, 4)
    t = dense.abs().sort(dim=1).values[:, 1:2]
    shrunk = dense.sign() * (dense.abs() - t).clamp(min=0)
    scale = float((dense * shrunk).sum() / shrunk.square().sum())
    torch.testing.assert_close(found, scale * shrunk, rtol=1e-4, atol=1e-6)
    assert NM(permutation="search").budget(context(model), 0.5) == NM().budget(context(model), 0.5)
