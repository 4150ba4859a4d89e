"""Gradients: what the loss says of each weight."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "snip",
        "SNIP",
        "Lee et al. 2019, arXiv:1810.02340",
        "Removes the weights whose removal changes the loss least, to first order.",
        criterion="snip",
        allocation="global",
    ),
    preset(
        "iterative-snip",
        "Iterative SNIP",
        "de Jorge et al. 2021, arXiv:2006.09081",
        "SNIP in ten rounds, with new gradients of the pruned network in each.",
        criterion="snip",
        allocation="global",
        schedule={"name": "iterative", "rounds": 10, "spacing": "exponential"},
    ),
    preset(
        "taylor",
        "Taylor, first order",
        "Molchanov et al. 2019, arXiv:1906.10771",
        "Removes the weights with the least squared first-order effect on the loss.",
        criterion="taylor",
        allocation="global",
    ),
    preset(
        "taylor-gate",
        "Taylor gates",
        "Molchanov et al. 2019, arXiv:1906.10771",
        "Removes the filters whose BatchNorm scale says that switching them off costs least.",
        criterion="taylor-gate",
        structure="filter",
        allocation={"name": "global", "min_keep": 1},
    ),
    preset(
        "grasp",
        "GraSP",
        "Wang et al. 2020, arXiv:2002.07376",
        "Keeps the weights that gradients flow through; meant for networks before training.",
        criterion="grasp",
        allocation="global",
    ),
    preset(
        "synflow",
        "SynFlow",
        "Tanaka et al. 2020, arXiv:2006.05467",
        "Keeps what a flow of ones passes through, without data, in a hundred rounds; meant for "
        "networks before training, and blind to attention.",
        criterion="synflow",
        allocation="global",
        schedule={"name": "iterative", "rounds": 100, "spacing": "exponential"},
    ),
    preset(
        "set-difference",
        "Set difference",
        "Wei et al. 2024, arXiv:2402.05162",
        "Removes what matters for the chosen classes and not for the others.",
        criterion="set-difference",
        allocation="uniform",
    ),
)
