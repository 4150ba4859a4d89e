"""Geometry against the module it reads."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from analysis.errors import ArgumentError, InputError
from analysis.geometry import Geometry
from analysis.records import pack, unpack
from analysis.request import Cancelled, Compute, Step
from tests.analysis.geometry.nets import tiny_data, tiny_model


def test_logits_are_the_modules_and_follow_from_the_features() -> None:
    model, data = tiny_model(), tiny_data()
    result = Geometry(model, data, compute=Compute(batch_size=7))()
    images = model.architecture.normalise(torch.from_numpy(data.images))
    with torch.no_grad():
        expected = model.module()(images).numpy()
    assert result.logits == pytest.approx(expected, abs=1e-6)
    again = result.features @ result.weight.T + result.bias
    assert result.logits == pytest.approx(again, abs=1e-5)
    lengths = np.linalg.norm(result.weight, axis=1) * result.norm[:, None]
    assert lengths * np.cos(result.angle) + result.bias == pytest.approx(again, abs=1e-5)
    correct = result.logits.argmax(1) == result.labels
    assert np.array_equal(result.margin > 0, correct)
    assert result.true_angle.shape == (result.n,)


def test_a_pruned_model_is_measured_with_its_own_classifier() -> None:
    keep = torch.ones(3, 5, dtype=torch.bool)
    keep[0] = False
    result = Geometry(tiny_model({"head.weight": keep}), tiny_data())()
    assert not result.weight[0].any()
    assert result.angle[:, 0] == pytest.approx(np.full(result.n, np.pi / 2))
    assert np.isfinite(result.margin).all()


def test_a_fully_pruned_classifier_has_defined_values() -> None:
    keep = torch.zeros(3, 5, dtype=torch.bool)
    result = Geometry(tiny_model({"head.weight": keep}), tiny_data())()
    assert result.angle == pytest.approx(np.full((result.n, 3), np.pi / 2))
    assert np.isnan(result.margin).all()


def test_convolutions_are_averaged_and_tokens_read_at_cls() -> None:
    model, data = tiny_model(), tiny_data()
    module = model.module()
    images = model.architecture.normalise(torch.from_numpy(data.images))
    with torch.no_grad():
        maps = module.conv(images)
        tokens = module.tokens(torch.tanh(maps).flatten(2).transpose(1, 2))
    conv = Geometry(model, data, "conv")()
    assert conv.features == pytest.approx(maps.mean((2, 3)).numpy(), abs=1e-6)
    assert conv.norm == pytest.approx(np.linalg.norm(conv.features, axis=1), rel=1e-6)
    assert conv.angle.shape == (23, 0)
    assert conv.margin.shape == (0,)
    assert conv.weight.shape == (0, 6)
    assert conv.true_angle.shape == (0,)
    assert Geometry(model, data, "tokens")().features == pytest.approx(
        tokens[:, 0].numpy(), abs=1e-6
    )


def test_the_answer_survives_the_disk_and_the_key_knows_the_layer() -> None:
    request = Geometry(tiny_model(), tiny_data())
    result = request()
    back = unpack(*pack(result))
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, getattr(back, field.name))
    assert request.key != dataclasses.replace(request, layer="conv").key
    assert request.key == dataclasses.replace(request, compute=Compute(batch_size=3)).key


def test_unusable_requests_say_why() -> None:
    model, data = tiny_model(), tiny_data()
    with pytest.raises(ArgumentError, match=r"no layer 'konv'.*conv"):
        Geometry(model, data, "konv")()
    with pytest.raises(InputError, match="no images"):
        Geometry(model, data.subset(np.arange(0)))()
    wrong = dataclasses.replace(data, labels=data.labels + 5)
    with pytest.raises(InputError, match="3 classes"):
        Geometry(model, wrong)()


def test_cancelling_leaves_no_hook_behind() -> None:
    def stop(step: Step) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        Geometry(tiny_model(), tiny_data(), compute=Compute(batch_size=5))(stop)
