"""Pairs of models: what differs between two checkpoints."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "snr",
        "Signal-to-noise",
        "Lange and Sprekeler 2023, arXiv:2306.00045",
        "Removes the weights that differ between the models more than they differ from zero.",
        experimental=True,
        criterion="signal-to-noise",
        allocation="global",
    ),
    preset(
        "dare",
        "DARE",
        "Yu et al. 2024, arXiv:2311.03099",
        "Undoes a random part of what fine-tuning changed, and scales up the rest.",
        criterion="random",
        structure="delta",
        allocation="uniform",
        recovery="rescale",
    ),
    preset(
        "darex",
        "DAREx-q",
        "Deng et al. 2024, arXiv:2410.09344",
        "DARE that makes the changes it leaves larger by less, as a bound on the outputs says.",
        criterion="random",
        structure="delta",
        allocation="uniform",
        recovery="rescale-analytic",
        experimental=True,
    ),
    preset(
        "delta-magnitude",
        "Delta magnitude",
        "Yu et al. 2024, arXiv:2311.03099",
        "Undoes the smallest changes of a fine-tuning, the same share in every layer.",
        criterion="delta-magnitude",
        structure="delta",
        allocation="uniform",
    ),
    preset(
        "delta-activation",
        "Delta × activation",
        "Deng et al. 2024, arXiv:2410.09344",
        "Undoes, in every output row, the changes that count least for the inputs they see.",
        criterion="delta-activation",
        structure="delta",
        allocation="per-row",
    ),
)
