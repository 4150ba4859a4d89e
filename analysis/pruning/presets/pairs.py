"""Pairs of models: what differs between two checkpoints."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset

PRESETS: tuple[Preset, ...] = ()
