"""Every cell against pruning that layer and running the whole network, the plain way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import linear

from analysis.architectures import demo_resnet, demo_vit
from analysis.checkpoints import open_model
from analysis.data import open_data
from analysis.data.dataset import Dataset
from analysis.data.digits import digits_test
from analysis.errors import ArgumentError, InputError
from analysis.evaluate import Evaluate
from analysis.masks import Mask
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import exact_count
from analysis.pruning.parts import Criterion
from analysis.records import pack, unpack
from analysis.request import Cancelled, Compute, Step
from analysis.sensitivity import Sensitivity, SensitivityMap, coarse_first, pruned_weight
from tests.analysis.small_models import SmallNet, Tangled, small_data, small_model


class Absolute(Criterion):
    """|w|, so that these tests need no other part."""

    name = "test-absolute"

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        return {
            layer.name: context.model.weight(layer.parameter).abs() for layer in context.layers
        }


class Calibrated(Absolute):
    name = "test-calibrated"
    needs = frozenset({"calibration"})


class Broken(Absolute):
    name = "test-broken"

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        return {k: v * torch.nan for k, v in super().scores(context).items()}


class Rewriting(nn.Module):
    """Writes into an output of an earlier module: replaying it would add one each time."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(64, 24)
        self.second = nn.Linear(24, classes)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x.flatten(1))
        hidden += 1
        return self.second(hidden)


class Functional(nn.Module):
    """Uses a layer's weight without calling the layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(64, 24)
        self.second = nn.Linear(24, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(linear(x.flatten(1), self.first.weight)))


class Repeating(nn.Module):
    """Calls one layer and one activation several times."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(64, 24)
        self.again = nn.Linear(24, 24)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Linear(24, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x.flatten(1)))
        x = self.relu(self.again(x))
        return self.last(self.relu(self.again(x)))


def demo(module: object, seed: int = 0) -> Model:
    architecture = module.ARCHITECTURE  # type: ignore[attr-defined]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        weights = architecture.build(10).state_dict()
        for name, tensor in weights.items():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.1)
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
    return Model(architecture.name, architecture.name, architecture, 10, weights)


def naive(model: Model, data: Dataset, sparsities: tuple[float, ...]) -> list[list[float]]:
    """Loss by layer and sparsity: a whole evaluation with an edited state dict for every cell."""
    rows = []
    for layer in model.layers:
        row = []
        for sparsity in sparsities:
            weight = model.weight(layer.parameter).clone()
            order = np.argsort(weight.abs().numpy().ravel(), kind="stable")
            weight.view(-1)[order[: round(sparsity * weight.numel())]] = 0
            edited = {**model.weights, layer.parameter: weight}
            masks = {k: v for k, v in model.masks.items() if k != layer.parameter}
            row.append(Evaluate(replace(model, weights=edited, masks=masks), data)().loss)
        rows.append(row)
    return rows


@pytest.mark.parametrize("build", [SmallNet, Tangled, Rewriting, Functional, Repeating])
def test_cells_equal_whole_evaluations(build: type[nn.Module]) -> None:
    model, data, sparsities = small_model(build), small_data(), (0.0, 0.3, 0.7, 0.95)
    result = Sensitivity(model, data, Absolute(), sparsities, compute=Compute(batch_size=20))()
    np.testing.assert_allclose(result.loss, naive(model, data, sparsities), atol=1e-6)
    dense = Evaluate(model, data)()
    assert result.dense_loss == pytest.approx(dense.loss, abs=1e-6)
    np.testing.assert_allclose(result.loss[:, 0], result.dense_loss, atol=1e-12)
    assert result.exact.all()
    assert result.layers == tuple(layer.name for layer in model.layers)
    assert (result.n, result.sparsities) == (57, sparsities)


@pytest.mark.parametrize("module", [demo_resnet, demo_vit])
def test_cells_of_the_demo_networks_equal_whole_evaluations(module: object) -> None:
    model, sparsities = demo(module), (0.5, 0.9)
    data = digits_test().sample(60, seed=0)
    result = Sensitivity(model, data, Absolute(), sparsities, compute=Compute(batch_size=40))()
    np.testing.assert_allclose(result.loss, naive(model, data, sparsities), atol=1e-5)


def test_masks_are_kept_and_masked_weights_go_first() -> None:
    model, data = small_model(), small_data()
    layer = model.layers[1]
    generator = torch.Generator().manual_seed(0)
    keep = torch.rand(layer.shape, generator=generator) > 0.5
    model = replace(model, masks={layer.parameter: Mask.from_keep(keep)})
    result = Sensitivity(model, data, Absolute(), (0.2, 0.8))()
    np.testing.assert_allclose(result.loss, naive(model, data, (0.2, 0.8)), atol=1e-6)
    assert result.loss[1, 0] == result.dense_loss  # at most what was gone already


def test_partial_maps_fill_the_middle_column_first() -> None:
    steps: list[Step] = []
    model, data = small_model(), small_data()
    result = Sensitivity(model, data, Absolute(), (0.1, 0.5, 0.9), compute=Compute("cpu", 30))(
        steps.append
    )
    maps = [step.partial for step in steps if isinstance(step.partial, SensitivityMap)]
    rows = len(model.layers)
    assert len(maps) == 2 * rows
    for done, partial in enumerate(maps[:rows], 1):
        assert partial.exact[:, 1].sum() == done == partial.exact.sum()
        np.testing.assert_array_equal(np.isnan(partial.loss), ~partial.exact)
        np.testing.assert_array_equal(partial.loss[partial.exact], result.loss[partial.exact])
    done_counts = [step.done for step in steps]
    assert done_counts == sorted(done_counts)
    assert steps[-1].done == steps[-1].total


def test_a_cancelled_sweep_leaves_the_model_as_it_was() -> None:
    model, data = small_model(), small_data()
    before = {name: tensor.clone() for name, tensor in model.weights.items()}

    def cancel(step: Step) -> None:
        if step.done > 7:
            raise Cancelled

    with pytest.raises(Cancelled):
        Sensitivity(model, data, Absolute(), compute=Compute("cpu", 20))(cancel)
    for name, tensor in before.items():
        torch.testing.assert_close(model.weights[name], tensor, rtol=0, atol=0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=40),
    st.floats(0, 1, exclude_max=True),
)
def test_exactly_the_lowest_scores_go(values: list[int], sparsity: float) -> None:
    weight = torch.ones(len(values))
    pruned = pruned_weight(weight, torch.tensor(values, dtype=torch.float32), sparsity)
    gone = sorted(
        sorted(range(len(values)), key=lambda i: values[i])[: exact_count(sparsity, len(values))]
    )
    assert torch.nonzero(pruned == 0).flatten().tolist() == gone
    assert bool((weight == 1).all())


@given(st.integers(1, 30))
def test_every_column_comes_once(count: int) -> None:
    passes = coarse_first(count)
    assert sorted(column for columns in passes for column in columns) == list(range(count))


@pytest.mark.parametrize("sparsities", [(), (1.0,), (-0.1, 0.5), (float("nan"),)])
def test_bad_sparsities_are_refused(sparsities: tuple[float, ...]) -> None:
    with pytest.raises(ArgumentError):
        Sensitivity(small_model(), small_data(), Absolute(), sparsities)


def test_bad_criteria_are_refused() -> None:
    model, data = small_model(), small_data()
    with pytest.raises(ArgumentError, match="nothing"):
        Sensitivity(model, data, "nothing")
    with pytest.raises(ArgumentError, match="calibration"):
        Sensitivity(model, data, Calibrated())()
    with pytest.raises(InputError, match="NaN"):
        Sensitivity(model, data, Broken())()


def test_calibration_that_is_not_needed_is_no_part_of_the_key() -> None:
    model, data = small_model(), small_data()
    plain, named = (
        Sensitivity(model, data),
        Sensitivity(model, data, "magnitude", calibration=data),
    )
    assert plain.key == named.key != Sensitivity(model, data, "random").key
    with_data = Sensitivity(model, data, Calibrated(), calibration=data)
    assert with_data.key != Sensitivity(model, data, Calibrated()).key


def test_a_registered_criterion_goes_by_its_name() -> None:
    model, data = small_model(), small_data()
    by_name = Sensitivity(model, data, "magnitude", (0.6,))()
    np.testing.assert_array_equal(
        by_name.loss, Sensitivity(model, data, Absolute(), (0.6,))().loss
    )


def test_results_can_be_stored() -> None:
    result = Sensitivity(small_model(), small_data(8), Absolute(), (0.5,))()
    again = unpack(*pack(result))
    np.testing.assert_array_equal(again.loss, result.loss)
    assert again.layers == result.layers


@pytest.mark.parametrize("criterion", ["fpgm", "sparsegpt", "swap", "signal-to-noise"])
def test_criteria_that_do_not_score_single_weights_are_refused(criterion: str) -> None:
    model, data = open_model("demo:vit")[0], open_data("digits").evaluation
    with pytest.raises(ArgumentError, match="choose another criterion"):
        Sensitivity(model, data, criterion)
