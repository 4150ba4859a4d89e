"""How well a model does on labelled images: logits once, every number from them.

>>> dense, pruned = Evaluate(model, data)(), Evaluate(smaller, data)()   # doctest: +SKIP
>>> wins, losses = flips(dense, pruned)                                  # doctest: +SKIP
>>> pruned.n * (pruned.accuracy - dense.accuracy) == len(wins) - len(losses)  # doctest: +SKIP
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from analysis.data.dataset import Dataset, batches
from analysis.errors import ArgumentError, InputError
from analysis.models import Model
from analysis.records import record
from analysis.request import Compute, Report, Request, Step, compute_field, silent

Z95 = 1.959963984540054
"""97.5 % point of the standard normal: two-sided 95 % intervals."""

PARTIAL_SECONDS = 0.5
"""Least time between two partial results of one evaluation."""


@record
@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's answers to labelled images.

    Attributes
    ----------
    logits: float32, N,K.
    labels: int64, N.
    """

    logits: np.ndarray
    labels: np.ndarray

    @property
    def n(self) -> int:
        return len(self.labels)

    @cached_property
    def predictions(self) -> np.ndarray:
        """int64, N: class of the largest logit, the first one at ties."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @cached_property
    def _log_softmax(self) -> np.ndarray:
        shifted = self.logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return shifted

    @cached_property
    def confidence(self) -> np.ndarray:
        """float64, N: the largest softmax probability."""
        return np.asarray(np.exp(self._log_softmax.max(axis=1)))

    @cached_property
    def losses(self) -> np.ndarray:
        """float64, N: cross-entropy of each image, in nats."""
        return np.asarray(-self._log_softmax[np.arange(self.n), self.labels])

    @cached_property
    def correct(self) -> np.ndarray:
        """bool, N."""
        return np.asarray(self.predictions == self.labels)

    @property
    def accuracy(self) -> float:
        """Fraction of the images answered correctly, 0..1."""
        return float(self.correct.mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats, computed in float64."""
        return float(self.losses.mean())

    def ece(self, bins: int = 15) -> float:
        """Expected calibration error with `bins` equal bins (lo, hi] of the confidence.

        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
        """
        if bins < 1:
            raise ArgumentError(f"bins must be at least 1, not {bins}.")
        edges = np.linspace(0.0, 1.0, bins + 1)
        place = np.clip(np.searchsorted(edges, self.confidence, side="left") - 1, 0, bins - 1)
        gap = np.bincount(place, self.correct - self.confidence, minlength=bins)
        return float(np.abs(gap).sum() / self.n)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson(int(self.correct.sum()), self.n)


@dataclass(frozen=True, eq=False)
class Evaluate(Request[Evaluation]):
    """Run a model over a dataset.

    Raises InputError when the data are empty or hold labels the model has no class for, and when
    the model answers with NaN or infinite logits.
    """

    model: Model
    data: Dataset
    compute: Compute = compute_field()

    def __call__(self, report: Report = silent) -> Evaluation:
        check_labels(self.model, self.data)
        module = self.model.module(self.compute.device)
        total = len(self.data)
        done: list[np.ndarray] = []
        count, shown = 0, time.monotonic()
        portions = batches(
            self.data, self.model.architecture, self.compute.batch_size, self.compute.device
        )
        for images, _ in portions:
            done.append(forward(module, images, self.model.name))
            count += len(done[-1])
            partial = None
            if count < total and time.monotonic() - shown > PARTIAL_SECONDS:
                partial = self._result(done)
                shown = time.monotonic()
            report(Step(count, total, f"{self.model.name}: {count} of {total} images", partial))
        return self._result(done)

    @property
    def title(self) -> str:
        return f"Evaluate {self.model.name} on {self.data.name}"

    def _result(self, done: list[np.ndarray]) -> Evaluation:
        logits = np.concatenate(done)
        return Evaluation(logits, self.data.labels[: len(logits)].astype(np.int64))


def forward(module: nn.Module, images: Tensor, name: str) -> np.ndarray:
    """Float32 logits of normalised images; InputError naming the model when not finite."""
    with torch.no_grad():
        logits = module(images)
    return finite(logits, name).numpy()


def finite(logits: Tensor, name: str) -> Tensor:
    """The logits as float32 on the CPU; InputError naming the model when NaN or infinite."""
    logits = logits.detach().to("cpu", torch.float32)
    if not torch.isfinite(logits).all():
        raise InputError(
            name,
            "the network answers with NaN or infinite logits.",
            "Inspect its weights for NaN, or choose another checkpoint.",
        )
    return logits


def check_labels(model: Model, data: Dataset) -> None:
    """InputError when the data are empty or a label has no logit."""
    if len(data) == 0:
        raise InputError(data.name, "there are no images in it.", "Choose other data.")
    low, high = int(data.labels.min()), int(data.labels.max())
    if low < 0 or high >= model.num_classes:
        raise InputError(
            data.name,
            f"labels run from {low} to {high}, but {model.name} has {model.num_classes} classes.",
            "Choose data with the classes that the model was trained for.",
        )


def agreement(a: Evaluation, b: Evaluation) -> float:
    """Fraction of the images that both predict alike, right or wrong; 1 - churn."""
    _same_images(a, b)
    return float((a.predictions == b.predictions).mean())


def flips(a: Evaluation, b: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """Indices of wins (a wrong, b right) and of losses (a right, b wrong).

    accuracy(b) - accuracy(a) = (len(wins) - len(losses)) / n.
    """
    _same_images(a, b)
    return np.flatnonzero(~a.correct & b.correct), np.flatnonzero(a.correct & ~b.correct)


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided exact p-value that wins and losses are equally likely (McNemar 1947, binomial)."""
    from scipy.special import bdtr

    return min(1.0, 2.0 * float(bdtr(min(wins, losses), wins + losses, 0.5)))


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of successes / n (Wilson, JASA 22, 1927); ArgumentError unless a fraction."""
    if n < 1 or not 0 <= successes <= n:
        raise ArgumentError(f"{successes} of {n} is no fraction.")
    p, z2n = successes / n, Z95**2 / n
    centre = (p + z2n / 2) / (1 + z2n)
    half = Z95 / (1 + z2n) * float(np.sqrt(p * (1 - p) / n + z2n / (4 * n)))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return low, high


def _same_images(a: Evaluation, b: Evaluation) -> None:
    if not np.array_equal(a.labels, b.labels):
        raise ArgumentError("The two evaluations are of different images.")
