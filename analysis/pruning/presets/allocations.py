"""Allocations: known criteria with another share for every layer."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "uniform-plus",
        "Uniform+ magnitude",
        "Gale et al. 2019, arXiv:1902.09574",
        "Uniform magnitude that spares the first convolution and a fifth of the classifier.",
        criterion="magnitude",
        allocation="uniform-plus",
    ),
    preset(
        "owl",
        "OWL with Wanda",
        "Yin et al. 2024, arXiv:2310.05175",
        "Wanda, with more kept in blocks that have many outlying weights.",
        criterion="activation-magnitude",
        allocation={"name": "owl", "within": "row"},
    ),
    preset(
        "owl-sparsegpt",
        "OWL with SparseGPT",
        "Yin et al. 2024, arXiv:2310.05175",
        "SparseGPT, with more kept in blocks that have many outlying weights.",
        criterion="sparsegpt",
        allocation="owl",
        schedule="layer-by-layer",
    ),
    preset(
        "sensitivity",
        "Sensitivity-shared magnitude",
        "Yu et al. 2024, arXiv:2406.15758",
        "Removes the smallest weights, most where the layer's own output suffers least.",
        criterion="magnitude",
        allocation="sensitivity",
        experimental=True,
    ),
    preset(
        "knapsack-macs",
        "Knapsack over filters",
        "Aflalo et al. 2020, arXiv:2002.08258",
        "Keeps the filters worth most to the loss for the computation that may stay.",
        criterion="snip",
        structure={"name": "filter", "layers": "convolutions and hidden linear"},
        allocation="knapsack",
    ),
    preset(
        "gradual-magnitude",
        "Gradual magnitude",
        "Zhu and Gupta 2017, arXiv:1710.01878",
        "Removes the smallest weights of every layer in ten rounds, fewer and fewer each time.",
        criterion="magnitude",
        allocation="uniform",
        schedule="cubic",
    ),
)
