"""Measured times: their statistics, and that measuring leaves everything as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.errors import ArgumentError
from analysis.pruning import Prune, pruned_model, recipe_named
from analysis.pruning.latency import Latency, layer_timings, measure, timing
from analysis.records import pack, unpack
from analysis.request import Compute, Step
from tests.analysis.pruning.toys import ConvNet, toy

MODEL = toy(ConvNet)


def masked() -> object:
    request = Prune(MODEL, recipe_named("global-magnitude"), 0.9)
    return pruned_model(MODEL, request(), request)


def test_median_and_quartiles() -> None:
    found = timing(np.array([5.0, 1, 2, 3, 4]))
    assert (found.median, found.spread) == (3, 2)


def test_more_work_takes_longer() -> None:
    small, large = torch.nn.Linear(8, 8), torch.nn.Linear(1000, 2000)
    assert measure(small, torch.zeros(1, 8)).median < measure(large, torch.zeros(64, 1000)).median
    with pytest.raises(ArgumentError, match="at least one repeat"):
        measure(small, torch.zeros(1, 8), 0)


def test_every_called_layer_has_a_time() -> None:
    names = [layer.name for layer in MODEL.layers]
    module = MODEL.module()
    found = layer_timings(module, names, torch.zeros(2, 1, 8, 8), repeats=2)
    assert list(found) == names
    assert all(time.median > 0 for time in found.values())
    assert not any(m._forward_pre_hooks for m in module.modules())


def test_models_are_timed_side_by_side() -> None:
    threads, rng = torch.get_num_threads(), torch.random.get_rng_state()
    steps: list[Step] = []
    other = masked()
    request = Latency((MODEL, other), batch=3, repeats=4)  # type: ignore[arg-type]
    table = request(steps.append)
    assert [row.name for row in table.rows] == ["toy", "global-magnitude 90 %"]
    assert all(row.milliseconds > 0 and row.spread >= 0 for row in table.rows)
    assert table.rows[1].sparsity == pytest.approx(0.9, abs=1e-3)
    assert "no speed-up" in table.note
    assert (table.batch, table.repeats, table.device) == (3, 4, "cpu")
    assert table.threads == torch.get_num_threads() == threads
    assert torch.equal(rng, torch.random.get_rng_state())
    assert [(s.done, s.total) for s in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert unpack(*pack(table)) == table
    assert Latency((MODEL,), repeats=1)().note == ""


def test_times_of_devices_and_batches_are_different_results() -> None:
    keys = {
        Latency((MODEL,), batch, compute=Compute(device)).key
        for batch, device in ((1, "cpu"), (2, "cpu"), (1, "cuda"))
    }
    assert len(keys) == 3
    for bad in ({"models": ()}, {"batch": 0}, {"repeats": 0}):
        with pytest.raises(ArgumentError, match="at least"):
            Latency(**{"models": (MODEL,), **bad})  # type: ignore[arg-type]
