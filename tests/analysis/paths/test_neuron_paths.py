"""The request: targets, partial results, blocks, bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from analysis.architectures.architecture import PathLayer
from analysis.errors import ArgumentError, InputError
from analysis.paths import NeuronPaths, PathResult
from analysis.paths import neuron_paths as module_under_test
from analysis.paths.silence import Range
from analysis.records import pack, unpack
from analysis.request import Cancelled, Compute, Step
from tests.analysis.paths.nets import Chain, TwoBranches, data_of, model_of

INDICES = np.array([3, 0, 17, 5, 9, 21])


def _arrays(result: PathResult) -> dict[str, np.ndarray]:
    return pack(result)[1]


def test_blocks_and_portions_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    request = NeuronPaths(model_of(TwoBranches), data_of(), INDICES, steps=4)
    whole = request()
    monkeypatch.setattr(module_under_test, "BLOCK_SAMPLES", 4)
    parts = dataclasses.replace(request, compute=Compute(batch_size=5))()
    for name, values in _arrays(whole).items():
        assert _arrays(parts)[name] == pytest.approx(values, abs=1e-6), name


def test_columns_arrive_one_by_one() -> None:
    steps: list[Step] = []
    result = NeuronPaths(model_of(TwoBranches), data_of(), INDICES, steps=5)(steps.append)
    partials = [step.partial for step in steps if step.partial is not None]
    assert [p.layers for p in partials] == [("act1",), ("act1", "act2")]  # type: ignore[attr-defined]
    last = partials[-1]
    assert isinstance(last, PathResult)
    assert last.jig.shape == last.delta.shape == (0,)
    assert np.array_equal(last.units, result.units)
    assert result.units.shape == (6, 2)
    assert result.jig.shape == result.jas.shape == result.delta.shape == (6,)
    assert [len(s) for s in result.scores] == [6, 5]
    assert [s.dtype for s in result.silent] == [bool, bool]
    assert steps[-1].done == steps[-1].total == 6 * 5 * 3
    assert np.array_equal(result.indices, INDICES)


def test_the_class_path_is_the_most_frequent_unit() -> None:
    result = NeuronPaths(model_of(TwoBranches), data_of(), np.arange(40), steps=2)()
    for column in range(2):
        counts = np.bincount(result.units[:, column])
        assert result.class_path[column] == counts.argmax()
        assert result.frequency[column] == counts.max() / 40
    order = result.top_units(0, 3)
    assert result.scores[0][order].tolist() == sorted(result.scores[0], reverse=True)[:3]


def test_the_target_is_the_prediction_or_the_label() -> None:
    model, data = model_of(TwoBranches), data_of()
    images = model.architecture.normalise(torch.from_numpy(data.images[INDICES]))
    with torch.no_grad():
        predicted = model.module()(images).argmax(1).numpy()
    request = NeuronPaths(model, data, INDICES, steps=2)
    assert np.array_equal(request().target_classes, predicted)
    by_label = dataclasses.replace(request, target="label")()
    assert np.array_equal(by_label.target_classes, data.labels[INDICES])


def test_units_without_inputs_are_silent() -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(5, 1, 3, 3), torch.randn(5)
    weight[2] = 0
    bias[2] = -1.0
    weight2 = torch.randn(5, 5, 3, 3)
    model = model_of(Chain, conv1__weight=weight, conv1__bias=bias, conv2__weight=weight2)
    result = NeuronPaths(model, data_of(), INDICES, steps=2)()
    assert result.silent[0].tolist() == [False, False, True, False, False]
    assert result.scores[0][2] == 0.0
    constant = model_of(Chain, conv1__weight=weight, conv1__bias=bias.abs())
    assert NeuronPaths(constant, data_of(), INDICES, steps=2)().silent[0][2]


def test_a_single_value_is_silent_only_when_zero() -> None:
    found = Range()
    found.watch(torch.tensor([[0.0, 2.0]]))
    assert found.constant().tolist() == [True, False]
    found.watch(torch.tensor([[0.0, 2.0]]))
    assert found.constant().tolist() == [True, True]


def test_a_dead_layer_takes_the_first_unit() -> None:
    model = model_of(Chain, conv1__weight=torch.zeros(5, 1, 3, 3), conv1__bias=-torch.ones(5))
    result = NeuronPaths(model, data_of(), INDICES, steps=2)()
    assert not result.units[:, 0].any()
    assert result.silent[0].all()
    assert np.isfinite(result.jig).all()


def test_free_units_measure_what_removing_the_path_costs() -> None:
    """With a cut, clamping hides all but the last unit; letting go shows the whole path."""
    request = NeuronPaths(model_of(Chain), data_of(), INDICES, steps=200)
    clamped, free = request(), dataclasses.replace(request, others="free")()
    assert np.array_equal(clamped.units, free.units)
    assert np.abs(clamped.jig - free.jig).max() > 1e-3
    assert free.delta.max() < 5e-3


def test_other_scores_rules_and_outputs() -> None:
    request = NeuronPaths(model_of(TwoBranches), data_of(), INDICES)
    left = dataclasses.replace(request, rule="left", steps=200)()
    assert left.jig == pytest.approx(dataclasses.replace(request, steps=200)().jig, abs=1e-2)
    assert dataclasses.replace(request, score="jas")().score == "jas"
    assert dataclasses.replace(request, output="logit")().delta.max() < 1e-2


def test_the_key_knows_what_changes_the_result() -> None:
    request = NeuronPaths(model_of(TwoBranches), data_of(), INDICES)
    changes: list[dict[str, object]] = [
        {"indices": INDICES[:2]},
        {"target": "label"},
        {"steps": 5},
        {"score": "jas"},
        {"rule": "left"},
        {"output": "logit"},
        {"others": "free"},
    ]
    keys = {dataclasses.replace(request, **change).key for change in changes}  # type: ignore[arg-type]
    assert len(keys | {request.key}) == len(changes) + 1
    assert dataclasses.replace(request, top=3).key == request.key


def test_the_answer_survives_the_disk() -> None:
    result = NeuronPaths(model_of(TwoBranches), data_of(), INDICES, steps=2)()
    back = unpack(*pack(result))
    assert back.layers == result.layers
    assert np.array_equal(back.scores[1], result.scores[1])
    assert np.array_equal(back.silent[1], result.silent[1])


def test_cancelling_and_global_state() -> None:
    def stop(step: Step) -> None:
        if step.done > 3:
            raise Cancelled

    request = NeuronPaths(model_of(TwoBranches), data_of(), INDICES, steps=2)
    state = torch.get_rng_state()
    with pytest.raises(Cancelled):
        dataclasses.replace(request, compute=Compute(batch_size=2))(stop)
    with torch.no_grad():
        inside = request()
    assert np.array_equal(inside.units, request().units)
    assert torch.equal(state, torch.get_rng_state())
    assert all(not w.requires_grad for w in request.model.weights.values())


def test_unusable_requests_say_why() -> None:
    model, data = model_of(TwoBranches), data_of()
    with pytest.raises(ArgumentError, match="one or more image numbers"):
        NeuronPaths(model, data, np.zeros(0, int))()
    with pytest.raises(ArgumentError, match="from 3 to 40, but there are 40"):
        NeuronPaths(model, data, np.array([3, 40]))()
    with pytest.raises(ArgumentError, match="steps must be 1 to 1000"):
        NeuronPaths(model, data, INDICES, steps=0)()
    with pytest.raises(ArgumentError, match="score must be jig or jas"):
        NeuronPaths(model, data, INDICES, score="ig")()  # type: ignore[arg-type]
    for layers, text in (
        ((), "declares no layers"),
        ((PathLayer("nowhere", "token"),), "no path layer 'nowhere'"),
        ((PathLayer("head", "token"),), "no token dimension"),
    ):
        other = dataclasses.replace(model.architecture, path_layers=layers)
        with pytest.raises(InputError, match=text):
            NeuronPaths(dataclasses.replace(model, architecture=other), data, INDICES)()
    broken = model_of(TwoBranches, head__bias=torch.tensor([0.0, torch.nan, 0.0]))
    with pytest.raises(InputError, match="NaN or infinite logits"):
        NeuronPaths(broken, data, INDICES)()
