"""Keywords, people and ratings of real photographs, wherever they are looked for: filters, facets, classes, exports."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from xmp import annotations

import imseek
from imseek import Query, dataset, export, overview
from imseek.analysis import metadata_labels
from imseek.data.reader import Reader
from imseek.data.shards.shard_files import ANNOTATION_COLUMNS, concat_tables, table_of
from imseek.errors import ImseekError, UsageError
from imseek.maps.map_table import _read_columns
from imseek.search.milvus.rows import columns_of
from imseek.search.where import Filters
from imseek.search.where.column_values import list_columns


@pytest.fixture
def described(collection: imseek.Collection, photos: Path) -> imseek.Collection:
    """Photographs of which some say something: in themselves, beside them, both."""
    with Image.open(photos / "rocket.jpg") as image:
        image.copy().save(photos / "rocket.jpg", xmp=annotations("rocket", "sky", rating=5, title="Launch"))
    (photos / "below" / "flower.xmp").write_bytes(annotations("flower", "Garden", people=("Anna",), rating=3))
    (photos / "rocket.jpg.xmp").write_bytes(annotations(people=("Anna", "Ben"), label="Red"))
    collection.index([photos])
    return collection


def found(collection: imseek.Collection, where: str) -> set[str]:
    reader = Reader(collection.path)
    ids = Filters().ids(reader, where).tolist()
    return {Path(place.path.decode()).name for place in reader.places(ids).values()}


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("keyword = 'rocket'", {"rocket.jpg"}),
        ("keyword IN ('flower', 'sky')", {"rocket.jpg", "flower.jpg"}),
        ("keyword ILIKE 'garden'", {"flower.jpg"}),
        ("keyword <> 'rocket'", {"flower.jpg"}),
        ("person = 'Anna'", {"rocket.jpg", "flower.jpg"}),
        ("person = 'Anna' AND person = 'Ben'", {"rocket.jpg"}),
        ("rating >= 4", {"rocket.jpg"}),
        ("colour_label = 'Red'", {"rocket.jpg"}),
        ("title LIKE 'La%'", {"rocket.jpg"}),
        ("keyword IS NOT NULL AND rating < 4", {"flower.jpg"}),
    ],
)
def test_filters(described: imseek.Collection, where: str, names: set[str]) -> None:
    assert found(described, where) == names


def test_filters_of_a_collection_without_any(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos])
    every = "keyword = 'a' OR person = 'a' OR rating > 1 OR title = 'a' OR colour_label = 'a'"
    assert found(collection, every) == set()
    assert len(found(collection, "keyword IS NULL AND rating IS NULL")) == 8
    assert not set(ANNOTATION_COLUMNS.names) & set(list_columns(Reader(collection.path)))


def test_facets_count_entries(described: imseek.Collection) -> None:
    facets = {facet.column: facet for facet in overview.facets(described.path)}
    keywords = facets["keywords"]
    assert (keywords.known, keywords.distinct, keywords.is_list) == (2, 4, True)
    assert dict(keywords.values) == {"rocket": 1, "sky": 1, "flower": 1, "Garden": 1}
    assert dict(facets["people"].values) == {"Anna": 2, "Ben": 1}
    assert (facets["rating"].low, facets["rating"].high) == (3, 5)
    assert "keyword" not in facets


def test_an_image_is_in_the_class_of_each_keyword(described: imseek.Collection) -> None:
    sizes = {one.name: one.count for one in dataset.balance(described.path, by="keywords").classes}
    assert sizes == {"rocket": 1, "sky": 1, "flower": 1, "Garden": 1}
    reader = Reader(described.path)
    with pytest.raises(UsageError, match="no classes"):
        metadata_labels.values_of(reader, "keywords", np.arange(8))


def test_maps_show_lists_as_text_and_publications_leave_them_out(described: imseek.Collection) -> None:
    reader = Reader(described.path)
    (column,) = _read_columns(reader, ["keywords"], np.arange(8))
    assert sorted(filter(None, column.to_pylist())) == ["flower, Garden", "rocket, sky"]
    assert {column.name for column in columns_of(reader)[0]} >= {"title", "rating", "colour_label"}
    assert not {column.name for column in columns_of(reader)[0]} & {"keywords", "people", "keyword", "person"}


def test_hits_and_the_command_line_have_lists(described: imseek.Collection) -> None:
    hits = described.search(Query((imseek.Term(text="a rocket"),), where="keyword = 'rocket'")).hits
    assert [hit.metadata["keywords"] for hit in hits] == [["rocket", "sky"]]
    first, second = described.search_many(["rocket", "sky"], where="keyword = 'rocket'")
    first.hits[0].metadata["keywords"].append("mine")
    assert second.hits[0].metadata["keywords"] == ["rocket", "sky"]
    with pytest.raises(ImseekError, match="a list of texts"):
        described.search(Query((imseek.Term(text="a rocket"),), where="keyword"))


# --- exports -------------------------------------------------------------------------------------------------


@pytest.fixture
def exported(described: imseek.Collection, tmp_path: Path) -> Any:
    def write(kind: str, name: str) -> Path:
        export.write(described.path, tmp_path / name, format=kind, where="keyword = 'rocket'")
        return tmp_path / name

    return write


def test_parquet_has_lists(exported: Any) -> None:
    table = pq.read_table(exported("parquet", "out.parquet"))
    assert table.schema.field("keywords").type == pa.list_(pa.string())
    row = table.select(["keywords", "people", "rating"]).to_pylist()
    assert row == [{"keywords": ["rocket", "sky"], "people": ["Anna", "Ben"], "rating": 5}]


def test_json_has_lists_and_csv_separates_them(exported: Any) -> None:
    (row,) = map(json.loads, exported("jsonl", "out.jsonl").read_text().splitlines())
    assert (row["keywords"], row["rating"]) == (["rocket", "sky"], 5)
    (line,) = csv.DictReader(io.StringIO(exported("csv", "out.csv").read_text()))
    assert (line["keywords"], line["people"]) == ("rocket; sky", "Anna; Ben")


def test_webdataset_has_lists_and_they_come_back(exported: Any, tmp_path: Path) -> None:
    folder = exported("webdataset", "shards")
    (shard,) = folder.glob("*.tar")
    with tarfile.open(shard) as archive:
        (name,) = [name for name in archive.getnames() if name.endswith(".json")]
        member = archive.extractfile(name)
        assert member is not None
        assert json.load(member)["keywords"] == ["rocket", "sky"]
    card = (folder / "README.md").read_text()
    assert '{"name": "keywords", "list": "string"}' in card
    imseek.create(tmp_path / "again", encoder="fake").close()
    with imseek.open(tmp_path / "again") as again:
        again.index([folder])
        assert found(again, "keyword = 'sky' AND person = 'Ben'") != set()


def test_projector_has_text(exported: Any) -> None:
    (folder,) = [exported("projector", "board")]
    assert "rocket, sky" in (folder / "metadata.tsv").read_text()


# --- columns of tables ---------------------------------------------------------------------------------------


def test_numbers_of_a_table_with_these_names(collection: imseek.Collection, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(f"path,keywords,people\n{photos / 'rocket.jpg'},5,1.5\n{photos / 'chelsea.png'},6,2.5\n")
    collection.index([table])
    assert found(collection, "keyword = 5 AND person < 2") == {"rocket.jpg"}
    assert {one.column: one.is_list for one in overview.facets(collection)}["keywords"] is False
    export.write(collection, tmp_path / "out.jsonl")
    assert [json.loads(line)["keywords"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [5, 6]


def test_text_of_an_older_collection_becomes_a_list_of_one() -> None:
    rows = [{"image_id": 0, "people": "Anna, Ben"}, {"image_id": 1, "people": ["Cleo", "Dora"]}, {"image_id": 2}]
    tables = [table_of([{**_ROW, **row}]) for row in rows]
    assert concat_tables(tables).column("people").to_pylist() == ["Anna, Ben", "Cleo\nDora", None]


_ROW: dict[str, Any] = {
    "content_hash": bytes(32), "width": 1, "height": 1, "format": "PNG", "mode": "L", "frames": 1, "bytes": 1,
    "phash": 0, "orientation": 1,
}  # fmt: skip
