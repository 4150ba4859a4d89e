"""Recoveries: what is repaired after the masks are set; importing this package registers them."""

from __future__ import annotations

from analysis.pruning.recoveries.batchnorm import BatchNormRecalibration
from analysis.pruning.recoveries.nothing import Nothing

__all__ = ["BatchNormRecalibration", "Nothing"]
