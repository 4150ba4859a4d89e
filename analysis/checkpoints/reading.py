"""Read a checkpoint: bytes -> container -> state dict -> plain tensors -> content key."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from analysis.checkpoints.containers import read_bytes, recognise
from analysis.checkpoints.folding import check_finite, check_size, fold_masks, plain_tensors
from analysis.checkpoints.report import Checkpoint, LoadReport
from analysis.checkpoints.safetensors_file import load_safetensors
from analysis.checkpoints.torch_file import load_torch
from analysis.checkpoints.unwrapping import unwrap


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The tensors of a safetensors or torch.save file; code in it is never run.

    Raises InputError for anything that is not a finite state dict, saying what it is instead.
    """
    path = Path(path)
    return from_bytes(path, read_bytes(path))


def from_bytes(path: Path, content: bytes) -> Checkpoint:
    """As `read_checkpoint`, for content already in memory; `path` only names it."""
    container = recognise(path, content[:64], len(content))
    metadata: dict[str, str] = {}
    loaded: Any
    if container == "safetensors":
        loaded, metadata = load_safetensors(path, content)
    else:
        loaded = load_torch(path, content, container)
    found = unwrap(path, loaded)
    check_size(path, found.tensors, len(content))
    dtypes = Counter(str(t.dtype).removeprefix("torch.") for t in found.tensors.values())
    tensors, converted = plain_tensors(found.tensors)
    tensors, folded = fold_masks(path, tensors)
    check_finite(path, tensors)
    key = content_key(tensors)
    report = LoadReport(
        source=str(path),
        container=container,
        wrapper=found.wrapper,
        candidates=found.candidates,
        prefixes=found.prefixes,
        folded=folded,
        converted=converted,
        dropped=found.dropped,
        dtypes=dict(sorted(dtypes.items())),
        tensors=len(tensors),
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        warnings=_warnings(found.wrapper, found.candidates, found.dropped),
        key=key,
    )
    return Checkpoint(path, container, tensors, metadata, key, report)


def content_key(tensors: Mapping[str, Tensor]) -> str:
    """Sha-256 over name, dtype, shape and bytes of every tensor, sorted by name."""
    content = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        content.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        content.update(tensor.numpy().data)
    return content.hexdigest()


def _warnings(
    wrapper: str, candidates: tuple[str, ...], dropped: tuple[str, ...]
) -> tuple[str, ...]:
    lines = []
    if candidates:
        others = ", ".join(candidates)
        lines.append(f"{wrapper!r} was taken; the file also holds {others}")
    if dropped:
        names = ", ".join(dropped[:8]) + (" …" if len(dropped) > 8 else "")
        lines.append(f"{len(dropped)} entries are no weights and were left out: {names}")
    return tuple(lines)
