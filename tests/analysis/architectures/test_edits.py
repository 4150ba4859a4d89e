"""Edits: what a smaller network is made of, and what a hostile description may not do."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from analysis.architectures import get
from analysis.architectures.edits import Cut, Drop, Factor, Heads, Linearise, apply, from_json
from analysis.architectures.registry import MAX_SPEC, from_spec
from analysis.errors import ArgumentError
from tests.analysis.pruning.toys import ConvNet


def inner(name: str, keep: tuple[int, ...]) -> tuple[Cut, ...]:
    """The cuts of the channels inside one block of a residual network."""
    return (
        Cut(f"{name}.conv1", "out", keep),
        Cut(f"{name}.bn1", "out", keep),
        Cut(f"{name}.conv2", "in", keep),
    )


def test_a_cut_slices_every_tensor_along_its_axis() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 4, 1))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    apply(net, (Cut("0", "out", (1, 4)), Cut("1", "out", (1, 4)), Cut("2", "in", (1, 4))))
    after = net.state_dict()
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
        assert torch.equal(after[name], before[name][[1, 4]])
    assert torch.equal(after["2.weight"], before["2.weight"][:, [1, 4]])
    assert torch.equal(after["2.bias"], before["2.bias"])
    assert net(torch.zeros(1, 3, 5, 5)).shape == (1, 4, 3, 3)


def test_linear_layers_and_layer_norms_are_cut() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    apply(net, (Cut("0", "out", (0, 3)), Cut("1", "out", (0, 3)), Cut("2", "in", (0, 3))))
    assert net(torch.zeros(7, 6)).shape == (7, 2)
    assert net[1].normalized_shape == (2,)


def test_a_depthwise_convolution_loses_inputs_with_its_outputs() -> None:
    net = ConvNet().eval()
    reference = net.conv2.weight.detach()[[0, 5]]
    apply(net, (Cut("conv2", "out", (0, 5)),))
    assert (net.conv2.groups, net.conv2.in_channels, net.conv2.out_channels) == (2, 2, 2)
    assert torch.equal(net.conv2.weight, reference)
    wide = nn.Sequential(nn.Conv2d(4, 8, 1, groups=4))
    with pytest.raises(ArgumentError, match="whole groups of 2"):
        apply(wide, (Cut("0", "out", (0, 1, 2)),))
    apply(wide, (Cut("0", "out", (2, 3)),))
    assert wide(torch.zeros(1, 1, 2, 2)).shape == (1, 2, 2, 2)


@pytest.mark.parametrize(
    ("into", "shapes"),
    [("NC", [(3, 4, 3, 5), (6, 3, 1, 1)]), ("VH", [(3, 4, 3, 1), (6, 3, 1, 5)])],
)
def test_a_convolution_becomes_two(into: Any, shapes: list[tuple[int, ...]]) -> None:
    net = nn.Sequential(nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2)))
    shape = net(torch.zeros(1, 4, 9, 8)).shape
    apply(net, (Factor("0", into, 3),))
    assert [tuple(layer.weight.shape) for layer in net[0]] == shapes
    assert net[0][0].bias is None
    assert net[0][1].bias is not None
    assert net(torch.zeros(1, 4, 9, 8)).shape == shape


def test_full_rank_factors_can_hold_the_same_map() -> None:
    """NC of Xu et al. 2019: the first rank singular directions of the (out, in·k·k) matrix."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)).double()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    weight, bias = net[0].weight.detach(), net[0].bias.detach()
    expected = net(x)
    u, s, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    apply(net, (Factor("0", "NC", 4),))
    state = {
        "0.0.weight": (s[:, None] * v).view(4, 3, 3, 3),
        "0.1.weight": u.view(4, 4, 1, 1),
        "0.1.bias": bias,
    }
    net.load_state_dict(state)
    torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Cut("conv9", "out", (0,)), "no Module called 'conv9'"),
        (Cut("conv1", "out", (0, 8)), "has 8 along 'out'"),
        (Cut("bn1", "in", (0,)), "nothing can be cut"),
        (Linearise("conv1"), "no activation"),
        (Heads("conv1", (0,)), "no head"),
        (Factor("hidden", "linear", 11), "a rank of 11"),
        (Factor("conv2", "NC", 1), "plain convolution"),
        (Drop("forward"), "no Module called"),
        (Drop("__class__"), "no Module called"),
    ],
)
def test_edits_that_do_not_fit_are_refused(edit: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        apply(ConvNet(), (edit,))


@pytest.mark.parametrize("keep", [(), (2, 1), (1, 1), (-1, 2), (0.0, 1), (True, 2), [0, 1], "01"])
def test_keep_lists_rise_from_zero(keep: Any) -> None:
    with pytest.raises(ArgumentError):
        Cut("conv1", "out", keep)


def test_an_edited_architecture_says_what_it_is() -> None:
    base = get("demo-resnet")
    edited = base.edited((*inner("layer1.0", (0, 1, 5)), Drop("layer3.1")))
    assert edited.name.startswith("demo-resnet+")
    assert edited.key == edited.name != base.name
    assert [la.name for la in edited.path_layers] == [
        la.name for la in base.path_layers if la.name != "layer3.1.relu2"
    ]
    assert [block.name for block in edited.blocks] == ["layer1.0", "layer1.1", "layer2.1"]
    assert edited.prunable(10)[1].shape == (3, 32, 3, 3)
    assert base.prunable(10)[1].shape == (32, 32, 3, 3)
    again = edited.edited(inner("layer1.1", (2,)))
    assert again.edits == (*edited.edits, *inner("layer1.1", (2,)))
    assert again.name.count("+") == 1
    assert base.edited(()) is base


@pytest.mark.parametrize("name", ["demo-resnet", "cifar-resnet20"])
def test_the_description_builds_the_same_network(name: str) -> None:
    edited = get(name).edited((*inner("layer1.0", (0, 7)), Drop("layer2.1")))
    back = from_spec(edited.spec)
    assert (back.name, back.edits, back.spec) == (edited.name, edited.edits, edited.spec)
    assert back.prunable(37) == edited.prunable(37)
    assert from_spec(get(name).spec) is get(name)


def test_heads_of_attention_are_known_after_a_cut() -> None:
    base = get("demo-vit")
    layer = base.attention[0]
    rows = tuple(row for head in (0, 2) for row in layer.rows(head, 192))
    edited = base.edited(
        (
            Cut(layer.qkv, "out", tuple(sorted(rows))),
            Cut(layer.proj, "in", (*layer.columns(0, 64), *layer.columns(2, 64))),
            Heads(layer.module, (0, 2)),
        )
    )
    assert [found.heads for found in edited.attention] == [2, 4, 4, 4, 4]
    assert from_spec(edited.spec).attention == edited.attention


@pytest.mark.parametrize(
    "edits",
    [
        (Cut("layer1.0.conv1", "out", (0,)),),  # what reads it is as wide as before
        (Drop("layer2.0"),),  # changes the shape
        (Drop("linear"),),
        (Cut("linear", "out", (0, 1)),),
        (Factor("linear", "linear", 2),),
    ],
)
def test_edited_networks_must_run_and_keep_their_classes(edits: tuple[Any, ...]) -> None:
    with pytest.raises(ArgumentError, match=r"cannot be run|classifier"):
        get("demo-resnet").edited(edits)


@pytest.mark.parametrize(
    "text",
    [
        "resnet",
        "{",
        "{}",
        '{"name": "demo-resnet"}',
        '{"name": ["demo-resnet"], "edits": []}',
        '{"name": "demo-resnet", "edits": {}}',
        '{"name": "demo-resnet", "edits": [{"edit": "exec", "module": "os"}]}',
        '{"name": "demo-resnet", "edits": [{"edit": ["cut"], "module": "conv1"}]}',
        '{"name": "demo-resnet", "edits": [{"edit": "drop", "module": "layer1.0", "more": 1}]}',
        '{"name": "demo-resnet", "edits": [{"edit": "drop"}]}',
        '{"name": "demo-resnet", "edits": [{"edit": "drop", "module": 3}]}',
        '{"name": "demo-resnet", "edits": [{"edit": "cut", "module": "conv1", "axis": "up", '
        '"keep": [0]}]}',
        '{"name": "demo-resnet", "edits": [{"edit": "cut", "module": "conv1", "axis": "out", '
        '"keep": [1e400]}]}',
        '{"name": "demo-resnet", "edits": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "{" + " " * MAX_SPEC + "}",
    ],
)
def test_hostile_descriptions_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError):
        from_spec(text)


MODULES = [name for name, _ in get("demo-vit").build(10).named_modules()]
KEEP = st.one_of(
    st.lists(st.integers(0, 200), max_size=6).map(lambda found: sorted(set(found))),
    st.lists(st.one_of(st.integers(), st.text(), st.none()), max_size=3),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "edit": st.sampled_from(["cut", "heads", "drop", "linearise", "factor", "x"]),
                "module": st.one_of(st.sampled_from(MODULES), st.text()),
            },
            optional={
                "axis": st.sampled_from(["out", "in"]),
                "keep": KEEP,
                "into": st.sampled_from(["NC", "VH", "linear"]),
                "rank": st.integers(-1, 70),
            },
        ),
        max_size=3,
    )
)
def test_any_edits_give_a_network_that_runs_or_an_argument_error(edits: list[Any]) -> None:
    try:
        architecture = from_spec(json.dumps({"name": "demo-vit", "edits": edits}))
    except ArgumentError:
        return
    module = architecture.build(10)
    assert module(torch.zeros(1, *architecture.input_shape)).shape == (1, 10)
    assert from_json(edits) == architecture.edits
