"""Read and write checkpoints safely, and report what was found in them."""

from analysis.checkpoints.inspection import inspect
from analysis.checkpoints.opening import DEMOS, open_model
from analysis.checkpoints.reading import content_key, read_checkpoint
from analysis.checkpoints.report import Checkpoint, Inspection, LayerInspection, LoadReport
from analysis.checkpoints.writing import write_pruned

__all__ = [
    "DEMOS",
    "Checkpoint",
    "Inspection",
    "LayerInspection",
    "LoadReport",
    "content_key",
    "inspect",
    "open_model",
    "read_checkpoint",
    "write_pruned",
]
