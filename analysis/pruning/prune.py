"""Prune a model by a recipe: the request, its rounds, and the model that comes out.

    >>> request = Prune(model, PRESETS["wanda"].recipe, 0.8, data.calibration)  # doctest: +SKIP
    >>> pruned = pruned_model(model, request(), request)                        # doctest: +SKIP

Pruning a pruned model goes on from its masks: what is removed stays removed, the sparsity asked
for counts all zeros of masks, and the result is again the dense base plus masks.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.data.dataset import Dataset
from analysis.errors import ArgumentError, InputError
from analysis.masks import Mask
from analysis.models import Model, Origin
from analysis.pruning.audit import Audit, audit
from analysis.pruning.memory import PeakMemory
from analysis.pruning.parts import Decision, PruningContext
from analysis.pruning.presets import recipe_label
from analysis.pruning.recipe import Recipe
from analysis.records import record
from analysis.request import Compute, Report, Request, Step, compute_field, silent


@record
@dataclass(frozen=True, eq=False)
class Pruned:
    """What pruning decided.

    Attributes
    ----------
    masks: keep-mask by parameter name, earlier masks included; layers without zeros have none.
    updates: arrays that replace tensors of the base, by name, earlier updates included.
    seconds: wall time of the whole job.
    peak_memory_bytes: see `analysis.pruning.memory.PeakMemory`.
    """

    masks: Mapping[str, Mask]
    updates: Mapping[str, np.ndarray]
    audit: Audit
    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, eq=False)
class Prune(Request[Pruned]):
    """Prune `model` by `recipe`.

    Attributes
    ----------
    sparsity: fraction of units to remove, in [0, 1); None where the recipe fixes it (N:M).
    calibration: labelled images; None when the recipe needs none.
    seed: seed of every random choice.

    Raises (when called)
    ------
    ArgumentError: the sparsity cannot be reached, or calibration images are missing.
    InputError: the network's weights or activations are so large that scores are NaN.
    AuditError: the result is not what was asked for.
    """

    model: Model
    recipe: Recipe
    sparsity: float | None
    calibration: Dataset | None = None
    seed: int = 0
    compute: Compute = compute_field()

    @property
    def title(self) -> str:
        return f"{self.model.name}: {self.default_name}"

    @property
    def default_name(self) -> str:
        """ "global-magnitude 80 %"; on a pruned model, after what it is called already."""
        name = f"{recipe_label(self.recipe.to_json())} {self.target * 100:.4g} %"
        return name if self.model.is_dense else f"{self.model.name} + {name}"

    @property
    def target(self) -> float:
        """The sparsity to reach. Raises ArgumentError for one that cannot be."""
        return self.recipe.structure.resolve(self.sparsity)

    @property
    def parameters(self) -> dict[str, Any]:
        """As for every request; images that the recipe does not look at do not count."""
        found = super().parameters
        found["sparsity"] = self.target
        if "calibration" not in self.recipe.needs:
            found["calibration"] = None
        return found

    def __call__(self, report: Report = silent) -> Pruned:
        started = time.perf_counter()
        target = self.target
        self._check_calibration()
        with PeakMemory(self.compute.device) as memory:
            model, decision = self._rounds(target, report)
            model, notes = self._recover(model, report)
        budget = self.recipe.structure.budget(self._context(self.model, silent), target)
        found = audit(
            self.model, model, self.recipe.structure, decision, budget, decision.notes + notes
        )
        updates = {name: tensor.numpy() for name, tensor in model.updates.items()}
        seconds = time.perf_counter() - started
        return Pruned(dict(model.masks), updates, found, seconds, memory.bytes)

    def _check_calibration(self) -> None:
        if "calibration" in self.recipe.needs and not (self.calibration and len(self.calibration)):
            needing = [v.title for v in self.recipe.parts.values() if "calibration" in v.needs]
            raise ArgumentError(
                f"{', '.join(needing)} needs calibration images, and there are none: choose data"
            )

    def _rounds(self, target: float, report: Report) -> tuple[Model, Decision]:
        """Reach the target round by round; masks only grow."""
        targets = self.recipe.schedule.targets(target)
        model, decision = self.model, Decision({}, {})
        for index, sparsity in enumerate(targets):
            stage = f"round {index + 1} of {len(targets)}, " if len(targets) > 1 else ""
            context = self._context(model, part_of(report, index, len(targets) + 1, stage))
            if self._reached(context, sparsity, last=index == len(targets) - 1):
                continue
            decision = self._round(context, sparsity)
            model = _masked(model, decision)
        return model, decision

    def _reached(self, context: PruningContext, sparsity: float, last: bool) -> bool:
        """Whether earlier prunings already removed more than this round is to reach."""
        structure = self.recipe.structure
        gone, budget = structure.gone(context), structure.budget(context, sparsity)
        if gone > budget and last:
            raise ArgumentError(
                f"{self.model.name} already lacks {gone:,} {structure.unit}, more than the "
                f"{budget:,} asked for: choose a higher sparsity, or prune the dense model"
            )
        return gone > budget

    def _round(self, context: PruningContext, sparsity: float) -> Decision:
        scoring = replace(context, report=part_of(context.report, 0, 2, ""))
        scoring.report(Step(0, 1, "scores"))
        scores = self.recipe.criterion.scores(scoring)
        for layer, found in scores.items():
            if bool(torch.isnan(found).any()):
                raise InputError(
                    self.model.name,
                    f"the {self.recipe.criterion.name} scores of {layer} are NaN.",
                    "Its weights or activations are too large: choose another criterion or model.",
                )
        context.report(Step(1, 2, "masks"))
        with torch.no_grad():
            return self.recipe.structure.decide(context, scores, self.recipe.allocation, sparsity)

    def _recover(self, model: Model, report: Report) -> tuple[Model, tuple[str, ...]]:
        rounds = len(self.recipe.schedule.targets(self.target))
        context = self._context(model, part_of(report, rounds, rounds + 1, ""))
        repair = self.recipe.recovery.repair(context)
        context.report(Step(1, 1, "audit"))
        return replace(model, updates={**model.updates, **repair.updates}), repair.notes

    def _context(self, model: Model, report: Report) -> PruningContext:
        return PruningContext(
            model=model,
            module=model.module(self.compute.device),
            layers=model.layers,
            calibration=self.calibration,
            seed=self.seed,
            compute=self.compute,
            report=report,
        )


def pruned_model(base: Model, pruned: Pruned, request: Prune, name: str = "") -> Model:
    """The model that `request` made of `base`; named after recipe and sparsity unless told.

    `base` is what was pruned. When it is itself a pruned model, the result stands on the same
    dense weights, and `origin.base` is the key of the dense model. The content key covers the
    dense model, all masks and all updates: equal results have equal keys, whatever their recipe.
    """
    dense = base.key if base.origin is None else base.origin.base
    updates = {k: torch.from_numpy(np.array(array)) for k, array in pruned.updates.items()}
    origin = Origin(
        base=dense,
        recipe=request.recipe.to_json(),
        sparsity=request.target,
        seed=request.seed,
        calibration=_calibration_key(request),
    )
    return replace(
        base,
        name=name or request.default_name,
        key=pruned_key(dense, pruned.masks, updates),
        masks=dict(pruned.masks),
        updates=updates,
        origin=origin,
    )


def pruned_key(dense: str, masks: Mapping[str, Mask], updates: Mapping[str, Tensor]) -> str:
    """Sha-256 (hex) over the dense model's key, the masks and the updated tensors."""
    content = hashlib.sha256(dense.encode())
    for name in sorted(masks):
        content.update(f"mask {name} {masks[name].shape}".encode())
        content.update(np.ascontiguousarray(masks[name].packed).tobytes())
    for name in sorted(updates):
        array = updates[name].detach().cpu().contiguous().numpy()
        content.update(f"update {name} {array.shape} {array.dtype.str}".encode())
        content.update(array.tobytes())
    return content.hexdigest()


def part_of(report: Report, index: int, count: int, stage: str) -> Report:
    """The report of stage `index` of `count`: its steps become thousandths of the whole."""

    def staged(step: Step) -> None:
        fraction = (index + step.done / max(step.total, 1)) / count
        report(Step(int(1000 * fraction), 1000, stage + step.message, step.partial))

    return staged


def _calibration_key(request: Prune) -> str:
    if request.calibration is None or "calibration" not in request.recipe.needs:
        return ""
    return request.calibration.key


def _masked(model: Model, decision: Decision) -> Model:
    """The model with the decision's masks, all of them at least as strict as before."""
    masks = dict(model.masks)
    for layer in model.layers:
        keep = decision.keep[layer.name]
        if layer.parameter in masks or not bool(keep.all()):
            masks[layer.parameter] = Mask.from_keep(keep)
    return replace(model, masks=masks, updates={**model.updates, **decision.updates})
