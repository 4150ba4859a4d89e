"""Prune a model by a recipe: the request, its rounds, and the model that comes out.

    >>> request = Prune(model, PRESETS["wanda"].recipe, 0.8, data.calibration)  # doctest: +SKIP
    >>> pruned = pruned_model(model, request(), request)                        # doctest: +SKIP

Pruning a pruned model goes on from its masks: what is removed stays removed, the sparsity asked
for counts all zeros of masks, and the result is again the dense base plus masks.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.architectures.architecture import PrunableLayer
from analysis.architectures.edit import Edit
from analysis.architectures.edits import from_json, to_json
from analysis.data.dataset import Dataset
from analysis.errors import ArgumentError
from analysis.masks import Mask
from analysis.models import Model, Origin
from analysis.pruning.allocations.fixed import fixed_counts
from analysis.pruning.audit import Audit, audit
from analysis.pruning.context import PruningContext
from analysis.pruning.memory import PeakMemory
from analysis.pruning.parts import Allocation, Decision, LayerAllocation
from analysis.pruning.presets.naming import recipe_label
from analysis.pruning.recipe import Recipe
from analysis.records import record
from analysis.request import Compute, Report, Request, Step, compute_field, part_of, silent


@record
@dataclass(frozen=True, eq=False)
class Pruned:
    """What pruning decided.

    Attributes
    ----------
    masks: keep-mask by parameter name, earlier masks included; layers without zeros have none.
    updates: arrays that replace tensors of the base, by name, earlier updates included.
    edits: JSON of changes to the structure of the network that go with it ("" = none).
    seconds: wall time of the whole job.
    peak_memory_bytes: see `analysis.pruning.memory.PeakMemory`.
    """

    masks: Mapping[str, Mask]
    updates: Mapping[str, np.ndarray]
    audit: Audit
    seconds: float
    peak_memory_bytes: int
    edits: str = ""


@dataclass(frozen=True, eq=False)
class Prune(Request[Pruned]):
    """Prune `model` by `recipe`.

    Attributes
    ----------
    sparsity: fraction of units to remove, in [0, 1); None where the recipe fixes it (N:M).
    calibration: labelled images; None when the recipe needs none.
    seed: seed of every random choice.
    companions: other models of the same architecture, for recipes that need them: the base of a
        fine-tuned model (DARE), models of other seeds (signal-to-noise).
    contrast: images of the second kind, for a recipe that sets two data sets against each other.

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
    companions: tuple[Model, ...] = ()
    contrast: Dataset | None = None

    @property
    def title(self) -> str:
        return f"{self.model.name}: {self.default_name}"

    @property
    def default_name(self) -> str:
        """ "wanda 80 %", "channel-l1 50 % of channels"; after the name of a pruned model."""
        structure = self.recipe.structure
        of = structure.measure or structure.unit
        share = f"{self.target * 100:.4g} %" + ("" if of == "weights" else f" of {of}")
        name = f"{recipe_label(self.recipe.to_json())} {share}"
        return name if self.model.is_dense else f"{self.model.name} + {name}"

    @property
    def target(self) -> float:
        """The sparsity to reach. Raises ArgumentError for one that cannot be."""
        return self.recipe.structure.resolve(self.sparsity)

    @property
    def parameters(self) -> dict[str, Any]:
        """As for every request; what the recipe does not look at does not count."""
        found = super().parameters
        found["sparsity"] = self.target
        if "calibration" not in self.recipe.needs:
            found["calibration"] = None
        if "companion" not in self.recipe.needs:
            del found["companions"]
        if "contrast" not in self.recipe.needs:
            del found["contrast"]
        return found

    def __call__(self, report: Report = silent) -> Pruned:
        started = time.perf_counter()
        target = self.target
        self._check()
        with PeakMemory(self.compute.device) as memory:
            work = _Work(self, report)
            work.run(target)
        structure = self.recipe.structure
        budget = sum(work.asked.values())
        if self.recipe.allocation.exact:
            budget = structure.budget(self.context(self.model, silent), target)
        notes = tuple(dict.fromkeys(work.notes))
        decision = Decision({}, work.asked)
        found = audit(self.model, work.model, structure, decision, budget, notes, self.companions)
        updates = {name: tensor.numpy() for name, tensor in work.model.updates.items()}
        seconds = time.perf_counter() - started
        edits = work.model.architecture.edits[len(self.model.architecture.edits) :]
        told = json.dumps(to_json(edits)) if edits else ""
        return Pruned(dict(work.model.masks), updates, found, seconds, memory.bytes, told)

    def context(self, model: Model, report: Report, **round_: Any) -> PruningContext:
        """What the parts of one round look at; `round_` holds its layers and their offset."""
        return PruningContext(
            **{"layers": model.layers, **round_},
            model=model,
            module=model.module(self.compute.device),
            calibration=self.calibration,
            seed=self.seed,
            compute=self.compute,
            report=report,
            base=self.model,
            companions=self.companions,
            contrast=self.contrast,
        )

    def _check(self) -> None:
        reason = self.recipe.inapplicable(self.model)
        if reason:
            raise ArgumentError(f"{reason}: choose another recipe or model")
        for need, there, what in (
            ("calibration", self.calibration, "calibration images"),
            ("companion", self.companions, "another model of the same architecture"),
            ("contrast", self.contrast, "a second set of images"),
        ):
            if need in self.recipe.needs and not there:
                needing = [v.title for v in self.recipe.parts.values() if need in v.needs]
                raise ArgumentError(f"{', '.join(needing)} needs {what}, and there is none")
        self._check_companions()

    def _check_companions(self) -> None:
        shapes = {name: tuple(tensor.shape) for name, tensor in self.model.weights.items()}
        for other in self.companions if "companion" in self.recipe.needs else ():
            if {name: tuple(tensor.shape) for name, tensor in other.weights.items()} != shapes:
                raise ArgumentError(
                    f"{other.name} is another network than {self.model.name}: choose a model "
                    "of the same architecture"
                )


class _Work:
    """A job while it runs: the model as it is by now, what was asked and what has to be told."""

    def __init__(self, job: Prune, report: Report) -> None:
        self.job, self.report = job, report
        self.model = job.model
        self.asked: dict[str, int] = {}
        self.notes: list[str] = []

    def run(self, target: float) -> None:
        """Reach the target round by round; masks only grow."""
        recipe, layers = self.job.recipe, self.model.layers
        rounds = recipe.schedule.plan(layers, target)
        allocation = recipe.allocation
        if isinstance(allocation, LayerAllocation) and any(r.layers != layers for r in rounds):
            context = self.job.context(self.model, part_of(self.report, 0, 2 * len(rounds), ""))
            allocation = fixed_counts(allocation, context, target)
        places = _offsets(layers)
        recovery, count = recipe.recovery, len(rounds)
        each = recovery.each_round or recipe.schedule.recovers_each_round
        for index, now in enumerate(rounds):
            stage = f"round {index + 1} of {count}, " if count > 1 else ""
            telling = part_of(self.report, index, count + 1, stage)
            context = self.job.context(
                self.model,
                part_of(telling, 0, 2, "") if each else telling,
                layers=now.layers,
                offset=places[now.layers[0].name],
            )
            if now.layers == layers and self._reached(context, now.sparsity, now is rounds[-1]):
                continue
            self._decide(context, allocation, now.sparsity)
            if each:
                self._recover(replace(context, report=part_of(telling, 1, 2, "")))
        if not each:
            finish = part_of(self.report, count, count + 1, "")
            self._recover(self.job.context(self.model, finish))
        self.report(Step(1, 1, "audit"))

    def _decide(self, context: PruningContext, allocation: Allocation, sparsity: float) -> None:
        recipe = self.job.recipe
        decision = recipe.criterion.decide(context, recipe.structure, allocation, sparsity)
        self.model = _masked(self.model, decision)
        self.asked |= decision.asked
        self.notes += decision.notes

    def _reached(self, context: PruningContext, sparsity: float, last: bool) -> bool:
        """Whether earlier prunings already removed more than this round is to reach."""
        recipe = self.job.recipe
        structure = recipe.structure
        if not recipe.allocation.exact:
            return False
        gone, budget = structure.gone(context), structure.budget(context, sparsity)
        if gone > budget and last:
            raise ArgumentError(
                f"{self.job.model.name} already lacks {gone:,} {structure.unit}, more than the "
                f"{budget:,} asked for: choose a higher sparsity, or prune the dense model"
            )
        return gone > budget

    def _recover(self, context: PruningContext) -> None:
        """Let the recovery see the model with the masks of this round."""
        now = replace(context, model=self.model, module=self.model.module(self.job.compute.device))
        repair = self.job.recipe.recovery.repair(now)
        self.model = replace(self.model, updates={**self.model.updates, **repair.updates})
        self.notes += repair.notes


def _offsets(layers: Sequence[PrunableLayer]) -> dict[str, int]:
    """Prunable weights before each layer, by name."""
    ends = accumulate(layer.parameters for layer in layers)
    return {layer.name: end - layer.parameters for layer, end in zip(layers, ends, strict=True)}


def pruned_model(base: Model, pruned: Pruned, request: Prune, name: str = "") -> Model:
    """The model that `request` made of `base`; named after recipe and sparsity unless told.

    `base` is what was pruned. When it is itself a pruned model, the result stands on the same
    dense weights, and `origin.base` is the key of the dense model. The content key covers the
    dense model, all masks and all updates: equal results have equal keys, whatever their recipe.
    """
    dense = base.key if base.origin is None else base.origin.base
    updates = {k: torch.from_numpy(np.array(array)) for k, array in pruned.updates.items()}
    architecture = base.architecture
    if pruned.edits:
        architecture = architecture.edited(from_json(json.loads(pruned.edits)))
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
        key=pruned_key(dense, pruned.masks, updates, architecture.edits),
        architecture=architecture,
        masks=dict(pruned.masks),
        updates=updates,
        origin=origin,
    )


def pruned_key(
    dense: str,
    masks: Mapping[str, Mask],
    updates: Mapping[str, Tensor],
    edits: Sequence[Edit] = (),
) -> str:
    """Sha-256 (hex) over the dense model's key, masks, updated tensors and all edits."""
    content = hashlib.sha256(dense.encode())
    for name in sorted(masks):
        content.update(f"mask {name} {masks[name].shape}".encode())
        content.update(np.ascontiguousarray(masks[name].packed).tobytes())
    for name in sorted(updates):
        array = updates[name].detach().cpu().contiguous().numpy()
        content.update(f"update {name} {array.shape} {array.dtype.str}".encode())
        content.update(array.tobytes())
    if edits:
        content.update(f"edits {json.dumps(to_json(edits))}".encode())
    return content.hexdigest()


def _calibration_key(request: Prune) -> str:
    if request.calibration is None or "calibration" not in request.recipe.needs:
        return ""
    return request.calibration.key


def _masked(model: Model, decision: Decision) -> Model:
    """The model with the decision's masks, all of them at least as strict as before."""
    masks = dict(model.masks)
    for layer in model.layers:
        mask = decision.packed.get(layer.name)
        if mask is None and layer.name in decision.keep:
            mask = Mask.from_keep(decision.keep[layer.name])
        if mask is not None and (layer.parameter in masks or mask.kept < mask.size):
            masks[layer.parameter] = mask
    return replace(
        model,
        masks=masks,
        updates={**model.updates, **decision.updates},
        architecture=model.architecture.edited(decision.edits),
    )
