"""Recognise a file by its content, never by its name.

The order and the magic numbers are those of the formats themselves: a zip with `data.pkl`
(torch.save since 1.6), the pickled magic number of older torch.save, the 8-byte header length and
brace of safetensors. Everything else is refused with what it looks like.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Literal

from analysis.errors import InputError

Container = Literal["safetensors", "torch zip", "torch legacy pickle"]

LEGACY_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
"""0x1950a86a20f9469cfc6c as a pickled long, after the two bytes of the protocol."""
MAX_HEADER = 100_000_000
"""The limit of the safetensors format, in bytes."""
ANOTHER = "Choose a safetensors file or a state dict saved by torch.save."
WHOLE = "Copy or download the file again: it seems to be cut off."


def read_bytes(path: Path) -> bytes:
    """The content of a regular file; InputError when there is none to read."""
    try:
        if path.is_dir():
            raise InputError(path, "This is a folder, not a checkpoint.", _files_in(path))
        if not path.exists():
            raise InputError(path, "There is no such file.", "Check the path.")
        if not path.is_file():
            raise InputError(path, "This is not a regular file.", ANOTHER)
        with path.open("rb") as file:
            head = file.read(64)
            recognise(path, head, path.stat().st_size)
            return head + file.read()
    except OSError as error:
        raise InputError(path, f"It cannot be read ({error.strerror}).", "") from error
    except MemoryError as error:
        raise InputError(path, "It is larger than the free memory.", "") from error


def recognise(source: object, head: bytes, size: int) -> Container:
    """The container of a file that starts with `head` (64 bytes or more); else InputError."""
    if size == 0:
        raise InputError(source, "The file is empty.", WHOLE)
    if head.startswith(b"PK\x03\x04"):
        return "torch zip"
    if head[:1] == b"\x80" and head[2 : 2 + len(LEGACY_MAGIC)] == LEGACY_MAGIC:
        return "torch legacy pickle"
    length = int.from_bytes(head[:8], "little")
    if len(head) > 8 and head[8:9] == b"{" and length <= MAX_HEADER:
        return "safetensors"
    raise InputError(source, _looks_like(head), ANOTHER)


def check_zip(source: object, content: bytes) -> None:
    """Make sure that a zip is a torch.save archive of honest size, before anything unpacks it."""
    try:
        entries = zipfile.ZipFile(io.BytesIO(content)).infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError) as error:
        raise InputError(source, f"It is a broken zip archive ({error}).", WHOLE) from error
    names = {entry.filename.rpartition("/")[2] for entry in entries}
    paths = [entry.filename for entry in entries]
    if "constants.pkl" in names:
        raise InputError(
            source,
            "This is a TorchScript program, which would have to be run.",
            "In your own environment: torch.save(torch.jit.load(FILE).state_dict(), NEW_FILE).",
        )
    if names & {"archive_format"} or any("/models/" in f"/{path}" for path in paths):
        raise InputError(
            source,
            "This is a program saved by torch.export, which can contain pickled code.",
            "In your own environment: torch.save(torch.export.load(FILE).state_dict, NEW_FILE).",
        )
    if names and all(name.endswith(".npy") for name in names):
        raise InputError(source, "This is an npz archive: arrays, no checkpoint.", ANOTHER)
    if "data.pkl" not in names:
        raise InputError(source, "This zip archive was not written by torch.save.", ANOTHER)
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > len(content) or any(entry.compress_type for entry in entries):
        raise InputError(
            source,
            f"Its {len(content):,} bytes claim to unpack to {unpacked:,}; torch.save never "
            "compresses, so this is not a plain checkpoint.",
            "Save it again with torch.save.",
        )


def _files_in(folder: Path) -> str:
    suffixes = {".safetensors", ".pt", ".pth", ".th", ".tar", ".ckpt", ".bin"}
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix in suffixes)
    return f"Choose one of its files: {', '.join(names[:8])}." if names else ANOTHER


def _looks_like(head: bytes) -> str:
    if head.startswith(b"version https://git-lfs"):
        return (
            "This is a Git LFS pointer; the checkpoint itself was not downloaded (git lfs pull)."
        )
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "This is a web page, not a checkpoint: the download was not the file itself."
    if head.startswith(b"\x89HDF"):
        return "This is an HDF5 file (Keras); only torch checkpoints and safetensors can be read."
    if head.startswith(b"\x93NUMPY"):
        return "This is a numpy array, not a checkpoint."
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "This is a plain pickle, not a torch checkpoint; it was not run."
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        return "This is a text file, not a checkpoint."
    return "This is no checkpoint format that Espalier knows."
