"""Baselines: what every other method has to beat."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "random",
        "Random",
        "Blalock et al. 2020, arXiv:2003.03033",
        "Removes weights by chance, the same share in every layer: the control.",
        criterion="random",
        allocation="uniform",
    ),
    preset(
        "global-magnitude",
        "Global magnitude",
        "Gupta et al. 2022, arXiv:2209.14624",
        "Removes the smallest weights of the whole network.",
        criterion="magnitude",
        allocation="global",
    ),
    preset(
        "uniform-magnitude",
        "Uniform magnitude",
        "Han et al. 2015, arXiv:1506.02626",
        "Removes the smallest weights of every layer, the same share in each.",
        criterion="magnitude",
        allocation="uniform",
    ),
    preset(
        "erk-magnitude",
        "ERK magnitude",
        "Evci et al. 2020, arXiv:1911.11134",
        "Removes the smallest weights of every layer, more in wide layers.",
        criterion="magnitude",
        allocation="erk",
    ),
    preset(
        "lamp",
        "LAMP",
        "Lee et al. 2021, arXiv:2010.07611",
        "Removes the smallest weights, each measured by what its layer has above it.",
        criterion="lamp",
        allocation="global",
    ),
    preset(
        "sketch-magnitude",
        "Sketch, magnitude",
        "Bar and Giryes 2023, arXiv:2305.17559",
        "Draws the weights that stay by chance, the more likely the larger they are.",
        criterion="magnitude",
        allocation="sketch",
    ),
    preset(
        "sketch-synflow",
        "Sketch, SynFlow",
        "Bar and Giryes 2023, arXiv:2305.17559",
        "Draws the weights that stay by chance, the more likely the more flows through them.",
        criterion="synflow",
        allocation="sketch",
    ),
)
