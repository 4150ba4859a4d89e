"""Coupled structures: channels, heads, neurons and blocks that can be cut out for good."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset

PRESETS: tuple[Preset, ...] = ()
