"""Criteria: a score for every weight or output; importing this package registers them."""

from __future__ import annotations

from analysis.pruning.part import import_all

import_all(__name__, __path__)
