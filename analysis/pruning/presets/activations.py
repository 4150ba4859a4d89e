"""Activations: weights count by the inputs they see."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "wanda",
        "Wanda",
        "Sun et al. 2023, arXiv:2306.11695",
        "Removes, in every output row, the weights that count least for the inputs they see.",
        criterion="activation-magnitude",
        allocation="per-row",
    ),
    preset(
        "wanda-sequential",
        "Wanda, block by block",
        "Sun et al. 2023, arXiv:2306.11695",
        "Wanda as its code runs it: each block sees what the pruned blocks before it put out.",
        criterion="activation-magnitude",
        allocation="per-row",
        schedule="layer-by-layer",
    ),
    preset(
        "wanda-variant",
        "Wanda, equal mass",
        "Sun et al. 2023, arXiv:2306.11695",
        "Removes, in every output row, weights that make up the same share of the row's scores.",
        criterion="activation-magnitude",
        allocation="per-row-mass",
    ),
    preset(
        "sparsegpt",
        "SparseGPT",
        "Frantar and Alistarh 2023, arXiv:2301.00774",
        "Removes the weights that later ones can best make up for, and changes those to do so.",
        criterion="sparsegpt",
        allocation="uniform",
        schedule="layer-by-layer",
    ),
    preset(
        "wanda-least-squares",
        "Wanda with least squares",
        "Frantar and Alistarh 2022, arXiv:2208.11580",
        "Wanda, and then new values for what is kept, so that every layer gives its old outputs.",
        criterion="activation-magnitude",
        allocation="per-row",
        recovery="least-squares",
        experimental=True,
    ),
)
