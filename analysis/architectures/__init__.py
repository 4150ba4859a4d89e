"""From a state dict to an `nn.Module`: the registry and shape fingerprints.

The names below are looked up when first asked for: the entries of the registry import the data
that they were made for, and that imports `Architecture` from here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.architectures.fingerprint import Comparison, Match, compare, identify
    from analysis.architectures.registry import ARCHITECTURES, get

_HOMES = {
    "ARCHITECTURES": "registry",
    "get": "registry",
    "Comparison": "fingerprint",
    "Match": "fingerprint",
    "compare": "fingerprint",
    "identify": "fingerprint",
}

__all__ = ["ARCHITECTURES", "Comparison", "Match", "compare", "get", "identify"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
