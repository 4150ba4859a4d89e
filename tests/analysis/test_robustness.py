"""The grid against evaluating each corrupted dataset by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.data.corruptions import CORRUPTIONS, corrupt
from analysis.errors import ArgumentError, InputError
from analysis.evaluate import Evaluate, flips
from analysis.records import pack, unpack
from analysis.request import Cancelled, Compute, Step
from analysis.robustness import (
    Robustness,
    RobustnessGrid,
    cells,
    corruption_errors,
    flipped,
    mean_corruption_error,
    predictions_at,
)
from tests.analysis.small_models import small_data, small_model

NAMES = ("gaussian_noise", "contrast")
A, B = small_model(seed=0), small_model(seed=1)
DATA = small_data(41)


def grid(batch: int = 100) -> RobustnessGrid:
    return Robustness((A, B), DATA, NAMES, (1, 5), seed=2, compute=Compute("cpu", batch))()


def test_cells_equal_evaluations_of_corrupted_images() -> None:
    result = grid()
    for c, name in enumerate(NAMES):
        for s, severity in enumerate((1, 5)):
            images = corrupt(DATA.images, name, severity, 2, np.arange(41))
            data = replace(DATA, images=images)
            first, second = Evaluate(A, data)(), Evaluate(B, data)()
            np.testing.assert_array_equal(result.predictions[0, c, s], first.predictions)
            np.testing.assert_array_equal(result.predictions[1, c, s], second.predictions)
            assert result.accuracy[:, c, s].tolist() == [first.accuracy, second.accuracy]
            got = flipped(result, A.key, B.key, name, severity)
            for indices, expected in zip(got, flips(first, second), strict=True):
                np.testing.assert_array_equal(indices, expected)
    clean = [Evaluate(model, DATA)() for model in (A, B)]
    np.testing.assert_array_equal(result.clean, [e.predictions for e in clean])
    assert result.clean_accuracy.tolist() == [e.accuracy for e in clean]
    np.testing.assert_array_equal(predictions_at(result, B.key, "", 0), clean[1].predictions)
    assert result.n == 41
    assert result.predictions.dtype == np.int16


def test_the_batch_size_does_not_matter() -> None:
    np.testing.assert_array_equal(grid(7).predictions, grid().predictions)


def test_partial_grids_grow_a_cell_at_a_time() -> None:
    steps: list[Step] = []
    result = Robustness((A, B), DATA, NAMES, (1, 5), compute=Compute("cpu", 20))(steps.append)
    partials = [s.partial for s in steps if isinstance(s.partial, RobustnessGrid)]
    assert [int((~np.isnan(p.accuracy[0])).sum()) for p in partials] == [1, 2, 3, 4]
    order = [(cell["corruption"], cell["severity"]) for cell in cells(result)[::2]]
    assert order == [(name, severity) for name in NAMES for severity in (1, 5)]
    assert (partials[0].predictions[:, 1] == -1).all()
    assert steps[-1].done == steps[-1].total == 5 * 3 * 2
    assert len(cells(partials[1])) == 4
    with pytest.raises(ArgumentError, match="not computed"):
        flipped(partials[0], A.key, B.key, "contrast", 5)
    assert np.isnan(mean_corruption_error(partials[2], A.key, B.key))


def test_mean_corruption_error_worked_by_hand() -> None:
    result = grid()
    accuracy = np.array([[[0.5, 0.3], [0.9, 0.6]], [[0.8, 0.8], [0.8, 0.7]]])
    result = replace(result, accuracy=accuracy)
    errors = corruption_errors(result, A.key, B.key)
    assert errors == pytest.approx({"gaussian_noise": 1.2 / 0.4, "contrast": 0.5 / 0.5})
    assert mean_corruption_error(result, A.key, B.key) == pytest.approx(2.0)
    assert mean_corruption_error(result, B.key, B.key) == pytest.approx(1.0)
    faultless = replace(result, accuracy=np.ones((2, 2, 2)))
    assert np.isnan(mean_corruption_error(faultless, A.key, B.key))


def test_cells_name_what_they_hold() -> None:
    result = grid()
    assert cells(result)[1] == {
        "model": B.key,
        "corruption": "gaussian_noise",
        "severity": 1,
        "accuracy": result.accuracy[1, 0, 0],
        "n": 41,
    }


def test_results_can_be_stored() -> None:
    result = grid()
    again = unpack(*pack(result))
    np.testing.assert_array_equal(again.predictions, result.predictions)
    assert (again.corruptions, again.severities) == (NAMES, (1, 5))


def test_arguments_are_checked() -> None:
    for arguments in (
        ((A,), DATA, ("fog",)),
        ((A,), DATA, NAMES, (0, 1)),
        ((), DATA),
        ((A,), DATA, ()),
    ):
        with pytest.raises(ArgumentError):
            Robustness(*arguments)
    with pytest.raises(ArgumentError, match="other"):
        flipped(grid(), A.key, "other", "contrast", 1)
    with pytest.raises(ArgumentError, match="severity 3"):
        flipped(grid(), A.key, B.key, "contrast", 3)


def test_nan_names_the_model_and_cancelling_ends() -> None:
    weights = {**B.weights, "head.2.bias": torch.full((4,), float("nan"))}
    with pytest.raises(InputError, match="Broken"):
        Robustness((A, replace(B, name="Broken", weights=weights)), DATA, NAMES)()

    def cancel(step: Step) -> None:
        if step.done > 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        Robustness((A,), DATA, compute=Compute("cpu", 10))(cancel)


def test_keys_tell_parameters_apart() -> None:
    keys = {
        Robustness((A,), DATA).key,
        Robustness((B,), DATA).key,
        Robustness((A, B), DATA).key,
        Robustness((A,), DATA, NAMES).key,
        Robustness((A,), DATA, severities=(1,)).key,
        Robustness((A,), DATA, seed=1).key,
    }
    assert len(keys) == 6
    assert Robustness((A,), DATA, tuple(CORRUPTIONS)).key in keys
