"""The document: models, masks, results and view state in one folder on disk."""

from __future__ import annotations

from analysis.study.data import DataInfo
from analysis.study.models import ModelEntry
from analysis.study.study import Study

__all__ = ["DataInfo", "ModelEntry", "Study"]
