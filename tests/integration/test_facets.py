"""What columns hold, as it is offered for choosing: each value finds as many images as it says."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import imseek
from imseek.analysis.snapshot_session import run_with_reader
from imseek.data.shards import compaction
from imseek.search.where import Filters, column_cache, facets
from imseek.search.where.facets import Facet
from imseek.ui.web.pages.search.where_conditions import Filter

pytestmark = pytest.mark.full_size


@pytest.fixture
def described(tmp_path: Path, photos: Path) -> Path:
    """Eight photographs of a folder, and three of a table with columns of its own."""
    rows = [
        {"path": str(photos / "chelsea.png"), "animal": "cat", "stars": 4, "it's": True},
        {"path": str(photos / "astronaut.png"), "animal": "human", "stars": 2.5, "it's": False},
        {"path": str(photos / "coffee.png"), "animal": "cat", "stars": None, "it's": True},
    ]
    table = tmp_path / "table.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "described"
    with imseek.create(path, encoder="fake") as collection:
        collection.index([photos, table])
    return path


def test_every_value_finds_what_it_says(described: Path) -> None:
    filters = Filters()
    counted = 0
    for one in run_with_reader(described, facets.facets):
        for value, n in one.values if one.kind.value == "text" else ():
            found = run_with_reader(
                described, lambda reader, c=one.column, v=value: filters.ids(reader, Filter(c, (v,)).sql())
            )
            assert (one.column, value, len(found)) == (one.column, value, n)
            counted += 1
    assert counted >= 6


def test_what_columns_hold(described: Path) -> None:
    found = {one.column: one for one in run_with_reader(described, facets.facets)}
    assert dict(found["format"].values) == {"PNG": 8, "JPEG": 3}
    assert (found["width"].low, found["width"].high, found["width"].known) == (451, 741, 11)
    assert dict(found["animal"].values) == {"cat": 2, "human": 1}
    assert (found["stars"].low, found["stars"].high, found["stars"].known) == (2.5, 4.0, 2)
    assert dict(found["it's"].values) == {"true": 2, "false": 1}
    assert "phash" not in found
    assert "lens" not in found  # It has no value.


def test_shards_are_looked_at_in_groups(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "FACTOR", 1000)
    with imseek.create(tmp_path / "c", encoder="fake") as collection:
        for names in (["astronaut.png"], ["chelsea.png", "coffee.png"], ["camera.png"], ["rocket.jpg"]):
            collection.index([photos / name for name in names])
    counts: list[int] = []
    table = column_cache.ColumnReader.table

    def counted(self: column_cache.ColumnReader, shards: list[Any], sources: Any) -> Any:
        counts.append(sum(shard.rows for shard in shards))
        return table(self, shards, sources)

    monkeypatch.setattr(column_cache.ColumnReader, "table", counted)
    whole = run_with_reader(tmp_path / "c", facets.facets)
    assert set(counts) == {5}
    for together, groups in ((1, [1, 2, 1, 1]), (2, [1, 2, 2]), (3, [3, 2])):
        counts.clear()
        monkeypatch.setattr(facets, "_ROWS_AT_ONCE", together)
        assert run_with_reader(tmp_path / "c", facets.facets) == whole
        assert counts[: len(groups)] == groups
    assert {one.column for one in whole} >= {"width", "format", "folder"}


def test_times_are_told_as_days() -> None:
    import datetime as dt

    import pyarrow as pa

    times = pa.chunked_array([pa.array([dt.datetime(2023, 5, 1, 17), None, dt.datetime(2020, 2, 29)])])
    assert facets._facet("taken_at", facets.Kind.TIME, iter([times])) == Facet(
        "taken_at",
        facets.Kind.TIME,
        2,
        distinct=2,
        values=(("2020-02", 1), ("2023-05", 1)),
        low=date(2020, 2, 29),
        high=date(2023, 5, 1),
    )


def test_integers_are_counted_where_they_are_few() -> None:
    """Ratings are; of sizes, nearly each of which is another one, the bounds say more."""
    import pyarrow as pa

    def of(values: list[int]) -> Facet:
        return facets._facet("n", facets.Kind.INT, iter([pa.chunked_array([pa.array(values)])]))

    assert of([5, 3, 5]).values == (("5", 2), ("3", 1))
    assert (of(list(range(28))).values, of(list(range(28))).high) == ((), 27)
    assert len(of([n % 50 for n in range(100)]).values) > 0
    assert of([n % 101 for n in range(1000)]).values == ()


def test_the_most_frequent_values_come_first() -> None:
    """Of equally frequent ones the lower ones, wherever they lie; the rest are counted, not named."""
    import pyarrow as pa

    names = [f"{n:04}" for n in range(facets.MAX_VALUES + 5)]
    parts = [["z", "b", "a", None], ["b", "z", "z"], names[::-1]]
    found = facets._facet("note", facets.Kind.TEXT, (pa.chunked_array([pa.array(part, pa.string())]) for part in parts))
    expected = [("z", 3), ("b", 2), *((name, 1) for name in names)]
    assert found.values == tuple(expected[: facets.MAX_VALUES])
    assert (found.known, found.distinct) == (6 + len(names), 3 + len(names))


def test_too_many_values_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    monkeypatch.setattr(facets, "_MAX_DISTINCT", 4)
    some = pa.chunked_array([pa.array(["a", "b", "b", "c", None])])
    assert facets._facet("note", facets.Kind.TEXT, iter([some])).distinct == 3
    monkeypatch.setattr(facets, "_MAX_DISTINCT", 3)
    assert facets._facet("note", facets.Kind.TEXT, iter([some.slice(0, 4)])).distinct == 3
    parts = [pa.chunked_array([pa.array(["a", "b"])]), pa.chunked_array([pa.array(["c", "d", None])])]
    assert facets._facet("note", facets.Kind.TEXT, iter(parts)) == Facet("note", facets.Kind.TEXT, 4)


def test_another_collection_at_the_same_place_has_facets_of_its_own(tmp_path: Path, photos: Path) -> None:
    pytest.importorskip("streamlit", reason="the extra ui is not installed")
    from imseek.ui.web.pages.search import more_filters

    def made(picture: Path) -> tuple[int, object]:
        with imseek.create(tmp_path / "c", encoder="fake") as collection:
            collection.index([picture])
            names = next(one for one in more_filters.load_facets(collection) if one.column == "width")
            return collection.info().generation, names.low

    first = made(photos / "chelsea.png")
    shutil.rmtree(tmp_path / "c")
    second = made(photos / "coffee.png")
    assert first == (second[0], 451)
    assert second[1] == 600


def test_sources_that_were_removed_are_not_offered(described: Path, photos: Path) -> None:
    with imseek.open(described) as collection:
        folder, table = (source.source_id for source in collection.info().sources)
        assert imseek.overview.source_roots(collection) == {
            folder: str(photos),
            table: str(described.parent / "table.jsonl"),
        }
        collection.remove_source(folder)
        assert list(imseek.overview.source_roots(collection)) == [table]
