"""Where a model puts its images: features, and their angle, norm and margin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.data.dataset import Dataset, batches
from analysis.evaluate import check_labels, finite
from analysis.geometry.classifier import angles, margins
from analysis.geometry.features import Reader
from analysis.models import Model
from analysis.records import record
from analysis.request import Compute, Report, Request, Step, compute_field, silent


@record
@dataclass(frozen=True, eq=False)
class FeatureGeometry:
    """Features of one layer and, at the classifier's input, their geometry.

    Attributes
    ----------
    layer: "" = input of the classifier; else the layer whose output was read.
    features: float32 N,D.
    labels: int64 N.
    norm: float64 N, Euclidean length of each feature.
    logits: float32 N,K as the module computes them; N,0 at other layers.
    weight, bias: float32 K,D and K, the (masked) classifier; 0,D and 0 at other layers.
    angle: float64 N,K, radians to every class direction, pi/2 where a feature or a class row is
        zero; N,0 at other layers.
    margin: float64 N, signed distance to the nearest boundary of the true class in units of the
        feature, negative when misclassified, NaN when no other class has a boundary with it; 0
        values at other layers.
    """

    layer: str
    features: np.ndarray
    labels: np.ndarray
    norm: np.ndarray
    logits: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    angle: np.ndarray
    margin: np.ndarray

    @property
    def n(self) -> int:
        return len(self.labels)

    @property
    def true_angle(self) -> np.ndarray:
        """float64 N: radians to the true class's direction; empty at other layers."""
        if self.angle.shape[1] == 0:
            return np.zeros(0)
        return np.asarray(self.angle[np.arange(self.n), self.labels])


@dataclass(frozen=True, eq=False)
class Geometry(Request[FeatureGeometry]):
    """Collect the features of one layer over a dataset.

    layer "" reads the input of the model's own (pruned) classifier and adds angle, norm, margin
    and logits (Li et al., IEEE TVCG 2024, https://arxiv.org/abs/2206.07918). Any other layer is
    read at its output: convolutions averaged over positions, token layers at CLS; then only
    features and norm are computed.

    Raises ArgumentError when the layer does not exist, InputError when the data are empty, have
    labels that the model lacks, or lead to NaN or infinite logits.
    """

    model: Model
    data: Dataset
    layer: str = ""
    compute: Compute = compute_field()

    def __call__(self, report: Report = silent) -> FeatureGeometry:
        check_labels(self.model, self.data)
        architecture, device = self.model.architecture, self.compute.device
        reader = Reader(
            self.model.module(device), architecture.classifier, self.layer, self.model.name
        )
        features, logits, total = [], [], len(self.data)
        done = 0
        for images, _ in batches(self.data, architecture, self.compute.batch_size, device):
            seen, answered = reader(images)
            features.append(seen.float().cpu().numpy())
            logits.append(finite(answered, self.model.name).numpy())
            done += len(images)
            report(Step(done, total, f"{self.model.name}: features of {done} of {total} images"))
        return self._result(np.concatenate(features), np.concatenate(logits))

    @property
    def title(self) -> str:
        return f"Features of {self.model.name} at {self.layer or 'the classifier input'}"

    def _result(self, features: np.ndarray, logits: np.ndarray) -> FeatureGeometry:
        labels = self.data.labels.astype(np.int64)
        norm = np.linalg.norm(features.astype(np.float64), axis=1)
        if self.layer:
            return FeatureGeometry(
                layer=self.layer,
                features=features,
                labels=labels,
                norm=norm,
                logits=np.zeros((len(labels), 0), np.float32),
                weight=np.zeros((0, features.shape[1]), np.float32),
                bias=np.zeros(0, np.float32),
                angle=np.zeros((len(labels), 0)),
                margin=np.zeros(0),
            )
        weight, bias = self._classifier()
        return FeatureGeometry(
            layer="",
            features=features,
            labels=labels,
            norm=norm,
            logits=logits,
            weight=weight,
            bias=bias,
            angle=angles(features, weight),
            margin=margins(logits, labels, weight),
        )

    def _classifier(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and biases of the classifier as this model computes with them."""
        name = self.model.architecture.classifier
        weight = self.model.weight(f"{name}.weight").detach().float().cpu().numpy()
        if f"{name}.bias" not in self.model.weights:
            return weight, np.zeros(len(weight), np.float32)
        return weight, self.model.weight(f"{name}.bias").detach().float().cpu().numpy()
