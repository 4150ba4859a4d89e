"""Recoveries: what is repaired after the masks are set; importing this package registers them."""

from __future__ import annotations

from analysis.pruning.part import import_all

import_all(__name__, __path__)
