"""The built-in study: a small residual network on handwritten digits, dense and pruned.

Free of Qt. What a killed run has done is found again by the next one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from analysis.checkpoints import open_model
from analysis.data.dataset import Data
from analysis.evaluate import Evaluate, flips
from analysis.models import Model
from analysis.pruning import PRESETS, Prune, pruned_model
from analysis.request import Report, silent
from analysis.study import Study
from app.selection import SelectionState

NAME = "Digits: a residual network, dense and pruned"
SOURCE = "demo:resnet"
DATA = "digits"

VARIANTS: tuple[tuple[str, float], ...] = (
    ("global-magnitude", 0.8),
    ("uniform-magnitude", 0.8),
    ("wanda", 0.8),
    ("random", 0.8),
    ("global-magnitude", 0.9),
    ("uniform-magnitude", 0.9),
    ("wanda", 0.9),
)
"""Recipe and sparsity of each pruned model, in the order of their colours."""

FOCUS = ("uniform-magnitude", 0.9)
"""The variant whose details are shown first: it loses images that others keep."""

SELECTION = "selection"
"""Name of the study's state that holds the selection."""


def demo_study(folder: str | os.PathLike[str], report: Report = silent) -> Study:
    """Make the demo study in `folder`, or complete the one that is there, and open it.

    A selection that is saved in it already stays. InputError when the folder holds anything else.
    """
    study = Study.create(folder, NAME)
    try:
        base, _ = open_model(SOURCE, name="dense")
        study.add_model(base)
        info = study.data_info
        data = study.data if info is not None and info.source == DATA else None
        if data is None:
            data = study.set_data(DATA)
        variants = dict(_variants(study, base, data, report))
        if study.get_state(SELECTION) is None:
            state = _selection(study, base, variants, data, report)
            study.set_state(SELECTION, asdict(state))
    except BaseException:
        study.close()
        raise
    return study


def write_figures(study: Study, folder: Path, report: Report = silent) -> list[Path]:
    """Write every view as SVG and PNG into `folder`; what is not stored yet is computed."""
    from app.figures import study_figure
    from app.figures.render import save
    from app.views import VIEWS

    files = []
    for view in VIEWS:
        figure = study_figure(study, view, study.get_state(SELECTION), None, report)
        for suffix in (".svg", ".png"):
            files.append(folder / f"{view}{suffix}")
            save(figure, files[-1])
    return files


def _variants(
    study: Study, base: Model, data: Data, report: Report
) -> Iterator[tuple[tuple[str, float], Model]]:
    for recipe, sparsity in VARIANTS:
        request = Prune(base, PRESETS[recipe].recipe, sparsity, data.calibration)
        model = pruned_model(base, study.compute(request, report), request)
        yield (recipe, sparsity), study.add_model(model)


def _selection(
    study: Study,
    base: Model,
    variants: dict[tuple[str, float], Model],
    data: Data,
    report: Report,
) -> SelectionState:
    """All models; one variant in focus, the images it loses, and the layer it cut most."""
    focus = variants[FOCUS]
    dense, pruned = (study.compute(Evaluate(m, data.evaluation), report) for m in (base, focus))
    _, losses = flips(dense, pruned)
    layers = max(base.layers, key=lambda layer: layer.parameters)
    return SelectionState(
        models=(base.key, *(model.key for model in variants.values())),
        reference=base.key,
        focus=focus.key,
        samples=tuple(int(i) for i in np.sort(losses)),
        layer=layers.name,
        corruption="gaussian_noise",
        severity=3,
    )
