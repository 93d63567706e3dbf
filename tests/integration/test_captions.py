"""The space of captions: a row for each caption beside the vectors of pictures, zeros where there is none."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from templates import Templates

import imseek
from imseek import maintenance
from imseek.captions import agreement, summary
from imseek.data import layout
from imseek.data.current_generation import read_current
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.encoders import registry
from imseek.encoders.fake import FakeEncoder
from imseek.errors import CorruptCollectionError, EncoderMismatchError, QueryError, UsageError
from imseek.media.decode import decode
from imseek.types.arrays import Float32
from imseek.types.search_results import SpaceShare

ENCODER = "fake:64"
DESCRIPTION = 0x010E
TEXT = 1  # the space of captions in a collection of one encoder

#: Two without a caption, two with the same one, one of another script.
CAPTIONS: dict[str, str | None] = {
    "red.png": "something red",
    "green.jpg": "a green meadow",
    "blue.png": None,
    "sea.png": "the blue sea",
    "lake.jpg": "the blue sea",
    "grey.png": None,
    "山.png": "黄色い山 yellow",
}
COLOURS = ("red", "green", "blue", (0, 0, 250), (0, 10, 240), "grey", "yellow")


def draw(path: Path, colour: Any, caption: str | None) -> None:
    exif = Image.Exif()
    if caption is not None:
        exif[DESCRIPTION] = caption.encode()  # Text would be made ASCII.
    Image.new("RGB", (40, 30), colour).save(path, exif=exif)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for (name, caption), colour in zip(CAPTIONS.items(), COLOURS, strict=True):
        draw(folder / name, colour, caption)
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[imseek.Collection]:
    with imseek.create(tmp_path / "c", encoder=ENCODER, captions=True) as made:
        yield made


@pytest.fixture
def indexed(empty: imseek.Collection, pictures: Path) -> imseek.Collection:
    assert empty.index([pictures]).added == 7
    return empty


def words(*texts: str) -> Float32:
    return registry.load(ENCODER).encode_texts(texts)


def shown(path: Path) -> Float32:
    encoder = registry.load(ENCODER)
    return encoder.encode_images(encoder.prepare(decode(path.read_bytes()).pixels)[None])[0]


def named(result: imseek.SearchResult) -> list[str]:
    return [Path(str(hit.path)).name for hit in result]


def ids_of(collection: imseek.Collection) -> dict[str, int]:
    hits = collection.search(np.ones(64), limit=1000, metadata=False)
    return {Path(str(hit.path)).name: hit.image_id for hit in hits}


def stored(path: Path, space_id: int = TEXT) -> dict[int, np.ndarray[Any, np.dtype[np.float16]]]:
    """The rows of all live images in a space, those without a caption too."""
    reader = Reader(path)
    found = {}
    for shard in reader.current.shards:
        alive = np.setdiff1d(np.arange(shard.rows), reader.dead_rows(shard))
        found.update({int(i): reader.vector(int(i), space_id) for i in reader.shard_ids(shard)[alive]})
    return found


def unit(vector: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    wide = vector.astype(np.float64)
    return wide / np.linalg.norm(wide)


def expected(collection: imseek.Collection, query: np.ndarray[Any, Any]) -> dict[str, float]:
    """By name, the cosine to the caption as it is stored."""
    rows = stored(collection.path)
    return {name: float(unit(query) @ unit(rows[i])) for name, i in ids_of(collection).items() if rows[i].any()}


def assert_answer(result: imseek.SearchResult, scores: Mapping[str, float]) -> None:
    assert {n: h.score for n, h in zip(named(result), result, strict=True)} == pytest.approx(scores, abs=1e-5)
    assert [hit.score for hit in result] == sorted((hit.score for hit in result), reverse=True)
    assert (result.searched, result.spaces) == (len(scores), (SpaceShare(TEXT, ENCODER, 1.0),))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 0x10
    path.write_bytes(data)


def counted(real: Callable[..., Float32], asked: list[str]) -> Callable[..., Float32]:
    def encode(self: FakeEncoder, texts: Sequence[str]) -> Float32:
        asked.extend(texts)
        return real(self, texts)

    return encode


# -- making one ----------------------------------------------------------------------------------------------


def test_it_is_a_space_of_its_own(tmp_path: Path) -> None:
    with imseek.create(tmp_path / "c", encoder=ENCODER, also=["fake:32"], captions=True) as made:
        spaces = [summary.space for summary in made.info().spaces]
    assert [(s.space_id, s.encoder, s.modality, s.dim) for s in spaces] == [
        (0, ENCODER, "image", 64),
        (1, "fake:32", "image", 32),
        (2, ENCODER, "text", 64),
    ]
    assert spaces[2].fingerprint == spaces[0].fingerprint
    current = read_current(tmp_path / "c")
    assert (current.image_spaces, current.caption_space) == (tuple(spaces[:2]), spaces[2])


def test_an_encoder_without_words_makes_no_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEncoder, "info", property(lambda self: _without_words(self)))
    with pytest.raises(UsageError, match="knows no words"):
        imseek.create(tmp_path / "c", encoder=ENCODER, captions=True)
    assert not (tmp_path / "c").exists()


def _without_words(encoder: FakeEncoder) -> Any:
    from dataclasses import replace

    return replace(encoder._info, modalities=("image",))


# -- indexing ------------------------------------------------------------------------------------------------


def test_each_image_has_the_row_of_its_caption_or_zeros(indexed: imseek.Collection, pictures: Path) -> None:
    rows, ids = stored(indexed.path), ids_of(indexed)
    assert (indexed.path / "spaces/1/text_emb/000000.npy").is_file()
    assert np.load(indexed.path / "spaces/1/text_emb/000000.npy").shape == (7, 64)
    for name, caption in CAPTIONS.items():
        assert indexed.get(ids[name]).metadata.get("caption") == caption
        row = np.zeros(64) if caption is None else words(caption)[0]
        assert rows[ids[name]] == pytest.approx(row, abs=1e-3)
        assert stored(indexed.path, 0)[ids[name]] == pytest.approx(shown(pictures / name), abs=1e-3)
    assert maintenance.verify(indexed.path).ok


def test_a_caption_is_encoded_once_and_in_batches(
    empty: imseek.Collection, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    asked: list[str] = []
    real = counted(FakeEncoder.encode_texts, asked)

    def encode(self: FakeEncoder, texts: Sequence[str]) -> Float32:
        calls.append(len(texts))
        return real(self, texts)

    monkeypatch.setattr(FakeEncoder, "encode_texts", encode)
    empty.index([pictures])
    assert sorted(asked) == sorted({caption for caption in CAPTIONS.values() if caption})
    assert len(calls) == 1


def test_copies_and_moves_are_not_encoded_again(
    indexed: imseek.Collection, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ids_of(indexed)
    shutil.copy(pictures / "red.png", pictures / "copy.png")
    shutil.copy(pictures / "blue.png", pictures / "silent.png")
    (pictures / "sea.png").rename(pictures / "moved.png")
    with monkeypatch.context() as patch:
        patch.setattr(FakeEncoder, "encode_texts", lambda *_: pytest.fail("nothing is new"))
        report = indexed.index()
    assert (report.copied, report.moved) == (2, 1)
    ids, rows = ids_of(indexed), stored(indexed.path)
    assert ids["moved.png"] == before["sea.png"]
    assert (rows[ids["copy.png"]] == rows[ids["red.png"]]).all()
    assert not rows[ids["silent.png"]].any()
    assert named(indexed.search("something red", by="caption", limit=2)) == ["red.png", "copy.png"]


def test_two_of_one_content_in_one_batch(empty: imseek.Collection, pictures: Path) -> None:
    shutil.copy(pictures / "red.png", pictures / "copy.png")
    assert (empty.index([pictures]).added, empty.info().images) == (7, 8)
    ids, rows = ids_of(empty), stored(empty.path)
    assert (rows[ids["copy.png"]] == rows[ids["red.png"]]).all()
    assert rows[ids["copy.png"]].any()


def test_a_changed_picture_has_the_row_of_its_new_caption(indexed: imseek.Collection, pictures: Path) -> None:
    draw(pictures / "red.png", "red", "nothing but white")
    draw(pictures / "blue.png", "blue", "blue after all")
    draw(pictures / "sea.png", (0, 0, 250), None)
    assert indexed.index().changed == 3
    assert_answer(
        indexed.search("red", by="caption", limit=50),
        expected(indexed, words("red")[0]),
    )
    assert {*expected(indexed, words("red")[0])} == {
        "red.png", "green.jpg", "blue.png", "lake.jpg", "山.png"
    }  # fmt: skip
    (best,) = indexed.search("nothing but white", by="caption", limit=1)
    assert (Path(str(best.path)).name, best.score) == ("red.png", pytest.approx(1, abs=1e-3))


@pytest.mark.parametrize("broken", ["raises", "nan", "zero"])
def test_a_caption_that_the_encoder_fails_on_is_told_of(
    empty: imseek.Collection, pictures: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    real = FakeEncoder.encode_texts

    def encode(self: FakeEncoder, texts: Sequence[str]) -> Float32:
        rows = real(self, texts)
        for row, text in zip(rows, texts, strict=True):
            if text == "the blue sea":
                if broken == "raises":
                    raise RuntimeError("no sea")
                row[:] = np.nan if broken == "nan" else 0
        return rows

    monkeypatch.setattr(FakeEncoder, "encode_texts", encode)
    report = empty.index([pictures])
    assert (report.added, report.failures) == (7, ())
    why = "RuntimeError: no sea" if broken == "raises" else "its vector is zero or not finite"
    assert report.notes == (f"1 captions could not be embedded; the first: 'the blue sea' ({why})",)
    monkeypatch.undo()
    result = empty.search("the blue sea", by="caption", limit=50)
    assert {*named(result)} == {"red.png", "green.jpg", "山.png"}
    assert named(empty.search(pictures / "sea.png", limit=1)) == ["sea.png"]


def test_what_is_wrong_with_the_encoder_ends_the_run(
    empty: imseek.Collection, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: FakeEncoder, texts: Sequence[str]) -> Float32:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FakeEncoder, "encode_texts", full)
    with pytest.raises(OSError, match="No space left"):
        empty.index([pictures])
    assert empty.info().images == 0


def test_without_the_space_nothing_is_encoded(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEncoder, "encode_texts", lambda *_: pytest.fail("not asked for"))
    with imseek.create(tmp_path / "c", encoder=ENCODER) as made:
        made.index([pictures])
        with pytest.raises(QueryError, match="not embedded") as refused:
            made.search("red", by="caption")
        assert "maintain --captions" in str(refused.value.hint)
        with pytest.raises(QueryError, match="not embedded"):
            agreement(made)


# -- searching -----------------------------------------------------------------------------------------------


def test_words_are_compared_with_captions(indexed: imseek.Collection) -> None:
    for text in ("the sea", "red", "山"):
        for limit in (1, 2, 50):
            scores = expected(indexed, words(text)[0])
            assert {*scores} == {name for name, caption in CAPTIONS.items() if caption}
            best = dict(sorted(scores.items(), key=lambda item: (-item[1], ids_of(indexed)[item[0]]))[:limit])
            result = indexed.search(text, by="caption", limit=limit)
            assert named(result) == [*best]
            assert [hit.score for hit in result] == pytest.approx([*best.values()], abs=1e-5)
            assert result.searched == 5
    hit = indexed.search("the blue sea", by="caption")[0]
    assert (hit.metadata["caption"], hit.score) == ("the blue sea", pytest.approx(1, abs=1e-3))
    assert indexed.search("red").searched == 7, "pictures are compared as before"


def test_pictures_stored_images_and_vectors_too(indexed: imseek.Collection, pictures: Path) -> None:
    path = pictures / "blue.png"
    seen = expected(indexed, shown(path))
    image_id = ids_of(indexed)["blue.png"]
    for question in (path, path.read_bytes(), shown(path)):
        assert_answer(indexed.search(question, by="caption", limit=50), seen)
    row = stored(indexed.path, 0)[image_id]
    assert_answer(indexed.search(image_id, by="caption", limit=50), expected(indexed, row))
    terms = (imseek.Term(text="sea"), imseek.Term(picture=path, weight=-0.5), imseek.Term(image_id=image_id))
    mixed = unit(words("sea")[0]) - 0.5 * unit(shown(path)) + unit(row)
    query = imseek.Query(terms, limit=50, by="caption")
    assert_answer(indexed.search(query), expected(indexed, mixed))


def test_only_the_space_that_is_asked_is_opened(indexed: imseek.Collection, pictures: Path) -> None:
    with imseek.open(indexed.path) as opened:
        opened.search(pictures / "red.png", by="caption")
        assert {*opened.engine._generations.newest().indexes} == {TEXT}
        opened.search(pictures / "red.png")
        assert len(opened._encoders) == 1, "one encoder serves both spaces"


@pytest.mark.parametrize("by", ["captions", "words", None])
def test_compared_by_something_else(indexed: imseek.Collection, by: Any) -> None:
    with pytest.raises(QueryError, match="by image or by caption"):
        indexed.search("red", by=by)


def test_none_has_a_caption(tmp_path: Path, photos: Path) -> None:
    with imseek.create(tmp_path / "c", encoder=ENCODER, captions=True) as made:
        assert made.search("red", by="caption").hits == ()
        made.index([photos])
        result = made.search("red", by="caption")
        assert (result.hits, result.searched) == ((), 0)
        assert any("no image has a caption" in note and "docs/sources.md" in note for note in result.notes)
        assert (summary(made).captions, summary(made).median) == (0, None)


def test_new_generations_are_seen(indexed: imseek.Collection, pictures: Path) -> None:
    with imseek.open(indexed.path) as reader:
        assert reader.search("red", by="caption", limit=50).searched == 5
        draw(pictures / "new.png", "red", "red and new")
        draw(pictures / "mute.png", "blue", None)
        (pictures / "red.png").unlink()
        (pictures / "grey.png").unlink()
        indexed.index()
        assert_answer(reader.search("red", by="caption", limit=50), expected(indexed, words("red")[0]))
        assert reader.search("red", by="caption").searched == 5
        assert reader.engine.reader.count_without_caption(TEXT) == 2


def test_other_weights(indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEncoder, "fingerprint", lambda _: "0" * 64)
    with imseek.open(indexed.path) as opened:
        for act in (lambda: opened.search("red", by="caption"), opened.index):
            with pytest.raises(EncoderMismatchError, match=f"other weights of {ENCODER}"):
                act()


# -- agreement -----------------------------------------------------------------------------------------------


def test_agreement_is_the_cosine_of_picture_and_caption(indexed: imseek.Collection, pictures: Path) -> None:
    draw(pictures / "more.png", "white", "white as snow")
    (pictures / "lake.jpg").unlink()
    indexed.index()  # a second shard, and a dead row in the first
    ids = ids_of(indexed)
    seen, said = stored(indexed.path, 0), stored(indexed.path)
    rows = [*agreement(indexed)]
    assert [row.image_id for row in rows] == sorted(i for i, row in said.items() if row.any())
    for row in rows:
        assert row.score == pytest.approx(float(unit(seen[row.image_id]) @ unit(said[row.image_id])), abs=1e-6)
        assert row.place is not None
        name = Path(row.place.display).name
        assert (ids[name], row.caption) == (row.image_id, {**CAPTIONS, "more.png": "white as snow"}[name])
        found = indexed.search(row.image_id, by="caption", limit=50)
        assert row.score == pytest.approx({h.image_id: h.score for h in found}[row.image_id], abs=1e-5)
    assert [*agreement(indexed.path)] == [*agreement(str(indexed.path))] == rows

    told = summary(indexed, limit=2)
    worst = sorted(rows, key=lambda row: (row.score, row.image_id))
    assert (told.images, told.captions, told.worst) == (7, 5, tuple(worst[:2]))
    assert told.median == pytest.approx(worst[2].score)
    assert (told.encoder, told.generation) == (ENCODER, Reader(indexed.path).generation)
    assert summary(indexed, limit=0).worst == ()


def test_agreement_reads_a_group_of_rows_at_a_time(indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [*agreement(indexed)]
    monkeypatch.setattr("imseek.data.shards.shard_files.ROW_GROUP", 2)
    with Writer(indexed.path, "test") as writer:
        from imseek.data.shards.compaction import merge

        merge(writer, writer.current().shards)
    assert [*agreement(indexed)] == whole


def test_agreement_of_a_generation_that_is_purged(
    indexed: imseek.Collection, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A summary takes the newer one."""
    import imseek.captions as module

    real, purges = module._summary, iter([True])

    def late(reader: Reader, limit: int) -> Any:
        if next(purges, False):
            (pictures / "red.png").unlink()
            indexed.index()
            maintenance.purge(indexed.path)
        return real(reader, limit)

    monkeypatch.setattr(module, "_summary", late)
    assert (summary(indexed).images, summary(indexed).captions) == (6, 4)


# -- care ----------------------------------------------------------------------------------------------------


def test_merged_purged_and_emptied(empty: imseek.Collection, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for path in [*pictures.iterdir(), pictures / "red.png"]:
        shutil.copy(path, folder / ("copy.png" if (folder / path.name).exists() else path.name))
        empty.index([folder])  # eight shards, of which the last commit makes one
    assert [(s.rows, s.spaces) for s in Reader(empty.path).current.shards] == [(8, (0, 1))]
    ids, rows = ids_of(empty), stored(empty.path)
    for name, caption in CAPTIONS.items():
        row = np.zeros(64) if caption is None else words(caption)[0]
        assert rows[ids[name]] == pytest.approx(row, abs=1e-3)

    (folder / "green.jpg").unlink()
    empty.index()
    trace = rows[ids["green.jpg"]].tobytes()
    assert trace in everything(empty.path)
    assert maintenance.purge(empty.path).images == 1
    assert trace not in everything(empty.path)
    left = stored(empty.path)
    assert left.keys() == rows.keys() - {ids["green.jpg"]}
    assert all((left[i] == rows[i]).all() for i in left)
    assert maintenance.verify(empty.path).ok
    assert empty.remove_source(1) == 7
    assert empty.search("red", by="caption").hits == ()
    maintenance.purge(empty.path)
    assert not [*(empty.path / layout.SPACES).rglob("*.npy")]
    assert maintenance.verify(empty.path).ok


def everything(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


def test_a_lost_catalog_comes_back_from_the_shards(indexed: imseek.Collection, pictures: Path) -> None:
    before, rows = ids_of(indexed), stored(indexed.path)
    for name in (layout.CATALOG, *layout.BACKUPS):
        (indexed.path / name).unlink(missing_ok=True)
    assert maintenance.repair(indexed.path).after.ok
    with imseek.open(indexed.path) as opened:
        opened.index([pictures])
        assert ids_of(opened) == before
        spaces = [s.space for s in opened.info().spaces]
        assert [(s.space_id, s.modality) for s in spaces] == [(0, "image"), (1, "text")]
        assert opened.search("red", by="caption").searched == 5
    after = stored(indexed.path)
    assert all((after[i] == rows[i]).all() for i in rows)


def test_a_shard_without_the_vectors_of_captions_is_damage(
    indexed: imseek.Collection, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(pictures / "new.png", "red", "red and new")
    draw(pictures / "mute.png", "blue", None)
    indexed.index()
    path = layout.vectors(TEXT, 1, "text")
    with closing(sqlite3.connect(indexed.path / layout.CATALOG)) as catalog, catalog:
        catalog.execute("DELETE FROM files WHERE path = ?", (path,))
    for name in (layout.CHECKSUMS, layout.CURRENT):
        (indexed.path / name).unlink()
    (indexed.path / path).unlink()
    with Writer(indexed.path, "test"):
        pass  # It makes current.json again, which then tells of it.
    (problem,) = maintenance.verify(indexed.path).problems
    assert (problem.kind, problem.file) == ("vectors", path)
    with imseek.open(indexed.path) as opened:
        found = opened.search("red")
        assert found.searched == 9
        assert [note for note in found.notes if "captions were passed over: 2 images have no vector" in note]
        with pytest.raises(CorruptCollectionError, match="2 images have no vector"):
            opened.search("red", by="caption")
    assert maintenance.repair(indexed.path).after.ok
    monkeypatch.setattr(FakeEncoder, "encode_texts", counted(FakeEncoder.encode_texts, asked := []))
    assert maintenance.embed_captions(indexed.path).outcome == "switched"
    assert asked == ["red and new"], "the other shard has its vectors"
    with imseek.open(indexed.path) as opened:
        assert opened.search("red").searched == 9
        assert opened.search("red", by="caption").searched == 6


@pytest.mark.parametrize("damage", [flip, Path.unlink], ids=["bit", "gone"])
def test_damage_costs_the_captions_and_no_picture(
    indexed: imseek.Collection, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rows = layout.vectors(TEXT, 0, "text"), stored(indexed.path)
    damage(indexed.path / path)
    (problem,) = maintenance.verify(indexed.path).problems
    assert (problem.kind, problem.file, problem.repairable) == ("vectors", path, True)
    report = maintenance.repair(indexed.path)
    assert report.after.ok
    assert report.lost == (f"{path}: vectors of captions; `imseek maintain --captions` makes them again",)
    monkeypatch.setattr("imseek.indexer.decode_stage.unit_rows", lambda *_: pytest.fail("no picture is lost"))
    with imseek.open(indexed.path) as opened:
        assert opened.search("red").searched == 7
        with pytest.raises(QueryError, match="not embedded"):
            opened.search("red", by="caption")
        assert opened.index().unchanged == 7
        assert maintenance.embed_captions(indexed.path).outcome == "switched"
        after = stored(indexed.path)
        assert all((after[i] == rows[i]).all() for i in rows)
        assert opened.search("red", by="caption").searched == 5
    assert maintenance.verify(indexed.path).ok


# -- embedding what is stored --------------------------------------------------------------------------------


@pytest.fixture
def without(tmp_path: Path, pictures: Path, templates: Templates) -> Iterator[imseek.Collection]:
    """A collection without the space: two shards, a dead row, a suspended image; and no picture is left."""
    templates.indexed(tmp_path / "c", pictures, encoder=ENCODER)
    with imseek.open(tmp_path / "c") as made:
        draw(pictures / "new.png", "red", "red and new")
        draw(pictures / "mute.png", "blue", None)
        (pictures / "green.jpg").unlink()
        (pictures / "sea.png").write_bytes(b"no picture any more")
        assert made.index().failures[0].reason == "not_an_image"
        assert len(read_current(made.path).shards) == 2
        pictures.rename(tmp_path / "away")
        yield made


def test_captions_are_embedded_without_pictures(without: imseek.Collection) -> None:
    generation = without.info().generation
    moments: list[imseek.Progress] = []
    report = maintenance.embed_captions(without.path, progress=moments.append)
    assert (report.outcome, report.space_id, report.encoder) == ("switched", TEXT, ENCODER)
    assert (report.images, report.captions, report.encoded) == (7, 4, 4)
    assert report.generation == without.info().generation > generation
    assert [(m.phase, m.done, m.total) for m in moments[-1:]] == [("captions", 8, 8)]
    assert_answer(without.search("red", by="caption", limit=50), expected(without, words("red")[0]))
    rows = stored(without.path)
    for row in agreement(without):
        assert rows[row.image_id] == pytest.approx(words(row.caption)[0], abs=1e-3)
    assert {row.caption for row in agreement(without)} == {
        "something red", "the blue sea", "黄色い山 yellow", "red and new"
    }  # fmt: skip
    assert maintenance.verify(without.path).ok
    again = maintenance.embed_captions(without.path)
    assert (again.outcome, again.captions, again.encoded) == ("already", 4, 0)
    assert again.generation == report.generation


def test_later_pictures_are_embedded_as_they_come(without: imseek.Collection, tmp_path: Path) -> None:
    maintenance.embed_captions(without.path)
    (tmp_path / "away").rename(tmp_path / "pictures")
    draw(tmp_path / "pictures" / "sea.png", (0, 0, 250), "the blue sea")  # It may be searched again.
    draw(tmp_path / "pictures" / "newer.png", "red", "newer still")
    without.index()
    scores = expected(without, words("sea")[0])
    assert {*scores} == {"red.png", "sea.png", "lake.jpg", "山.png", "new.png", "newer.png"}
    assert_answer(without.search("sea", by="caption", limit=50), scores)
    assert maintenance.verify(without.path).ok


def test_a_build_that_was_stopped_goes_on(without: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr("imseek.data.writing.space_build.COMMIT_ROWS", 2)
    monkeypatch.setattr("imseek.indexer.caption_space.BATCH", 2)
    stop = threading.Event()
    first = maintenance.embed_captions(without.path, stop=stop, progress=lambda p: stop.set() if p.done > 2 else None)
    assert first.outcome == "interrupted"
    assert first.encoded == 2
    with pytest.raises(QueryError, match="not embedded"):
        without.search("red", by="caption")
    assert without.search("red").searched == 7
    assert maintenance.verify(without.path).ok
    maintenance.merge(without.path)
    monkeypatch.setattr(FakeEncoder, "encode_texts", counted(FakeEncoder.encode_texts, asked := []))
    second = maintenance.embed_captions(without.path)
    assert (second.outcome, second.space_id) == ("switched", first.space_id)
    assert sorted(asked) == ["red and new", "the blue sea", "黄色い山 yellow"]
    assert_answer(without.search("red", by="caption", limit=50), expected(without, words("red")[0]))
    assert maintenance.verify(without.path).ok


def test_the_encoder_of_the_pictures_has_changed(indexed: imseek.Collection, pictures: Path) -> None:
    assert maintenance.reencode(indexed.path, "fake:32").outcome == "switched"
    assert indexed.search("red", by="caption").searched == 5, "captions stay with the words of their own encoder"
    assert indexed.search("red", by="caption").encoder == ENCODER
    assert indexed.search("red").encoder == "fake:32"
    for refused in (lambda: agreement(indexed), lambda: indexed.search(0, by="caption")):
        with pytest.raises(QueryError, match=f"embedded with {ENCODER}, and no picture is"):
            refused()
    report = maintenance.embed_captions(indexed.path)
    assert (report.outcome, report.encoder, report.captions) == ("switched", "fake:32", 5)
    current = read_current(indexed.path)
    assert [(s.space_id, s.encoder, s.modality) for s in current.spaces] == [
        (2, "fake:32", "image"),
        (3, "fake:32", "text"),
    ]
    assert [shard.spaces for shard in current.shards] == [(0, 2, 3)], "the old space of captions is dropped"
    (words_now,) = registry.load("fake:32").encode_texts(["the blue sea"])
    hit = indexed.search("the blue sea", by="caption")[0]
    assert hit.metadata["caption"] == "the blue sea"
    assert stored(indexed.path, 3)[hit.image_id] == pytest.approx(words_now, abs=1e-3)
    assert len([*agreement(indexed)]) == 5
    draw(pictures / "new.png", "red", "red and new")
    indexed.index()
    assert indexed.search("red", by="caption").searched == 6
    assert maintenance.verify(indexed.path).ok


def test_an_encoder_without_words_embeds_nothing(without: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEncoder, "info", property(lambda self: _without_words(self)))
    with pytest.raises(UsageError, match="knows no words"):
        maintenance.embed_captions(without.path)
    monkeypatch.undo()
    monkeypatch.setattr(FakeEncoder, "fingerprint", lambda _: "0" * 64)
    with pytest.raises(EncoderMismatchError):
        maintenance.embed_captions(without.path)
    assert [s.modality for s in read_current(without.path).spaces] == ["image"]
    assert maintenance.verify(without.path).ok
