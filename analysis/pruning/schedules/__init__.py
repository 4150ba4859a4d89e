"""Schedules: in how many rounds the budget is reached; importing this package registers them."""

from __future__ import annotations

from analysis.pruning.part import import_all

import_all(__name__, __path__)
