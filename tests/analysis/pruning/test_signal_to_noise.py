from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning import PRESETS, Prune, pruned_model
from analysis.pruning.counting import exact_count
from analysis.pruning.criteria.signal_to_noise import SignalToNoise, signal_to_noise
from tests.analysis.pruning.toys import ConvNet, context, toy

MODEL = toy(ConvNet)


def sibling(seed: int, noise: float = 0.1) -> Model:
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: value + noise * torch.randn(value.shape, generator=generator)
        if value.is_floating_point()
        else value
        for name, value in MODEL.weights.items()
    }
    return replace(MODEL, name=f"seed {seed}", key=f"key {seed}", weights=weights)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_ratio_is_numpys_mean_over_its_sample_deviation(count: int) -> None:
    values = np.random.default_rng(count).normal(3, 1, (count, 4, 5))
    ratio, deviation = signal_to_noise([torch.from_numpy(value) for value in values])
    np.testing.assert_allclose(deviation, values.std(axis=0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(ratio, np.abs(values.mean(0)) / values.std(0, ddof=1), rtol=1e-12)


def test_certain_weights_stay_longest_and_certain_zeros_go_first() -> None:
    ratio, _ = signal_to_noise([torch.tensor([0.0, 2, 1, 1]), torch.tensor([0.0, 2, -1, 2])])
    assert ratio[0] == 0
    assert ratio[1] == torch.finfo(torch.float32).max
    assert ratio[2] == 0
    assert bool(ratio.isfinite().all())


def test_the_least_certain_weights_of_the_whole_network_go() -> None:
    companions = (sibling(1), sibling(2))
    request = Prune(MODEL, PRESETS["snr"].recipe, 0.5, companions=companions)
    after = pruned_model(MODEL, request(), request)
    states = [model.weights for model in (MODEL, *companions)]
    values = np.stack(
        [np.concatenate([s[la.parameter].numpy().ravel() for la in MODEL.layers]) for s in states]
    ).astype(np.float64)
    ratios = np.abs(values.mean(0)) / values.std(0, ddof=1)
    gone = np.concatenate(
        [(after.weight(la.parameter) == 0).numpy().ravel() for la in MODEL.layers]
    )
    assert gone.sum() == exact_count(0.5, len(ratios))
    assert ratios[gone].max() <= ratios[~gone].min() * (1 + 1e-6)


def test_companions_count_and_have_to_differ() -> None:
    with pytest.raises(ArgumentError, match="another model"):
        Prune(MODEL, PRESETS["snr"].recipe, 0.5)()
    with pytest.raises(ArgumentError, match="another model"):
        SignalToNoise().scores(context(MODEL))
    with pytest.raises(ArgumentError, match="same weights"):
        Prune(MODEL, PRESETS["snr"].recipe, 0.5, companions=(MODEL,))()
