"""Patterns: weights in groups that hardware can use."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "nm-magnitude",
        "N:M magnitude",
        "Mishra et al. 2021, arXiv:2104.08378",
        "Keeps the two largest of every four inputs (2:4), as sparse tensor cores want it.",
        criterion="magnitude",
        structure="nm",
        allocation="uniform",
    ),
)
