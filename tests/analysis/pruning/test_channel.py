"""Coupled channels, neurons and heads, and whole blocks, as masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch_pruning as tp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from analysis.architectures.architecture import ResidualBlock
from analysis.checkpoints import open_model
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning import PRESETS, Prune, Pruned, Recipe, pruned_model, recipe_named
from analysis.pruning.counting import exact_count
from analysis.pruning.coupled import ChannelGroup, gone_units, unit_macs
from analysis.pruning.dependencies import coupling
from analysis.pruning.structures.channel import Channel
from tests.analysis.pruning.coupled_nets import Flat, Joined, Padded
from tests.analysis.pruning.toys import ConvNet, context, noise, toy

MODEL = toy(ConvNet)


def run(
    model: Model, structure: str | dict[str, Any], sparsity: float, **parts: Any
) -> tuple[Model, Pruned]:
    recipe = Recipe.from_json(
        {"criterion": "magnitude", "allocation": "uniform", "structure": structure} | parts
    )
    request = Prune(model, recipe, sparsity, noise(8, model))
    pruned = request()
    return pruned_model(model, pruned, request), pruned


def group_of(model: Model, root: str) -> ChannelGroup:
    return next(g for g in coupling(model.architecture).groups if g.root == root)


def test_a_removed_channel_is_zero_in_every_layer_it_touches() -> None:
    after, _ = run(MODEL, "channel", 0.5)
    gone = gone_units(after, group_of(MODEL, "conv1"))
    assert int(gone.sum()) == 4
    for name in ("conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight", "conv2.bias"):
        assert not after.weight(name)[gone].any()
        assert torch.equal(after.weight(name)[~gone], MODEL.weights[name][~gone])
    assert not after.weight("conv3.weight")[:, gone].any()
    assert torch.equal(after.weight("bn1.running_mean"), MODEL.weights["bn1.running_mean"])
    assert torch.equal(after.weight("fc.weight"), MODEL.weights["fc.weight"])


@pytest.mark.parametrize("build", [Flat, Joined, ConvNet])
@pytest.mark.parametrize("score", ["sum", "mean", "l2"])
def test_the_weakest_rows_go(build: Callable[[], nn.Module], score: str) -> None:
    model = toy(build, classes=3)
    after, _ = run(model, {"name": "channel", "score": score}, 0.4)
    order = {"sum": 1, "mean": 1, "l2": 2}[score]
    for group in coupling(model.architecture).of("channels"):
        if build is ConvNet and group.root == "conv1":
            continue  # its depthwise reader is a producer as well
        rows = model.weights[f"{group.root}.weight"].flatten(1)
        norms = torch.linalg.vector_norm(rows, ord=order, dim=1)
        gone = gone_units(after, group)
        assert norms[gone].max() < norms[~gone].min()


def test_scores_over_all_layers_are_the_group_norm_of_torch_pruning() -> None:
    """GroupMagnitudeImportance(p=2), its target types without BatchNorm, which has no mask."""
    model = open_model("demo:resnet")[0]
    module = model.module()
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    graph = tp.DependencyGraph().build_dependency(
        module, torch.zeros(1, 1, 8, 8), unwrapped_parameters=[], customized_pruners={},
        ignored_layers=[], ignored_params=[],
    )  # fmt: skip
    importance = tp.importance.GroupMagnitudeImportance(p=2, target_types=[nn.Conv2d, nn.Linear])
    after, _ = run(model, {"name": "channel", "score": "l2", "over": "producers and readers"}, 0.5)
    for group in coupling(model.architecture).groups:
        layer = module.get_submodule(group.root)
        every = list(range(group.size))
        theirs = importance(graph.get_pruning_group(layer, tp.prune_conv_out_channels, every))
        weakest = set(torch.argsort(theirs)[: group.size // 2].tolist())
        assert set(gone_units(after, group).nonzero().flatten().tolist()) == weakest


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["channel", "neuron"]),
    st.sampled_from(["uniform", "global", "erk"]),
    st.floats(0, 0.8),
    st.sampled_from([1, 2]),
)
def test_counts_are_exact(kind: str, allocation: str, sparsity: float, round_to: int) -> None:
    after, pruned = run(
        MODEL, {"name": kind, "round_to": round_to}, sparsity, allocation=allocation
    )
    kinds = {"channel": "channels", "neuron": "neurons"}
    groups = coupling(MODEL.architecture).of(kinds[kind])  # type: ignore[arg-type]
    counts = [int(gone_units(after, group).sum()) for group in groups]
    size = sum(group.size for group in groups)
    assert pruned.audit.unit == kinds[kind]
    assert pruned.audit.asked == sum(counts) == round_to * exact_count(sparsity, size // round_to)
    assert all(count % round_to == 0 for count in counts)


def test_bundles_take_the_weakest_and_odd_groups_stay_whole() -> None:
    model = toy(Joined)
    after, pruned = run(model, {"name": "channel", "round_to": 2}, 0.4, allocation="global")
    assert "left: 3 channels are no multiple of 2; it stays whole" in pruned.audit.notes
    assert not gone_units(after, group_of(model, "left")).any()
    assert pruned.audit.got == 4
    for root in ("right", "read"):
        norms = model.weights[f"{root}.weight"].flatten(1).abs().sum(dim=1)
        gone = gone_units(after, group_of(model, root))
        assert int(gone.sum()) % 2 == 0
        assert not gone.any() or norms[gone].max() < norms[~gone].min()
    with pytest.raises(ArgumentError, match="in multiples of 5"):
        run(MODEL, {"name": "channel", "round_to": 5}, 0.5)


def test_pruning_goes_on_from_what_is_gone() -> None:
    first, _ = run(MODEL, "channel", 0.3)
    second, pruned = run(first, {"name": "channel", "round_to": 2}, 0.6, allocation="global")
    for root in ("conv1", "conv3"):
        before, after = (gone_units(m, group_of(MODEL, root)) for m in (first, second))
        assert not bool((before & ~after).any())
    assert pruned.audit.got == 12
    with pytest.raises(ArgumentError, match="already lacks"):
        run(second, "channel", 0.2)


def test_one_unit_of_every_group_stays() -> None:
    after, pruned = run(MODEL, "channel", 0.9)  # 18 of 8 + 12: each keeps one
    assert pruned.audit.got == 18
    for root in ("conv1", "conv3"):
        assert int((~gone_units(after, group_of(MODEL, root))).sum()) == 1
    with pytest.raises(ArgumentError, match="has to stay"):
        run(MODEL, "channel", 0.95)


def test_rows_that_other_prunings_emptied_are_not_counted() -> None:
    """Columns of removed channels may take the last weights of a row."""
    sparse, _ = run(MODEL, "weight", 0.9, allocation="global")
    after, pruned = run(sparse, "channel", 0.5)
    assert pruned.audit.got == 10
    rows = after.keep(next(la for la in MODEL.layers if la.name == "conv3")).flatten(1).any(dim=1)
    assert int((~rows).sum()) > int(gone_units(after, group_of(MODEL, "conv3")).sum())


def test_rounds_end_where_one_shot_ends() -> None:
    schedule = {"name": "iterative", "rounds": 3, "spacing": "linear"}
    once, _ = run(MODEL, "channel", 0.7)
    rounds, pruned = run(MODEL, "channel", 0.7, schedule=schedule)
    assert pruned.audit.got == exact_count(0.7, 20)
    assert once.sparsity == pytest.approx(rounds.sparsity, abs=0.02)


def test_filter_criteria_choose_channels_as_well() -> None:
    after, pruned = run(MODEL, "channel", 0.5, criterion="fpgm")
    assert pruned.audit.got == 10
    assert int(gone_units(after, group_of(MODEL, "conv3")).sum()) == 6


def test_inner_channels_leave_residual_streams_alone() -> None:
    model = open_model("demo:resnet")[0]
    _, pruned = run(model, {"name": "channel", "scope": "inner"}, 0.5)
    roots = {row.name for row in pruned.audit.layers if row.asked}
    assert roots == {f"layer{stage}.{block}.conv1" for stage in (1, 2, 3) for block in (0, 1)}
    assert pruned.audit.asked == (32 + 48 + 64)


def test_what_stays_whole_is_told() -> None:
    _, pruned = run(toy(Padded), "channel", 0.5)
    assert any("conv1, conv3" in note for note in pruned.audit.notes)


@pytest.mark.parametrize("allocation", ["uniform", "global"])
def test_a_head_takes_its_rows_and_columns(allocation: str) -> None:
    model = open_model("demo:vit")[0]
    after, pruned = run(model, "head", 0.25, allocation=allocation)
    assert (pruned.audit.unit, pruned.audit.asked) == ("heads", 5)
    for layer in model.architecture.attention:
        gone = gone_units(after, group_of(model, layer.qkv))
        if allocation == "uniform":
            assert int(gone.sum()) == 1
        qkv = after.weight(f"{layer.qkv}.weight").view(3, 4, 16, 64)
        bias = after.weight(f"{layer.qkv}.bias").view(3, 4, 16)
        proj = after.weight(f"{layer.proj}.weight").view(64, 4, 16)
        assert not qkv[:, gone].any()
        assert not bias[:, gone].any()
        assert not proj[:, gone].any()
        assert qkv[:, ~gone].all()


def test_macs_of_a_unit_are_those_of_its_rows_and_columns() -> None:
    # conv1: 9 a position on 64; depthwise: 9 on 16; a column of conv3: 12 filters of 9 on 16.
    macs = dict(
        zip(
            ("conv1", "conv3"),
            unit_macs(MODEL, coupling(MODEL.architecture).of("channels")),
            strict=True,
        )
    )
    assert macs["conv1"] == 9 * 64 + 9 * 16 + 12 * 9 * 16
    assert macs["conv3"] == 8 * 9 * 16 + 10  # and a column of the hidden layer


def test_a_block_that_goes_is_zero_and_nothing_else() -> None:
    model = open_model("demo:resnet")[0]
    after, pruned = run(model, "layer", 0.5)
    assert (pruned.audit.unit, pruned.audit.asked) == ("blocks", 2)
    means = {
        block.name: float(
            torch.cat(
                [model.weights[f"{block.name}.conv{i}.weight"].abs().flatten() for i in (1, 2)]
            ).mean()
        )
        for block in model.architecture.blocks
    }
    for name, tensor in after.state_dict().items():
        block = next((b for b in means if name.startswith(f"{b}.")), "")
        goes = block in sorted(means, key=means.__getitem__)[:2]
        written = "conv" in name or name.endswith(("bn2.weight", "bn2.bias"))
        if goes and written:
            assert not tensor.any()
        else:
            assert torch.equal(tensor, model.weights[name])


def test_a_block_that_goes_leaves_its_shortcut() -> None:
    model = open_model("demo:vit")[0]
    after, _ = run(model, "layer", 0.4)
    module = after.module()
    gone = [b.name for b in model.architecture.blocks if not after.weight(b.last[0]).any()]
    assert len(gone) == 2
    x = torch.randn(2, 17, 64)
    with torch.no_grad():
        assert all(torch.equal(module.get_submodule(name)(x), x) for name in gone)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("head-l1", "no heads"), ("block-drop", "no residual block"), ("neuron-l1", "")],
)
def test_networks_without_such_units_are_refused(name: str, reason: str) -> None:
    assert reason in PRESETS[name].recipe.inapplicable(MODEL)
    assert bool(PRESETS[name].recipe.inapplicable(MODEL)) == bool(reason)


@pytest.mark.parametrize("source", ["demo:resnet", "demo:vit"])
def test_reasons_are_the_same_before_and_after_tracing(source: str) -> None:
    model = open_model(source)[0]
    fresh = replace(model, architecture=replace(model.architecture, title="Fresh"))
    names = ("channel-l1", "neuron-l1", "head-l1")
    coupling(model.architecture)
    known = [bool(PRESETS[name].recipe.inapplicable(model)) for name in names]
    assert known == [bool(PRESETS[name].recipe.inapplicable(fresh)) for name in names]
    assert known == ([False, True, True] if source == "demo:resnet" else [True, False, False])


@pytest.mark.parametrize("structure", ["channel", "neuron", "head", "layer"])
@pytest.mark.parametrize(
    "other", [{"allocation": "per-row"}, {"allocation": "uniform", "schedule": "layer-by-layer"}]
)
def test_parts_that_do_not_fit_are_refused(structure: str, other: dict[str, str]) -> None:
    with pytest.raises(ArgumentError):
        recipe_named("random", {"structure": structure} | other)


def test_blocks_without_a_score_are_named() -> None:
    architecture = replace(MODEL.architecture, blocks=(ResidualBlock("conv2", ("conv2.bias",)),))
    with pytest.raises(ArgumentError, match="gives no layer beside conv2 a score"):
        run(replace(MODEL, architecture=architecture), "layer", 0.5, criterion="bn-gamma")


def test_units_of_the_structure_are_found_without_a_job() -> None:
    roots = Channel().taking_part(context(MODEL))
    assert [layer.name for layer in roots] == ["conv1", "conv3"]
