"""From a source to a model: demos, real files, --arch, and files of our own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from analysis.checkpoints import inspect, open_model, write_pruned
from analysis.data import digits_test
from analysis.errors import ArgumentError, InputError
from analysis.evaluate import Evaluate
from analysis.masks import Mask
from analysis.models import Model, Origin
from analysis.records import pack, unpack

RECIPE = {"criterion": {"type": "Magnitude"}, "steps": [1, 2]}


@pytest.fixture(scope="module")
def dense() -> Model:
    return open_model("demo:resnet")[0]


@pytest.fixture(scope="module")
def pruned(dense: Model) -> Model:
    generator = torch.Generator().manual_seed(1)
    masks = {
        layer.parameter: Mask.from_keep(torch.rand(layer.shape, generator=generator) > 0.7)
        for layer in dense.layers
    }
    updates = {"bn1.running_mean": dense.weights["bn1.running_mean"] + 0.25}
    origin = Origin(dense.key, RECIPE, 0.7, 5, "calibration-key")
    return replace(dense, name="p", key="k", masks=masks, updates=updates, origin=origin)


@pytest.mark.parametrize(("source", "accuracy"), [("demo:resnet", 0.98), ("demo:vit", 0.97)])
def test_demo_models_open_and_are_as_good_as_promised(source: str, accuracy: float) -> None:
    model, report = open_model(source)
    assert model.name == source
    assert report.architecture == source.replace(":", "-")
    assert Evaluate(model, digits_test())().accuracy >= accuracy


def test_unknown_demo() -> None:
    with pytest.raises(InputError, match="demo:vit"):
        open_model("demo:transformer")


def test_state_dict_is_complete_and_in_module_order(shared_data: Path) -> None:
    file = shared_data / "checkpoints" / "cifar_resnet_akamaster" / "resnet20-12fca82f.th"
    model, report = open_model(file)
    assert list(model.weights) == list(model.architecture.build(10).state_dict())
    assert len(report.filled) == 19
    assert model.weights["bn1.num_batches_tracked"].dtype == torch.int64
    assert (model.name, model.num_classes) == ("resnet20-12fca82f", 10)
    assert model.classes[3] == "cat"


def test_the_key_depends_on_tensors_and_architecture(tmp_path: Path, dense: Model) -> None:
    save_file(dict(dense.weights), tmp_path / "bare.safetensors")
    again, report = open_model(tmp_path / "bare.safetensors")
    assert again.key == dense.key
    assert report.evidence[0].startswith("all ")
    changed = dict(dense.weights) | {"linear.bias": dense.weights["linear.bias"] + 1}
    save_file(changed, tmp_path / "other.safetensors")
    assert open_model(tmp_path / "other.safetensors")[0].key != dense.key


def test_arch_that_does_not_fit(tmp_path: Path, dense: Model) -> None:
    save_file(dict(dense.weights), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="does not fit demo-vit"):
        open_model(tmp_path / "a.safetensors", arch="demo-vit")
    with pytest.raises(ArgumentError):
        open_model(tmp_path / "a.safetensors", arch="nothing")


def test_arch_tolerates_extra_tensors_and_says_so(tmp_path: Path, dense: Model) -> None:
    save_file(dict(dense.weights) | {"ema.step": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"demo-resnet: 1 tensors are not part of it"):
        open_model(tmp_path / "a.safetensors")
    model, report = open_model(tmp_path / "a.safetensors", arch="demo-resnet")
    assert report.unexpected == ("ema.step",)
    assert "ema.step" not in model.weights
    assert model.module()


def test_a_claimed_architecture_is_not_believed(tmp_path: Path, dense: Model) -> None:
    metadata = {"architecture": "demo-vit", "classes": "[1, 2"}
    save_file(dict(dense.weights), tmp_path / "a.safetensors", metadata)
    model, report = open_model(tmp_path / "a.safetensors")
    assert model.architecture.name == "demo-resnet"
    assert any("demo-vit" in line for line in report.warnings)


def test_quantised_weights_are_refused(tmp_path: Path, dense: Model) -> None:
    tensors = {n: (t * 100).to(torch.int8) for n, t in dense.weights.items()}
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="int8"):
        open_model(tmp_path / "a.safetensors")


def test_pruned_file_comes_back_tensor_by_tensor(tmp_path: Path, pruned: Model) -> None:
    file = write_pruned(pruned, tmp_path / "a.safetensors", {"dense": {"accuracy": 0.99}})
    again, report = open_model(file)
    expected = pruned.state_dict()
    assert list(again.weights) == list(expected)
    assert all(torch.equal(again.weights[name], expected[name]) for name in expected)
    assert again.zeros == pruned.zeros
    assert report.origin["recipe"] == {"criterion": {"type": "Magnitude"}, "steps": (1, 2)}
    assert report.origin["base"] == pruned.origin.base  # type: ignore[union-attr]
    assert report.evidence == ("named in the file, and all names and shapes agree",)


def test_pruned_file_loads_into_the_plain_module(tmp_path: Path, pruned: Model) -> None:
    file = write_pruned(pruned, tmp_path / "a.safetensors", {})
    module = pruned.architecture.build(10)
    module.load_state_dict(load_file(file), strict=True)
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(module(x), pruned.module()(x))


def test_sidecar_says_how_the_model_was_made(tmp_path: Path, pruned: Model) -> None:
    write_pruned(pruned, tmp_path / "a.safetensors", {"note": 1})
    sidecar = json.loads((tmp_path / "a.safetensors.json").read_text())
    assert sidecar["schema"] == 1
    assert sidecar["architecture"] == "demo-resnet"
    assert sidecar["recipe"] == RECIPE
    assert (sidecar["requested_sparsity"], sidecar["seed"]) == (0.7, 5)
    assert sidecar["calibration"] == "calibration-key"
    assert sidecar["sparsity"] == sidecar["zeros"] / sidecar["prunable"] == pruned.sparsity
    assert sidecar["versions"]["torch"] == torch.__version__
    assert sidecar["extra"] == {"note": 1}


def test_only_the_two_files_stay_and_failures_leave_the_old_one(
    tmp_path: Path, pruned: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_pruned(pruned, tmp_path / "a.safetensors", {})
    names = {"a.safetensors", "a.safetensors.json"}
    assert {entry.name for entry in tmp_path.iterdir()} == names
    before = file.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_pruned(pruned, file, {"more": 1})
    assert file.read_bytes() == before
    assert {entry.name for entry in tmp_path.iterdir()} == names


def test_unusable_targets_and_extras(tmp_path: Path, pruned: Model) -> None:
    with pytest.raises(InputError, match="folder"):
        write_pruned(pruned, tmp_path, {})
    with pytest.raises(InputError, match="cannot be written"):
        write_pruned(pruned, tmp_path / "no" / "a.safetensors", {})
    with pytest.raises(ArgumentError):
        write_pruned(pruned, tmp_path / "a.safetensors", {"loss": float("nan")})


def test_inspect_agrees_with_the_pruned_model(tmp_path: Path, pruned: Model) -> None:
    inspection = inspect(write_pruned(pruned, tmp_path / "a.safetensors", {}))
    assert {layer.name: layer.zeros for layer in inspection.layers} == pruned.zeros
    assert inspection.sparsity == pruned.sparsity
    assert inspection.architecture == "demo-resnet"
    meta, arrays = pack(inspection)
    again = unpack(json.loads(json.dumps(meta)), arrays)
    assert [layer.zeros for layer in again.layers] == [layer.zeros for layer in inspection.layers]


@pytest.mark.parametrize(
    ("file", "architecture", "parameters"),
    [
        ("resnet56_torch_pruning/reg_cifar10_resnet56_group_sl_0.0005.pth", "56-conv", 855_770),
        ("resnet56_torch_pruning/pruned_state_dict.safetensors", "", 294_225),
        ("lenet_captum/captum_cifar_torchvision.pt", "", 62_006),
        ("cifar_resnet_akamaster/resnet20-12fca82f.th", "20", 269_722),
        ("resnet20_distiller/resnet20_cifar10.pth.tar", "20-conv", 272_474),
    ],
)
def test_inspect_real_files(
    shared_data: Path, file: str, architecture: str, parameters: int
) -> None:
    """855,770 and 294,225 stand in ../shared/data/README.md."""
    inspection = inspect(shared_data / "checkpoints" / file)
    assert inspection.architecture == (architecture and f"cifar-resnet{architecture}")
    assert inspection.parameters == parameters
    assert bool(architecture) != any("weights only" in w for w in inspection.report.warnings)
    assert all(layer.zeros == 0 for layer in inspection.layers)


def test_physically_pruned_file_is_not_opened_but_explained(shared_data: Path) -> None:
    folder = shared_data / "checkpoints" / "resnet56_torch_pruning"
    with pytest.raises(InputError, match="Nearest: cifar-resnet56-conv") as caught:
        open_model(folder / "pruned_state_dict.safetensors")
    assert "conv1.weight is 12×3×3×3, expected 16×3×3×3" in caught.value.problem
