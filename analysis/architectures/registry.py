"""The one dict of architectures that Espalier can build."""

from __future__ import annotations

from analysis.architectures import demo_resnet, demo_vit
from analysis.architectures.architecture import Architecture
from analysis.architectures.cifar_resnet import CIFAR_RESNETS
from analysis.errors import ArgumentError

ARCHITECTURES: dict[str, Architecture] = {
    entry.name: entry
    for entry in (demo_resnet.ARCHITECTURE, demo_vit.ARCHITECTURE, *CIFAR_RESNETS)
}


def get(name: str) -> Architecture:
    """The entry called `name`; ArgumentError with the known names when there is none."""
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ArgumentError(f"unknown architecture {name!r}; known are {known}")
    return ARCHITECTURES[name]
