"""Allocations: how the budget is shared between layers; importing this package registers them."""

from __future__ import annotations

from analysis.pruning.allocations.erk import Erk
from analysis.pruning.allocations.global_threshold import Global
from analysis.pruning.allocations.per_row import PerRow
from analysis.pruning.allocations.uniform import Uniform

__all__ = ["Erk", "Global", "PerRow", "Uniform"]
