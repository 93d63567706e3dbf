"""What `imseek facets` says at the terminal."""

from __future__ import annotations

from imseek.search import FacetSummary, LocationCluster
from imseek.ui.cli.facets import _lines


def test_a_place_with_a_long_name_has_its_position() -> None:
    box = (-54.3, -54.2, -36.6, -36.5)
    place = LocationCluster(
        3, -54.28, -36.51, *box, ("South Georgia and the South Sandwich Islands",), "latitude BETWEEN -54.3 AND -54.2"
    )
    (table, images) = _lines(FacetSummary(3, (), (), (place,)), has_columns=False)
    assert " ".join(table.splitlines()[-1].split()) == (
        "location South Georgia and the South Sandwich Islands -54.28,-36.51 (3)"
    )
    assert images == "3 images"


def test_a_column_without_values_says_so() -> None:
    assert _lines(FacetSummary(3, (), (), ()), has_columns=True) == ["3 images", "none of them has a value there"]
