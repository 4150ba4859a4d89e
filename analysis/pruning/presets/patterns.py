"""Patterns: weights in groups that hardware can use."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "nm-magnitude",
        "N:M magnitude",
        "Mishra et al. 2021, arXiv:2104.08378",
        "Keeps the two largest of every four inputs (2:4), as sparse tensor cores want it.",
        criterion="magnitude",
        structure="nm",
        allocation="uniform",
    ),
    preset(
        "nm-wanda",
        "N:M Wanda",
        "Sun et al. 2023, arXiv:2306.11695",
        "Keeps, of every four inputs, the two weights that count most for what they read.",
        criterion="activation-magnitude",
        structure="nm",
        allocation="uniform",
    ),
    preset(
        "nm-permuted",
        "N:M magnitude, permuted",
        "Mishra et al. 2021, arXiv:2104.08378",
        "Groups the inputs in an order in which two of every four keep more magnitude.",
        criterion="magnitude",
        structure={"name": "nm", "permutation": "search"},
        allocation="uniform",
    ),
    preset(
        "sparsegpt-nm",
        "SparseGPT N:M",
        "Frantar and Alistarh 2023, arXiv:2301.00774",
        "SparseGPT that keeps two of every four inputs (2:4), as sparse tensor cores want it.",
        criterion="sparsegpt",
        structure="nm",
        allocation="uniform",
        schedule="layer-by-layer",
    ),
    preset(
        "s-ste",
        "S-STE soft threshold",
        "Hu et al. 2024, arXiv:2409.09099",
        "Two of every four inputs (2:4), shrunk so that none jumps when the order changes.",
        criterion="magnitude",
        structure="nm",
        allocation="uniform",
        recovery="soft-threshold",
    ),
    preset(
        "block-magnitude",
        "Block magnitude",
        "Kurtic et al. 2022, arXiv:2203.07259",
        "Removes the weakest blocks of four neighbouring weights of the whole network.",
        criterion="magnitude",
        structure="block",
        allocation="global",
    ),
)
