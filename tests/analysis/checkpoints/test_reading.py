"""Wrappers, prefixes, masks, dtypes: every convention of 1.2, and the real files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import prune

from analysis.checkpoints import content_key, read_checkpoint
from analysis.checkpoints.unwrapping import PREFIXES, WRAPPERS
from analysis.errors import InputError


def small() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=generator),
        "conv.bias": torch.randn(4, generator=generator),
        "head.weight": torch.randn(2, 4, generator=generator),
    }


def saved(path: Path, value: Any, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


def assert_same(found: Any, expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_wrapper(tmp_path: Path, wrapper: str) -> None:
    file = saved(tmp_path / "a.pt", {"epoch": 3, wrapper: small(), "optimizer": {"state": {}}})
    checkpoint = read_checkpoint(file)
    assert_same(checkpoint.tensors, small())
    assert checkpoint.report.wrapper == wrapper


@pytest.mark.parametrize("prefix", [*PREFIXES, "module._orig_mod.", "_orig_mod.module.model."])
def test_every_prefix(tmp_path: Path, prefix: str) -> None:
    file = saved(tmp_path / "a.pt", {prefix + name: t for name, t in small().items()})
    checkpoint = read_checkpoint(file)
    assert_same(checkpoint.tensors, small())
    assert "".join(checkpoint.report.prefixes) == prefix


def test_prefix_stays_when_one_name_lacks_it_or_has_it_inside(tmp_path: Path) -> None:
    tensors = {"module.a.weight": torch.ones(2), "b.module.weight": torch.ones(3)}
    assert_same(read_checkpoint(saved(tmp_path / "a.pt", tensors)).tensors, tensors)


def test_averaged_weights_come_before_raw_ones_and_the_report_says_so(tmp_path: Path) -> None:
    averaged = {name: tensor + 1 for name, tensor in small().items()}
    file = saved(tmp_path / "a.pt", {"state_dict": small(), "state_dict_ema": averaged})
    checkpoint = read_checkpoint(file)
    assert_same(checkpoint.tensors, averaged)
    assert checkpoint.report.candidates == ("state_dict",)
    assert any("also holds state_dict" in line for line in checkpoint.report.warnings)


def test_averaged_model_of_torch(tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(nn.Linear(3, 2))
    checkpoint = read_checkpoint(saved(tmp_path / "a.pt", averaged.state_dict()))
    assert set(checkpoint.tensors) == {"weight", "bias"}
    assert checkpoint.report.dropped == ("n_averaged",)


def test_nested_wrapper_and_unknown_only_child(tmp_path: Path) -> None:
    nested = read_checkpoint(saved(tmp_path / "a.pt", {"model": {"state_dict": small()}}))
    assert nested.report.wrapper == "model.state_dict"
    unknown = read_checkpoint(saved(tmp_path / "b.pt", {"student": small(), "step": 1}))
    assert unknown.report.wrapper == "student"


def test_two_unknown_children_are_not_guessed(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.pt", {"generator": small(), "critic": small()})
    with pytest.raises(InputError, match=r"generator, critic"):
        read_checkpoint(file)


def test_masks_of_torch_prune_are_folded(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    prune.random_unstructured(module[0], "weight", 0.5)
    checkpoint = read_checkpoint(saved(tmp_path / "a.pt", module.state_dict()))
    assert checkpoint.report.folded == ("0.weight",)
    assert torch.equal(checkpoint.tensors["0.weight"], module[0].weight)
    assert set(checkpoint.tensors) == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_masks_of_parametrisations_are_folded(tmp_path: Path) -> None:
    weight, mask = torch.randn(3, 3), torch.tensor([[1, 0, 1]] * 3)
    tensors = {
        "a.parametrizations.weight.original": weight,
        "a.parametrizations.weight.0.mask": mask,
        "b.parametrizations.weight.original": weight,
    }
    checkpoint = read_checkpoint(saved(tmp_path / "a.pt", tensors))
    assert_same(checkpoint.tensors, {"a.weight": weight * mask, "b.weight": weight})


def test_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.pt", {"w_orig": torch.ones(3, 2), "w_mask": torch.ones(2, 3)})
    with pytest.raises(InputError, match="mask of 'w'"):
        read_checkpoint(file)


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_sparse_layouts_become_dense(tmp_path: Path) -> None:
    dense = torch.eye(6)
    file = saved(tmp_path / "a.pt", {"a": dense.to_sparse(), "b": dense.to_sparse_csr()})
    checkpoint = read_checkpoint(file)
    assert_same(checkpoint.tensors, {"a": dense, "b": dense})
    assert len(checkpoint.report.converted) == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32_with_a_note(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in small().items()}
    checkpoint = read_checkpoint(saved(tmp_path / "a.pt", tensors))
    assert_same(checkpoint.tensors, {name: t.float() for name, t in tensors.items()})
    assert checkpoint.report.converted == (f"3 tensors from {str(dtype)[6:]} to float32",)


def test_key_is_of_the_content_whatever_holds_it(tmp_path: Path) -> None:
    tensors = small()
    save_file(tensors, tmp_path / "a.safetensors")
    backwards = {f"module.{name}": tensors[name] for name in reversed(tensors)}
    files = [
        tmp_path / "a.safetensors",
        saved(tmp_path / "b.pt", tensors),
        saved(tmp_path / "c.pt", {"state_dict": backwards}, _use_new_zipfile_serialization=False),
    ]
    checkpoints = [read_checkpoint(file) for file in files]
    assert {c.key for c in checkpoints} == {content_key(tensors)}
    formats = ["safetensors", "torch zip", "torch legacy pickle"]
    assert [c.format for c in checkpoints] == formats
    tensors["conv.bias"][0] += 1
    assert content_key(tensors) != checkpoints[0].key


def test_parameters_saved_as_such_come_back_plain(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.pt", {"w": nn.Parameter(torch.ones(2, 2).t())})
    tensor = read_checkpoint(file).tensors["w"]
    assert type(tensor) is Tensor
    assert not tensor.requires_grad
    assert tensor.is_contiguous()


REAL = [
    ("cifar_resnet_akamaster/resnet20-12fca82f.th", "torch legacy pickle", 97, "state_dict"),
    ("cifar_resnet_akamaster/resnet32-d509ac18.th", "torch legacy pickle", 157, "state_dict"),
    ("cifar_resnet_akamaster/resnet56-4bfd9763.th", "torch legacy pickle", 277, "state_dict"),
    ("resnet56_torch_pruning/reg_cifar10_resnet56_group_sl_0.0005.pth", "torch zip", 344, ""),
    ("resnet56_torch_pruning/pruned_state_dict.safetensors", "safetensors", 344, ""),
    ("resnet20_distiller/resnet20_cifar10.pth.tar", "torch legacy pickle", 128, "state_dict"),
    ("lenet_captum/captum_cifar_torchvision.pt", "torch legacy pickle", 10, ""),
]


@pytest.mark.parametrize(("file", "container", "tensors", "wrapper"), REAL)
def test_real_files(
    shared_data: Path, file: str, container: str, tensors: int, wrapper: str
) -> None:
    checkpoint = read_checkpoint(shared_data / "checkpoints" / file)
    assert checkpoint.format == container
    assert len(checkpoint.tensors) == checkpoint.report.tensors == tensors
    assert checkpoint.report.wrapper == wrapper
    assert checkpoint.report.prefixes == (("module.",) if wrapper else ())
    assert all(np.isfinite(tensor.numpy()).all() for tensor in checkpoint.tensors.values())
