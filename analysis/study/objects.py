"""Arrays on disk, named by what they contain.

    objects/ab/abcdef….npz            named arrays of one result
    objects/ab/abcdef….safetensors    tensors of one model

An object is written to a temporary name in its own folder, fsynced, renamed to the sha-256 of its
bytes, and the folder fsynced: under its name it is whole or it is not there. Reading checks the
hash, so a damaged object is noticed before anything in it is believed. No pickle,
ever.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import safetensors.torch
from torch import Tensor

_CHUNK = 1 << 20
_TEMPORARY = ".writing-"


class DamagedObjectError(Exception):
    """An object is missing, or its bytes are not those that were written."""


class ObjectStore:
    """Content-addressed files below `folder`; names are "ab/<sha256>.<kind>"."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put_arrays(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Store named arrays as npz and return the object's name. TypeError for object arrays."""
        names = list(arrays)
        contents = [np.asarray(arrays[name]) for name in names]
        if any(content.dtype.hasobject for content in contents):
            raise TypeError("arrays of Python objects cannot be stored")
        # The names stand in an array of their own: as file names inside the zip, "../x" or names
        # that differ only in case would depend on the reader.
        index = np.array(names, dtype=np.str_) if names else np.zeros(0, "<U1")

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, index, *contents)

        return self._put(write, "npz")

    def put_tensors(self, tensors: Mapping[str, Tensor]) -> str:
        """Store named tensors as safetensors and return the object's name."""
        separate: dict[str, Tensor] = {}
        seen: set[int] = set()
        for name, tensor in tensors.items():
            content = tensor.detach().cpu().contiguous()
            storage = content.untyped_storage()
            # safetensors refuses tensors that share memory or are part of a larger one
            if storage.data_ptr() in seen or storage.nbytes() != content.nbytes:
                content = content.clone()
            seen.add(content.untyped_storage().data_ptr())
            separate[name] = content

        def write(path: Path) -> None:
            safetensors.torch.save_file(separate, path)

        return self._put(write, "safetensors")

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read arrays back. DamagedObjectError when the object is missing or changed."""
        with np.load(io.BytesIO(self._verified(name)), allow_pickle=False) as file:
            names = file["arr_0"]
            return {str(key): file[f"arr_{i + 1}"] for i, key in enumerate(names)}

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Read tensors back. DamagedObjectError when the object is missing or changed."""
        # bytes, not a memory map: a file that shrinks under a map kills the process
        return dict(safetensors.torch.load(self._verified(name)))

    def copy(self, name: str, target: ObjectStore) -> None:
        """Copy one object into another store."""
        if not target.path(name).exists():
            target._put(lambda path: shutil.copyfile(self.path(name), path), Path(name).suffix[1:])

    def path(self, name: str) -> Path:
        return self.folder / name

    def collect(self, used: set[str], older_than: float = 86400.0) -> int:
        """Delete what no row refers to and nobody touched for `older_than` seconds; count it.

        The age keeps objects that another process has written and not recorded yet.
        """
        deleted = 0
        for path in self.folder.glob("*/*"):
            name = f"{path.parent.name}/{path.name}"
            try:
                if name not in used and time.time() - path.stat().st_mtime > older_than:
                    path.unlink()
                    deleted += 1
            except FileNotFoundError:
                continue  # another process collects as well
        return deleted

    def _verified(self, name: str) -> bytes:
        path = self.path(name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DamagedObjectError(f"{path}: {error}") from error
        if hashlib.sha256(content).hexdigest() != path.stem:
            raise DamagedObjectError(f"{path}: its content is not what its name says")
        return content

    def _put(self, write: Callable[[Path], object], kind: str) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        waiting = self.folder / "new"
        waiting.mkdir(exist_ok=True)
        temporary = waiting / f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        try:
            write(temporary)
            _sync(temporary)
            digest = _digest(temporary)
            name = f"{digest[:2]}/{digest}.{kind}"
            final = self.path(name)
            final.parent.mkdir(exist_ok=True)
            temporary.replace(final)
            _sync(final.parent)
            _sync(self.folder)
        finally:
            temporary.unlink(missing_ok=True)
        return name


def _digest(path: Path) -> str:
    content = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            content.update(chunk)
    return content.hexdigest()


def _sync(path: Path) -> None:
    """Force a file's or a folder's content to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder; NTFS journals the rename
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
