"""Paths and geometry of the built-in models, dense and half pruned."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.data.digits import digits_test
from analysis.geometry import Geometry
from analysis.masks import Mask
from analysis.models import Model, Origin
from analysis.paths import NeuronPaths, compare_paths, node_states


def halved(model: Model) -> Model:
    """The smaller half of every weight tensor masked."""
    masks = {}
    for layer in model.layers:
        size = model.weight(layer.parameter).abs()
        masks[layer.parameter] = Mask.from_keep(size > size.median())
    return dataclasses.replace(
        model,
        name="half",
        key=f"{model.key}-half",
        masks=masks,
        origin=Origin(model.key, {}, 0.5, 0),
    )


@pytest.mark.parametrize("name", ["demo:resnet", "demo:vit"])
def test_demo_models(name: str) -> None:
    dense = open_model(name)[0]
    pruned = halved(dense)
    data, chosen = digits_test(), np.arange(0, 450, 90)
    a, b = (NeuronPaths(m, data, chosen, steps=20)() for m in (dense, pruned))
    assert a.layers == tuple(layer.name for layer in dense.architecture.path_layers)
    assert (a.delta < 1e-3).all()
    found = compare_paths(a, b)
    assert ((found.agreement >= 0) & (found.agreement <= 1)).all()
    assert all(len(nodes) >= 10 for nodes in node_states(a, b))
    geometry = Geometry(pruned, data)()
    correct = geometry.logits.argmax(1) == geometry.labels
    assert np.array_equal(geometry.margin > 0, correct)


def test_cifar_resnet(shared_data: Path) -> None:
    checkpoint = shared_data / "checkpoints/cifar_resnet_akamaster/resnet20-12fca82f.th"
    model = open_model(checkpoint)[0]
    data = open_data(shared_data / "cifar10/test_10k.npz", limit=64).evaluation
    result = NeuronPaths(model, data, np.arange(3), steps=10)()
    assert len(result.layers) == len(model.architecture.path_layers)
    assert [len(s) for s in result.scores] == [
        u.shape[1] for u in _outputs(model, data.images[:1])
    ]
    # the last path layer is all that the classifier sees: one unit's integrated gradient
    assert np.isfinite(result.jig).all()
    assert (result.delta < 0.02).all()


def _outputs(model: Model, images: np.ndarray) -> list[torch.Tensor]:
    from analysis.paths.injection import Instrument

    instrument = Instrument(model.module(), model.architecture.path_layers, model.name)
    return instrument.read(model.architecture.normalise(torch.from_numpy(images)))[0]
