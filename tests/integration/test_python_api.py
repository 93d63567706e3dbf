"""Collections in Python: what a query may be, options as keywords, arrays, tables, and what a closed one refuses."""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from templates import Templates

import imseek
from imseek.errors import CollectionNotFoundError, MediaError, QueryError, UsageError
from imseek.media import decode
from imseek.media.picture_objects import encode_picture
from imseek.search.query import as_query
from imseek.search.query_options import QueryKeywords, option_fields

COUNT = 8


@pytest.fixture
def pictures(photos: Path) -> list[Path]:
    return sorted(path for path in photos.rglob("*") if path.is_file())[:COUNT]


@pytest.fixture
def indexed(tmp_path: Path, pictures: list[Path], templates: Templates) -> Iterator[imseek.Collection]:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n, path in enumerate(pictures):
        shutil.copy(path, folder / path.name)
        (folder / path.name).with_suffix(".txt").write_text(f"the caption of {n}")
    with imseek.open(templates.indexed(tmp_path / "c", folder)) as opened:
        yield opened


# Queries


def test_a_query_may_be_anything_that_stands_for_one(indexed: imseek.Collection) -> None:
    some = indexed.search("a dog")[0]
    path = Path(str(some.path))
    (vector,) = indexed.vectors(where=f"image_id = {some.image_id}").vectors
    for question in (path, path.read_bytes(), some.image_id, np.int64(some.image_id), vector, vector.tolist()):
        hit = indexed.search(question, limit=1)[0]
        assert (hit.image_id, hit.score) == (some.image_id, pytest.approx(1, abs=2e-3)), type(question)
    with Image.open(path) as opened:
        for shown in (opened, opened.convert("RGB"), decode(path.read_bytes()).pixels):
            assert indexed.search(shown, limit=1)[0].image_id == some.image_id
    assert [h.image_id for h in indexed.search(imseek.Query("a dog"))] == [h.image_id for h in indexed.search("a dog")]


def test_queries_are_made_of_one_term_or_of_several() -> None:
    red, path = imseek.Term("red"), Path("a.jpg")
    assert imseek.Query("red").terms == imseek.Query(red).terms == imseek.Query([red]).terms == (red,)
    assert imseek.Query(["red", path, 7, red]).terms == (red, imseek.Term(picture=path), imseek.Term(image_id=7), red)
    for numbers in ([0.5, 1], (0.5, 1.0), np.array([0.5, 1])):
        (term,) = imseek.Query(numbers).terms
        assert term.vector is not None
        assert term.vector.tolist() == [0.5, 1]
    (term,) = imseek.Query([1, 0]).terms  # numbers are a vector, not ids
    assert term.vector is not None
    assert term.vector.dtype.kind == "f"


@pytest.mark.parametrize(
    "question", [None, 1.5, True, {}, {"text": "red"}, [], object(), ["red", None], np.array(["red"]), [True]]
)
def test_other_values_are_no_query(question: Any) -> None:
    with pytest.raises(QueryError):
        as_query(question)
    with pytest.raises(QueryError):
        imseek.Query(question)


def test_options_are_keywords(indexed: imseek.Collection) -> None:
    assert len(indexed.search("a dog", limit=3)) == 3
    wide = indexed.search("a dog", where="height > 120", limit=COUNT)
    assert {h.image_id for h in wide} == {image.image_id for image in indexed if image.metadata["height"] > 120}
    assert 0 < len(wide) < COUNT
    by_page = indexed.search("a dog", limit=3)
    following = indexed.search("a dog", limit=3, page=by_page.next_page)
    assert [*by_page, *following] == list(indexed.search("a dog", limit=6))
    given = imseek.Query("a dog", 7, where="height > 120")
    assert len(indexed.search(given, limit=2)) == 2  # keywords replace those of the query
    assert all(hit.metadata["height"] > 120 for hit in indexed.search(given))
    many = indexed.search_many(["a dog", given], limit=1, where="height <= 120")
    assert [len(one) for one in many] == [1, 1]
    assert all(one[0].metadata["height"] <= 120 for one in many)
    found = imseek.search_all([indexed], "a dog", where="height > 120", limit=COUNT)
    assert [h.image_id for h in found] == [h.image_id for h in wide]


def test_an_unknown_option_is_refused(indexed: imseek.Collection) -> None:
    for search in (indexed.search, indexed.search_many):
        with pytest.raises(TypeError, match="a query has no option 'limits'; did you mean limit"):
            search(["a dog"], limits=3)  # type: ignore[call-arg]
    with pytest.raises(QueryError, match="limit must be at least 1"):
        indexed.search("a dog", limit=0)
    for one in ("a dog", b"", Path("a.jpg"), 7, imseek.Query("a dog")):
        with pytest.raises(QueryError, match="many queries are a list"):
            indexed.search_many(one)  # type: ignore[arg-type]


def test_keywords_are_the_options_of_a_query() -> None:
    hints = get_type_hints(QueryKeywords)
    options = option_fields()
    assert hints.keys() == options.keys()
    for name, hint in hints.items():
        assert name in ("more", "less") or hint == options[name].hint, name
    for owner in (imseek.Collection, imseek.RemoteCollection, imseek.PublishedCollection):
        for method in (owner.search, owner.search_many):  # type: ignore[attr-defined]
            shown = inspect.signature(method).parameters
            assert {name: shown[name].default for name in options} == {
                one.name: one.default for one in options.values()
            }


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "F", "I", "I;16"])
def test_images_of_pillow_keep_what_they_show(mode: str) -> None:
    grey = Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1)))
    colour = Image.merge("RGB", (grey, grey.transpose(Image.Transpose.ROTATE_90), grey))
    shown = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else _convert(colour, mode)
    assert shown.mode == mode
    found = decode(encode_picture(shown)).pixels.astype(int)
    assert found.shape == (64, 64, 3)
    if mode in ("F", "I", "I;16"):  # scaled by the range of values
        assert np.array_equal(found[0, :, 0], sorted(found[0, :, 0]))
        assert found[0, -1, 0] >= 250
    else:
        expected = np.asarray(colour if mode in ("LAB", "HSV") else shown.convert("RGB"))
        assert np.abs(found - expected).mean() < (6 if mode in ("LAB", "HSV") else 0.1)


def _convert(colour: Image.Image, mode: str) -> Image.Image:
    from PIL import ImageCms

    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        made = ImageCms.profileToProfile(colour, srgb, lab, outputMode="LAB")
        assert made is not None
        return made
    return colour.convert("L").convert(mode) if mode in ("F", "I") else colour.convert(mode)


def test_images_of_pillow_keep_their_orientation_and_profile(photo_files: list[Path], tmp_path: Path) -> None:
    with Image.open(photo_files[0]) as opened:
        picture = opened.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "turned.jpg") as turned:
        pixels = decode(encode_picture(turned)).pixels
    assert pixels.shape[:2] == picture.size
    assert np.array_equal(pixels, decode((tmp_path / "turned.jpg").read_bytes()).pixels)


def test_a_damaged_image_of_pillow_is_refused(photo_files: list[Path], indexed: imseek.Collection) -> None:
    buffer = io.BytesIO()
    Image.open(photo_files[0]).convert("RGB").save(buffer, "JPEG")
    opened = Image.open(io.BytesIO(buffer.getvalue()[:3000]))
    with pytest.raises(MediaError):
        encode_picture(opened)
    with pytest.raises(QueryError, match="cannot use the image as a query"):
        indexed.search(opened)
    with pytest.raises(QueryError):
        indexed.search(np.zeros((0, 5, 3), np.uint8))


def test_a_hundred_searches_at_once(indexed: imseek.Collection) -> None:
    """As docs/python.md says it: threads are safe, so that asyncio needs nothing of its own."""

    async def ask() -> list[imseek.SearchResult]:
        return await asyncio.gather(
            *(asyncio.to_thread(indexed.search, f"a dog of {n % 10}", limit=3) for n in range(100))
        )

    found = asyncio.run(ask())
    expected = [indexed.search(f"a dog of {n}", limit=3) for n in range(10)]
    assert found == expected * 10


# Indexing


def test_a_single_path_is_one_source(collection: imseek.Collection, pictures: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    for path in pictures[:3]:
        shutil.copy(path, folder)
    assert collection.index(str(folder)).added == 3
    assert collection.index(folder).unchanged == 3
    assert collection.index(os.fsencode(folder)).unchanged == 3
    assert collection.index(path for path in [folder]).unchanged == 3
    with pytest.raises(UsageError, match="names is a list of files"):
        collection.index(names="some.jpg")


# Opening


def test_a_collection_opens_by_its_name(
    indexed: imseek.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home"))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    named = tmp_path / "home" / "collections" / "holidays"
    with pytest.raises(CollectionNotFoundError, match=r"no folder .*/holidays, and no collection named 'holidays'"):
        imseek.open("holidays")
    shutil.copytree(indexed.path, named)
    with imseek.open("holidays") as opened:
        assert opened.path == named
    assert imseek.overview.read_state("holidays").images == COUNT  # features take names too
    for path in (Path("holidays"), "./holidays"):  # a path is never a name
        with pytest.raises(CollectionNotFoundError):
            imseek.open(path)
    shutil.copytree(indexed.path, here / "holidays" / ".imseek")
    with imseek.open("holidays") as opened:  # the folder wins
        assert opened.path == here / "holidays" / ".imseek"
    shutil.rmtree(here / "holidays" / ".imseek")
    with pytest.raises(CollectionNotFoundError, match="holds no collection") as caught:
        imseek.open("holidays")
    assert str(named) in str(caught.value.hint)


def test_a_collection_says_what_it_is(indexed: imseek.Collection) -> None:
    assert repr(indexed) == f"<imseek.Collection '{indexed.path}', {COUNT} images, fake>"
    indexed.close()
    assert repr(indexed) == f"<imseek.Collection '{indexed.path}', closed>"


def test_images_are_iterated_in_the_order_of_ids(indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imseek.collection, "_BLOCK", 5)
    images = list(indexed)
    assert len(images) == len(indexed) == COUNT
    assert [image.image_id for image in images] == sorted(image.image_id for image in images)
    assert images[3] == indexed.get(images[3].image_id)
    assert images[0].image_id in indexed
    for other in (10**6, -1, 1 << 70, "1", images[0]):
        assert other not in indexed


def test_iteration_stays_in_one_generation(indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imseek.collection, "_BLOCK", 2)
    found = iter(indexed)
    first = next(found)
    with imseek.open(indexed.path) as other:
        other.remove_source(0 if first.place is None else first.place.source_id)
    assert len(indexed) == 0
    assert not list(indexed)
    assert bool(indexed)  # a collection that is empty is one
    assert 1 + sum(1 for _ in found) == COUNT


def test_a_closed_collection_refuses(indexed: imseek.Collection) -> None:
    some = next(iter(indexed))
    found = iter(indexed)
    indexed.close()
    indexed.close()
    uses: list[Any] = [
        lambda: indexed.search("a dog"),
        lambda: indexed.search_many(["a dog"]),
        lambda: indexed.get(some.image_id),
        lambda: indexed.read(some.image_id),
        lambda: indexed.info(),
        lambda: indexed.index(),
        lambda: indexed.remove_source(1),
        lambda: indexed.vectors(),
        lambda: indexed.metadata(),
        lambda: len(indexed),
        lambda: list(found),
        lambda: imseek.search_all([indexed], "a dog"),
    ]
    for use in uses:
        with pytest.raises(UsageError, match=r"the collection .* is closed"):
            use()


# Arrays and tables


def test_vectors_are_those_of_the_images(indexed: imseek.Collection) -> None:
    ids, vectors = indexed.vectors()
    assert (ids.dtype, vectors.dtype, vectors.shape) == (np.int64, np.float32, (COUNT, indexed.info().encoder.dim))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    hits = {hit.image_id: hit for hit in indexed.search("a dog", limit=COUNT, vectors=True)}
    for image_id, vector in zip(ids.tolist(), vectors, strict=True):
        assert np.array_equal(hits[image_id].vector, vector)
    blocks = list(indexed.vector_blocks(size=5))
    assert [len(block.ids) for block in blocks] == [5, 3]
    assert np.array_equal(np.concatenate([block.vectors for block in blocks]), vectors)
    some = indexed.vectors(where="height > 120")
    assert some.ids.tolist() == [image.image_id for image in indexed if image.metadata["height"] > 120]
    assert np.array_equal(some.vectors, vectors[np.isin(ids, some.ids)])
    assert indexed.vectors(where="width < 0").vectors.shape == (0, vectors.shape[1])


def test_wrong_requests_for_vectors_are_refused(indexed: imseek.Collection) -> None:
    for read in (indexed.vectors, indexed.vector_blocks):
        with pytest.raises(UsageError, match="no space 7 of images"):
            read(7)
        with pytest.raises(QueryError):
            read(where="no such column > 3")
    with pytest.raises(UsageError, match="at least one image"):
        indexed.vector_blocks(size=0)


def test_metadata_are_a_table(indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imseek.exports.arrow_tables._BLOCK", 5)
    imseek.tags.add(indexed, "pets", [next(iter(indexed)).image_id])
    table = indexed.metadata()
    images = list(indexed)
    assert table["image_id"].to_pylist() == [image.image_id for image in images]
    rows = table.to_pylist()
    for row, image in zip(rows, images, strict=True):
        assert image.place is not None
        assert os.fsencode(row["path"]) == image.place.path
        assert row["content_hash"] == image.content_hash
        assert (row["width"], row["caption"]) == (image.metadata["width"], image.metadata["caption"])
        assert tuple(row["tags"]) == image.tags
    some = indexed.metadata(["height", "path", "height"], where="height > 120")
    assert some.column_names == ["image_id", "height", "path"]
    assert some.to_pylist() == [{name: row[name] for name in some.column_names} for row in rows if row["height"] > 120]
    assert indexed.metadata(["tags"], where="width < 0").num_rows == 0
    assert set(table.to_pandas()["width"]) == {image.metadata["width"] for image in images}


def test_only_the_columns_that_are_named_are_read(indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    from imseek.data.reader import Reader

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Reader, "places", refuse)
    monkeypatch.setattr(Reader, "tags", refuse)
    assert indexed.metadata(["height"]).column_names == ["image_id", "height"]
    nothing = indexed.metadata(["title"])  # known, and no picture has one
    assert nothing["title"].null_count == COUNT


def test_columns_that_are_not_there_are_refused(indexed: imseek.Collection) -> None:
    with pytest.raises(UsageError, match="no column 'widht'") as caught:
        indexed.metadata(["widht"])
    assert caught.value.hint == "did you mean width?"
    with pytest.raises(UsageError, match="columns is a list"):
        indexed.metadata("width")


def test_results_are_tables(indexed: imseek.Collection) -> None:
    result = indexed.search("a dog", limit=4, vectors=True, group_by="folder", per_group=5)
    table = result.to_arrow()
    assert table["image_id"].to_pylist() == [hit.image_id for hit in result]
    assert table["score"].to_pylist() == [hit.score for hit in result]
    assert table["path"].to_pylist() == [hit.path for hit in result]
    assert table["width"].to_pylist() == [hit.metadata["width"] for hit in result]
    assert table["group"].to_pylist() == [hit.group for hit in result]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), indexed.info().encoder.dim)
    assert np.array_equal(np.stack(table["vector"].to_pylist()), np.stack([hit.vector for hit in result]))  # type: ignore[arg-type]
    bare = indexed.search("a dog", metadata=False)
    assert bare.to_arrow().column_names == ["collection", "image_id", "score", "path", "path_b64", "uri"]
    assert bare.to_pandas().image_id.tolist() == [hit.image_id for hit in bare]
    nothing = indexed.search("a dog", where="width < 0")
    assert nothing.to_arrow().num_rows == 0


def test_metadata_of_any_kind_fit_into_a_table() -> None:
    """Columns of several collections may differ in type, and have the names of a hit's own."""
    hits = tuple(
        imseek.Hit("u", n, 0.5, None, metadata)
        for n, metadata in enumerate(
            [{"score": "good", "year": 2020}, {"year": "unknown", "extra_score": 1, "content_hash": b"\x01"}, {}]
        )
    )
    table = imseek.SearchResult(hits, 1, 3, "fake").to_arrow()
    assert table["score"].to_pylist() == [0.5] * 3
    assert table["extra_score"].to_pylist() == ["good", None, None]
    assert table["extra_extra_score"].to_pylist() == [None, 1, None]
    assert table["year"].to_pylist() == ["2020", "unknown", None]
    assert table["content_hash"].to_pylist() == [None, "01", None]
