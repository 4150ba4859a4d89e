"""Neuron paths: influential units of every layer, and what pruning does to them."""

from __future__ import annotations

from analysis.paths.compare import (
    NodeState,
    PathComparison,
    PathNode,
    compare_paths,
    node_states,
)
from analysis.paths.neuron_paths import NeuronPaths
from analysis.paths.result import PathResult, top_units

__all__ = [
    "NeuronPaths",
    "NodeState",
    "PathComparison",
    "PathNode",
    "PathResult",
    "compare_paths",
    "node_states",
    "top_units",
]
