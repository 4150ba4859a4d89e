"""Embeddings against scikit-learn and umap-learn."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from analysis.errors import ArgumentError, InputError
from analysis.geometry import Embed, Embedding, exact_knn, principal_plane
from analysis.geometry.umap_graph import fuzzy_graph
from analysis.geometry.umap_layout import CURVE, Layout, start_coordinates
from analysis.records import pack, unpack
from analysis.request import Cancelled, Step

needs_umap = pytest.mark.filterwarnings("ignore")
"""umap-learn warns when imported and when seeded; it is only the reference here."""


def clusters(count: int = 240, width: int = 16, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = 4 * generator.normal(size=(5, width))
    return centres[np.arange(count) % 5] + generator.normal(size=(count, width))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 30), st.integers(2, 40))
def test_the_plane_is_scikit_learns_up_to_our_sign(seed: int, count: int, width: int) -> None:
    x = np.random.default_rng(seed).normal(size=(count, width)) * np.linspace(3, 0.1, width)
    ours, reference = principal_plane(x), PCA(2, svd_solver="full").fit_transform(x)
    sign = np.sign((ours * reference).sum(axis=0))
    assert ours == pytest.approx(reference * sign, abs=1e-6)


def test_axes_point_where_their_largest_loading_is_positive() -> None:
    x = np.outer(np.arange(5.0), [-3.0, 1.0])
    plane = principal_plane(x)
    assert plane[:, 0] == pytest.approx(np.linspace(2, -2, 5) * np.sqrt(10))
    assert plane[:, 1] == pytest.approx(np.zeros(5))


@pytest.mark.parametrize("shape", [(1, 5), (4, 1), (6, 3)])
def test_directions_without_variance_are_zero(shape: tuple[int, int]) -> None:
    assert principal_plane(np.full(shape, 2.5)).tolist() == [[0.0, 0.0]] * shape[0]


@needs_umap
@pytest.mark.parametrize("duplicates", [False, True])
def test_the_graph_is_umap_learns(duplicates: bool) -> None:
    from umap.umap_ import fuzzy_simplicial_set

    x = clusters()
    if duplicates:
        x[50:80] = x[50]
    indices, distances = exact_knn(x, 14)
    own = np.arange(len(x))[:, None]
    reference, *_ = fuzzy_simplicial_set(
        x,
        15,
        np.random.RandomState(0),
        "euclidean",
        knn_indices=np.hstack([own, indices]),
        knn_dists=np.hstack([np.zeros((len(x), 1)), distances]),
    )
    assert fuzzy_graph(indices, distances).toarray() == pytest.approx(
        reference.toarray(), abs=2e-4
    )


@needs_umap
def test_epochs_are_umap_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same graph, start and random streams; beyond a few epochs rounding makes chaos.

    umap-learn's own epoch, compiled without fastmath, which changes how many negative samples
    are drawn where a ratio is whole.
    """
    import numba
    from umap import layouts
    from umap.umap_ import find_ab_params, make_epochs_per_sample

    strict = numba.njit(layouts._optimize_layout_euclidean_single_epoch)
    monkeypatch.setattr(layouts, "_nb_optimize_layout_euclidean_single_epoch", strict)

    assert pytest.approx(find_ab_params(1.0, 0.1), rel=1e-6) == CURVE
    x = clusters()
    graph = fuzzy_graph(*exact_knn(x, 14))
    generator = np.random.default_rng(0)
    start = start_coordinates(principal_plane(x), generator)
    epochs = 3
    layout = Layout(graph, start, epochs, generator)
    state = np.array([11, 22, 33], np.int64)
    layout.streams = np.full((len(x), 3), state) + start[:, 0].astype(np.float64).view(
        np.int64
    ).reshape(-1, 1)
    keep = graph.data >= graph.data.max() / 500
    reference = start.copy()
    layouts.optimize_layout_euclidean(
        reference,
        reference,
        graph.row[keep],
        graph.col[keep],
        epochs,
        len(x),
        make_epochs_per_sample(graph.data[keep], epochs),
        *CURVE,
        state,
        move_other=True,
    )
    for _ in range(epochs):
        layout.step()
    assert np.abs(reference - start).max() > 1.0
    apart = np.abs(layout.coordinates - reference)
    assert np.median(apart) < 1e-3
    assert apart.max() < 0.1


@needs_umap
def test_umap_is_as_trustworthy_as_umap_learns() -> None:
    import umap

    x = clusters(300)
    reference = umap.UMAP(n_epochs=200, random_state=0, n_jobs=1, init="pca").fit_transform(x)
    ours = Embed((x,), "umap")()
    expected = trustworthiness(x, reference, n_neighbors=15)
    assert ours.trustworthiness[0] == pytest.approx(expected, abs=0.02)
    assert ours.trustworthiness[0] == pytest.approx(
        trustworthiness(x, ours.coordinates[0], n_neighbors=15), abs=1e-12
    )


def test_the_same_images_lie_together_and_a_seed_repeats() -> None:
    x = clusters()
    near = x + 0.05 * np.random.default_rng(1).normal(size=x.shape)
    request = Embed((x, near), "umap", epochs=100, seed=4)
    result, again = request(), request()
    moved = np.linalg.norm(result.coordinates[0] - result.coordinates[1], axis=1)
    spread = np.linalg.norm(np.ptp(np.concatenate(result.coordinates), axis=0))
    assert np.median(moved) < 0.05 * spread
    assert all(
        np.array_equal(a, b) for a, b in zip(result.coordinates, again.coordinates, strict=True)
    )
    assert result.method == "umap"
    assert result.done_epochs == 100
    assert [c.dtype for c in result.coordinates] == [np.float32] * 2


def test_pca_comes_first_and_epochs_can_be_cancelled() -> None:
    steps: list[Step] = []

    def stop(step: Step) -> None:
        steps.append(step)
        if step.message == "UMAP: epoch 7 of 500":
            raise Cancelled

    with pytest.raises(Cancelled):
        Embed((clusters(),), "umap", epochs=500)(stop)
    first = next(step.partial for step in steps if step.partial is not None)
    assert isinstance(first, Embedding)
    assert first.method == "pca"
    assert first.coordinates[0] == pytest.approx(
        principal_plane(clusters()).astype(np.float32), abs=1e-5
    )
    assert all(before.done <= after.done for before, after in itertools.pairwise(steps))


@pytest.mark.parametrize("method", ["pca", "umap"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 14, 15])
def test_few_points(method: str, count: int) -> None:
    result = Embed((clusters(count),), method, epochs=20)()  # type: ignore[arg-type]
    assert result.coordinates[0].shape == (count, 2)
    assert np.isfinite(result.coordinates[0]).all()
    assert result.method == ("umap" if method == "umap" and count > 2 else "pca")


def test_constant_features_stay_in_place() -> None:
    result = Embed((np.ones((30, 4)), np.ones((30, 4))), "umap")()
    assert not np.concatenate(result.coordinates).any()
    assert "differ" in result.note


def test_duplicates_are_laid_out() -> None:
    x = np.repeat(clusters(10), 20, axis=0)
    assert np.isfinite(Embed((x,), "umap", epochs=30)().coordinates[0]).all()


def test_unusable_features_say_why() -> None:
    x = clusters(20)
    with pytest.raises(ArgumentError, match="16, 17 have no common space"):
        Embed((x, clusters(20, 17)))()
    with pytest.raises(ArgumentError, match="one or more arrays"):
        Embed(())()
    with pytest.raises(ArgumentError, match="neighbours must be at least 2"):
        Embed((x,), neighbours=1)()
    with pytest.raises(ArgumentError, match="pca or umap"):
        Embed((x,), "tsne")()  # type: ignore[arg-type]
    x[3, 3] = np.nan
    with pytest.raises(InputError, match=r"model 2 of 2.*NaN"):
        Embed((clusters(20), x))()


def test_the_key_depends_on_features_method_and_parameters() -> None:
    x = clusters(20)
    request = Embed((x,))
    others = [
        Embed((x + 1,)),
        Embed((x, x)),
        Embed((x,), "pca"),
        dataclasses.replace(request, neighbours=10),
        dataclasses.replace(request, epochs=10),
        dataclasses.replace(request, seed=1),
    ]
    assert len({request.key, *(other.key for other in others)}) == 7
    assert Embed((x.copy(),)).key == request.key


def test_the_answer_survives_the_disk() -> None:
    result = Embed((clusters(30), clusters(30, seed=1)), "pca")()
    back = unpack(*pack(result))
    assert back.trustworthiness == result.trustworthiness
    assert np.array_equal(back.coordinates[1], result.coordinates[1])
