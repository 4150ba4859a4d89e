"""Coupled structures: channels, heads, neurons and blocks that can be cut out for good."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "channel-l1",
        "Channel L1",
        "Li et al. 2017, arXiv:1608.08710",
        "Removes coupled channels with the smallest L1 norm, the same share of every group.",
        criterion="magnitude",
        structure={"name": "channel", "score": "sum"},
        allocation="uniform",
    ),
    preset(
        "channel-l2",
        "Channel group norm (DepGraph)",
        "Fang et al. 2023, arXiv:2301.12900",
        "Removes coupled channels with the smallest L2 norm over all layers they belong to, the "
        "same share of every group.",
        criterion="magnitude",
        structure={"name": "channel", "score": "l2", "over": "producers and readers"},
        allocation="uniform",
    ),
    preset(
        "channel-taylor",
        "Channel Taylor",
        "Molchanov et al. 2019, arXiv:1906.10771",
        "Removes coupled channels whose weights have the least squared first-order effect on "
        "the loss, under one threshold.",
        criterion="taylor",
        structure={"name": "channel", "normalise": True},
        allocation={"name": "global", "min_keep": 1},
        experimental=True,
    ),
    preset(
        "neuron-l1",
        "Neuron L1",
        "Fang et al. 2023, arXiv:2301.12900",
        "Removes hidden neurons of feed-forward parts with the smallest L1 norm, the same share "
        "of every layer.",
        criterion="magnitude",
        structure="neuron",
        allocation="uniform",
        experimental=True,
    ),
    preset(
        "neuron-taylor",
        "Neuron Taylor",
        "Molchanov et al. 2019, arXiv:1906.10771",
        "Removes hidden neurons whose weights have the least squared first-order effect on the "
        "loss, the same share of every layer.",
        criterion="taylor",
        structure={"name": "neuron", "over": "producers and readers"},
        allocation="uniform",
        experimental=True,
    ),
    preset(
        "head-l1",
        "Head L1",
        "Michel et al. 2019, arXiv:1905.10650",
        "Removes attention heads with the smallest L1 norm of their projections, the same number "
        "in every layer.",
        criterion="magnitude",
        structure={"name": "head", "over": "producers and readers"},
        allocation="uniform",
        experimental=True,
    ),
    preset(
        "head-taylor",
        "Head Taylor",
        "Michel et al. 2019, arXiv:1905.10650",
        "Removes attention heads whose weights have the least squared first-order effect on the "
        "loss, under one threshold.",
        criterion="taylor",
        structure={"name": "head", "over": "producers and readers"},
        allocation={"name": "global", "min_keep": 1},
        experimental=True,
    ),
    preset(
        "block-drop",
        "Block drop",
        "Fan et al. 2020, arXiv:1909.11556",
        "Leaves out the residual blocks whose weights have the least squared first-order effect "
        "on the loss.",
        criterion="taylor",
        structure="layer",
        allocation="uniform",
        experimental=True,
    ),
)
