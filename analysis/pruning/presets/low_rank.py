"""Low rank: fewer singular directions instead of fewer weights."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset

PRESETS: tuple[Preset, ...] = ()
