"""The facet rail over real photographs: each number is what choosing finds, whatever else is chosen."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import ExifTags, Image
from xmp import annotations

import imseek
from imseek import overview, tags
from imseek.errors import QueryError

pytest.importorskip("streamlit", reason="the extra ui is not installed")

from imseek.ui.web import hit_pages, search_state
from imseek.ui.web.pages.search import facets, where_conditions
from imseek.ui.web.search_state import SearchState

YEARS = [(str(n), {2003: 1, 2019: 3, 2021: 1}.get(n, 0)) for n in range(2003, 2022)]
_TAKEN = {
    "astronaut.png": "2019:05:01 10:00:00",
    "chelsea.png": "2019:05:31 23:59:59",
    "coffee.png": "2019:12:24 18:00:00",
    "rocket.jpg": "2021:02:28 07:00:00",
    "china.jpg": "2003:01:01 00:00:00",
}


#: Where some were taken: two in Oslo, one in Bergen, one in Nairobi.
_PLACES = {
    "astronaut.png": (59.9139, 10.7522),
    "chelsea.png": (59.9500, 10.7000),
    "coffee.png": (60.3920, 5.3240),
    "rocket.jpg": (-1.2921, 36.8219),
}
_NORWAY = "latitude BETWEEN 59.91 AND 60.4 AND longitude BETWEEN 5.32 AND 10.76"


def _position(exif: Image.Exif, latitude: float, longitude: float) -> None:
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    for ref, at, value, ends in (
        (ExifTags.GPS.GPSLatitudeRef, ExifTags.GPS.GPSLatitude, latitude, "SN"),
        (ExifTags.GPS.GPSLongitudeRef, ExifTags.GPS.GPSLongitude, longitude, "WE"),
    ):
        gps[ref] = ends[value >= 0]
        gps[at] = (float(abs(value) // 1), float(abs(value) * 60 % 60 // 1), abs(value) * 3600 % 60)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, small_photo_files: list[Path]) -> Iterator[imseek.Collection]:
    """Eight photographs in folders by year; five have a date and a camera, two keywords, one person, and tags."""
    root = tmp_path_factory.mktemp("facets")
    for n, path in enumerate(small_photo_files):
        folder = root / "photos" / ("undated" if path.name not in _TAKEN else f"{_TAKEN[path.name][:4]}/trip {n % 2}")
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            exif = Image.Exif()
            if path.name in _TAKEN:
                exif[ExifTags.Base.Model] = "Box 1" if n % 2 else "Pinhole"
                exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = _TAKEN[path.name]
            if path.name in _PLACES:
                _position(exif, *_PLACES[path.name])
            image.save(folder / path.name, exif=exif)
    said = {"rocket": annotations("rocket", "sky", "it's"), "china": annotations("sky", people=("Anna",), rating=3)}
    for name, text in said.items():
        (found,) = (root / "photos").rglob(f"{name}.jpg")
        found.with_suffix(".xmp").write_bytes(text)
    with imseek.create(root / "c", encoder="fake") as made:
        made.index([root / "photos"])
        names = {Path(hit.place.path.decode()).name: hit.image_id for hit in _places(made)}
        tags.add(made, "best", [names["rocket.jpg"], names["chelsea.png"]])
        tags.add(made, "best", [names["rocket.jpg"]], provenance="probe best")
        tags.add(made, "old", [names["china.jpg"]])
        yield made


def _places(collection: imseek.Collection) -> list[Any]:
    return list(collection.get_many(overview.newest(collection, limit=50).image_ids).values())


def answered(collection: imseek.Collection, asked: SearchState, **more: Any) -> dict[str, dict[str, Any]]:
    query = urlencode({**asked.parameters(), **more}, doseq=True)
    return {one["column"]: one for one in facets.answer(collection, query)["facets"]}


def total(collection: imseek.Collection, asked: SearchState) -> int:
    return overview.newest(collection, where=asked.condition, limit=1).total


@pytest.mark.parametrize(
    "where",
    [
        (),
        ("camera IN ('Box 1')",),
        ("day >= '2019-01-01' AND day <= '2019-12-31'", "tag('best') OR tag('old')"),
        ("keywords IN ('sky')", "rating >= 3", "width > 10"),
        ("aspect >= 1.05", "camera IN ('no such camera')"),
        ("year = 2019 OR name LIKE 'r%'",),
        (_NORWAY,),
        ("latitude IS NOT NULL", "camera IN ('Pinhole')"),
    ],
)
def test_each_number_is_what_its_choice_finds(collection: imseek.Collection, where: tuple[str, ...]) -> None:
    asked = SearchState(where=where)
    counted = 0
    for column, facet in answered(collection, asked).items():
        cleared = facets.change(asked, {"column": column})
        for row in facet["rows"]:
            chosen = facets.change(cleared, {"column": column, "value": row["value"], "on": True})
            assert (column, row["value"], total(collection, chosen)) == (column, row["value"], row["count"])
            counted += 1
        for year, n in facet.get("years", ()):
            chosen = facets.change(asked, {"column": column, "low": f"{year}-01-01", "high": f"{year}-12-31"})
            assert (year, total(collection, chosen)) == (year, n)
            counted += 1
    assert counted >= 15


def test_what_can_be_chosen(collection: imseek.Collection) -> None:
    found = answered(collection, SearchState())
    assert list(found) == [
        *(
            "day",
            "folder",
            "tag()",
            "keywords",
            "people",
            "latitude",
            "rating",
            "camera",
            "aspect",
            "megapixels",
            "format",
        )
    ]
    assert found["day"]["years"] == YEARS
    assert found["day"]["months"] == []
    assert [(row["label"], row["count"]) for row in found["tag()"]["rows"]] == [("best", 2), ("old", 1)]
    assert [(row["label"], row["count"]) for row in found["keywords"]["rows"]] == [
        ("sky", 2),
        ("it's", 1),
        ("rocket", 1),
    ]


def test_a_year_shows_its_months(collection: imseek.Collection) -> None:
    asked = facets.change(SearchState(), {"column": "day", "low": "2019-01-01", "high": "2019-12-31"})
    found = answered(collection, asked)["day"]
    assert found["years"] == YEARS
    assert [pair for pair in found["months"] if pair[1]] == [["2019-05", 2], ["2019-12", 1]]
    assert len(found["months"]) == 12


def test_the_tree_counts_below(collection: imseek.Collection) -> None:
    rows = answered(collection, SearchState())["folder"]["rows"]
    assert rows[0]["count"] == 8
    assert rows[0]["label"] == "photos"
    assert [(row["label"], row["count"], row["depth"]) for row in rows[1:]][-1] == ("undated", 3, 1)
    year = next(row for row in rows if row["label"] == "2019")
    assert (year["count"], year["open"]) == (3, False)
    opened = answered(collection, SearchState(), open=[year["value"]])["folder"]["rows"]
    assert len(opened) == len(rows) + 2
    inner = next(row for row in opened if row["value"].startswith(f"{year['value']}/"))
    asked = facets.change(SearchState(), {"column": "folder", "value": inner["value"], "on": True})
    chosen = answered(collection, asked)["folder"]["rows"]
    assert [row["value"] for row in chosen if row["chosen"]] == [inner["value"]]
    # What holds a chosen folder replaces it, and the other way round.
    asked = facets.change(asked, {"column": "folder", "value": year["value"], "on": True})
    assert where_conditions.filter_on(asked.where, "folder").below == (year["value"],)


def test_values_are_found_by_a_part_of_them(collection: imseek.Collection) -> None:
    found = answered(collection, SearchState(), only="keywords", holding="SK")
    assert list(found) == ["keywords"]
    assert [row["value"] for row in found["keywords"]["rows"]] == ["sky"]
    assert answered(collection, SearchState(), only="keywords", holding="%' OR 1")["keywords"]["rows"] == []


def test_values_that_are_not_there_are_shown_as_chosen(collection: imseek.Collection) -> None:
    asked = SearchState(where=("camera IN ('nope')", "tag('never')"))
    found = answered(collection, asked)
    assert (found["camera"]["rows"][0]["value"], found["camera"]["rows"][0]["count"]) == ("nope", 0)
    assert found["tag()"]["rows"][0] | {"chosen": True} == found["tag()"]["rows"][0]


@pytest.mark.parametrize("condition", ["widht > 3", "width >", "day >= '2019-13-45'", "rating IN ('a')"])
def test_conditions_that_cannot_be_read_do_not_count(collection: imseek.Collection, condition: str) -> None:
    good = "camera IN ('Box 1')"
    found = facets.answer(collection, urlencode({"where": [good, condition]}, doseq=True))
    assert found["note"]
    assert found["facets"] == facets.answer(collection, urlencode({"where": good}))["facets"]


def test_addresses_of_strangers(collection: imseek.Collection) -> None:
    assert facets.answer(collection, "like=id:999999")["facets"] == []
    with pytest.raises(QueryError, match="cannot be read"):
        facets.answer(collection, "only=widht")


@pytest.mark.parametrize("query", ["open=%00&open=/../..", "q=&q=x&n=1e9", ""])
def test_odd_addresses_are_answered(collection: imseek.Collection, query: str) -> None:
    assert facets.answer(collection, query)["facets"]


def test_hits_of_a_search_are_counted(collection: imseek.Collection) -> None:
    asked = search_state.text_search("a rocket").with_changes(by="text")
    rows = answered(collection, asked)["format"]["rows"]
    assert sum(row["count"] for row in rows) == len(collection.search(asked.query(lambda _: b"")))
    assert 0 < sum(row["count"] for row in rows) < 8


def test_a_commit_changes_the_counts(collection: imseek.Collection) -> None:
    before = overview.count_facets(collection, ["tag"])[0]
    image_id = overview.newest(collection, limit=1).image_ids[0]
    tags.add(collection, "new", [image_id])
    try:
        after = overview.count_facets(collection, ["tag"])[0]
        assert dict(after.values) == {**dict(before.values), "new": 1}
    finally:
        tags.remove(collection, "new", [image_id])
    with pytest.raises(QueryError, match="no facet 'tagg'"):
        overview.count_facets(collection, ["tagg"])


def test_columns_of_other_kinds_are_left_out(tmp_path: Path, small_photo_files: list[Path]) -> None:
    """A table may call anything a rating; such a column is no facet, and does not break the others."""
    table = tmp_path / "table.jsonl"
    rows = [
        {"path": str(path), "rating": "very good", "has_text": 3, "camera": n, "folder": "x"}
        for n, path in enumerate(small_photo_files)
    ]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with imseek.create(tmp_path / "c", encoder="fake") as made:
        made.index([table])
        assert set(answered(made, SearchState())) & {"rating", "has_text", "camera"} == set()
        assert {"aspect", "format"} < set(answered(made, SearchState()))


def test_pictures_by_date(collection: imseek.Collection) -> None:
    """The newest day first, undated ones last; the first pictures come with the days of their whole years."""
    found = overview.timeline(collection)
    names = [Path(collection.get(int(one)).place.path.decode()).name for one in found.image_ids]
    assert names[:5] == ["rocket.jpg", "coffee.png", "chelsea.png", "astronaut.png", "china.jpg"]
    assert found.dated == 5
    days = [(None if day is None else day.isoformat(), n) for day, n in found.count_days()]
    expected = ["2021-02-28", "2019-12-24", "2019-05-31", "2019-05-01", "2003-01-01"]
    assert days == [*((day, 1) for day in expected), (None, 3)]
    following = hit_pages.following_by_date("c", SearchState(), found, 2)
    assert (following.total, following.days) == (8, tuple(days[:4]))
    sent = hit_pages.timeline(collection, "")
    assert np.frombuffer(b64decode(sent["ids"]), "<u4").tolist() == found.image_ids.tolist()
    assert np.frombuffer(b64decode(sent["ratios"]), "<u2").tolist() == [round(1000 * float(r)) for r in found.ratios]
    some = hit_pages.timeline(collection, urlencode({"where": "camera IS NOT NULL"}))
    assert sum(n for _, n in some["days"]) == 5


def test_other_orders_have_no_timeline(collection: imseek.Collection) -> None:
    assert hit_pages.by_date(collection, SearchState(sort="added")) is None
    assert hit_pages.by_date(collection, SearchState(where=("camera IS NULL",))) is None
    words = search_state.text_search("a rocket")
    assert hit_pages.by_date(collection, words) is None
    dated = hit_pages.by_date(collection, words.with_changes(sort="date", by="text"))
    assert dated is not None
    assert 0 < len(dated) < 8
    asked = words.with_changes(sort="date", by="text")
    hit_pages.by_date(collection, asked, "c")
    scores = hit_pages.found_hits.get("c", asked)
    assert set(scores) == set(dated.image_ids.tolist())
    assert all(score > 0 for score, _ in scores.values())
    read = search_state.parse_address({"sort": ["added"]})
    assert (read.state.sort, read.unread) == ("added", ())
    with pytest.raises(QueryError):
        hit_pages.timeline(collection, "sort=added")


@pytest.mark.parametrize("ids", ["", "x", "1,", "-1", "1" * 5000, ",".join(["1"] * 201), "²"])
def test_cards_of_odd_ids(collection: imseek.Collection, ids: str) -> None:
    with pytest.raises(QueryError, match="cannot be read"):
        hit_pages.cards("c", collection, ids)


def test_places_are_grouped_and_a_smaller_view_shows_more_of_them(collection: imseek.Collection) -> None:
    def places(asked: SearchState, **more: Any) -> list[tuple[str, str, int, bool]]:
        rows = answered(collection, asked, **more)["latitude"]["rows"]
        return [(one["label"], one.get("at", ""), one["count"], one["chosen"]) for one in rows]

    everywhere = ("With a location", "", 4, False)
    norway, kenya = ("Norway", "60° N, 11° E", 3, False), ("Kenya", "1° S, 37° E", 1, False)
    assert places(SearchState()) == [everywhere, norway, kenya]
    view = answered(collection, SearchState())["latitude"]["view"]
    assert view[0] < 5 < 37 < view[2]
    assert places(SearchState(), view="0,55,20,65") == [
        everywhere,
        ("Norway", "60.0° N, 10.7° E", 2, False),
        ("Norway", "60.4° N, 5.3° E", 1, False),
    ]
    row = answered(collection, SearchState())["latitude"]["rows"][1]
    asked = facets.change(SearchState(), {"column": "latitude", "value": row["value"], "on": True})
    assert asked.where == (_NORWAY,)
    assert places(asked) == [everywhere, (*norway[:3], True), kenya]
    zoomed = places(asked, view="30,-10,40,0")
    assert zoomed == [
        everywhere,
        ("59.91° to 60.4° N, 5.32° to 10.76° E", "", 3, True),
        ("Kenya", "1.3° S, 36.8° E", 1, False),
    ]
    both = facets.change(
        asked, {"column": "latitude", "value": answered(collection, asked)["latitude"]["rows"][2]["value"], "on": True}
    )
    assert total(collection, both) == 4
    assert facets.change(both, {"column": "latitude", "value": row["value"], "on": False}).where != both.where
    assert where_conditions.describe_condition(asked.where[0]) == "location: 59.91° to 60.4° N, 5.32° to 10.76° E"


@pytest.mark.parametrize("view", ["1,2,3", "a,b,c,d", "5,5,1,1", "nan,0,1,1"])
def test_a_view_that_is_none_is_refused(collection: imseek.Collection, view: str) -> None:
    with pytest.raises(QueryError):
        facets.answer(collection, urlencode({"view": view}))


def test_a_summary_counts_the_images_of_a_filter(collection: imseek.Collection) -> None:
    found = overview.summarise_facets(collection, where="latitude > 50")
    columns = {one.column: one for one in found.columns}
    assert found.images == 3
    assert columns["taken_at"].values == (("2019-05", 2), ("2019-12", 1))
    assert found.tags == (("best", 1),)
    assert sorted(one.images for one in found.locations) == [1, 2]
    named = overview.summarise_facets(collection, ["location", "rating"], where="rating = 3")
    assert [(one.column, one.values) for one in named.columns] == [("rating", (("3", 1),))]
    assert (named.tags, named.locations) == ((), ())
    assert overview.summarise_facets(collection, ["rating"], where="camera = 'none'").columns == ()
    with pytest.raises(QueryError, match="no column 'ratng'"):
        overview.summarise_facets(collection, ["ratng"])
