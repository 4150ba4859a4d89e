from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.masks import Mask
from analysis.models import Model
from analysis.pruning import PRESETS, AuditError, Prune, pruned_model, recipe_named
from analysis.pruning.audit import Audit, audit
from analysis.pruning.parts import Decision
from analysis.pruning.structures.weight import Weight
from tests.analysis.pruning.toys import ConvNet, OneLinear, toy


def linear(values: list[list[float]]) -> Model:
    state = {"fc.weight": torch.tensor(values, dtype=torch.float64)}
    return toy(lambda: OneLinear(len(values), len(values[0])), state=state)


def masked(model: Model, keep: Tensor) -> Model:
    return replace(model, masks={"fc.weight": Mask.from_keep(keep)})


def check(before: Model, after: Model, asked: Mapping[str, int], budget: int) -> Audit:
    return audit(before, after, Weight(), Decision({}, asked), budget)


KEEP = torch.tensor([[True, False], [True, True]])


def test_counts_are_recounted_from_the_tensors() -> None:
    model = linear([[1.0, 2.0], [3.0, 4.0]])
    found = check(model, masked(model, KEEP), {"fc": 1}, 1)
    row = found.layers[0]
    assert (row.asked, row.got, row.removed, row.zeros, row.sparsity) == (1, 1, 1, 1, 0.25)
    assert (found.asked, found.got, found.zeros, found.sparsity) == (1, 1, 1, 0.25)
    assert found.notes == found.warnings == ()


@pytest.mark.parametrize(("asked", "budget"), [(2, 2), (0, 0), (1, 2)])
def test_a_miss_is_an_error(asked: int, budget: int) -> None:
    model = linear([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(AuditError, match="were to go"):
        check(model, masked(model, KEEP), {"fc": asked}, budget)


def test_a_weight_that_came_back_is_an_error() -> None:
    model = linear([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(AuditError, match="came back"):
        check(masked(model, KEEP), masked(model, ~KEEP), {"fc": 3}, 3)


def test_a_mask_that_does_not_act_is_an_error() -> None:
    class Deaf(Model):
        def weight(self, parameter: str) -> Tensor:
            return self.weights[parameter]

    model = linear([[1.0, 2.0], [3.0, 4.0]])
    deaf = Deaf(**{**vars(model), "masks": {"fc.weight": Mask.from_keep(KEEP)}})
    with pytest.raises(AuditError, match="0 are zero now"):
        check(model, deaf, {"fc": 1}, 1)


def test_weights_that_are_zero_already_are_zeros_but_not_removed() -> None:
    model = linear([[0.0, 0.0, 1.0, 2.0], [3.0, 4.0, 5.0, 6.0]])
    request = Prune(model, PRESETS["global-magnitude"].recipe, 0.125)
    pruned = request()
    assert (pruned.audit.asked, pruned.audit.removed, pruned.audit.zeros) == (1, 1, 2)
    assert pruned.audit.notes == ("kept weights that are zero by themselves: fc (1)",)
    assert pruned_model(model, pruned, request).sparsity == 0.25


def two_scales() -> Model:
    """A network whose hidden layer is far smaller in magnitude than all else."""
    model = toy(ConvNet)
    model.weights["hidden.weight"].mul_(1e-4)
    return model


def test_layer_collapse_is_named_with_its_remedy() -> None:
    model = two_scales()
    found = Prune(model, PRESETS["global-magnitude"].recipe, 0.5)().audit
    assert found.collapsed == ("hidden",)
    (warning,) = found.warnings
    assert "hidden keeps 0 of 120 weights" in warning
    assert "min_keep" in warning
    kept = Prune(model, recipe_named("global-magnitude", {"allocation.min_keep": "24"}), 0.5)()
    assert kept.audit.collapsed == kept.audit.warnings == ()
    assert min(row.parameters - row.removed for row in kept.audit.layers) >= 24


def test_near_collapse_counts_as_collapse() -> None:
    """5 of 120 is 4 %: less than a tenth of what the network keeps at 50 %."""
    recipe = recipe_named("global-magnitude", {"allocation.min_keep": "5"})
    found = Prune(two_scales(), recipe, 0.5)().audit
    assert found.collapsed == ("hidden",)
    assert np.isclose(found.layers[3].removed, 115)
