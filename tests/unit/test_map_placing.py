"""Principal components, placing, trustworthiness and spreading, against what other libraries and brute force say."""

from __future__ import annotations

import numpy as np
import pytest

from imseek.analysis.pca import nonzero_rows, principal_axes
from imseek.maps.representatives import choose_representatives
from imseek.maps.transform import neighbour_weights, place_images
from imseek.maps.trustworthiness import trustworthiness

pytestmark = pytest.mark.slow


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 24))
    return unit(centres[rng.integers(0, 6, 200)] + 0.4 * rng.normal(size=(200, 24)))


class TestPrincipal:
    def test_as_scikit_learn(self, rows) -> None:
        from sklearn.decomposition import PCA

        axes = principal_axes([rows[:70], rows[70:]], 24)
        reference = PCA(2, svd_solver="full").fit(rows)
        signs = np.sign((axes.axes * reference.components_).sum(axis=1))
        assert axes.axes * signs[:, None] == pytest.approx(reference.components_, abs=1e-4)
        assert axes.project(rows) * signs == pytest.approx(reference.transform(rows), abs=1e-4)

    def test_the_largest_part_of_an_axis_is_positive(self, rows) -> None:
        axes = principal_axes([rows], 24).axes
        assert (axes[np.arange(2), np.abs(axes).argmax(axis=1)] > 0).all()

    def test_rows_of_zeros_do_not_count(self, rows) -> None:
        with_zeros = np.concatenate([rows, np.zeros((50, 24), np.float32)])
        assert nonzero_rows(with_zeros).sum() == 200
        assert principal_axes([with_zeros], 24).mean == pytest.approx(rows.mean(axis=0), abs=1e-6)

    def test_equal_rows_lie_in_one_place(self) -> None:
        same = np.repeat(unit(np.ones((1, 8))), 5, axis=0)
        axes = principal_axes([same], 8)
        assert not axes.axes.any()
        assert not axes.project(same).any()

    def test_no_rows(self) -> None:
        assert not principal_axes([], 4).axes.any()

    def test_one_dimension(self) -> None:
        axes = principal_axes([np.array([[1], [-1], [1]], np.float32)], 1)
        assert axes.axes.tolist() == [[1], [0]]


class TestWeights:
    def test_as_umap_learn(self) -> None:
        """Those with which the transform of umap-learn 0.5.12 begins."""
        near = np.array([[0.1, 0.12, 0.2, 0.4], [0.3, 0.31, 0.32, 0.33], [0.02, 0.5, 0.6, 0.9]], np.float32)
        expected = [
            [0.29507, 0.28477, 0.24703, 0.17313],
            [0.25477, 0.25156, 0.24840, 0.24527],
            [0.33060, 0.24594, 0.23124, 0.19221],
        ]
        assert neighbour_weights(near) == pytest.approx(np.array(expected), abs=1e-4)

    def test_one_that_is_equal_has_all(self) -> None:
        found = neighbour_weights(np.array([[0, 0, 0.2], [0.1, 0.1, 0.1]], np.float32))
        assert found[0].tolist() == [1, 0, 0]
        assert found[1] == pytest.approx([1 / 3] * 3)

    @pytest.mark.parametrize("k", [1, 2])
    def test_few_neighbours(self, k) -> None:
        found = neighbour_weights(np.array([[0.3, 0.9], [1.7, 2.0]], np.float32)[:, :k])
        assert np.isfinite(found).all()
        assert found.sum(axis=1) == pytest.approx([1, 1])


class TestPlaced:
    def test_on_an_equal(self) -> None:
        places = np.array([[5, 5], [0, 0], [9, 1]], np.float32)
        found = place_images(np.array([[2, 0, 1]], np.int32), np.array([[0, 0.1, 0.2]], np.float32), places)
        assert found.tolist() == [[9, 1]]

    def test_neighbours_far_from_the_nearest_on_the_map_hardly_count(self) -> None:
        places = np.array([[0, 0], [0.1, 0], [50, 50]], np.float32)
        found = place_images(np.array([[0, 1, 2]], np.int32), np.array([[0.1, 0.11, 0.12]], np.float32), places)
        assert np.linalg.norm(found[0]) < 0.2

    def test_what_one_image_gets_does_not_depend_on_others(self, rows) -> None:
        rng = np.random.default_rng(1)
        positions = rng.integers(0, 50, (20, 5)).astype(np.int32)
        distances = np.sort(rng.random((20, 5)), axis=1).astype(np.float32)
        places = rng.normal(size=(50, 2)).astype(np.float32)
        alone = np.concatenate([place_images(positions[i : i + 1], distances[i : i + 1], places) for i in range(20)])
        assert place_images(positions, distances, places) == pytest.approx(alone, abs=1e-6)


class TestTrust:
    @pytest.mark.parametrize("k", [1, 5, 10])
    def test_as_scikit_learn(self, rows, k) -> None:
        from sklearn.manifold import trustworthiness as reference

        for coordinates in (rows[:, :2], np.random.default_rng(2).normal(size=(200, 2)).astype(np.float32)):
            expected = reference(rows, coordinates, n_neighbors=k, metric="cosine")
            assert trustworthiness(rows, coordinates, k) == pytest.approx(expected, abs=1e-4)

    def test_a_circle_is_shown_as_it_is(self) -> None:
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        assert trustworthiness(circle, circle, 4) == 1

    @pytest.mark.parametrize(("n", "k"), [(10, 5), (10, 0), (2, 1)])
    def test_too_few(self, rows, n, k) -> None:
        with pytest.raises(ValueError, match="neighbours among"):
            trustworthiness(rows[:n], rows[:n, :2], k)


class TestSpread:
    def test_one_of_each_part_comes_first(self) -> None:
        rng = np.random.default_rng(0)
        corners = np.array([[0, 0], [100, 0], [0, 100], [100, 100]])
        of = np.repeat(np.arange(4), [500, 100, 20, 1])
        places = (corners[of] + rng.normal(size=(621, 2))).astype(np.float32)
        assert sorted(of[choose_representatives(places, 4)]) == [0, 1, 2, 3]

    def test_each_beginning_is_what_fewer_would_be(self) -> None:
        places = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
        everything = choose_representatives(places, 300)
        assert sorted(everything) == list(range(300))
        assert choose_representatives(places, 40).tolist() == everything[:40].tolist()

    def test_in_one_place(self) -> None:
        assert sorted(choose_representatives(np.zeros((7, 2), np.float32), 9)) == list(range(7))
        assert choose_representatives(np.zeros((0, 2), np.float32), 3).tolist() == []
        assert choose_representatives(np.zeros((7, 2), np.float32), 0).tolist() == []
