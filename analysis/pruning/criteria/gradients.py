"""Gradients of the loss on calibration images, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

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
    images = labelled(context)
    model, device = context.model, context.compute.device
    weights = [context.module.get_parameter(layer.parameter) for layer in context.layers]
    done = 0
    for x, labels in batches(images, model.architecture, batch, device):
        with torch.enable_grad():
            for weight in weights:
                weight.requires_grad_(True)
            loss = F.cross_entropy(context.module(x), labels)
            found = torch.autograd.grad(loss, weights, allow_unused=True)
        gradients = {}
        for layer, gradient in zip(context.layers, found, strict=True):
            if gradient is None:
                raise ArgumentError(f"{layer.name} takes no part in the loss: it has no gradient")
            gradients[layer.name] = gradient
        done += len(labels)
        context.report(Step(done, len(images), "gradients"))
        yield len(labels), gradients


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
