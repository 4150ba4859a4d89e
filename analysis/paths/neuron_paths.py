"""Neuron paths: the most influential unit of every layer, image by image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from analysis.data.dataset import Dataset, batches
from analysis.errors import ArgumentError
from analysis.evaluate import check_labels, finite
from analysis.models import Model
from analysis.paths.injection import Instrument
from analysis.paths.result import PathResult, most_frequent
from analysis.paths.search import (
    Joint,
    PathSearch,
    Rule,
    Samples,
    Score,
    logit,
    probability,
    step_sizes,
)
from analysis.paths.silence import SPREAD, Range
from analysis.request import Compute, Report, Request, Step, compute_field, silent

BLOCK_BYTES = 256 * 2**20
BLOCK_SAMPLES = 256
"""Samples are searched in blocks whose intact activations fit into this."""

OBJECTIVES = {"probability": probability, "logit": logit}


@dataclass(frozen=True, eq=False)
class NeuronPaths(Request[PathResult]):
    """Search the most influential path, one unit a path layer, of each chosen image.

    After "Discovering Influential Neuron Path in Vision Transformers" (ICLR 2025,
    https://arxiv.org/abs/2503.09046), with joint integrated gradients (JIG) in place of its
    joint attribution score (JAS), since JIG is complete: it sums to what removing the path costs.

    Let w_l be the intact output of path layer l ("channel" units are summed over positions, of
    "token" layers the CLS token is meant) and F the probability of the target class. Layer after
    layer, with the whole vector of layer l at alpha w_l, the units chosen in earlier layers p at
    alpha w_p, and the other units of those layers clamped to w_p:

        score_j = mean over k of ( w_l[j] dF/dw_l[j] + sum over p of w_p[path_p] dF/dw_p[path_p] )

    at alpha_k = (k + 1/2) / m, and path_l = argmax_j (signed, not absolute). The second term is
    the same for every j, so candidates are ranked, and reported, by the first. The path as a
    whole is then scored by JIG with its units alone scaled; `delta` is the completeness gap.

    Where layers form a chain (a ReLU after each residual addition), clamping a layer hides all
    earlier ones from the output, so the JIG of the whole path is that of its last unit. With
    `others="free"` the other units follow the path's instead, and JIG is what removing the path
    costs the network as it runs. The units chosen are the same.

    Parameters
    ----------
    indices: int S, images of `data` to search.
    target: attribute the predicted or the labelled class.
    steps: m, 1 to 1000.
    top: how many units a column shows; every unit's score is kept, so it changes no result.
    score: "jas" ranks by the published product of sums, formed after summing over positions.
    rule: "left" takes alpha_k = k / m, as the paper's code does.
    output: F is the "probability" or, against saturation near 1, the "logit".

    Raises ArgumentError for parameters out of range and InputError for data or networks that
    cannot be searched. Scores are attribution, not proof.
    """

    model: Model
    data: Dataset
    indices: np.ndarray
    target: Literal["prediction", "label"] = "prediction"
    steps: int = 20
    top: int = field(default=10, metadata={"key": False})
    score: Score = "jig"
    rule: Rule = "midpoint"
    output: Literal["probability", "logit"] = "probability"
    others: Literal["clamped", "free"] = "clamped"
    compute: Compute = compute_field()

    def __call__(self, report: Report = silent) -> PathResult:
        self._check()
        return _Run(self, report).result()

    @property
    def title(self) -> str:
        return f"Neuron paths of {self.model.name}, {len(self.indices)} images"

    def _check(self) -> None:
        check_labels(self.model, self.data)
        if self.indices.ndim != 1 or len(self.indices) == 0 or self.indices.dtype.kind not in "iu":
            raise ArgumentError("indices must be one or more image numbers.")
        low, high = int(self.indices.min()), int(self.indices.max())
        if low < 0 or high >= len(self.data):
            raise ArgumentError(
                f"indices run from {low} to {high}, but there are {len(self.data)} images."
            )
        if not 1 <= self.steps <= 1000:
            raise ArgumentError(f"steps must be 1 to 1000, not {self.steps}.")
        choices = {
            "target": ("prediction", "label"),
            "score": ("jig", "jas"),
            "rule": ("midpoint", "left"),
            "output": tuple(OBJECTIVES),
            "others": ("clamped", "free"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ArgumentError(
                    f"{name} must be {' or '.join(allowed)}, not {getattr(self, name)!r}."
                )


class _Run:
    """One run of a request: blocks of samples, progress, and the results so far."""

    def __init__(self, request: NeuronPaths, report: Report) -> None:
        self.request = request
        self.report = report
        self.indices = request.indices.astype(np.int64)
        model, compute = request.model, request.compute
        self.instrument = Instrument(
            model.module(compute.device), model.architecture.path_layers, model.name
        )
        self.search = PathSearch(
            self.instrument,
            OBJECTIVES[request.output],
            step_sizes(request.rule, request.steps),
            request.score,
            clamp=request.others == "clamped",
            rows=compute.batch_size,
            tick=self._tick,
        )
        self.total = len(self.indices) * request.steps * (len(self.instrument.layers) + 1)
        self.done = 0
        self.message = model.name
        self.ranges = [Range() for _ in self.instrument.layers]
        self.units: list[np.ndarray] = []
        self.joints: list[Joint] = []
        self.classes: list[np.ndarray] = []
        self.sums: list[np.ndarray] = []

    def result(self) -> PathResult:
        self._watch_spread()
        self.search.use_cuts(self._images(self.indices[:1]))
        for block in np.split(self.indices, self._block_ends()):
            samples = self._samples(block)
            for found, units in zip(self.ranges, samples.units, strict=True):
                found.watch(units)
            self.classes.append(samples.classes.cpu().numpy())
            path = self._columns(samples)
            self.message = "Joint scores of the paths"
            self.joints.append(self.search.joint(samples, path))
            self.units.append(torch.stack(path, dim=1).numpy())
        return self._assemble(np.concatenate(self.units), self.sums)

    def _columns(self, samples: Samples) -> list[Tensor]:
        """Search one block; in the first one, show every column as soon as it is there."""
        path: list[Tensor] = []
        first = not self.units
        names = [layer.name for layer in self.instrument.layers]
        self.message = f"Units of {names[0]}"
        for unit, scores in self.search.columns(samples):
            layer = len(path)
            path.append(unit)
            total = scores.sum(dim=0).numpy()
            if first:
                self.sums.append(total)
                partial = self._assemble(torch.stack(path, dim=1).numpy(), self.sums)
                self.report(Step(self.done, self.total, self.message, partial))
            else:
                self.sums[layer] = self.sums[layer] + total
            self.message = f"Units of {names[min(layer + 1, len(names) - 1)]}"
        return path

    def _assemble(self, units: np.ndarray, sums: list[np.ndarray]) -> PathResult:
        count, depth = units.shape
        class_path, frequency = most_frequent(units)
        empty = [np.zeros(0)]
        finished = len(self.joints) > 0 and sum(len(j.jig) for j in self.joints) == count
        joints = self.joints if finished else []
        return PathResult(
            layers=tuple(layer.name for layer in self.instrument.layers[:depth]),
            units=units,
            class_path=class_path,
            frequency=frequency,
            scores=tuple(total / count for total in sums[:depth]),
            silent=tuple(found.constant() for found in self.ranges[:depth]),
            jig=np.concatenate([j.jig.numpy() for j in joints] or empty),
            jas=np.concatenate([j.jas.numpy() for j in joints] or empty),
            delta=np.concatenate([j.delta.numpy() for j in joints] or empty),
            indices=self.indices[:count],
            target_classes=np.concatenate(self.classes)[:count],
            score=self.request.score,
        )

    def _samples(self, indices: np.ndarray) -> Samples:
        """Images, intact activations, target classes and F of a block."""
        images = self._images(indices)
        portions = [self.instrument.read(p) for p in torch.split(images, self.search.rows)]
        logits = torch.cat([answer for _, answer in portions])
        finite(logits, self.request.model.name)
        units = [torch.cat(layer) for layer in zip(*(u for u, _ in portions), strict=True)]
        if self.request.target == "label":
            labels = self.request.data.labels[indices].astype(np.int64)
            classes = torch.from_numpy(labels).to(images.device)
        else:
            classes = logits.argmax(dim=1)
        return Samples(images, classes, units, self.search.objective(logits, classes))

    def _images(self, indices: np.ndarray) -> Tensor:
        data, compute = self.request.data.subset(indices), self.request.compute
        portions = batches(data, self.request.model.architecture, len(data), compute.device)
        return next(iter(portions))[0]

    def _watch_spread(self) -> None:
        """Activations of images all over the data, to tell silent units from unlucky images."""
        count = min(SPREAD, len(self.request.data))
        spread = np.linspace(0, len(self.request.data) - 1, count).round().astype(np.int64)
        for part in torch.split(self._images(spread), self.search.rows):
            for found, units in zip(self.ranges, self.instrument.read(part)[0], strict=True):
                found.watch(units)
        self.report(Step(0, self.total, "Intact activations"))

    def _block_ends(self) -> list[int]:
        units, _ = self.instrument.read(self._images(self.indices[:1]))
        size = max(1, sum(layer.numel() * layer.element_size() for layer in units))
        block = max(1, min(BLOCK_SAMPLES, BLOCK_BYTES // size))
        return list(range(block, len(self.indices), block))

    def _tick(self, rows: int) -> None:
        self.done += rows
        self.report(Step(self.done, self.total, self.message))
