"""How much the whole network suffers when one layer alone is pruned.

    for every layer x sparsity: prune that layer only, measure accuracy and loss

The scores come from the unpruned network, once. Layers are the outer loop and batches the inner
one: a batch runs up to the layer once and from there on once for every sparsity (`replay.py`), so
nothing is kept longer than a batch and cells become exact one after the other. All layers at one
middle sparsity come first, then the rest of every row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from analysis.data.dataset import Dataset, batches
from analysis.errors import ArgumentError, InputError
from analysis.evaluate import Evaluate, Evaluation, check_labels, finite
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import check_sparsity, exact_count
from analysis.pruning.part import PARTS
from analysis.pruning.parts import Criterion
from analysis.records import record
from analysis.replay import Replay
from analysis.request import Compute, Report, Request, Step, compute_field, silent
from kernels.select import k_smallest

SPARSITIES = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@record
@dataclass(frozen=True, eq=False)
class SensitivityMap:
    """Accuracy and loss of the whole network with one layer pruned.

    Attributes
    ----------
    layers: names of the prunable layers, in module order (L).
    sparsities: fraction of the layer's weights that are zero (S).
    accuracy: float64, L,S, 0..1; NaN where not computed yet.
    loss: float64, L,S, mean cross-entropy in nats; NaN where not computed yet.
    exact: bool, L,S: computed on all n images.
    dense_accuracy, dense_loss: of the network as it was given.
    n: number of images.
    """

    layers: tuple[str, ...]
    sparsities: tuple[float, ...]
    accuracy: np.ndarray
    loss: np.ndarray
    exact: np.ndarray
    dense_accuracy: float
    dense_loss: float
    n: int


@dataclass(frozen=True, eq=False)
class Sensitivity(Request[SensitivityMap]):
    """Prune every prunable layer alone to every sparsity, unstructured, and evaluate.

    Parameters
    ----------
    criterion: a criterion part or its name; lowest scores go first, ties by position, and
        weights that a mask removed already go before all others.
    sparsities: each in [0, 1); round(sparsity x weights of the layer) weights become zero.
    calibration: what the criterion looks at, if it needs data.

    Raises ArgumentError for bad sparsities, an unknown criterion or missing calibration data.
    """

    model: Model
    data: Dataset
    criterion: Criterion | str = "magnitude"
    sparsities: tuple[float, ...] = SPARSITIES
    calibration: Dataset | None = None
    seed: int = 0
    compute: Compute = compute_field()

    def __post_init__(self) -> None:
        if isinstance(self.criterion, str):
            object.__setattr__(self, "criterion", criterion_named(self.criterion))
        _check_criterion(self.part)
        object.__setattr__(self, "sparsities", tuple(map(check_sparsity, self.sparsities)))
        if not self.sparsities:
            raise ArgumentError("At least one sparsity is needed.")
        if not self.part.needs:  # so that it is no part of the key
            object.__setattr__(self, "calibration", None)

    @property
    def title(self) -> str:
        return f"Layer sensitivity of {self.model.name} on {self.data.name}"

    @property
    def part(self) -> Criterion:
        """The criterion, never its name."""
        assert isinstance(self.criterion, Criterion)
        return self.criterion

    def __call__(self, report: Report = silent) -> SensitivityMap:
        check_labels(self.model, self.data)
        sweep = _Sweep(self, report)
        for columns in coarse_first(len(self.sparsities)):
            for row in range(len(self.model.layers)):
                sweep.fill(row, columns)
        return sweep.result()


def criterion_named(name: str) -> Criterion:
    """A criterion with its default settings; ArgumentError for a name that is not registered."""
    found = PARTS["criterion"].get(name)
    if found is None:
        known = ", ".join(sorted(PARTS["criterion"]))
        raise ArgumentError(f"There is no criterion {name!r}; there are {known}.")
    chosen = found()
    assert isinstance(chosen, Criterion)
    return chosen


def _check_criterion(part: Criterion) -> None:
    """ArgumentError for a criterion that does not score single weights of one model."""
    if part.level != "weight" or part.joint:
        raise ArgumentError(
            f"{part.title} does not score single weights, which a sensitivity map removes: "
            "choose another criterion."
        )
    if part.needs & {"companion", "contrast"}:
        raise ArgumentError(
            f"{part.title} looks at more than one model or set of images: choose another "
            "criterion for a sensitivity map."
        )


def coarse_first(count: int) -> tuple[tuple[int, ...], ...]:
    """Columns of the map by pass: the middle one, then the others from the highest down."""
    middle = count // 2
    rest = tuple(column for column in reversed(range(count)) if column != middle)
    return ((middle,), rest) if rest else ((middle,),)


def pruned_weight(weight: Tensor, scores: Tensor, sparsity: float) -> Tensor:
    """A copy of `weight` with the round(sparsity x n) lowest scores zeroed, ties by position."""
    count = exact_count(sparsity, weight.numel())
    (gone,) = k_smallest([scores], count)
    return weight.detach().masked_fill(gone.to(weight.device), 0)


class _Sweep:
    """The map while it fills."""

    def __init__(self, request: Sensitivity, report: Report) -> None:
        self.request, self.report = request, report
        self.layers = request.model.layers
        rows, columns = len(self.layers), len(request.sparsities)
        self.portions = -(-len(request.data) // request.compute.batch_size)
        self.total, self.done = self.portions * (rows * columns + 1), 0
        self.accuracy = np.full((rows, columns), np.nan)
        self.loss = np.full((rows, columns), np.nan)
        self.scores = layer_scores(request, report)
        self.dense = Evaluate(request.model, request.data, request.compute)(self._dense_step)
        self.replay = Replay(request.model.module(request.compute.device))
        self.whole: set[str] = set()
        """Layers whose cells need whole forwards, because replaying was found to differ."""

    def result(self) -> SensitivityMap:
        return SensitivityMap(
            layers=tuple(layer.name for layer in self.layers),
            sparsities=self.request.sparsities,
            accuracy=self.accuracy.copy(),
            loss=self.loss.copy(),
            exact=~np.isnan(self.accuracy),
            dense_accuracy=self.dense.accuracy,
            dense_loss=self.dense.loss,
            n=self.dense.n,
        )

    def fill(self, row: int, columns: Sequence[int]) -> None:
        """Compute some cells of one row and report the map."""
        name = self.layers[row].name
        module = self.replay.module.get_submodule(name)
        given = module.get_parameter("weight")
        weights: dict[int, nn.Parameter] = {}
        for column in columns:
            weight = pruned_weight(given, self.scores[name], self.request.sparsities[column])
            if torch.equal(weight, given):
                self._enter(row, column, self.dense)
                self.done += self.portions
            else:
                weights[column] = nn.Parameter(weight, requires_grad=False)
        logits: dict[int, list[np.ndarray]] = {column: [] for column in weights}
        try:
            self._measure(row, weights, logits)
        finally:
            module.register_parameter("weight", given)
        for column, parts in logits.items():
            self._enter(row, column, Evaluation(np.concatenate(parts), self.dense.labels))
        self.report(Step(self.done, self.total, name, self.result()))

    def _enter(self, row: int, column: int, answers: Evaluation) -> None:
        self.accuracy[row, column], self.loss[row, column] = answers.accuracy, answers.loss

    def _measure(
        self,
        row: int,
        weights: Mapping[int, nn.Parameter],
        logits: Mapping[int, list[np.ndarray]],
    ) -> None:
        """Append the logits of every batch under every weight of the layer."""
        request, name = self.request, self.layers[row].name
        module = self.replay.module.get_submodule(name)
        portions = batches(
            request.data,
            request.model.architecture,
            request.compute.batch_size,
            request.compute.device,
        )
        for images, _ in portions if weights else ():
            short = name not in self.whole and self.replay.record(images, name)
            for column, weight in weights.items():
                module.register_parameter("weight", weight)
                if short and not logits[column] and not self.replay.faithful(images):
                    short = False
                    self.whole.add(name)
                output = self.replay.rest(images) if short else self.replay.whole(images)
                logits[column].append(finite(output, request.model.name).numpy())
                self.done += 1
                message = f"{name} at {request.sparsities[column]:.0%}"
                self.report(Step(self.done, self.total, message))

    def _dense_step(self, step: Step) -> None:
        self.done = -(-step.done // self.request.compute.batch_size)
        self.report(Step(self.done, self.total, step.message))


def layer_scores(request: Sensitivity, report: Report) -> dict[str, Tensor]:
    """Float scores of every layer's weights; -inf where a mask removed the weight already."""
    model, criterion = request.model, request.part
    if criterion.needs and request.calibration is None:
        raise ArgumentError(f"The criterion {criterion.name} needs calibration data.")
    context = PruningContext(
        model=model,
        module=model.module(request.compute.device),
        layers=model.layers,
        calibration=request.calibration,
        seed=request.seed,
        compute=request.compute,
        report=lambda step: report(Step(0, 1, step.message)),
    )
    scores = dict(criterion.scores(context))
    for layer in model.layers:
        found = scores[layer.name].detach().to("cpu")
        if torch.isnan(found).any():
            raise InputError(
                model.name,
                f"the {criterion.name} scores of {layer.name} are NaN.",
                "Choose another criterion or look for NaN weights with inspect.",
            )
        mask = model.masks.get(layer.parameter)
        gone = torch.zeros_like(found, dtype=torch.bool) if mask is None else ~mask.keep()
        scores[layer.name] = found.masked_fill(gone, -torch.inf)
    return scores
