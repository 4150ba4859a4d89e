"""Filters: whole outputs of single layers, as masks."""

from __future__ import annotations

from analysis.pruning.presets.preset import Preset, preset

PRESETS: tuple[Preset, ...] = (
    preset(
        "filter-l1",
        "Filter L1",
        "Li et al. 2017, arXiv:1608.08710",
        "Removes whole filters with the smallest L1 norm, the same share in every layer.",
        criterion="magnitude",
        structure="filter",
        allocation="uniform",
    ),
    preset(
        "filter-l2",
        "Filter L2",
        "He et al. 2018, arXiv:1808.06866",
        "Removes whole filters with the smallest Euclidean norm, the same share in every layer.",
        criterion="magnitude",
        structure={"name": "filter", "score": "l2"},
        allocation="uniform",
    ),
    preset(
        "fpgm",
        "FPGM",
        "He et al. 2019, arXiv:1811.00250",
        "Removes the filters that lie closest to all others of their layer.",
        criterion="fpgm",
        structure="filter",
        allocation="uniform",
    ),
    preset(
        "slimming",
        "Network slimming",
        "Liu et al. 2017, arXiv:1708.06519",
        "Removes the channels with the smallest BatchNorm scales; for networks trained for it.",
        criterion="bn-gamma",
        structure="filter",
        allocation={"name": "global", "min_keep": 1},
    ),
    preset(
        "hrank",
        "HRank",
        "Lin et al. 2020, arXiv:2002.10179",
        "Removes the filters whose output maps have the lowest rank, the same share everywhere.",
        criterion="hrank",
        structure="filter",
        allocation="uniform",
    ),
    preset(
        "activation-norm",
        "Activation norm",
        "Muralidharan et al. 2024, arXiv:2407.14679",
        "Removes the filters that say least on the calibration images.",
        criterion="activation-norm",
        structure="filter",
        allocation="uniform",
    ),
    preset(
        "spline",
        "Spline redundancy",
        "You et al. 2021, arXiv:2101.02338",
        "Removes filters that fold the input space where another filter does.",
        experimental=True,
        criterion="spline",
        structure="filter",
        allocation="uniform",
    ),
)
