"""A network with units cut out computes what it computed with them zeroed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_pruning as tp
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from analysis.architectures.edits import Drop
from analysis.checkpoints import open_model, write_pruned
from analysis.data import digits_test, open_data
from analysis.errors import ArgumentError, InputError
from analysis.evaluate import Evaluate
from analysis.masks import Mask
from analysis.models import Model
from analysis.pruning import PRESETS, Prune, Recipe, pruned_model
from analysis.pruning.coupled import masks
from analysis.pruning.dependencies import coupling
from analysis.pruning.macs import layer_macs
from analysis.pruning.permanent import make_permanent
from analysis.study import Study
from tests.analysis.pruning.coupled_nets import Flat, Joined, Padded, ResNet18, Shifted
from tests.analysis.pruning.toys import ConvNet, noise, toy

NETS = (ConvNet, Flat, Joined, Padded)


def pruned(model: Model, recipe: Any, sparsity: float) -> Model:
    found = Recipe.from_json(recipe) if isinstance(recipe, dict) else PRESETS[recipe].recipe
    request = Prune(model, found, sparsity, noise(8, model))
    return pruned_model(model, request(), request)


def logits(model: Model, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model.module()(x)


def parameters(model: Model) -> int:
    return sum(parameter.numel() for parameter in model.module().parameters())


def without(model: Model, gone: dict[str, Tensor]) -> Model:
    """The model with masks and updates that remove units, by the root of their group."""
    keep, updates = masks(model, coupling(model.architecture).groups, gone)
    found = {f"{name}.weight": Mask.from_keep(mask) for name, mask in keep.items()}
    return replace(model, masks=found, updates=updates)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NETS), st.data())
def test_zeroed_and_removed_units_give_the_same_outputs(
    build: Callable[[], nn.Module], data: st.DataObject
) -> None:
    model = toy(build)
    groups = coupling(model.architecture).groups
    gone = {
        group.root: torch.tensor(
            data.draw(st.lists(st.booleans(), min_size=group.size, max_size=group.size))
        )
        for group in groups
    }
    masked = without(model, gone)
    if not any(bool(units.any()) for units in gone.values()):
        with pytest.raises(ArgumentError):
            make_permanent(masked)
        return
    smaller = make_permanent(masked).model
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, *model.architecture.input_shape, generator=generator)
    torch.testing.assert_close(logits(smaller, x), logits(masked, x), atol=1e-5, rtol=1e-5)
    for group in groups:
        left = max(int((~gone[group.root]).sum()), 1)
        whole, factored = f"{group.root}.weight", f"{group.root}.1.weight"  # its rank may be low
        assert len(smaller.weights[whole if whole in smaller.weights else factored]) == left


@pytest.mark.parametrize(
    ("source", "recipe"),
    [
        ("demo:resnet", "channel-l1"),
        ("demo:resnet", "channel-l2"),
        ("demo:resnet", "channel-taylor"),
        ("demo:resnet", "block-drop"),
        ("demo:resnet", "low-rank"),
        ("demo:vit", "low-rank"),
        ("demo:vit", "neuron-l1"),
        ("demo:vit", "neuron-taylor"),
        ("demo:vit", "head-l1"),
        ("demo:vit", "head-taylor"),
        ("demo:vit", "block-drop"),
    ],
)
def test_presets_can_be_made_permanent(source: str, recipe: str) -> None:
    masked = pruned(open_model(source)[0], recipe, 0.5)
    images = torch.as_tensor(digits_test().images[:64])
    permanent = make_permanent(masked, images)
    smaller = permanent.model
    assert permanent.difference < 1e-5
    x = masked.architecture.normalise(torch.as_tensor(digits_test().images[64:128]))
    torch.testing.assert_close(logits(smaller, x), logits(masked, x), atol=1e-5, rtol=1e-5)
    assert parameters(smaller) < 0.8 * parameters(masked)
    assert (smaller.is_dense, smaller.masks, smaller.updates) == (True, {}, {})
    assert smaller.name == f"{masked.name} (permanent)"
    assert smaller.key not in (masked.key, open_model(source)[0].key)


def test_blocks_channels_and_single_zeros_together() -> None:
    model = open_model("demo:resnet")[0]
    masked = pruned(pruned(pruned(model, "block-drop", 0.25), "channel-l1", 0.4), "random", 0.8)
    permanent = make_permanent(masked)
    assert sum(isinstance(edit, Drop) for edit in permanent.edits) == 1
    assert 0 < permanent.model.sparsity < masked.sparsity
    again = pruned(permanent.model, "global-magnitude", 0.9)
    assert again.sparsity == pytest.approx(0.9, abs=1e-3)
    assert Evaluate(permanent.model, digits_test())().accuracy == pytest.approx(
        Evaluate(masked, digits_test())().accuracy
    )


def test_kept_outputs_are_told_in_dense_coordinates() -> None:
    model = open_model("demo:resnet")[0]
    permanent = make_permanent(pruned(model, "channel-l1", 0.5))
    kept = permanent.kept
    assert {layer.name for layer in model.layers} - kept.keys() == {"linear"}
    for name, reads in (("layer1.0.conv1", "conv1"), ("layer2.1.conv2", "layer2.1.conv1")):
        dense = model.weights[f"{name}.weight"][list(kept[name])][:, list(kept[reads])]
        assert torch.equal(permanent.model.weights[f"{name}.weight"], dense)
        assert len(kept[name]) == model.weights[f"{name}.weight"].shape[0] // 2


def test_a_permanent_network_can_be_pruned_and_cut_again() -> None:
    model = open_model("demo:vit")[0]
    first = make_permanent(pruned(model, "neuron-l1", 0.5)).model
    second = make_permanent(pruned(first, "head-l1", 0.5)).model
    assert [layer.heads for layer in second.architecture.attention] == [2] * 5
    assert second.architecture.name.count("+") == 1
    assert second.weights["blocks.0.mlp.fc1.weight"].shape == (64, 64)
    assert second.weights["blocks.0.attn.qkv.weight"].shape == (96, 64)


def test_zero_filters_are_cut_where_nothing_else_writes_to_the_channel() -> None:
    model = open_model("demo:resnet")[0]
    permanent = make_permanent(pruned(model, "filter-l1", 0.5))
    assert len(permanent.model.weights["layer1.0.conv1.weight"]) == 16
    assert any("layer1.0.conv2" in note and "stay" in note for note in permanent.notes)


def test_an_empty_layer_keeps_one_output() -> None:
    model = toy(ConvNet)
    gone = {"conv3": torch.ones(12, dtype=torch.bool)}
    permanent = make_permanent(without(model, gone))
    assert permanent.model.weights["conv3.weight"].shape[0] == 1
    assert permanent.notes[0] == "conv3: everything is zero; one of its channels stays"


@pytest.mark.parametrize("recipe", ["global-magnitude", None])
def test_single_zeros_cannot_be_cut(recipe: str | None) -> None:
    model = toy(ConvNet)
    model = model if recipe is None else pruned(model, recipe, 0.5)
    with pytest.raises(ArgumentError, match=r"nothing can be cut out.*no speed-up"):
        make_permanent(model)


def test_an_activation_that_is_not_zero_at_zero_is_found_out() -> None:
    model = toy(Shifted)
    weight, bias = (model.weights[f"conv.{name}"].clone() for name in ("weight", "bias"))
    weight[2], bias[2] = 0, 0
    with pytest.raises(InputError, match="other outputs"):
        make_permanent(replace(model, updates={"conv.weight": weight, "conv.bias": bias}))


def test_neither_the_masked_model_nor_the_ambient_state_changes() -> None:
    model = open_model("demo:resnet")[0]
    masked = pruned(model, "channel-l1", 0.5)
    before = {name: tensor.clone() for name, tensor in model.weights.items()}
    rng = torch.random.get_rng_state()
    make_permanent(masked)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.weights.items())
    assert torch.equal(rng, torch.random.get_rng_state())


def test_a_permanent_network_is_written_and_opens(tmp_path: Path) -> None:
    smaller = make_permanent(pruned(open_model("demo:resnet")[0], "channel-l1", 0.5)).model
    path = write_pruned(smaller, tmp_path / "small.safetensors", {})
    back, report = open_model(path)
    assert (back.key, back.architecture.name) == (smaller.key, smaller.architecture.name)
    assert back.classes == smaller.classes
    assert report.evidence == ("named in the file, and all names and shapes agree",)
    assert json.loads((tmp_path / "small.safetensors.json").read_text())["architecture"] == (
        smaller.architecture.name
    )
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(logits(back, x), logits(smaller, x))


@pytest.mark.parametrize(
    "spec",
    [
        '{"name": "demo-resnet", "edits": [{"edit": "drop", "module": "layer2.0"}]}',
        '{"name": "demo-resnet", "edits": [{"edit": "run", "module": "os"}]}',
        '{"name": "demo-resnet", "edits": []}',
        "{" * 5000,
    ],
)
def test_a_file_with_a_false_description_does_not_open(tmp_path: Path, spec: str) -> None:
    smaller = make_permanent(pruned(open_model("demo:resnet")[0], "channel-l1", 0.5)).model
    path = write_pruned(smaller, tmp_path / "small.safetensors", {})
    save_file(load_file(path), path, {"format": "pt", "architecture": spec})
    with pytest.raises(InputError, match="of no architecture"):
        open_model(path)


def test_a_permanent_network_lives_in_a_study(tmp_path: Path) -> None:
    dense = open_model("demo:vit")[0]
    masked = pruned(dense, "head-l1", 0.5)
    smaller = make_permanent(masked).model
    with Study.create(tmp_path / "study") as study:
        for model in (dense, masked, smaller, pruned(smaller, "random", 0.5)):
            study.add_model(model)
    with Study.open(tmp_path / "study") as study:
        found = study.models()
        assert [model.key for model in found][:3] == [dense.key, masked.key, smaller.key]
        back = found[2]
        assert back.architecture.spec == smaller.architecture.spec
        assert found[3].weights is back.weights
        x = torch.randn(2, 1, 8, 8)
        assert torch.equal(logits(back, x), logits(smaller, x))


def test_half_of_resnet18_is_what_torch_pruning_leaves() -> None:
    """Golden: 1,822,177,768 → 487,202,536 MACs as torch-pruning counts, at 224×224; 11,689,512 →
    3,055,880 parameters; ratio .5, L2 group norm, multiples of 8."""
    model = toy(ResNet18, (3, 64, 64), 1000)
    structure = {"name": "channel", "score": "l2", "over": "producers and readers", "round_to": 8}
    recipe = {"criterion": "magnitude", "structure": structure, "allocation": "uniform"}
    masked = pruned(model, recipe, 0.5)
    smaller = make_permanent(masked).model
    image = torch.zeros(1, 3, 224, 224)
    count = tp.utils.count_ops_and_params
    assert count(model.module(), image) == (1_822_177_768, 11_689_512)
    assert count(smaller.module(), image) == (487_202_536, 3_055_880)
    for name, tensor in model.weights.items():
        if name.endswith("conv1.weight"):
            assert len(smaller.weights[name]) * 2 == len(tensor)
    # Our own convention, against torch's counter of FLOPs.
    for found, expected in ((model, 1_814_073_344), (smaller, None)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            found.module()(image)
        architecture = replace(found.architecture, input_shape=(3, 224, 224))
        ours = sum(layer_macs(architecture, 1000).values())
        assert ours == counter.get_total_flops() / 2
        assert expected in (None, ours)


@pytest.mark.parametrize(
    ("file", "units"),
    [
        ("resnet20_distiller/resnet20_cifar10.pth.tar", 224),
        ("cifar_resnet_akamaster/resnet20-12fca82f.th", 168),
    ],
)
def test_real_cifar_networks(shared_data: Path, file: str, units: int) -> None:
    model = open_model(shared_data / "checkpoints" / file)[0]
    data = open_data(str(shared_data / "cifar10" / "test_10k.npz"))
    recipe = PRESETS["channel-l1"].recipe
    request = Prune(model, recipe, 0.5)
    result = request()
    assert result.audit.asked == units
    masked = pruned_model(model, result, request)
    images = torch.as_tensor(np.asarray(data.evaluation.images[:16]))
    permanent = make_permanent(masked, images)
    assert permanent.difference < 1e-4
    before, after = (
        sum(layer_macs(m.architecture, 10).values()) for m in (model, permanent.model)
    )
    assert after < (0.26 if units == 224 else 0.51) * before
