"""The built-in study: a small residual network on handwritten digits, dense and pruned.

Free of Qt. What a killed run has done is found again by the next one.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from analysis.checkpoints import open_model
from analysis.data.dataset import Data
from analysis.evaluate import Evaluate, flips
from analysis.models import Model
from analysis.pruning import Prune, pruned_model, recipe_named
from analysis.request import Report, silent
from analysis.study import Study
from app.selection import SelectionState

NAME = "Digits: a residual network, dense and pruned"
SOURCE = "demo:resnet"
DATA = "digits"


@dataclass(frozen=True)
class Variant:
    """One pruned model: a preset, whether BatchNorm is recalibrated, and the sparsity."""

    recipe: str
    recalibrated: bool
    sparsity: float

    @property
    def name(self) -> str:
        return f"{self.recipe}{' + BN' if self.recalibrated else ''} {100 * self.sparsity:.4g} %"

    def request(self, base: Model, data: Data) -> Prune:
        settings = {"recovery": "bn-recalibration"} if self.recalibrated else {}
        recipe = recipe_named(self.recipe, settings)
        return Prune(base, recipe, self.sparsity, data.calibration)


FOCUS = Variant("uniform-magnitude", True, 0.9)
"""Shown in detail first: it loses some images, neither none nor most."""

VARIANTS = (
    Variant("global-magnitude", False, 0.8),
    Variant("global-magnitude", False, 0.9),
    FOCUS,
    Variant("uniform-magnitude", False, 0.8),
    Variant("uniform-magnitude", False, 0.9),
    Variant("wanda", False, 0.7),
    Variant("wanda", False, 0.8),
)
"""The pruned models in the order of their colours."""

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
        pruned = {v: _add(study, base, v, data, report) for v in VARIANTS}
        if study.get_state(SELECTION) is None:
            state = _selection(study, base, pruned, data, report)
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


def _add(study: Study, base: Model, variant: Variant, data: Data, report: Report) -> Model:
    request = variant.request(base, data)
    pruned = study.compute(request, report)
    return study.add_model(pruned_model(base, pruned, request, variant.name))


def _selection(
    study: Study, base: Model, pruned: dict[Variant, Model], data: Data, report: Report
) -> SelectionState:
    """All models; one in focus, and the images that it loses against the dense one."""
    compared = (base, pruned[FOCUS])
    dense, focus = (study.compute(Evaluate(m, data.evaluation), report) for m in compared)
    _, losses = flips(dense, focus)
    return SelectionState(
        models=(base.key, *(model.key for model in pruned.values())),
        reference=base.key,
        focus=pruned[FOCUS].key,
        samples=tuple(losses.tolist()),
    )
