"""Whatever the bytes are, reading gives a checkpoint or an InputError, and runs nothing."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from analysis.checkpoints import read_checkpoint
from analysis.checkpoints.pickles import imported_names
from analysis.checkpoints.reading import from_bytes
from analysis.errors import InputError

TENSORS = {"a.weight": torch.arange(12.0).view(3, 4), "a.bias": torch.ones(3)}


def torch_bytes(value: Any, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def safetensors_bytes(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def refusal(content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        from_bytes(Path("file"), content)
    return str(caught.value)


class Canary:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_foreign_code_is_named_and_never_run(tmp_path: Path, legacy: bool, wrapped: bool) -> None:
    canary = Canary(tmp_path / "sprung")
    value = {"state_dict": TENSORS, "hook": canary} if wrapped else canary
    message = refusal(torch_bytes(value, legacy))
    assert f"{os.mkdir.__module__}.mkdir" in message
    assert "Nothing was run" in message
    assert "torch.save(" in message
    assert not canary.path.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_are_refused_at_every_protocol(tmp_path: Path, protocol: int) -> None:
    canary = Canary(tmp_path / "sprung")
    content = pickle.dumps(canary, protocol)
    assert "checkpoint" in refusal(content)
    assert imported_names(content) == {f"{os.mkdir.__module__}.mkdir"}
    assert not canary.path.exists()


def test_names_fetched_from_the_memo_are_listed() -> None:
    content = pickle.dumps([np.dtype("f4"), np.dtype("f8"), np.float64(1)], 4)
    assert {"numpy.dtype", "numpy._core.multiarray.scalar"} <= imported_names(content)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_whole_modules_are_explained(legacy: bool) -> None:
    message = refusal(torch_bytes(nn.Sequential(nn.Linear(2, 2)), legacy))
    assert "whole pickled module" in message
    assert "torch.nn.modules.linear.Linear" in message
    assert ".state_dict()" in message


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (
            "resnet56_torch_pruning/cifar10_resnet56_group_sl.pth",
            "engine.models.cifar.resnet_tiny.ResNet",
        ),
        ("whole_module/netadapt_helloworld_model_0.pth.tar", "nets.helloworld.HelloWorld"),
    ],
)
def test_real_whole_modules(shared_data: Path, file: str, name: str) -> None:
    with pytest.raises(InputError, match="whole pickled module") as caught:
        read_checkpoint(shared_data / "checkpoints" / file)
    assert name in caught.value.problem


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"these are only words, renamed\n" * 9, "text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        (bytes(range(256)), "no checkpoint format"),
        (b"PK\x03\x04 and nothing more", "broken zip"),
    ],
)
def test_other_files_are_called_by_their_name(content: bytes, words: str) -> None:
    assert words in refusal(content)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_checkpoint(tmp_path / "nowhere.pt")
    (tmp_path / "weights.pt").write_bytes(b"1")
    with pytest.raises(InputError, match=r"folder.*weights\.pt"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([torch.ones(2)], "a list"),
        (torch.ones(2), "a Tensor"),
        ({"epoch": 3, "lr": 0.1}, "no state dict"),
        ({}, "no state dict"),
        ({"a": torch.tensor([1.0, float("nan"), float("inf"), float("nan")])}, "a (2 NaN and 1"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "complex"),
        ({"a": torch.empty(3, device="meta")}, "without data"),
        ({"a": torch.ones(1).expand(1 << 20, 1 << 20)}, "shapes claim"),
    ],
)
def test_contents_that_are_no_state_dict(value: Any, words: str) -> None:
    assert words in refusal(torch_bytes(value))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (struct.pack("<Q", 10_000) + b"{}", "claims 10,000 bytes"),
        (safetensors_bytes(b"{nonsense"), "not JSON"),
        (safetensors_bytes(b"{" + b'"a":{' * 20_000), "not JSON"),
        (safetensors_bytes({"a": entry([2], 0, 8)}), "ends at byte 8"),
        (safetensors_bytes({"a": entry([3], 0, 8)}, bytes(8)), "claims the shape"),
        (safetensors_bytes({"a": entry([2**62, 4], 0, 8)}, bytes(8)), "claims the shape"),
        (safetensors_bytes({"a": entry([-2], 0, 8)}, bytes(8)), "whole numbers"),
        (safetensors_bytes({"a": entry(["2"], 0, 8)}, bytes(8)), "whole numbers"),
        (safetensors_bytes({"a": entry([2], 0, 8, "F1")}, bytes(8)), "dtype 'F1'"),
        (safetensors_bytes({"a": 3}, bytes(8)), "incomplete"),
        (safetensors_bytes({"__metadata__": {"a": 1}}, bytes(8)), "__metadata__"),
        (
            safetensors_bytes({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
            "share bytes",
        ),
    ],
)
def test_safetensors_headers_that_lie(content: bytes, words: str) -> None:
    assert words in refusal(content)


def sparse(index: int, extent: int) -> torch.Tensor:
    """A COO matrix with one entry, unchecked."""
    return torch.sparse_coo_tensor(
        torch.tensor([[index], [0]]), torch.ones(1), (extent, extent), check_invariants=False
    )


def test_sparse_tensors_that_lie() -> None:
    assert "shapes claim" in refusal(torch_bytes({"a": sparse(0, 1 << 20)}))
    assert "damaged" in refusal(torch_bytes({"a": sparse(1 << 40, 4)}))


def rezipped(change: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A torch zip whose entries are replaced by name, by default stored as torch does."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(torch_bytes(TENSORS))) as old,
        zipfile.ZipFile(out, "w", compression) as new,
    ):
        for item in old.namelist():
            new.writestr(item, change.get(item.rpartition("/")[2], old.read(item)))
    return out.getvalue()


def test_zip_bombs_are_not_unpacked() -> None:
    content = rezipped({"0": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    assert len(content) < 100_000
    assert "never compresses" in refusal(content)


def test_storage_shorter_than_claimed() -> None:
    assert "damaged" in refusal(rezipped({"0": bytes(8)}))


@pytest.mark.parametrize(
    ("name", "words"),
    [("constants.pkl", "TorchScript"), ("archive_format", "torch.export"), ("a.npy", "npz")],
)
def test_other_zips_are_called_by_their_name(name: str, words: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"x/{name}", b"1")
    assert words in refusal(out.getvalue())


SAMPLES = (
    safetensors.torch.save(TENSORS, {"architecture": "demo-resnet"}),
    torch_bytes({"state_dict": TENSORS, "epoch": 2}),
    torch_bytes({"state_dict": TENSORS, "epoch": 2}, legacy=True),
)


@settings(max_examples=150, deadline=None)
@given(
    sample=st.sampled_from(SAMPLES),
    edits=st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=9)), max_size=4),
    kept=st.floats(0, 1),
    truncate=st.booleans(),
)
def test_mutated_and_truncated_files_give_tensors_or_an_input_error(
    sample: bytes, edits: list[tuple[int, bytes]], kept: float, truncate: bool
) -> None:
    content = bytearray(sample)
    for position, replacement in edits:
        start = position % len(content)
        content[start : start + len(replacement)] = replacement
    if truncate:
        content = content[: int(kept * len(content))]
    try:
        checkpoint = from_bytes(Path("file"), bytes(content))
    except InputError:
        return
    assert all(torch.isfinite(tensor.float()).all() for tensor in checkpoint.tensors.values())


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"PK\x03\x04", b"\x80\x02", SAMPLES[2][:15], b""])
)
def test_any_bytes_after_any_magic(tail: bytes, magic: bytes) -> None:
    assert refusal(magic + tail)
