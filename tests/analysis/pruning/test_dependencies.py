"""What belongs together, and what is left out because it cannot be cut."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
import torch_pruning as tp
from torch import nn

from analysis.architectures import get
from analysis.errors import InputError
from analysis.pruning import dependencies, tracing
from analysis.pruning.coupled import ChannelGroup
from analysis.pruning.dependencies import coupling
from analysis.request import Cancelled, Step
from tests.analysis.pruning.coupled_nets import Fixed, Flat, Joined, Padded, Shifted
from tests.analysis.pruning.toys import ConvNet, OneLinear, toy


def members(group: ChannelGroup) -> set[tuple[str, str]]:
    return {(member.module, member.axis) for member in group.members}


def test_a_chain_couples_producer_normalisation_and_reader() -> None:
    found = coupling(toy(ConvNet).architecture)
    assert [(g.root, g.kind, g.size) for g in found.groups] == [
        ("conv1", "channels", 8),
        ("conv3", "channels", 12),
        ("hidden", "neurons", 10),
    ]
    first, second, third = map(members, found.groups)
    assert first == {("conv1", "out"), ("bn1", "out"), ("conv2", "out"), ("conv3", "in")}
    assert second == {("conv3", "out"), ("bn3", "out"), ("hidden", "in")}
    assert third == {("hidden", "out"), ("fc", "in")}
    assert found.notes == ()


def test_a_flattened_channel_is_a_run_of_columns() -> None:
    (group,) = coupling(toy(Flat).architecture).groups
    fc = next(member for member in group.members if member.module == "fc")
    assert fc.indices == tuple(tuple(range(16 * c, 16 * c + 16)) for c in range(5))


def test_concatenated_channels_are_columns_with_an_offset() -> None:
    found = {group.root: group for group in coupling(toy(Joined).architecture).groups}
    assert set(found) == {"left", "right", "read"}
    columns = {
        name: next(m for m in found[name].members if m.module == "read").indices
        for name in ("left", "right")
    }
    assert columns == {"left": ((0,), (1,), (2,)), "right": ((3,), (4,), (5,), (6,))}


def test_what_a_padding_shortcut_couples_stays_whole_and_is_named() -> None:
    found = coupling(toy(Padded).architecture)
    assert [group.root for group in found.groups] == ["conv2"]
    assert len(found.notes) == 1
    assert "conv1, conv3" in found.notes[0]
    assert "stay whole" in found.notes[0]


def test_a_width_in_the_forward_is_found_out() -> None:
    found = coupling(toy(Fixed).architecture)
    assert found.groups == ()
    assert "conv" in found.notes[0]


def test_an_activation_that_moves_zero_is_no_obstacle_to_masks_of_columns() -> None:
    assert [group.root for group in coupling(toy(Shifted).architecture).groups] == ["conv"]


@pytest.mark.parametrize(
    ("name", "inner", "streams"),
    [("demo-resnet", 6, 3), ("cifar-resnet20", 9, 0), ("cifar-resnet20-conv", 9, 3)],
)
def test_groups_of_residual_networks(name: str, inner: int, streams: int) -> None:
    found = dependencies._couple(get(name), tracing.trace(get(name)))
    convolutions = {layer.name for layer in get(name).prunable(10)} - {get(name).classifier}
    producers = [
        {m.module for m in group.along("out", convolutions)} for group in found.of("channels")
    ]
    assert sum(len(names) == 1 for names in producers) == inner
    assert sum(len(names) > 1 for names in producers) == streams
    if streams:  # every convolution loses outputs in exactly one group
        assert sorted(name for names in producers for name in names) == sorted(convolutions)
        assert found.notes == ()
    else:
        assert "conv1, layer1.0.conv2" in found.notes[0]


def test_groups_of_a_transformer_are_neurons_and_heads() -> None:
    found = coupling(get("demo-vit"))
    assert [g.root for g in found.of("neurons")] == [f"blocks.{i}.mlp.fc1" for i in range(5)]
    assert [g.root for g in found.of("heads")] == [f"blocks.{i}.attn.qkv" for i in range(5)]
    assert found.of("channels") == ()
    assert "patch_embed" in found.notes[0]  # LayerNorm looks at the whole stream
    head = found.of("heads")[0]
    assert head.members[0].indices[1] == (*range(16, 32), *range(80, 96), *range(144, 160))


def test_groups_are_those_of_torch_pruning() -> None:
    """The channels that torch-pruning itself removes from the demo network, layer by layer."""
    architecture = get("demo-resnet")
    module = architecture.build(10)
    graph = tp.DependencyGraph().build_dependency(
        module, torch.zeros(1, 1, 8, 8), unwrapped_parameters=[], customized_pruners={},
        ignored_layers=[], ignored_params=[],
    )  # fmt: skip
    for group in coupling(architecture).groups:
        root = module.get_submodule(group.root)
        theirs = graph.get_pruning_group(root, tp.prune_conv_out_channels, [0, 3])
        expected = {}
        for item in theirs.items:
            target = item.dep.target
            if isinstance(target.module, (nn.Conv2d, nn.Linear, nn.BatchNorm2d)):
                axis = "out" if graph.is_out_channel_pruning_fn(item.dep.handler) else "in"
                expected[target.name.split(" ")[0], axis] = sorted(item.idxs)
        assert {(m.module, m.axis): m.of([0, 3]) for m in group.members} == expected


def test_what_cannot_be_traced_is_told_with_a_way_out() -> None:
    # A linear layer over images of another shape: the forward fails.
    with pytest.raises(InputError, match=r"could not be traced.*as masks"):
        coupling(toy(lambda: nn.Sequential(nn.Flatten(), OneLinear())).architecture)


def test_tracing_leaves_the_ambient_state_alone() -> None:
    rng, grad = torch.random.get_rng_state(), torch.is_grad_enabled()
    with torch.no_grad():
        coupling(toy(ConvNet).architecture)
        assert not torch.is_grad_enabled()
    assert torch.equal(rng, torch.random.get_rng_state())
    assert torch.is_grad_enabled() == grad


class _Child:
    """A child process that can be watched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
        self.started: list[subprocess.Popen[str]] = []
        real = subprocess.Popen

        def start(command: list[str], **settings: Any) -> subprocess.Popen[str]:
            assert command[1:] == ["-P", "-m", "analysis.pruning.tracing"]
            child = real([sys.executable, "-c", code], **settings)
            self.started.append(child)
            return child

        monkeypatch.setattr(subprocess, "Popen", start)


def test_a_cancelled_job_ends_its_child(monkeypatch: pytest.MonkeyPatch) -> None:
    child = _Child(monkeypatch, "import time; time.sleep(600)")
    steps: list[Step] = []

    def cancel(step: Step) -> None:
        steps.append(step)
        if len(steps) > 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        dependencies._in_child(get("demo-resnet"), cancel)
    assert child.started[0].returncode is not None


def test_an_endless_child_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    child = _Child(monkeypatch, "import time; time.sleep(600)")
    monkeypatch.setattr(dependencies, "SECONDS", 0.2)
    with pytest.raises(InputError, match="no answer"):
        dependencies._in_child(get("demo-resnet"), lambda step: None)
    assert child.started[0].returncode is not None


def test_a_child_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    _Child(monkeypatch, "raise MemoryError('too much')")
    with pytest.raises(InputError, match="MemoryError: too much"):
        dependencies._in_child(get("demo-resnet"), lambda step: None)


def test_the_child_finds_what_this_process_finds() -> None:
    architecture = get("demo-resnet")
    assert dependencies._in_child(architecture, lambda step: None) == tracing.trace(architecture)
