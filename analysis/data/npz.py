"""Images and labels from an npz archive: `images` N,H,W[,C] uint8, `labels` N, maybe `classes`.

The archive is untrusted: no pickle, and no array is unpacked whose header claims more than the
zip entry holds.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from analysis.data.dataset import Dataset
from analysis.errors import InputError

KEYS = "An npz for Espalier holds images (N,H,W,C uint8) and labels (N integers)."
LARGE = 1 << 30
RATIO = 200
"""An entry over 1 GiB that unpacks to more than 200 times its size is taken for a zip bomb."""


def read_npz(path: Path) -> Dataset:
    """The whole archive as one dataset; InputError names what is wrong with which array."""
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {
                key: _array(path, archive, key)
                for key in ("images", "labels", "classes")
                if f"{key}.npy" in archive.namelist()
            }
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise InputError(path, "It is no npz archive, or a damaged one.", KEYS) from error
    except OSError as error:
        raise InputError(path, f"It cannot be read ({error.strerror or error}).") from error
    missing = [key for key in ("images", "labels") if key not in arrays]
    if missing:
        raise InputError(path, f"It has no array {' and no array '.join(missing)}.", KEYS)
    images = _images(path, arrays["images"])
    labels = _labels(path, arrays["labels"], len(images))
    return Dataset(path.stem, images, labels, _classes(path, arrays.get("classes"), labels))


def _array(path: Path, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    entry = archive.getinfo(f"{key}.npy")
    if entry.file_size > LARGE and entry.file_size > RATIO * max(entry.compress_size, 1):
        raise InputError(path, f"{key!r} unpacks to {entry.file_size:,} bytes.", "Use less data.")
    try:
        with archive.open(entry) as file:
            claimed = _claimed_bytes(file)
        if claimed > entry.file_size:
            problem = f"{key!r} claims {claimed:,} bytes in an entry of {entry.file_size:,}."
            raise InputError(path, problem, "Copy or download the file again.")
        with archive.open(entry) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except InputError:
        raise
    except Exception as error:  # hostile bytes may raise anything
        problem = f"{key!r} cannot be read ({str(error).partition(chr(10))[0]})."
        raise InputError(path, problem, KEYS) from error


def _claimed_bytes(file: IO[bytes]) -> int:
    version = np.lib.format.read_magic(file)
    reader: Any = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = reader(file)
    if dtype.hasobject:
        raise ValueError("it is an array of Python objects, which would have to be unpickled")
    count = 1
    for extent in shape:
        count *= int(extent)
    return count * int(dtype.itemsize)


def _images(path: Path, images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8:
        remedy = "Save them as whole numbers 0 to 255 (uint8), before any normalisation."
        raise InputError(path, f"Its images are {images.dtype}, not uint8.", remedy)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        problem = f"Its images have the shape {images.shape}, not N,H,W or N,H,W,C."
        raise InputError(path, problem, KEYS)
    if images.shape[3] not in (1, 3):
        swapped = " (they seem to be N,C,H,W)" if images.shape[1] in (1, 3) else ""
        problem = f"Its images have {images.shape[3]} channels{swapped}; 1 or 3 can be used."
        raise InputError(path, problem, KEYS)
    return np.ascontiguousarray(images)


def _labels(path: Path, labels: np.ndarray, count: int) -> np.ndarray:
    if labels.dtype.kind not in "iu":
        problem = f"Its labels are {labels.dtype}, not whole numbers."
        raise InputError(path, problem, KEYS)
    if labels.shape != (count,):
        problem = f"It has {count} images, but labels of the shape {labels.shape}."
        raise InputError(path, problem, KEYS)
    if int(labels.min()) < 0 or int(labels.max()) >= 1_000_000:
        problem = f"Its labels go from {labels.min()} to {labels.max()}."
        raise InputError(path, problem, "Number the classes from 0.")
    return labels.astype(np.int64)


def _classes(path: Path, names: np.ndarray | None, labels: np.ndarray) -> tuple[str, ...]:
    needed = int(labels.max()) + 1
    if names is None:
        return tuple(str(label) for label in range(needed))
    if names.ndim != 1 or names.dtype.kind not in "US" or len(names) < needed:
        problem = f"Its classes are {names.dtype} of the shape {names.shape}; "
        raise InputError(path, f"{problem}the labels need {needed} names.", KEYS)
    return tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in names)
