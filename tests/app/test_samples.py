from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from analysis.evaluate import Evaluation
from app.linking import pick
from app.opening import kind_of
from app.panels.jobs import duration
from app.panels.samples import margins, mode_of, ordered
from app.panels.thumbnails import picture
from app.selection import SelectionState


def evaluation(logits):
    return Evaluation(np.array(logits, np.float32), np.array([0, 0, 0, 1]))


BEFORE = evaluation([[2, 1], [2, 1], [1, 2], [0, 1]])  # right, right, wrong, right
AFTER = evaluation([[3, 1], [1, 3], [4, 1], [0, 9]])  # right, lost, won, right


def test_margin_is_the_true_logit_less_the_best_other():
    assert margins(AFTER).tolist() == [2, -2, 3, 9]


def test_orders():
    rows = np.array([0, 1, 2, 3])
    pair = (BEFORE, AFTER)
    assert ordered(rows, "by index", pair).tolist() == [0, 1, 2, 3]
    assert ordered(rows, "flips first", pair).tolist() == [1, 2, 0, 3]
    assert ordered(rows, "smallest margin", pair).tolist() == [1, 0, 2, 3]
    assert ordered(rows, "least confident", pair).tolist() == [0, 1, 2, 3]
    assert ordered(rows, "flips first", (None, AFTER)).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("keys", "mode"),
    [
        (Qt.KeyboardModifier.NoModifier, "replace"),
        (Qt.KeyboardModifier.ShiftModifier, "add"),
        (Qt.KeyboardModifier.ControlModifier, "toggle"),
        (Qt.KeyboardModifier.AltModifier, "subtract"),
        (Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ShiftModifier, "intersect"),
    ],
)
def test_keys_choose_the_mode(keys, mode):
    assert mode_of(keys) == mode


def test_pictures_keep_their_pixels(qapp):
    grey = picture(np.array([[[7], [200]]], np.uint8))
    assert (grey.width(), grey.height(), grey.pixelColor(1, 0).red()) == (2, 1, 200)
    colour = picture(np.array([[[1, 2, 3]]], np.uint8)).pixelColor(0, 0)
    assert (colour.red(), colour.green(), colour.blue()) == (1, 2, 3)


def test_what_picking_means():
    state = SelectionState(models=("a",), samples=(1,), layer="conv1")
    assert pick(state, "sample", [2], "add").samples == (1, 2)
    assert pick(state, "sample", [], "replace").samples == ()
    unit = pick(state, "unit", ["block.conv2:3"], "replace")
    assert (unit.units, unit.layer) == (("block.conv2:3",), "block.conv2")
    assert pick(unit, "layer", ["fc"], "replace").units == ()
    assert pick(state, "layer", [], "replace") == state
    assert pick(state, "model", ["b"], "replace").models == ("a", "b")
    assert pick(state, "cell", ["gaussian_noise:3:a"], "replace") == state
    assert pick(state, "class", [3], "toggle").classes == (3,)


def test_paths_are_told_apart(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.sqlite").touch()
    (tmp_path / "images").mkdir()
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "model.safetensors").touch()
    kinds = {"study": "study", "images": "data", "hf": "model", "a.npz": "data", "a.th": "model"}
    assert {name: kind_of(str(tmp_path / name)) for name in kinds} == kinds
    assert (kind_of("digits"), kind_of("demo:vit")) == ("data", "model")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59, "59 s"), (61, "1 min 01 s"), (3720, "1 h 02 min")],
)
def test_durations_carry_their_unit(seconds, text):
    assert duration(seconds) == text
