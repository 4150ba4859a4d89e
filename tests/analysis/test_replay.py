"""Replaying works for every network of the registry: no layer needs the whole forward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from analysis.architectures import ARCHITECTURES
from analysis.replay import Replay, ReplayError
from tests.analysis.small_models import small_model


@pytest.mark.parametrize(
    "name", ["demo-resnet", "demo-vit", "cifar-resnet20", "cifar-resnet20-conv"]
)
def test_every_layer_of_the_registry_is_replayed(name: str) -> None:
    architecture = ARCHITECTURES[name]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, *architecture.input_shape, generator=generator)
    replay = Replay(architecture.build(10).eval())
    expected = replay.whole(images)
    for layer in architecture.prunable(10):
        assert replay.record(images, layer.name), layer.name
        assert replay.faithful(images), layer.name
        torch.testing.assert_close(replay.rest(images), expected, rtol=0, atol=0)


def test_a_changed_order_is_refused() -> None:
    class Alternating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            first, second = (self.a, self.b) if self.calls % 2 else (self.b, self.a)
            out: Tensor = self.c(second(first(x)))
            return out

    replay, images = Replay(Alternating().eval()), torch.ones(3, 4)
    assert replay.record(images, "c")
    with pytest.raises(ReplayError):
        replay.rest(images)
    assert replay.record(images, "c")
    assert not replay.faithful(images)


def test_a_layer_that_is_never_called_cannot_be_recorded() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.used(x)
            return out

    assert not Replay(Idle().eval()).record(torch.ones(1, 4), "idle")


def test_nothing_before_the_layer_is_computed() -> None:
    model = small_model()
    replay, images = Replay(model.module()), torch.randn(2, 1, 8, 8)
    assert replay.record(images, "blocks.1.second")
    expected = replay.whole(images)
    earlier = replay.module.get_submodule("blocks.1.first")
    earlier.register_parameter("weight", nn.Parameter(torch.zeros(6, 6, 3, 3)))
    torch.testing.assert_close(replay.rest(images), expected, rtol=0, atol=0)
