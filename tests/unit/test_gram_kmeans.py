"""K-means on dot products: the steps of k-means on vectors, from starting points that are far apart."""

from __future__ import annotations

import numpy as np
import pytest
from holding import blobs
from skimage.util import view_as_windows

from imseek.clusters.gram_kmeans import cluster_sums, fit_labels, nearest_clusters, squared_norms


def unit(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def patches(photo_files: list) -> np.ndarray:
    """Unit rows (600, 192) of patches of three photographs, in which no groups are clear."""
    from PIL import Image

    found = []
    for path in photo_files[:3]:
        pixels = np.asarray(Image.open(path).convert("RGB").resize((96, 96)), np.float32)
        windows = view_as_windows(pixels, (8, 8, 3), step=6)[:, :, 0]
        found.append(windows.reshape(-1, 8 * 8 * 3)[:200])
    rows = np.concatenate(found)
    return unit(rows - rows.mean(axis=0))


@pytest.mark.filterwarnings("error")
def test_vectors_that_cancel_have_no_centre(patches) -> None:
    both = np.concatenate([patches, -patches])
    gram = both @ both.T
    labels = np.zeros(len(both), np.int64)
    sums = cluster_sums(gram, labels, 2)
    for square in (0.0, -1e-7):
        found, _ = nearest_clusters(sums, np.array([square, 0], np.float32))
        assert found.shape == labels.shape


@pytest.mark.parametrize("k", [2, 7, 40])
def test_no_image_is_nearer_to_another_centre(patches, k) -> None:
    labels = fit_labels(patches @ patches.T, k, 0)
    assert np.bincount(labels, minlength=k).all()
    centres = unit(np.stack([patches[labels == n].sum(axis=0) for n in range(k)]))
    cosines = patches @ centres.T
    assert (cosines.max(axis=1) - cosines[np.arange(len(labels)), labels]).max() < 1e-5


def test_more_starts_are_never_worse_and_the_same_seed_gives_the_same(patches) -> None:
    gram = patches @ patches.T

    def worth(labels: np.ndarray) -> float:
        return sum(np.linalg.norm(patches[labels == n].sum(axis=0)) for n in range(9))

    once, often = fit_labels(gram, 9, 5), fit_labels(gram, 9, 5, starts=6)
    assert worth(often) >= worth(once) > worth(np.arange(len(patches)) % 9)
    assert np.array_equal(once, fit_labels(gram, 9, 5))
    assert not np.array_equal(once, fit_labels(gram, 9, 6))


def test_groups_are_found_from_one_start() -> None:
    rows, kinds = blobs([60] * 12, spread=0.3, seed=3)
    rows = unit(rows)
    labels = fit_labels(rows @ rows.T, 12, 0)
    assert len(set(zip(labels.tolist(), kinds.tolist(), strict=True))) == 12


def test_copies_take_no_second_centre() -> None:
    rows = unit(np.concatenate([np.repeat(np.random.default_rng(0).normal(size=(1, 40)), 50, axis=0), np.eye(40)[:3]]))
    labels = fit_labels(rows @ rows.T, 4, 0)
    assert len(set(labels.tolist())) == 4
    assert len(set(labels[:50].tolist())) == 1


def test_fewer_vectors_than_clusters_leave_clusters_empty() -> None:
    rows = unit(np.repeat(np.eye(3), 4, axis=0))
    labels = fit_labels(rows @ rows.T, 5, 0)
    assert [len(set(labels[n : n + 4].tolist())) for n in (0, 4, 8)] == [1, 1, 1]
    assert len(set(labels.tolist())) == 3


def test_others_are_assigned_by_their_products(patches) -> None:
    half, others = patches[::2], patches[1::2]
    labels = fit_labels(half @ half.T, 6, 1)
    sums = cluster_sums(half @ patches.T, labels, 6)
    assigned, cosines = nearest_clusters(sums, squared_norms(sums[:, ::2], labels))
    centres = unit(np.stack([half[labels == n].sum(axis=0) for n in range(6)]))
    assert np.array_equal(assigned[::2], labels)
    assert np.allclose(cosines[1::2], (others @ centres.T).max(axis=1), atol=1e-5)
