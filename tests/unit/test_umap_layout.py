"""UMAP on NumPy, against umap-learn 0.5.12, whose figures are written down here, and on photographs' vectors."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.manifold import trustworthiness

from imseek.analysis import umap_layout
from imseek.analysis.pca import principal_axes
from imseek.analysis.umap_layout import PHASE, curve, fit_layout, fuzzy_graph
from imseek.errors import MissingExtraError
from imseek.progress import Cancelled, Progress, Task

pytestmark = pytest.mark.slow

QUIET = Task(None, None)
#: Places on a line, two of them equal.
LINE = np.array([0, 0, 0.1, 0.25, 0.3, 0.6, 1.0])
#: Edges of their graph with three neighbours, and the weights that umap-learn gives them.
EDGES = {
    (0, 1): 1.0, (0, 2): 1.0, (0, 3): 0.38197, (0, 4): 0.41232, (1, 2): 1.0, (1, 3): 0.0, (2, 3): 0.61804,
    (2, 4): 0.58768, (3, 4): 1.0, (3, 5): 0.61804, (3, 6): 0.47331, (4, 5): 1.0, (4, 6): 0.52669, (5, 6): 1.0,
}  # fmt: skip


def neighbours(distances: Any, k: int) -> tuple[Any, Any]:
    """The k nearest others, (n, k) positions and distances, of points with the distances (n, n)."""
    np.fill_diagonal(distances, np.inf)
    positions = np.argsort(distances, axis=1, kind="stable")[:, :k].astype(np.int32)
    return positions, np.take_along_axis(distances, positions, axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def patches() -> Any:
    """600 pieces of photographs, colours of 8 × 8 pixels as unit rows, (600, 192)."""
    from skimage import data

    rng = np.random.default_rng(0)
    rows = []
    for name in ("astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry", "retina"):
        picture = Image.fromarray(getattr(data, name)())
        for _ in range(100):
            x, y = rng.integers(0, picture.width - 64), rng.integers(0, picture.height - 64)
            piece = picture.crop((x, y, x + 64, y + 64)).resize((8, 8))
            rows.append(np.asarray(piece, np.float32).ravel() + 1)
    matrix = np.stack(rows)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def near(patches: Any) -> tuple[Any, Any]:
    return neighbours(np.maximum(1 - patches @ patches.T, 0), 14)


@pytest.fixture(scope="module")
def start(patches: Any) -> Any:
    return principal_axes([patches], patches.shape[1]).project(patches)


def test_the_graph_is_that_of_umap_learn() -> None:
    graph = fuzzy_graph(*neighbours(np.abs(LINE[:, None] - LINE[None]), 3)).toarray()
    assert graph == pytest.approx(graph.T)
    assert {edge: round(float(graph[edge]), 5) for edge in EDGES} == pytest.approx(EDGES, abs=2e-5)
    others = {(i, j) for i in range(7) for j in range(i, 7)} - set(EDGES)
    assert not any(graph[edge] for edge in others)


def test_points_without_any_distance_have_whole_edges() -> None:
    graph = fuzzy_graph(np.array([[1, 2], [0, 2], [0, 1]], np.int32), np.zeros((3, 2), np.float32))
    assert (graph.toarray() == 1 - np.eye(3)).all()


@pytest.mark.parametrize(
    ("min_dist", "expected"),
    [
        (0.0, (1.93281, 0.79049)),
        (0.1, (1.57694, 0.89506)),
        (0.5, (0.58303, 1.33417)),
        (0.99, (0.11931, 1.91639)),
    ],
)
def test_the_curve_is_that_of_umap_learn(min_dist: float, expected: tuple[float, float]) -> None:
    assert curve(min_dist) == pytest.approx(expected, abs=1e-4)


def test_a_layout_is_more_trustworthy_than_principal_components(patches: Any, near: Any, start: Any) -> None:
    layout = fit_layout(*near, start, 0.1, 0, QUIET)
    assert layout.shape == (600, 2)
    assert layout.dtype == np.float32

    def trust(places: Any) -> float:
        return float(trustworthiness(patches, places, n_neighbors=10, metric="cosine"))

    # umap-learn with the same neighbours and start, seeds 0 to 3: .876 to .881.
    assert trust(layout) > 0.875 > 0.85 > trust(start)
    assert trust(np.random.default_rng(0).permutation(layout)) < 0.6


def test_it_has_any_number_of_dimensions(patches: Any, near: Any) -> None:
    five = principal_axes([patches], patches.shape[1], 5).project(patches)
    layout = fit_layout(*near, five, 0.0, 0, QUIET)
    assert layout.shape == (600, 5)
    # umap-learn, seeds 0 to 3: .889 to .890.
    assert trustworthiness(patches, layout, n_neighbors=10, metric="cosine") > 0.885


def test_a_seed_makes_the_same_layout(near: Any, start: Any) -> None:
    once, again, other = (fit_layout(*near, start, 0.1, seed, QUIET) for seed in (3, 3, 4))
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - other).max() > 0.1


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_points(n: int) -> None:
    points = np.arange(n, dtype=np.float64)
    layout = fit_layout(
        *neighbours(np.abs(points[:, None] - points[None]), n - 1),
        np.zeros((n, 2), np.float32),
        0.1,
        0,
        QUIET,
    )
    assert np.isfinite(layout).all()
    assert len(np.unique(layout, axis=0)) == n


def test_many_points_take_fewer_epochs(monkeypatch: pytest.MonkeyPatch, near: Any, start: Any) -> None:
    lengths = []
    for most in (600, 599):
        monkeypatch.setattr(umap_layout, "_FEW_POINTS", most)
        seen: list[Progress] = []
        fit_layout(*near, start, 0.1, 0, Task(seen.append, None))
        assert {one.phase for one in seen} == {PHASE}
        assert seen[-1].done == seen[-1].total
        lengths.append(seen[-1].total)
    assert lengths == [500, 200]


def test_it_can_be_stopped(near: Any, start: Any) -> None:
    stop = threading.Event()

    def see(progress: Progress) -> None:
        if progress.done >= 20:
            stop.set()

    with pytest.raises(Cancelled):
        fit_layout(*near, start, 0.1, 0, Task(see, stop))


def test_a_missing_scipy_is_named(monkeypatch: pytest.MonkeyPatch, near: Any, start: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(MissingExtraError, match="UMAP") as caught:
        fit_layout(*near, start, 0.1, 0, QUIET)
    assert caught.value.extra == "explore"
