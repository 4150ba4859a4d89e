"""Second order: what the curvature of the loss says."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

RECOMPUTATIONS = {"name": "iterative", "rounds": 4, "spacing": "exponential"}

PRESETS: tuple[Preset, ...] = (
    preset(
        "fisher",
        "Fisher, diagonal",
        "Theis et al. 2018, arXiv:1801.05787",
        "Removes the weights that the squared gradients of single images say cost least.",
        criterion="fisher",
        allocation="global",
    ),
    preset(
        "obd",
        "Optimal brain damage",
        "LeCun et al. 1990, Advances in Neural Information Processing Systems 2",
        "Removes the weights that the diagonal of the Hessian says cost least.",
        criterion="obd",
        allocation="global",
    ),
    preset(
        "woodfisher",
        "WoodFisher",
        "Singh and Alistarh 2020, arXiv:2004.14340",
        "Removes what neighbours in a block can make up for, and lets them, in one shot.",
        criterion="woodfisher",
        allocation="global",
        recovery="obs-update",
    ),
    preset(
        "obert",
        "oBERT",
        "Kurtic et al. 2022, arXiv:2203.07259",
        "WoodFisher in four rounds, with new gradients of the updated network in each.",
        criterion="woodfisher",
        allocation="global",
        schedule=RECOMPUTATIONS,
        recovery="obs-update",
    ),
    preset(
        "obert-block4",
        "oBERT, blocks of four",
        "Kurtic et al. 2022, arXiv:2203.07259",
        "oBERT on blocks of four weights in a row, scored and made up for together.",
        criterion={"name": "woodfisher", "block": 32, "group": 4},
        structure={"name": "block", "rows": 1, "columns": 4},
        allocation="global",
        schedule=RECOMPUTATIONS,
        recovery="obs-update",
    ),
    preset(
        "swap",
        "SWAP",
        "You et al. 2024, arXiv:2310.04918",
        "Fits masks and weights to what gradients predict, by optimal transport, in four rounds.",
        experimental=True,
        criterion="swap",
        allocation="global",
        schedule=RECOMPUTATIONS,
    ),
    preset(
        "swap-lr",
        "SWAP, linear regression",
        "Benbaki et al. 2023, arXiv:2302.14623",
        "SWAP with every prediction held to its own target, as CHITA does: the paper's baseline.",
        experimental=True,
        criterion={"name": "swap", "plan": "identity"},
        allocation="global",
        schedule=RECOMPUTATIONS,
    ),
)
