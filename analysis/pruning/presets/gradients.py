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
)
