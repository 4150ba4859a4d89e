"""Trains the two demo models on the built-in digits and writes their weights.

    python resources/train_demo_models.py             train on all 1,347 training images, write
    python resources/train_demo_models.py --validate  hold out a fifth of them, write nothing

The recipes (epochs, learning rate, augmentation) were set beforehand and confirmed by `--validate`
(0.9963 and 0.9889 of 270 images); nothing was chosen on the 450 test images.
One thread, fixed seeds and deterministic algorithms: the same machine and torch version give the
same tensors bit for bit (the files may differ in the order of the metadata, which safetensors
leaves to chance).
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from analysis.architectures import demo_resnet, demo_vit
from analysis.architectures.architecture import Architecture
from analysis.data.dataset import Dataset, batches
from analysis.data.digits import digits_test, digits_train

FOLDER = Path(__file__).resolve().parent
SEED = 0
BATCH = 64


@dataclass(frozen=True)
class Training:
    """How one model is trained: AdamW on a one-cycle schedule.

    The residual network decays strongly, as published CIFAR networks do: most of its weights end
    near zero, so that one-shot pruning has something to find.
    """

    file: str
    architecture: Architecture
    epochs: int
    rate: float
    decay: float
    smoothing: float


TRAININGS = (
    Training(
        "demo_resnet", demo_resnet.ARCHITECTURE, epochs=60, rate=4e-3, decay=3.0, smoothing=0.0
    ),
    Training("demo_vit", demo_vit.ARCHITECTURE, epochs=120, rate=2e-3, decay=0.05, smoothing=0.1),
)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by up to 10 degrees, scale by up to 10 %, shift by up to 1 pixel, add noise.

    images: float32 N,1,8,8 in 0..255.
    """
    count = len(images)
    draw = torch.rand(4, count, generator=generator) * 2 - 1
    angle, scale = draw[0] * math.radians(10), 1 + 0.1 * draw[1]
    pixel = 2 / images.shape[-1]
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = angle.cos() * scale
    theta[:, 1, 0] = angle.sin() * scale
    theta[:, 0, 1] = -theta[:, 1, 0]
    theta[:, :, 2] = draw[2:].T * pixel
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, align_corners=False)
    noise = torch.randn(moved.shape, generator=generator) * 8
    return (moved + noise).clamp(0, 255)


def accuracy(module: nn.Module, architecture: Architecture, data: Dataset) -> float:
    module.eval()
    with torch.no_grad():
        correct = sum(
            int((module(x).argmax(1) == y).sum()) for x, y in batches(data, architecture, 450)
        )
    return correct / len(data)


def train(training: Training, data: Dataset) -> nn.Module:
    """Train from scratch for a fixed number of epochs; the weights of the last step count."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    module = training.architecture.build(10)
    images = torch.from_numpy(data.images).permute(0, 3, 1, 2).float()
    labels = torch.from_numpy(data.labels)
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=training.decay)
    steps = training.epochs * math.ceil(len(data) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.rate, total_steps=steps)
    for epoch in range(training.epochs):
        module.train()
        total = 0.0
        for chosen in torch.randperm(len(data), generator=generator).split(BATCH):
            moved = augment(images[chosen], generator).permute(0, 2, 3, 1)
            logits = module(training.architecture.normalise(moved))
            loss = functional.cross_entropy(
                logits, labels[chosen], label_smoothing=training.smoothing
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        if epoch % 10 == 9:
            print(f"  epoch {epoch + 1}/{training.epochs}: loss {total / len(data):.4f}")
    return module.eval()


def write(training: Training, module: nn.Module, tested: float) -> Path:
    path = FOLDER / f"{training.file}.safetensors"
    metadata = {
        "architecture": training.architecture.name,
        "num_classes": "10",
        "data": digits_train().name,
        "seed": str(SEED),
        "accuracy": f"{tested:.4f}",
    }
    tensors = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    save_file(tensors, path, metadata)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo models on the built-in digits.")
    parser.add_argument("--validate", action="store_true", help="hold out a fifth, write nothing")
    validate = parser.parse_args().validate
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    data, test = digits_train(), digits_test()
    if validate:
        held_out = np.arange(len(data)) % 5 == 0
        data, test = data.subset(np.flatnonzero(~held_out)), data.subset(np.flatnonzero(held_out))
    for training in TRAININGS:
        print(f"{training.architecture.title}: {len(data)} images")
        module = train(training, data)
        tested = accuracy(module, training.architecture, test)
        kind = "validation" if validate else "test"
        print(f"  {kind} accuracy {tested:.4f} of {len(test)} images")
        if not validate:
            print(f"  wrote {write(training, module, tested)}")


if __name__ == "__main__":
    main()
