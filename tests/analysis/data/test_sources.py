"""Digits, npz archives and image folders; what is wrong with each is said in words."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from analysis.checkpoints import open_model
from analysis.data import Dataset, check_fits, digits_test, open_data
from analysis.data.npz import read_npz
from analysis.errors import ArgumentError, InputError
from analysis.models import Model

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(12) % 3


@pytest.fixture(scope="module")
def model() -> Model:
    return open_model("demo:resnet")[0]


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def picture(path: Path, mode: str = "L", size: tuple[int, int] = (8, 8), seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], *channels), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def refusal(source: Path, model: Model | None = None) -> str:
    with pytest.raises(InputError) as caught:
        open_data(source, model=model)
    return str(caught.value)


def test_digits_have_images_of_their_own_to_calibrate_with() -> None:
    data = open_data("digits", calibration_size=100, seed=3)
    assert (len(data.evaluation), len(data.calibration), data.shared) == (450, 100, False)
    evaluated = {image.tobytes() for image in data.evaluation.images}
    assert not any(image.tobytes() in evaluated for image in data.calibration.images)


def test_digits_are_scikit_learns_spread_over_bytes() -> None:
    from sklearn.datasets import load_digits

    levels = np.unique(load_digits().images)
    assert set(np.unique(digits_test().images)) <= {round(level * 255 / 16) for level in levels}
    assert np.bincount(digits_test().labels).min() >= 43


def test_seed_and_limit_decide_the_subsets() -> None:
    first, again = (open_data("digits", limit=50, seed=1) for _ in range(2))
    other = open_data("digits", limit=50, seed=2)
    assert len(first.evaluation) == 50
    assert first.evaluation.key == again.evaluation.key
    assert first.calibration.key == again.calibration.key
    assert first.evaluation.key != other.evaluation.key
    assert first.calibration.key != other.calibration.key
    full = {image.tobytes() for image in digits_test().images}
    assert all(image.tobytes() in full for image in first.evaluation.images)


@pytest.mark.parametrize("options", [{"limit": 0}, {"calibration_size": 0}])
def test_wrong_arguments(options: dict[str, int]) -> None:
    with pytest.raises(ArgumentError):
        open_data("digits", **options)  # type: ignore[arg-type]


def test_npz(tmp_path: Path) -> None:
    classes = np.array(["a", "b", "c"])
    file = npz(tmp_path / "x.npz", images=IMAGES[..., 0], labels=LABELS, classes=classes)
    data = open_data(file, calibration_size=5)
    assert np.array_equal(data.evaluation.images, IMAGES)
    assert data.evaluation.labels.dtype == np.int64
    assert data.evaluation.classes == ("a", "b", "c")
    assert (len(data.calibration), data.shared) == (5, True)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"labels": LABELS}, "no array images"),
        ({"images": IMAGES}, "no array labels"),
        ({"x": IMAGES, "y": LABELS}, "no array images and no array labels"),
        ({"images": IMAGES / 255, "labels": LABELS}, "float64, not uint8"),
        ({"images": IMAGES, "labels": LABELS / 2}, "not whole numbers"),
        ({"images": IMAGES, "labels": LABELS[:5]}, "12 images, but labels of the shape (5,)"),
        ({"images": IMAGES, "labels": LABELS - 1}, "go from -1 to 1"),
        ({"images": IMAGES[0, 0], "labels": LABELS}, "shape (8, 1)"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "shape (0, 8, 8, 1)"),
        ({"images": IMAGES.transpose(0, 3, 1, 2), "labels": LABELS}, "seem to be N,C,H,W"),
        ({"images": np.array([None, 3]), "labels": LABELS}, "Python objects"),
        ({"images": IMAGES, "labels": LABELS, "classes": np.array(["a"])}, "need 3 names"),
    ],
)
def test_npz_refusals(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    assert words in refusal(npz(tmp_path / "x.npz", **arrays))


def test_other_files(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "nowhere")
    (tmp_path / "empty.npz").touch()
    assert "empty" in refusal(tmp_path / "empty.npz")
    (tmp_path / "text.npz").write_text("words")
    assert "no npz archive" in refusal(tmp_path / "text.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    assert "damaged" in refusal(tmp_path / "cut.npz")


def test_npz_of_an_unknown_zip_version(tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", images=IMAGES, labels=LABELS)
    content = bytearray((tmp_path / "new.npz").read_bytes())
    content[content.find(b"PK\x01\x02") + 6] = 99
    (tmp_path / "new.npz").write_bytes(content)
    assert "damaged" in refusal(tmp_path / "new.npz")


def test_npz_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 32, 32, 3)}
    )
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", head.getvalue())
    assert "'images' claims" in refusal(tmp_path / "x.npz")


@settings(max_examples=60, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 2**14), st.binary(max_size=6)), max_size=4))
def test_mutated_npz(tmp_path_factory: pytest.TempPathFactory, edits: list) -> None:  # type: ignore[type-arg]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=IMAGES, labels=LABELS)
    content = bytearray(buffer.getvalue())
    for position, replacement in edits:
        start = position % len(content)
        content[start : start + len(replacement)] = replacement
    file = tmp_path_factory.getbasetemp() / "mutated.npz"
    file.write_bytes(content)
    try:
        data = read_npz(file)
    except InputError:
        return
    assert len(data.images) == len(data.labels)


def test_folder_of_classes(tmp_path: Path) -> None:
    for label, name in enumerate(("cat", "ant")):
        for index in range(3):
            picture(tmp_path / name / f"{index}.png", seed=10 * label + index)
    (tmp_path / "ant" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    data = open_data(tmp_path, calibration_size=2)
    assert data.evaluation.classes == ("ant", "cat")
    assert data.evaluation.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.evaluation.images.shape == (6, 8, 8, 1)
    expected = np.asarray(Image.open(tmp_path / "ant" / "0.png"))
    assert np.array_equal(data.evaluation.images[0, ..., 0], expected)
    assert data.shared


def test_folder_with_splits(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / "train" / name / "0.png", "RGB", seed=1)
        picture(tmp_path / "test" / name / "0.png", "RGB", seed=2)
    data = open_data(tmp_path)
    assert not data.shared
    assert data.evaluation.key != data.calibration.key
    assert data.evaluation.name.endswith("(test)")
    picture(tmp_path / "train" / "c" / "0.png", "RGB")
    assert "other classes (c)" in refusal(tmp_path)


def test_folder_follows_the_models_colour(tmp_path: Path, model: Model) -> None:
    for label in range(10):
        picture(tmp_path / str(label) / "0.png", "RGB", seed=label)
    assert open_data(tmp_path).evaluation.images.shape[3] == 3
    assert open_data(tmp_path, model=model).evaluation.images.shape[3] == 1


def test_folder_refusals(tmp_path: Path, model: Model) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no images" in refusal(empty)
    (empty / "cat").mkdir()
    assert "its 1 folders" in refusal(empty)
    picture(tmp_path / "mixed" / "a" / "0.png")
    picture(tmp_path / "mixed" / "a" / "1.png", size=(9, 7))
    assert "different sizes" in refusal(tmp_path / "mixed")
    assert "Resize all to 8×8" in refusal(tmp_path / "mixed", model)
    (tmp_path / "broken" / "a").mkdir(parents=True)
    (tmp_path / "broken" / "a" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing")
    assert "cannot be read" in refusal(tmp_path / "broken")


def test_truncated_and_huge_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "0.png", size=(64, 64))
    file = tmp_path / "a" / "0.png"
    file.write_bytes(file.read_bytes()[:900])
    assert "cannot be read" in refusal(tmp_path)
    Image.new("1", (20_000, 20_000)).save(file)
    assert "more than 50,000,000 pixels" in refusal(tmp_path)


def dataset(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Dataset:
    return Dataset("images", images, labels, classes)


DIGITS = tuple("0123456789")


@pytest.mark.parametrize(
    ("images", "labels", "classes", "words"),
    [
        (np.zeros((2, 9, 8, 1), np.uint8), [0, 1], DIGITS, "9×8 pixels, demo:resnet takes 8×8"),
        (np.zeros((2, 8, 8, 3), np.uint8), [0, 1], DIGITS, "RGB (3 channels)"),
        (IMAGES[:2], [0, 10], (*DIGITS, "10"), "labels up to 10, demo:resnet has 10 classes"),
        (IMAGES[:2], [0, 1], ("cat", "dog"), "2 classes, demo:resnet has 10"),
        (IMAGES[:2], [0, 1], (*DIGITS, "ten"), "11 classes"),
        (IMAGES[:2], [0, 1], DIGITS[::-1], "another order"),
    ],
)
def test_images_that_do_not_fit(
    model: Model, images: np.ndarray, labels: list[int], classes: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InputError) as caught:
        check_fits(model, dataset(images, np.array(labels), classes))
    assert words in str(caught.value)


def test_numbered_labels_fit_and_take_the_models_names(tmp_path: Path, model: Model) -> None:
    check_fits(model, digits_test())
    check_fits(model, dataset(IMAGES[:2], np.array([0, 1]), ("0", "1")))
    file = npz(tmp_path / "x.npz", images=IMAGES, labels=LABELS)
    assert open_data(file, model=model).evaluation.classes == DIGITS


def test_real_archives(shared_data: Path, model: Model) -> None:
    cifar = open_data(shared_data / "cifar10" / "test_jpeg_2k.npz", limit=100)
    assert cifar.evaluation.images.shape == (100, 32, 32, 3)
    assert cifar.evaluation.classes[:2] == ("airplane", "automobile")
    mnist = shared_data / "mnist" / "test_10k.npz"
    assert open_data(mnist).evaluation.classes == DIGITS
    assert "28×28 pixels" in refusal(mnist, model)
