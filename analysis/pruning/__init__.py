"""Pruning: criteria × structures × allocations × schedules × recoveries = recipes."""

from __future__ import annotations

from analysis.pruning.audit import Audit, AuditError, LayerAudit
from analysis.pruning.context import PruningContext
from analysis.pruning.part import KINDS, PARTS, Part
from analysis.pruning.parts import Allocation, Criterion, Recovery, Schedule, Structure
from analysis.pruning.presets.families import PRESETS
from analysis.pruning.presets.naming import recipe_label, recipe_named
from analysis.pruning.presets.preset import Preset
from analysis.pruning.prune import Prune, Pruned, pruned_key, pruned_model
from analysis.pruning.recipe import Recipe

__all__ = [
    "KINDS",
    "PARTS",
    "PRESETS",
    "Allocation",
    "Audit",
    "AuditError",
    "Criterion",
    "LayerAudit",
    "Part",
    "Preset",
    "Prune",
    "Pruned",
    "PruningContext",
    "Recipe",
    "Recovery",
    "Schedule",
    "Structure",
    "pruned_key",
    "pruned_model",
    "recipe_label",
    "recipe_named",
]
