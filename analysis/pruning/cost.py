"""What a pruning job will take, told before it starts.

Parts declare what they do (`Part.cost`): images sent forward, images sent forward and backward,
multiply-adds beyond these, and memory held at once. Seconds follow from how fast this machine
multiplies, measured once a process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.architectures.architecture import PrunableLayer


@dataclass(frozen=True)
class Cost:
    """What one use of a part takes.

    Attributes
    ----------
    forward: images sent through the network.
    backward: images sent through it and back.
    macs: multiply-accumulates beyond those passes.
    memory: bytes held at once beyond weights and activations.
    """

    forward: float = 0.0
    backward: float = 0.0
    macs: float = 0.0
    memory: int = 0

    def __add__(self, other: Cost) -> Cost:
        """One after the other: work adds up, memory is that of the larger one."""
        return Cost(
            self.forward + other.forward,
            self.backward + other.backward,
            self.macs + other.macs,
            max(self.memory, other.memory),
        )

    def times(self, rounds: float) -> Cost:
        """The same again and again."""
        return Cost(self.forward * rounds, self.backward * rounds, self.macs * rounds, self.memory)


@dataclass(frozen=True)
class JobSize:
    """The numbers that costs depend on.

    Attributes
    ----------
    layers: the prunable layers.
    macs: multiply-accumulates of each layer for one image, by name.
    images: calibration images.
    batch_size: images sent through at once.
    """

    layers: tuple[PrunableLayer, ...]
    macs: Mapping[str, float]
    images: int
    batch_size: int

    @property
    def parameters(self) -> int:
        """Prunable weights."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs_per_image(self) -> float:
        return sum(self.macs.values())
