"""Gradients of the loss on calibration images, batch by batch: first and second order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.nn.attention import SDPBackend, sdpa_kernel

from analysis.data.dataset import Dataset, batches
from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.request import Step


def loss_gradients(context: PruningContext, batch: int) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Number of images and gradient of their mean cross-entropy, a batch at a time.

    The module stays in eval mode; the gradient is with respect to the weights as the module
    computes with them, by layer name, in the shape of the weight. `batch` images, in the order of
    the calibration data, make one batch.

    Raises
    ------
    ArgumentError: the images have no usable labels, or a layer takes no part in the loss.
    """
    weights = differentiable_weights(context)
    for count, loss in losses(context, batch, "gradients"):
        found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        yield count, _all_there(weights, found)


def losses(
    context: PruningContext,
    batch: int,
    message: str,
    temperature: float = 1.0,
    second_order: bool = False,
) -> Iterator[tuple[int, Tensor]]:
    """Number of images and their mean cross-entropy with its graph, a batch at a time.

    Reports progress after the caller is done with a batch, so that progress means work done.
    Logits are divided by `temperature`. With `second_order`, attention runs in the one
    implementation that can be differentiated twice.
    """
    images = labelled(context)
    device, done = context.compute.device, 0
    for x, labels in batches(images, context.model.architecture, batch, device):
        twice: Any = sdpa_kernel(SDPBackend.MATH) if second_order else nullcontext()
        with torch.enable_grad(), twice:
            loss = F.cross_entropy(context.module(x) / temperature, labels)
        yield len(labels), loss
        done += len(labels)
        context.report(Step(done, len(images), message))


def mean_gradient(context: PruningContext, temperature: float = 1.0) -> dict[str, Tensor]:
    """Gradient of the mean cross-entropy over all calibration images, by layer name."""
    weights = differentiable_weights(context)
    total: dict[str, Tensor] = {}
    everything = len(context.images())
    for count, loss in losses(context, context.compute.batch_size, "gradients", temperature):
        found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        add_scaled(total, _all_there(weights, found), count / everything)
    return total


def hessian_product(
    context: PruningContext, vector: Mapping[str, Tensor], temperature: float = 1.0
) -> dict[str, Tensor]:
    """H v by layer name, H the Hessian of the mean cross-entropy over all calibration images.

    The gradient of ⟨∂L/∂w, v⟩ (Pearlmutter 1994), v held fixed; both cover the layers of this
    round together. Batches are weighted by their images, so the product depends on their size
    only by rounding.
    """
    weights = differentiable_weights(context)
    total: dict[str, Tensor] = {}
    everything = len(context.images())
    size = context.compute.batch_size
    for count, loss in losses(context, size, "curvature", temperature, second_order=True):
        add_scaled(total, curvature(loss, weights, vector), count / everything)
    return total


def curvature(
    loss: Tensor, weights: Mapping[str, Tensor], vector: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """H v for one loss with its graph; zero where the gradient does not depend on a weight."""
    inputs = list(weights.values())
    with torch.enable_grad():
        first = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True)
        _all_there(weights, first)
        pairs = zip(weights, first, strict=True)
        product = torch.stack([(g * vector[name]).sum() for name, g in pairs]).sum()
    second = torch.autograd.grad(product, inputs, materialize_grads=True)
    return dict(zip(weights, second, strict=True))


def differentiable_weights(context: PruningContext) -> dict[str, Tensor]:
    """The module's weights by layer name, set to take gradients."""
    names = {layer.name: layer.parameter for layer in context.layers}
    return {
        name: context.module.get_parameter(parameter).requires_grad_(True)
        for name, parameter in names.items()
    }


def add_scaled(total: dict[str, Tensor], values: Mapping[str, Tensor], scale: float = 1.0) -> None:
    """total += scale · values, layer by layer; the first values are copied."""
    for name, value in values.items():
        scaled = value.detach() * scale
        total[name] = total[name].add_(scaled) if name in total else scaled


def labelled(context: PruningContext) -> Dataset:
    """The calibration images, with a class of the model for each of them."""
    images, classes = context.images(), context.model.num_classes
    labels = np.asarray(images.labels)
    if labels.size != len(images.images) or labels.size == 0:
        raise ArgumentError(f"{images.name} has no labels; this criterion needs them")
    if labels.min() < 0 or labels.max() >= classes:
        raise ArgumentError(
            f"labels of {images.name} run from {labels.min()} to {labels.max()}, "
            f"but the model has {classes} classes"
        )
    return images


def _all_there(
    weights: Mapping[str, Tensor], found: tuple[Tensor | None, ...]
) -> dict[str, Tensor]:
    gradients = {}
    for name, gradient in zip(weights, found, strict=True):
        if gradient is None:
            raise ArgumentError(f"{name} takes no part in the loss: it has no gradient")
        gradients[name] = gradient
    return gradients
