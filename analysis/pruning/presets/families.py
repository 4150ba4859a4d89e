"""All presets, family by family."""

from __future__ import annotations

from dataclasses import replace

from analysis.pruning.presets import (
    activations,
    allocations,
    baselines,
    filters,
    gradients,
    low_rank,
    pairs,
    patterns,
    second_order,
    structured,
)
from analysis.pruning.presets.preset import Preset

FAMILIES: dict[str, tuple[Preset, ...]] = {
    "Baselines": baselines.PRESETS,
    "Activations": activations.PRESETS,
    "Gradients": gradients.PRESETS,
    "Second order": second_order.PRESETS,
    "Allocations": allocations.PRESETS,
    "Patterns": patterns.PRESETS,
    "Filters": filters.PRESETS,
    "Coupled structures": structured.PRESETS,
    "Low rank and depth": low_rank.PRESETS,
    "Pairs of models": pairs.PRESETS,
}

PRESETS: dict[str, Preset] = {
    preset.name: replace(preset, family=family)
    for family, presets in FAMILIES.items()
    for preset in presets
}
