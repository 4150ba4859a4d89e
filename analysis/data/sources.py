"""What `--data` names: the built-in digits, an npz archive, or a folder of images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analysis.data.dataset import Data, Dataset
from analysis.data.digits import digits_test, digits_train
from analysis.data.fits import check_fits
from analysis.data.folder import read_folder
from analysis.data.npz import read_npz
from analysis.errors import ArgumentError, InputError
from analysis.models import Model

CALIBRATION_SIZE = 256
KINDS = "Give digits, an npz file (images, labels) or a folder with one folder a class."


def open_data(
    source: str | Path,
    *,
    seed: int = 0,
    limit: int | None = None,
    calibration_size: int = CALIBRATION_SIZE,
    model: Model | None = None,
) -> Data:
    """Open images to evaluate on and images to calibrate with.

    `seed` draws the calibration images and, with `limit`, the evaluation images. Where the source
    has no training images of its own, calibration images come from all its images and the result
    says so (`shared`). With `model`, class names and grey or colour follow it, and images that do
    not fit it are refused. Raises InputError and ArgumentError.
    """
    if limit is not None and limit < 1:
        raise ArgumentError(f"limit must be at least 1, not {limit}")
    if calibration_size < 1:
        raise ArgumentError(f"calibration_size must be at least 1, not {calibration_size}")
    evaluation, training = _read(source, model)
    if model is not None:
        evaluation = _named_by(model, evaluation)
        check_fits(model, evaluation)
    calibration = (training or evaluation).sample(calibration_size, seed)
    if limit is not None:
        evaluation = evaluation.sample(limit, seed)
    return Data(str(source), evaluation, calibration, shared=training is None)


def _read(source: str | Path, model: Model | None) -> tuple[Dataset, Dataset | None]:
    """Evaluation images, and training images when the source has them."""
    if str(source) == "digits":
        return digits_test(), digits_train()
    path = Path(source)
    try:
        if path.is_dir():
            if model is None:
                return read_folder(path)
            channels, height, width = model.architecture.input_shape
            return read_folder(path, channels=channels, size=(height, width))
        if not path.exists():
            raise InputError(source, "There is no such file or folder.", KINDS)
        if not path.is_file() or path.stat().st_size == 0:
            raise InputError(source, "The file is empty.", KINDS)
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
    except OSError as error:
        raise InputError(source, f"It cannot be read ({error.strerror}).") from error
    if not zipped:
        raise InputError(source, "This is no npz archive.", KINDS)
    return read_npz(path), None


def _named_by(model: Model, data: Dataset) -> Dataset:
    """The model's class names for labels that are only numbered."""
    numbered = data.classes == tuple(str(label) for label in range(len(data.classes)))
    if numbered and len(data.classes) <= model.num_classes:
        return replace(data, classes=model.classes)
    return data
