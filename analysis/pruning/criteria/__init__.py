"""Criteria: a score for every weight; importing this package registers them."""

from __future__ import annotations

from analysis.pruning.criteria.activation import ActivationMagnitude
from analysis.pruning.criteria.magnitude import Magnitude
from analysis.pruning.criteria.random_scores import Random
from analysis.pruning.criteria.snip import Snip
from analysis.pruning.criteria.taylor import Taylor

__all__ = ["ActivationMagnitude", "Magnitude", "Random", "Snip", "Taylor"]
