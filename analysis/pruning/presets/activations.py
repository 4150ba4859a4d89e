"""Activations: weights count by the inputs they see."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "wanda",
        "Wanda",
        "Sun et al. 2023, arXiv:2306.11695",
        "Removes, in every output row, the weights that count least for the inputs they see.",
        criterion="activation-magnitude",
        allocation="per-row",
    ),
)
