"""The one dict of architectures that Espalier can build."""

from __future__ import annotations

import json
from functools import lru_cache

from analysis.architectures import demo_resnet, demo_vit, edits
from analysis.architectures.architecture import Architecture
from analysis.architectures.cifar_resnet import CIFAR_RESNETS
from analysis.errors import ArgumentError

ARCHITECTURES: dict[str, Architecture] = {
    entry.name: entry
    for entry in (demo_resnet.ARCHITECTURE, demo_vit.ARCHITECTURE, *CIFAR_RESNETS)
}


MAX_SPEC = 4_000_000
"""Characters; keep-lists of a network of a million channels take less."""


def get(name: str) -> Architecture:
    """The entry called `name`; ArgumentError with the known names when there is none."""
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ArgumentError(f"unknown architecture {name!r}; known are {known}")
    return ARCHITECTURES[name]


@lru_cache(maxsize=64)
def from_spec(text: str) -> Architecture:
    """Inverse of `Architecture.spec`: an entry by its name, or an entry with edits.

    The text may come from a file that nobody vouches for: it is read as JSON, every edit is
    checked against the network, and the network is tried on shapes.

    Raises
    ------
    ArgumentError: an unknown entry, or edits that are none or do not fit.
    """
    if not text.lstrip().startswith("{"):
        return get(text)
    if len(text) > MAX_SPEC:
        raise ArgumentError(f"the description of the network is longer than {MAX_SPEC:,}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ArgumentError("the description of the network is no JSON") from None
    if set(found) != {"name", "edits"} or not isinstance(found["name"], str):
        raise ArgumentError("the description of the network needs a name and edits, nothing else")
    return get(found["name"]).edited(edits.from_json(found["edits"]))
