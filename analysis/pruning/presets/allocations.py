"""Allocations: known criteria with another share for every layer."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset

PRESETS: tuple[Preset, ...] = ()
