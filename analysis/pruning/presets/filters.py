"""Filters: whole outputs of single layers, as masks."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "filter-l1",
        "Filter L1",
        "Li et al. 2017, arXiv:1608.08710",
        "Removes whole filters with the smallest L1 norm, the same share in every layer.",
        criterion="magnitude",
        structure="filter",
        allocation="uniform",
    ),
)
