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
)
