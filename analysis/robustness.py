"""Accuracy on corrupted images: model x corruption x severity.

Every corrupted batch is made once and read by all models. Predictions are kept, so that the
images that flip in a cell can be listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from analysis.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from analysis.data.dataset import Dataset
from analysis.errors import ArgumentError
from analysis.evaluate import check_labels, forward
from analysis.models import Model
from analysis.records import record
from analysis.request import Compute, Report, Request, Step, compute_field, silent

NOT_DONE = -1
"""Prediction of an image whose cell is not computed yet."""


@record
@dataclass(frozen=True, eq=False)
class RobustnessGrid:
    """What every model (M) predicts for every image (N), clean and corrupted.

    Attributes
    ----------
    models: keys of the models.
    corruptions, severities: axes of the grid (C, S).
    predictions: int16, M,C,S,N; -1 where not computed yet.
    accuracy: float64, M,C,S, 0..1; NaN where not computed yet.
    clean: int16, M,N: predictions for the images as they are.
    labels: int64, N.
    n: number of images.
    """

    models: tuple[str, ...]
    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    predictions: np.ndarray
    accuracy: np.ndarray
    clean: np.ndarray
    labels: np.ndarray
    n: int

    @property
    def clean_accuracy(self) -> np.ndarray:
        """float64, M."""
        return np.asarray((self.clean == self.labels).mean(axis=1))

    def row(self, model_key: str) -> int:
        """Index of a model; ArgumentError when the grid does not hold it."""
        if model_key not in self.models:
            raise ArgumentError(f"The grid holds no model {model_key}.")
        return self.models.index(model_key)


@dataclass(frozen=True, eq=False)
class Robustness(Request[RobustnessGrid]):
    """Evaluate models on corrupted images.

    Parameters
    ----------
    corruptions: names in `analysis.data.corruptions.CORRUPTIONS`.
    severities: among 1..5.
    seed: of the random corruptions; every image has its own stream.

    Raises ArgumentError for unknown corruptions or severities, or without a model.
    """

    models: tuple[Model, ...]
    data: Dataset
    corruptions: tuple[str, ...] = tuple(CORRUPTIONS)
    severities: tuple[int, ...] = SEVERITIES
    seed: int = 0
    compute: Compute = compute_field()

    def __post_init__(self) -> None:
        for name in ("models", "corruptions", "severities"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        unknown = [name for name in self.corruptions if name not in CORRUPTIONS]
        if unknown:
            known = ", ".join(CORRUPTIONS)
            raise ArgumentError(f"There is no corruption {unknown[0]!r}; there are {known}.")
        if not set(self.severities) <= set(SEVERITIES):
            raise ArgumentError(f"Severities lie between 1 and 5, not {self.severities}.")
        if not (self.models and self.corruptions and self.severities):
            raise ArgumentError("A model, a corruption and a severity are needed at least.")

    @property
    def title(self) -> str:
        names = ", ".join(model.name for model in self.models)
        return f"Robustness of {names} on {self.data.name}"

    def __call__(self, report: Report = silent) -> RobustnessGrid:
        for model in self.models:
            check_labels(model, self.data)
        modules = tuple(model.module(self.compute.device) for model in self.models)
        shape = (len(self.models), len(self.corruptions), len(self.severities))
        predictions = np.full((*shape, len(self.data)), NOT_DONE, np.int16)
        passes = 1 + len(self.corruptions) * len(self.severities)
        total = passes * self.portions * len(self.models)
        progress = _Progress(report, total)
        clean = self._predict(modules, "", 0, progress)
        for c, corruption in enumerate(self.corruptions):
            for s, severity in enumerate(self.severities):
                predictions[:, c, s] = self._predict(modules, corruption, severity, progress)
                progress.show(corruption, severity, self._grid(predictions, clean))
        return self._grid(predictions, clean)

    @property
    def portions(self) -> int:
        """Number of batches."""
        return -(-len(self.data) // self.compute.batch_size)

    def _predict(
        self,
        modules: tuple[nn.Module, ...],
        corruption: str,
        severity: int,
        progress: _Progress,
    ) -> np.ndarray:
        """int16 M,N predictions for one cell, or for the clean images at severity 0."""
        found = np.empty((len(modules), len(self.data)), np.int16)
        for part, images in self._batches(corruption, severity):
            pixels = torch.from_numpy(images).to(self.compute.device)
            for row, (model, module) in enumerate(zip(self.models, modules, strict=True)):
                logits = forward(module, model.architecture.normalise(pixels), model.name)
                found[row, part] = logits.argmax(axis=1)
                progress.advance(corruption, severity)
        return found

    def _batches(self, corruption: str, severity: int) -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(self.data), self.compute.batch_size):
            part = slice(start, min(start + self.compute.batch_size, len(self.data)))
            images = np.ascontiguousarray(self.data.images[part])
            if severity:
                indices = np.arange(part.start, part.stop)
                images = corrupt(images, corruption, severity, self.seed, indices)
            yield part, images

    def _grid(self, predictions: np.ndarray, clean: np.ndarray) -> RobustnessGrid:
        """The grid so far, in arrays of its own."""
        labels = self.data.labels.astype(np.int64)
        accuracy = (predictions == labels).mean(axis=3)
        accuracy[predictions[..., 0] == NOT_DONE] = np.nan
        return RobustnessGrid(
            models=tuple(model.key for model in self.models),
            corruptions=self.corruptions,
            severities=self.severities,
            predictions=predictions.copy(),
            accuracy=accuracy,
            clean=clean,
            labels=labels,
            n=len(labels),
        )


class _Progress:
    """Counts batches and tells the caller."""

    def __init__(self, report: Report, total: int) -> None:
        self.report, self.total, self.done = report, total, 0

    def advance(self, corruption: str, severity: int) -> None:
        self.done += 1
        self.show(corruption, severity, None)

    def show(self, corruption: str, severity: int, partial: RobustnessGrid | None) -> None:
        message = "clean images"
        if severity:
            message = f"{CORRUPTIONS[corruption].title}, severity {severity}"
        self.report(Step(self.done, self.total, message, partial))


def predictions_at(
    grid: RobustnessGrid, model_key: str, corruption: str, severity: int
) -> np.ndarray:
    """int16, N: a model's predictions in one cell; severity 0 or corruption "" = clean images.

    Raises ArgumentError for a cell that the grid does not hold or has not computed yet.
    """
    row = grid.row(model_key)
    if severity == 0 or not corruption:
        return np.asarray(grid.clean[row])
    if corruption not in grid.corruptions or severity not in grid.severities:
        raise ArgumentError(f"The grid holds no {corruption} of severity {severity}.")
    c, s = grid.corruptions.index(corruption), grid.severities.index(severity)
    if np.isnan(grid.accuracy[row, c, s]):
        raise ArgumentError(f"{corruption} of severity {severity} is not computed yet.")
    return np.asarray(grid.predictions[row, c, s])


def flipped(
    grid: RobustnessGrid, reference_key: str, model_key: str, corruption: str, severity: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of (wins, losses): reference wrong and model right, and the other way round."""
    reference = predictions_at(grid, reference_key, corruption, severity) == grid.labels
    model = predictions_at(grid, model_key, corruption, severity) == grid.labels
    return np.flatnonzero(~reference & model), np.flatnonzero(reference & ~model)


def corruption_errors(
    grid: RobustnessGrid, model_key: str, reference_key: str
) -> dict[str, float]:
    """CE_c: errors summed over severities, divided by those of the reference.

    Hendrycks and Dietterich 2019, section 4.1, with the dense model in AlexNet's place. NaN where
    a severity is not computed yet or the reference makes no error at all.
    """
    own = (1 - grid.accuracy[grid.row(model_key)]).sum(axis=1)
    base = (1 - grid.accuracy[grid.row(reference_key)]).sum(axis=1)
    ratio = np.divide(own, base, out=np.full_like(own, np.nan), where=base > 0)
    return dict(zip(grid.corruptions, ratio.tolist(), strict=True))


def mean_corruption_error(grid: RobustnessGrid, model_key: str, reference_key: str) -> float:
    """Mean of `corruption_errors`: 1 = as the reference, above = worse; NaN when one is."""
    return float(np.mean(list(corruption_errors(grid, model_key, reference_key).values())))


def cells(grid: RobustnessGrid) -> list[dict[str, str | int | float]]:
    """What is computed so far, corruption by corruption; `model` is a key, `accuracy` 0..1."""
    return [
        {
            "model": model,
            "corruption": corruption,
            "severity": severity,
            "accuracy": float(grid.accuracy[m, c, s]),
            "n": grid.n,
        }
        for c, corruption in enumerate(grid.corruptions)
        for s, severity in enumerate(grid.severities)
        for m, model in enumerate(grid.models)
        if not np.isnan(grid.accuracy[m, c, s])
    ]
