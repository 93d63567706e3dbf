"""Spherical k-means: groups that are there are found, and the same again."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from holding import Held, blobs

from imseek.clusters import kmeans_clusters
from imseek.data.vectors import kmeans
from imseek.errors import MissingExtraError, UsageError
from imseek.progress import Task
from imseek.types.arrays import Float32

QUIET = Task()


def same_groups(label: np.ndarray, kinds: np.ndarray) -> bool:
    pairs = set(zip(label.tolist(), kinds.tolist(), strict=True))
    return len(pairs) == len(set(label.tolist())) == len(set(kinds.tolist()))


def test_groups_are_found_and_centres_are_unit_rows() -> None:
    rows, kinds = blobs([50, 30, 20])
    held = Held(rows)
    centres = kmeans.centres_of(held.rows, 3, seed=1)
    assert centres.shape == (3, 16)
    assert np.allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)
    numbers, cosines = kmeans.nearest_centres(held.rows, centres)
    assert same_groups(numbers[:, 0], kinds)
    products = held.rows @ centres.T
    assert np.allclose(np.sort(products, axis=1)[:, ::-1][:, :2], cosines, atol=1e-5)
    assert np.array_equal(centres, kmeans.centres_of(held.rows, 3, seed=1))


def test_a_centre_for_each_row_and_one_for_all() -> None:
    held = Held(np.eye(4))
    assert np.allclose(np.sort(kmeans.centres_of(held.rows, 4).argmax(axis=1)), [0, 1, 2, 3])
    one = kmeans.centres_of(held.rows, 1)
    assert np.allclose(one, 0.5, atol=1e-5)
    assert kmeans.nearest_centres(held.rows, one)[0].shape == (4, 1)


def test_the_largest_comes_first_and_each_image_is_assigned() -> None:
    rows, kinds = blobs([15, 40, 25])
    held = Held(rows)
    fitted = kmeans_clusters.fit(held, 3, 0, QUIET)
    fitted, found = kmeans_clusters.order_by_size(fitted, kmeans_clusters.assign(held, fitted, QUIET))
    assert np.bincount(found.label).tolist() == [40, 25, 15]
    assert same_groups(found.label, kinds)
    products = held.rows @ fitted.centres.T
    assert np.array_equal(products.argmax(axis=1), found.label)
    assert np.allclose(products.max(axis=1), found.own, atol=1e-5)
    assert np.array_equal(np.argsort(-products, axis=1)[:, 1], found.next)


def test_the_number_of_groups_is_found() -> None:
    rows, _ = blobs([60] * 8, spread=0.3, seed=3)
    fitted = kmeans_clusters.fit(Held(rows), None, 0, QUIET)
    assert len(fitted.centres) == 8
    assert fitted.chosen.startswith("the most stable of 6, 8, 11, 16, 23, 32, 45 (")
    few = kmeans_clusters.fit(Held(rows[:18]), None, 0, QUIET)
    assert len(few.centres) == 3
    assert few.chosen == "too few images to choose by: √(n/2)"


def test_no_more_clusters_than_vectors_that_differ() -> None:
    held = Held(np.repeat(np.eye(3), 10, axis=0))
    fitted = kmeans_clusters.fit(held, 7, 0, QUIET)
    assert len(fitted.centres) == 3
    assert fitted.chosen == "as asked for, but no more vectors differ"
    assert len(kmeans_clusters.fit(Held(np.ones((9, 4))), None, 0, QUIET).centres) == 1


@pytest.mark.parametrize("k", [0, -1, 31, 10_001])
def test_numbers_that_make_no_sense(k: int) -> None:
    with pytest.raises(UsageError, match="cannot be put into"):
        kmeans_clusters.fit(Held(np.eye(30)), k, 0, QUIET)


def test_a_row_of_zeros_is_in_no_cluster() -> None:
    held = Held(np.concatenate([np.eye(4), np.zeros((2, 4))]))
    fitted = kmeans_clusters.fit(held, 4, 0, QUIET)
    label = kmeans_clusters.order_by_size(fitted, kmeans_clusters.assign(held, fitted, QUIET))[1].label
    assert label[4:].tolist() == [-1, -1]
    assert sorted(label[:4].tolist()) == [0, 1, 2, 3]


@pytest.mark.slow
def test_density_finds_groups_and_leaves_out_what_lies_between() -> None:
    from imseek.clusters import density_clusters

    rows, kinds = blobs([40, 40, 40], dim=32)
    noise = np.random.default_rng(5).normal(size=(6, 32))
    held = Held(np.concatenate([rows, noise]))
    fitted = density_clusters.fit(held, 10, 0, QUIET)
    label = kmeans_clusters.order_by_size(fitted, kmeans_clusters.assign(held, fitted, QUIET))[1].label
    assert len(fitted.centres) == 3
    inside = label[:120] >= 0
    assert inside.mean() > 0.9
    assert same_groups(label[:120][inside], kinds[inside])
    again = density_clusters.fit(held, 10, 0, QUIET)
    assert np.array_equal(fitted.centres, again.centres)


def test_density_of_more_images_than_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    from imseek.clusters import density_clusters

    monkeypatch.setattr(density_clusters, "SAMPLE", 90)
    rows, kinds = blobs([60, 60, 60], dim=32)
    held = Held(np.concatenate([rows, -rows[:1]]))
    fitted = density_clusters.fit(held, 8, 0, QUIET)
    label = kmeans_clusters.order_by_size(fitted, kmeans_clusters.assign(held, fitted, QUIET))[1].label
    inside = label[:180] >= 0
    assert inside.mean() > 0.85  # a twentieth of each cluster lies beyond its own limit
    assert same_groups(label[:180][inside], kinds[inside])
    assert label[180] == -1  # opposite to a cluster, and near to none


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_too_few_images_for_density(n: int) -> None:
    from imseek.clusters import density_clusters

    held = Held(np.random.default_rng(0).normal(size=(n, 8)))
    fitted = density_clusters.fit(held, None, 0, QUIET)
    assert len(fitted.centres) == 0
    assert (kmeans_clusters.assign(held, fitted, QUIET).label == -1).all()


@pytest.mark.parametrize("smallest", [0, 1, -3, 10_001])
def test_smallest_groups_that_make_no_sense(smallest: int) -> None:
    from imseek.clusters import density_clusters

    with pytest.raises(UsageError, match="is none"):
        density_clusters.fit(Held(np.eye(30)), smallest, 0, QUIET)


@pytest.mark.parametrize(("missing", "error"), [("faiss", MissingExtraError), ("numpy.lost", ModuleNotFoundError)])
def test_a_missing_faiss_is_told_and_a_broken_one_is_not_called_missing(
    missing: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: object, **kwargs: object) -> object:
        if name == "faiss":
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    rows = np.eye(4, dtype=np.float32)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(error, match=missing.split(".")[0]):
        kmeans.centres_of(rows, 2)
    monkeypatch.undo()
    assert kmeans.centres_of(rows, 2).shape == (2, 4)


@pytest.mark.parametrize("count", [1, 2, 7, 40, 99])
def test_the_nearest_centres_are_those_of_a_full_sort(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans, "_PRODUCTS", 40 * 64)  # Several blocks, the last one smaller.
    rows, centres = classes_of_rows(200, 16, 9), classes_of_rows(40, 16, 9)
    numbers, cosines = kmeans.nearest_centres(rows, centres, count)
    products = rows @ centres.T
    expected = np.argsort(-products, axis=1, kind="stable")[:, :count]
    assert np.array_equal(numbers, expected)
    assert np.allclose(cosines, np.take_along_axis(products, expected, 1), atol=1e-6)
    assert kmeans.nearest_centres(rows[:0], centres, count)[0].shape == (0, min(count, 40))


def classes_of_rows(count: int, dim: int, classes: int) -> Float32:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((classes, dim))[rng.integers(classes, size=count)] + 0.8 * rng.standard_normal(
        (count, dim)
    )
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def similarity(rows: Float32, centres: Float32) -> float:
    return float((rows @ centres.T).max(axis=1).mean())


def test_many_centres_are_as_good_as_those_of_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = classes_of_rows(20_000, 64, 700)
    many = kmeans.centres_of(rows, 512, iterations=8)
    assert many.shape == (512, 64)
    assert np.allclose(np.linalg.norm(many, axis=1), 1, atol=1e-5)
    assert np.array_equal(many, kmeans.centres_of(rows, 512, iterations=8))
    assert not np.array_equal(many, kmeans.centres_of(rows, 512, seed=1, iterations=8))
    monkeypatch.setattr(kmeans, "_MANY", 1000)
    faiss_centres = kmeans.centres_of(rows, 512, iterations=8)
    assert not np.array_equal(many, faiss_centres)
    assert similarity(rows, many) > similarity(rows, faiss_centres) - 0.005


def test_no_centre_of_many_is_left_without_rows() -> None:
    """Nine in ten rows are copies of three, so that most of the first centres are equal."""
    rows = classes_of_rows(20_000, 16, 700)
    rows[2_000:] = rows[np.arange(18_000) % 3]
    centres = kmeans.centres_of(rows, 600, iterations=8)
    assert np.isfinite(centres).all()
    assert len(np.unique(kmeans.nearest_centres(rows, centres, 1)[0])) > 590


class StopError(Exception):
    pass


def test_training_of_many_reports_its_progress_and_stops_on_request() -> None:
    rows = classes_of_rows(40_000, 32, 4_000)
    shares: list[float] = []

    def stop(share: float) -> None:
        shares.append(share)
        if len(shares) == 4:
            raise StopError

    with pytest.raises(StopError):
        kmeans.centres_of(rows, 1024, iterations=1000, report=stop)
    assert shares == [0.0, pytest.approx(32_768 / 40_000 / 1000), 1 / 1000, pytest.approx(1.8192 / 1000)]
    shares = []
    kmeans.centres_of(rows[:2000], 8, report=shares.append)
    assert shares == [0.0, 1.0]


def test_a_search_in_groups_nearly_always_finds_the_nearest_centre(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, centres = classes_of_rows(5_000, 64, 300), classes_of_rows(2_500, 64, 300)
    exact = kmeans.nearest_centres(rows, centres, 1)[0][:, 0]
    nearest, cosines = kmeans.CentreSearch(centres, is_exact=False).nearest(rows)
    assert (nearest == exact).mean() > 0.95
    assert np.allclose(cosines, (rows * centres[nearest]).sum(axis=1), atol=1e-6)
    chance = (rows * centres[np.roll(exact, 1)]).sum(axis=1).mean()
    best, some = ((rows * centres[numbers]).sum(axis=1).mean() for numbers in (exact, nearest))
    assert best - some < 0.01 * (best - chance)
    assert kmeans.CentreSearch(centres, is_exact=False).nearest(rows[:0])[0].shape == (0,)
    assert np.array_equal(kmeans.CentreSearch(centres, is_exact=True).nearest(rows)[0], exact)
    monkeypatch.setattr(kmeans, "_GROUPED", 2_501)
    assert np.array_equal(kmeans.CentreSearch(centres, is_exact=False).nearest(rows)[0], exact)
