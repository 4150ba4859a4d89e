"""Images from a folder: one folder a class, or `train/` and `val/` (or `test/`) of those.

Labels number the class folders in sorted order, as torchvision's ImageFolder does.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from analysis.data.dataset import Dataset
from analysis.errors import InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})
EVALUATION_NAMES = ("val", "test", "valid", "validation")
GREY = frozenset({"1", "L", "LA"})
COLOUR = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"})
MAX_PIXELS = 50_000_000
MAX_BYTES = 8 << 30
LAYOUT = "Give a folder with one folder of images a class, or train/ and val/ of those."

Size = tuple[int, int]
"""Height, width."""


def read_folder(
    path: Path, *, channels: int | None = None, size: Size | None = None
) -> tuple[Dataset, Dataset | None]:
    """Evaluation images, and training images where the folder has a split of its own.

    `channels` (1 or 3) and `size` are those of the model, when there is one: images are converted
    to its channels; they are never resized. Without a model they stay grey if all are grey.
    Raises InputError for a folder without images, unreadable images and mixed sizes.
    """
    train = path / "train"
    tests = [path / name for name in EVALUATION_NAMES if (path / name).is_dir()]
    if not (train.is_dir() and tests):
        return _read(path, f"{path.name}", channels, size), None
    evaluation = _read(tests[0], f"{path.name} ({tests[0].name})", channels, size)
    training = _read(train, f"{path.name} (train)", evaluation.images.shape[3], size)
    if training.classes != evaluation.classes:
        only = set(training.classes) ^ set(evaluation.classes)
        problem = f"train/ and {tests[0].name}/ have other classes ({', '.join(sorted(only))})."
        raise InputError(path, problem, "Give both the same class folders.")
    return evaluation, training


def _read(path: Path, name: str, channels: int | None, size: Size | None) -> Dataset:
    classes = tuple(
        folder.name
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
    )
    files = [
        (file, label) for label, folder in enumerate(classes) for file in _images_in(path / folder)
    ]
    if not files:
        where = "one folder a class" if not classes else f"its {len(classes)} folders"
        raise InputError(path, f"It holds no images in {where}.", LAYOUT)
    modes, sizes = Counter[str](), Counter[Size]()
    for file, _ in files:
        mode, found = _header(file)
        modes[mode] += 1
        sizes[found] += 1
    height, width = _one_size(path, sizes, size)
    channels = channels or (1 if set(modes) <= GREY else 3)
    if len(files) * height * width * channels > MAX_BYTES:
        problem = f"Its {len(files):,} images of {height}×{width} pixels do not fit into 8 GiB."
        raise InputError(path, problem, "Use fewer or smaller images.")
    images = np.empty((len(files), height, width, channels), np.uint8)
    for position, (file, _) in enumerate(files):
        images[position] = _pixels(file, channels)
    return Dataset(name, images, np.array([label for _, label in files], np.int64), classes)


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _header(file: Path) -> tuple[str, Size]:
    """Mode and size of an image, without decoding it."""
    try:
        with Image.open(file) as image:
            mode, (width, height) = image.mode, image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(file) from error
    except Exception as error:  # a broken image may raise anything in its decoder
        raise _broken(file, error) from error
    if width * height > MAX_PIXELS:
        raise _too_large(file)
    if mode not in GREY | COLOUR:
        problem = f"Its pixels are of the kind {mode}, not 8 bits a channel."
        raise InputError(file, problem, "Convert it to 8-bit grey or RGB.")
    return mode, (height, width)


def _pixels(file: Path, channels: int) -> np.ndarray:
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    except Exception as error:  # a broken image may raise anything in its decoder
        raise _broken(file, error) from error
    return pixels[..., None] if channels == 1 else pixels


def _one_size(path: Path, sizes: Counter[Size], wanted: Size | None) -> Size:
    common, _ = sizes.most_common(1)[0]
    if len(sizes) == 1:
        return common
    listed = ", ".join(f"{n} of {h}×{w}" for (h, w), n in sizes.most_common(4))
    height, width = wanted or common
    more = f" and {len(sizes) - 4} more sizes" if len(sizes) > 4 else ""
    problem = f"Its images have different sizes ({listed}{more})."
    raise InputError(path, problem, f"Resize all to {height}×{width} pixels.")


def _too_large(file: Path) -> InputError:
    return InputError(file, f"It has more than {MAX_PIXELS:,} pixels.", "Make it smaller.")


def _broken(file: Path, error: Exception) -> InputError:
    return InputError(file, f"This image cannot be read ({error}).", "Remove or replace it.")
