"""Places where pictures were taken, grouped: boxes that do not overlap, whose numbers their conditions find."""

from __future__ import annotations

import numpy as np
import pytest

from imseek.errors import QueryError
from imseek.search.where.country_outlines import countries, country_at
from imseek.search.where.location_clusters import MAX_CLUSTERS, WORLD, Box, check_view, find_clusters

OSLO, BERGEN, NAIROBI, SYDNEY = (59.913, 10.752), (60.392, 5.324), (-1.29, 36.82), (-33.868, 151.209)


def _taken(*groups: tuple[tuple[float, float], int]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    places = np.concatenate([random.normal(place, 0.02, (n, 2)) for place, n in groups])
    return places[:, 0], places[:, 1]


def test_cities_of_one_region_are_one_cluster_of_the_world_and_several_of_the_region() -> None:
    latitude, longitude = _taken((OSLO, 60), (BERGEN, 30), (NAIROBI, 20), (SYDNEY, 10))
    assert [(one.images, one.countries) for one in find_clusters(latitude, longitude, WORLD)] == [
        (90, ("Norway",)),
        (20, ("Kenya",)),
        (10, ("Australia",)),
    ]
    near = find_clusters(latitude, longitude, Box(0, 55, 20, 65))
    assert [one.images for one in near] == [60, 30]
    assert near[0].latitude == pytest.approx(OSLO[0], abs=0.02)
    assert near[0].where.startswith("latitude BETWEEN 59.")


@pytest.mark.parametrize("spread", [0.001, 3.0, 90.0])
@pytest.mark.parametrize("view", [WORLD, Box(-20, 40, 40, 70), Box(10, 59, 12, 60)])
def test_all_are_in_a_cluster_whose_box_finds_as_many(spread: float, view: Box) -> None:
    random = np.random.default_rng(int(spread * 1000))
    latitude = np.clip(random.normal(59.5, spread, 3000), -90, 90)
    longitude = np.clip(random.normal(11, 2 * spread, 3000), -180, 180)
    found = find_clusters(latitude, longitude, view)
    assert len(found) <= MAX_CLUSTERS
    covered = np.zeros(3000, int)
    for one in found:
        inside = one.box.contains(latitude, longitude)
        assert int(inside.sum()) == one.images
        covered += inside
    shown = view.contains(latitude, longitude)
    assert covered[shown].all()
    assert (covered > 1).sum() < 60  # Boxes are rounded outwards, so that a few are in two.


def test_the_same_places_make_the_same_clusters_in_any_order() -> None:
    latitude, longitude = _taken((OSLO, 200), (NAIROBI, 200), ((52.5, 13.4), 100))
    order = np.random.default_rng(1).permutation(len(latitude))
    again = find_clusters(latitude[order], longitude[order], WORLD)
    assert find_clusters(latitude, longitude, WORLD) == again


def test_one_place_and_none() -> None:
    one = np.full(7, 12.5)
    (found,) = find_clusters(one, one, WORLD)
    assert (found.images, found.box) == (7, Box(12.5, 12.5, 12.5, 12.5))
    assert find_clusters(one, one, Box(20, 20, 30, 30)) == ()


def test_a_position_just_below_what_a_box_is_rounded_to_lies_in_it() -> None:
    below = np.nextafter(np.arange(-9000, 9001) / 100, -100)
    above = np.nextafter(np.arange(-9000, 9001) / 100, 100)
    odd = below[np.floor(below * 100) / 100 > below], above[np.ceil(above * 100) / 100 < above]
    for place in (*odd[0][:20], *odd[1][:20]):
        (found,) = find_clusters(np.full(1, place), np.full(1, place), WORLD)
        assert found.images == 1
    assert min(map(len, odd)) >= 20


def test_a_smaller_view_shows_smaller_clusters() -> None:
    latitude, longitude = _taken((OSLO, 500))
    found = [find_clusters(latitude, longitude, view) for view in (WORLD, Box(10.6, 59.8, 10.9, 60))]
    assert len(found[0]) == 1
    assert len(found[1]) > 3
    widest = [max(one.east - one.west for one in clusters) for clusters in found]
    assert widest[1] < widest[0] / 2


@pytest.mark.parametrize(
    "view",
    [(10, 0, 5, 1), (0, 0, float("nan"), 1), (0, 5, 1, 5), (-1000, 0, 1, 1), (0, -1e9, 1, 1), (0, 0, 5e-324, 5e-324)],
)
def test_views_that_are_none(view: tuple[float, float, float, float]) -> None:
    with pytest.raises(QueryError):
        check_view(Box(*view))


@pytest.mark.parametrize(
    ("place", "country"),
    [
        (OSLO, "Norway"),
        ((1.29, 103.85), "Singapore"),
        ((35.9, 14.5), "Malta"),
        ((-29.5, 27.9), "Lesotho"),
        ((21.3, -157.85), "United States"),
        ((40.69, -74.02), "United States"),
        ((0, -30), ""),
        ((90, 0), ""),
        ((-80, 100), "Antarctica"),
        ((-90, 180), "Antarctica"),
        ((66.5, 179.5), "Russia"),
        ((66.5, -175.5), "Russia"),
        ((70, -150), "United States"),
        ((-17.8, 178), "Fiji"),
    ],
)
def test_countries(place: tuple[float, float], country: str) -> None:
    assert country_at(*place) == country


def test_the_outline_is_closed_and_on_the_world() -> None:
    assert len(countries()) > 200
    for country in countries():
        for ring in country.rings:
            assert np.array_equal(ring[0], ring[-1])
            assert len(ring) >= 4
            assert (np.abs(ring).max(axis=0) <= [180.0, 90.0]).all()
            assert np.abs(np.diff(ring[:, 0])).max() < 100 or ring[:, 1].min() == -90, "no line across the world"
