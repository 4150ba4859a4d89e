"""Structures: what a unit is; importing this package registers them."""

from __future__ import annotations

from analysis.pruning.structures.filter import Filter
from analysis.pruning.structures.nm import NM
from analysis.pruning.structures.weight import Weight

__all__ = ["NM", "Filter", "Weight"]
