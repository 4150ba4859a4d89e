"""Schedules: in how many rounds the budget is reached; importing this package registers them."""

from __future__ import annotations

from analysis.pruning.schedules.iterative import Iterative
from analysis.pruning.schedules.one_shot import OneShot

__all__ = ["Iterative", "OneShot"]
