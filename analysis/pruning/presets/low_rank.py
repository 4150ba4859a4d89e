"""Low rank and depth: fewer singular directions, fewer layers, instead of fewer weights."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "low-rank",
        "Low rank by channel (NC)",
        "Xu et al. 2019, arXiv:1812.02402",
        "Keeps the singular directions that hold most energy; here the sparsity is the energy "
        "that may go.",
        structure={"name": "rank", "matrix": "NC"},
        criterion="magnitude",
        allocation="uniform",
    ),
    preset(
        "low-rank-spatial",
        "Low rank by space (VH)",
        "Xu et al. 2019, arXiv:1812.02402",
        "The same for vertical and horizontal halves of each kernel.",
        structure={"name": "rank", "matrix": "VH"},
        criterion="magnitude",
        allocation="uniform",
    ),
    preset(
        "low-rank-filter",
        "Low rank of each filter (ND)",
        "Xu et al. 2019, arXiv:1812.02402",
        "The same within every filter.",
        structure={"name": "rank", "matrix": "ND"},
        criterion="magnitude",
        allocation="uniform",
    ),
    preset(
        "act-svd",
        "Ranks of the outputs (ActSVD)",
        "Wei et al. 2024, arXiv:2402.05162",
        "Removes the directions that a layer's outputs on the calibration images hardly use.",
        structure={"name": "act-svd"},
        criterion="magnitude",
        allocation="uniform",
    ),
    preset(
        "depth-dp",
        "Merged convolutions",
        "Kim et al. 2023, arXiv:2301.12187",
        "Takes out activations whose convolutions then become one, the most important ones kept "
        "within a budget of measured time.",
        criterion="linear-segments",
        structure="depth",
        allocation="latency-dp",
    ),
)
