"""Counts against torch's own counter, scipy's matrices and closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from analysis.checkpoints import open_model
from analysis.models import Model
from analysis.pruning import Prune, pruned_model, recipe_named
from analysis.pruning.accounting import Account, fits_two_four, stored_bytes
from analysis.records import pack, unpack
from tests.analysis.pruning.toys import ConvNet, toy

MODEL = toy(ConvNet)
LAYERS = ("conv1", "conv2", "conv3", "hidden", "fc")


def pruned(model: Model, name: str, sparsity: float | None) -> Model:
    request = Prune(model, recipe_named(name), sparsity)
    return pruned_model(model, request(), request)


class Basic(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.down = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.down(x))


class ResNet18(nn.Module):
    """The published ResNet-18 for 224 × 224 images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        self.stages = nn.Sequential(
            *(nn.Sequential(Basic(i, o, s), Basic(o, o, 1)) for i, o, s in widths)
        )
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(self.stages(x).mean(dim=(2, 3)))


def counted_by_torch(model: Model) -> float:
    """FLOPs / 2 of convolutions and linear layers."""
    images = torch.zeros(1, *model.architecture.input_shape)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.module()(images)
    found = counter.get_flop_counts()["Global"]
    layers = {"convolution", "_convolution", "addmm", "mm"}
    return sum(v for op, v in found.items() if str(op).split(".")[-1] in layers) / 2


@pytest.mark.parametrize("name", ["demo:resnet", "demo:vit", "toy"])
def test_macs_are_half_the_flops_of_torch(name: str) -> None:
    model = MODEL if name == "toy" else open_model(name)[0]
    account = Account(model)()
    assert account.macs == counted_by_torch(model) > 0
    assert account.macs_nonzero == pytest.approx(account.macs, rel=1e-3)


def test_resnet_18_as_everybody_counts_it() -> None:
    """1.81407 G MACs, 11,689,512 parameters."""
    model = toy(ResNet18, input_shape=(3, 224, 224), classes=1000)
    account = Account(model)()
    assert account.macs == 3_628_146_688 / 2
    assert account.parameters == 11_689_512


def test_closed_forms_of_the_toy() -> None:
    """conv1 8·9 at 64 positions; conv2 depthwise 8·9 at 16; conv3 12·8·9 at 16; 120; 30."""
    account = Account(MODEL)()
    assert [row.parameters for row in account.layers] == [72, 72, 864, 120, 30]
    assert [row.macs for row in account.layers] == [4608, 1152, 13824, 120, 30]
    others = (8 + 12 + 10 + 3) + 2 * (8 + 12)  # biases of four layers, two BatchNorms
    assert account.prunable == 1158
    assert account.parameters == 1158 + others
    # PyTorch starts BatchNorm's shifts at zero: 20 of them count as zeros, as in ShrinkBench.
    assert account.nonzero == 1158 + others - 20
    assert account.compression == (1158 + others) / (1158 + others - 20)
    assert account.bytes.dense == 4 * (1158 + others)


def test_pruned_counts_follow_their_masks() -> None:
    after = pruned(MODEL, "uniform-magnitude", 0.75)
    account = Account(after)()
    zeros = sum(after.zeros.values())
    assert account.zeros == zeros == round(0.75 * 1158 + 1e-9)
    assert account.density == pytest.approx(1 - zeros / 1158)
    by_hand = sum(
        row.macs * (row.parameters - after.zeros[row.name]) / row.parameters
        for row in account.layers
    )
    assert account.macs_nonzero == pytest.approx(by_hand)
    assert account.speed_up == pytest.approx(account.macs / by_hand)
    assert account.compression == account.parameters / account.nonzero
    assert "position" in account.convention


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([(6, 8), (5, 7), (4, 8, 3, 3), (3, 2, 1, 1)]),
    st.floats(0, 1),
    st.sampled_from([torch.float32, torch.float16, torch.float64]),
)
def test_sizes_are_those_of_scipy_and_of_packed_bits(
    shape: tuple[int, ...], sparsity: float, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator).to(dtype)
    weight[torch.rand(shape, generator=generator) < sparsity] = 0
    array = weight.flatten(1).numpy()
    found = stored_bytes(weight)
    data = array.astype(np.float32) if dtype is torch.float16 else array  # scipy has no halves
    sparse = scipy.sparse.csr_matrix(data)
    values = sparse.nnz * array.itemsize
    assert found.csr == values + sparse.indices.nbytes + sparse.indptr.nbytes
    assert found.dense == array.nbytes
    assert found.bitmask == np.packbits(array.reshape(-1) != 0).nbytes + values


@pytest.mark.parametrize(
    ("pattern", "fits"), [("11001010", True), ("11101010", False), ("00000000", True)]
)
def test_two_of_four_needs_every_group(pattern: str, fits: bool) -> None:
    weight = torch.tensor([[float(bit) for bit in pattern]] * 3)
    assert fits_two_four(weight) is fits
    # 3 rows × 8 inputs: 12 values of 4 bytes, and 2 bits for each of them.
    assert stored_bytes(weight).two_four == (12 * 4 + 3 if fits else None)
    convolution = weight.reshape(3, 8, 1, 1).expand(3, 8, 2, 2)
    assert fits_two_four(convolution) is fits
    assert not fits_two_four(torch.zeros(4, 6))


def test_two_of_four_model_is_smaller() -> None:
    after = pruned(MODEL, "nm-magnitude", None)
    account = Account(after)()
    fitting = {row.name for row in account.layers if row.bytes.two_four is not None}
    assert fitting == {"conv3", "hidden"}  # the others have 1 and 10 inputs
    saved = (864 * 2 - 864 // 8) + (120 * 2 - 120 // 8)
    assert account.bytes.two_four == account.bytes.dense - saved
    assert Account(MODEL)().bytes.two_four is None


def test_a_model_of_zeros_has_no_finite_ratio() -> None:
    nothing = replace(MODEL, weights={k: torch.zeros_like(v) for k, v in MODEL.weights.items()})
    account = Account(nothing)()
    assert account.compression == account.speed_up == float("inf")


def test_results_survive_the_study_format() -> None:
    account = Account(pruned(MODEL, "global-magnitude", 0.5))()
    assert unpack(*pack(account)) == account
    assert Account(MODEL).key != Account(pruned(MODEL, "global-magnitude", 0.5)).key
