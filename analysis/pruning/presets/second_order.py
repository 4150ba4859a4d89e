"""Second order: what the curvature of the loss says."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset

PRESETS: tuple[Preset, ...] = ()
