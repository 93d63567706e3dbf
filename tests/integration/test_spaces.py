"""Collections of two spaces: every image has a vector in both or in none, and pictures are compared in both."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import imseek
from imseek import maintenance
from imseek.data import layout
from imseek.data.current_generation import read_current
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.encoders import registry
from imseek.encoders.fake import FakeEncoder
from imseek.errors import (
    CorruptCollectionError,
    EncoderMismatchError,
    QueryError,
    UnknownEncoderError,
    UsageError,
)
from imseek.media.decode import decode
from imseek.types.arrays import Float32
from imseek.types.pictures import SkipReason
from imseek.types.search_results import SpaceShare

FIRST, SECOND = "fake:64", "fake:32"
Clock = Callable[[float], None]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[imseek.Collection]:
    """An empty collection of the spaces ``fake:64`` and ``fake:32``."""
    with imseek.create(tmp_path / "pair", encoder=FIRST, also=[SECOND]) as made:
        yield made


def encoded(reference: str, path: Path) -> Float32:
    encoder = registry.load(reference)
    pixels = decode(path.read_bytes()).pixels
    return encoder.encode_images(encoder.prepare(pixels)[None])[0]


def ids_by_name(collection: imseek.Collection) -> dict[str, int]:
    hits = collection.search(np.ones(64), limit=1000, metadata=False)
    return {Path(str(hit.path)).name: hit.image_id for hit in hits}


def vectors(path: Path, space_id: int) -> dict[int, np.ndarray[Any, np.dtype[np.float16]]]:
    """The live rows of a space by image id."""
    found = {}
    for segment in Reader(path).segments(space_id):
        alive = np.setdiff1d(np.arange(len(segment.ids)), segment.dead)
        found.update({int(segment.ids[n]): np.array(segment.rows[n]) for n in alive})
    return found


def cosines(path: Path, space_id: int, query: np.ndarray[Any, Any]) -> dict[int, float]:
    q = query.astype(np.float64) / np.linalg.norm(query.astype(np.float64))
    rows = vectors(path, space_id)
    return {i: float(r.astype(np.float64) @ q / np.linalg.norm(r.astype(np.float64))) for i, r in rows.items()}


def assert_hits(result: imseek.SearchResult, expected: dict[int, float]) -> None:
    ranked = sorted(expected, key=lambda i: (-expected[i], i))
    assert [hit.image_id for hit in result] == ranked[: len(result)]
    assert [hit.score for hit in result] == pytest.approx([expected[i] for i in ranked[: len(result)]], abs=1e-5)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 0x10
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.fixture
def pictures_only(tmp_path: Path) -> str:
    """An encoder that knows no words: a small model of timm with random weights."""
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False, num_classes=0).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    return f"timm:test_vit.r160_in1k@{tmp_path / 'weights.pt'}"


# -- making one ----------------------------------------------------------------------------------------------


def test_spaces_are_told_of(pair: imseek.Collection, photos: Path) -> None:
    fresh = pair.info()
    assert fresh.encoder == fresh.spaces[0].space
    assert [(s.space.space_id, s.space.encoder, s.space.dim) for s in fresh.spaces] == [
        (0, FIRST, 64),
        (1, SECOND, 32),
    ]
    assert [s.modalities for s in fresh.spaces] == [("image", "text")] * 2
    assert [s.precisions for s in fresh.spaces] == [(), ()]
    report = pair.index([photos])
    assert [(s.space_id, s.encoder, s.precision) for s in report.spaces] == [
        (0, FIRST, "fp32"),
        (1, SECOND, "fp32"),
    ]
    assert (report.encoder, report.precision) == (FIRST, "fp32")
    assert [s.precisions for s in pair.info().spaces] == [("fp32",), ("fp32",)]


def test_precisions_are_those_of_the_runs_that_encoded(
    pair: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.index([photos])
    monkeypatch.setattr(FakeEncoder, "precision", property(lambda self: f"bits{self.info.dim}"))
    pair.index()
    assert [s.precisions for s in pair.info().spaces] == [("fp32",), ("fp32",)], "it encoded nothing"
    Image.new("RGB", (40, 30), "red").save(photos / "red.png")
    pair.index()
    assert [s.precisions for s in pair.info().spaces] == [("fp32", "bits64"), ("fp32", "bits32")]


@pytest.mark.parametrize(
    ("also", "error", "said"),
    [
        ([FIRST], UsageError, f"two spaces with the encoder {FIRST}"),
        ([SECOND, SECOND], UsageError, f"two spaces with the encoder {SECOND}"),
        (["fake"], UsageError, f"fake is the encoder {FIRST} under another name"),
        (["fake:0"], UnknownEncoderError, "fake:0"),
        (SECOND, UsageError, f"a list of references, not {SECOND!r}"),
    ],
)
def test_spaces_that_are_refused(tmp_path: Path, also: list[str] | str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        imseek.create(tmp_path / "c", encoder=FIRST, also=also)
    assert not (tmp_path / "c").exists()


def test_an_encoder_that_knows_words_comes_first(tmp_path: Path, pictures_only: str) -> None:
    """Behind one that does not, it would never be asked for them."""
    with pytest.raises(UsageError, match="knows no words") as refused:
        imseek.create(tmp_path / "c", encoder=pictures_only, also=[FIRST])
    assert refused.value.hint == f"put {FIRST} first"
    assert not (tmp_path / "c").exists()
    with imseek.create(tmp_path / "c", encoder=pictures_only) as made:
        assert [s.modalities for s in made.info().spaces] == [("image",)]


# -- indexing ------------------------------------------------------------------------------------------------


def test_each_picture_is_encoded_in_both(pair: imseek.Collection, photos: Path) -> None:
    assert pair.index([photos]).added == 8
    (shard,) = Reader(pair.path).current.shards
    assert shard.spaces == (0, 1)
    first, second = vectors(pair.path, 0), vectors(pair.path, 1)
    assert first.keys() == second.keys() == {*range(8)}
    for name, image_id in ids_by_name(pair).items():
        (path,) = photos.rglob(name)
        assert first[image_id] == pytest.approx(encoded(FIRST, path), abs=1e-3)
        assert second[image_id] == pytest.approx(encoded(SECOND, path), abs=1e-3)


def test_copies_moves_and_changes_have_vectors_in_both(
    pair: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.index([photos])
    before = ids_by_name(pair)
    shutil.copy(photos / "coffee.png", photos / "copy.png")
    (photos / "rocket.jpg").rename(photos / "moved.jpg")
    with monkeypatch.context() as patch:
        patch.setattr("imseek.indexer.decode_stage.unit_rows", lambda *_: pytest.fail("nothing is new"))
        report = pair.index()
    assert (report.copied, report.moved, report.added) == (1, 1, 0)
    shutil.copy(photos / "camera.png", photos / "chelsea.png")
    assert pair.index().changed == 1
    after = ids_by_name(pair)
    assert after["moved.jpg"] == before["rocket.jpg"]
    for space_id in (0, 1):
        rows = vectors(pair.path, space_id)
        assert rows.keys() == {*after.values()}
        for name, twin in (("copy.png", "coffee.png"), ("chelsea.png", "camera.png")):
            assert (rows[after[name]] == rows[after[twin]]).all()


@pytest.mark.parametrize("fails", ["encode_images", "prepare"])
@pytest.mark.parametrize("reference", [FIRST, SECOND])
def test_what_one_encoder_fails_on_is_in_neither_space(
    pair: imseek.Collection,
    photos: Path,
    later: Clock,
    monkeypatch: pytest.MonkeyPatch,
    reference: str,
    fails: str,
) -> None:
    later(10)
    real = getattr(FakeEncoder, fails)
    bright = FakeEncoder.prepare(registry.load(FIRST), decode((photos / "coffee.png").read_bytes()).pixels)  # type: ignore[arg-type]

    def picky(self: FakeEncoder, given: np.ndarray[Any, Any]) -> Any:
        rows = given if fails == "encode_images" else FakeEncoder.prepare.__wrapped__(self, given)[None]  # type: ignore[attr-defined]
        if self.info.reference == reference and any((row == bright).all() for row in rows):
            raise RuntimeError("not this one")
        return real(self, given)

    picky.__wrapped__ = real  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(FakeEncoder, fails, picky)
        report = pair.index([photos])
    assert report.added == 7
    (failure,) = report.failures
    assert (failure.reason, Path(failure.path.decode()).name) == (SkipReason.ENCODER_FAILED, "coffee.png")
    assert "not this one" in failure.message
    if fails == "encode_images":
        assert failure.message.startswith(reference)
    assert vectors(pair.path, 0).keys() == vectors(pair.path, 1).keys() == {*range(7)}
    assert pair.index().added == 1
    assert vectors(pair.path, 0).keys() == vectors(pair.path, 1).keys() == {*range(8)}


@pytest.mark.parametrize(("sizes", "expected"), [((100, 400), 400), ((400, 100), 400), ((100, None), None)])
def test_one_decode_serves_the_most_demanding(
    pair: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch,
    sizes: tuple[int | None, int | None], expected: int | None,
) -> None:  # fmt: skip
    for encoder, size in zip(pair._encoders.values(), sizes, strict=True):
        object.__setattr__(encoder.info, "draft_size", size)
    asked = []

    def counted(data: bytes, min_side: int | None, **_: bool) -> Any:
        asked.append(min_side)
        return decode(data, min_side=min_side)

    monkeypatch.setattr("imseek.indexer.decode_stage.decode", counted)
    pair.index([photos])
    assert asked == [expected] * 8
    asked.clear()
    monkeypatch.setattr(sys.modules["imseek.media.decode"], "decode", counted)
    pair.search(photos / "coffee.png")
    assert asked == [expected], "a query is decoded as what it is compared with"


# -- searching -----------------------------------------------------------------------------------------------


@pytest.fixture
def indexed(pair: imseek.Collection, photos: Path) -> imseek.Collection:
    """Two shards, one image dead, one copy."""
    pair.index([photos])
    shutil.copy(photos / "coffee.png", photos / "copy.png")
    (photos / "rocket.jpg").unlink()
    pair.index()
    return pair


def test_a_picture_is_compared_in_both(indexed: imseek.Collection, photos: Path) -> None:
    for path in (photos / "chelsea.png", photos / "coffee.png"):
        a = cosines(indexed.path, 0, encoded(FIRST, path))
        b = cosines(indexed.path, 1, encoded(SECOND, path))
        for limit in (1, 3, 50):
            result = indexed.search(path, limit=limit)
            assert len(result) == min(limit, 8)
            assert_hits(result, {i: (a[i] + b[i]) / 2 for i in a})
            assert result.spaces == (
                SpaceShare(0, FIRST, pytest.approx(0.5)),
                SpaceShare(1, SECOND, pytest.approx(0.5)),
            )
            assert (result.searched, result.encoder) == (8, FIRST)


def test_a_stored_image_stands_for_its_vectors_in_both(indexed: imseek.Collection) -> None:
    copy, cup = (ids_by_name(indexed)[name] for name in ("copy.png", "coffee.png"))
    result = indexed.search(cup, limit=50)
    rows = [vectors(indexed.path, space_id)[cup] for space_id in (0, 1)]
    a, b = (cosines(indexed.path, n, row) for n, row in enumerate(rows))
    assert_hits(result, {i: (a[i] + b[i]) / 2 for i in a})
    assert [hit.image_id for hit in result][:2] == sorted([copy, cup]), "a tie is decided by the id"
    assert result[0].score == result[1].score == pytest.approx(1, abs=1e-6)


def test_words_and_vectors_are_of_the_first_space_and_touch_no_other(
    indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = registry.load

    def load(reference: str, **more: Any) -> Any:
        asked.append(reference)
        return real(reference, **more)

    monkeypatch.setattr(registry, "load", load)
    (words,) = registry.load(FIRST).encode_texts(["red"])
    asked.clear()
    with imseek.open(indexed.path) as opened:
        for question in ("red", words):
            result = opened.search(question, limit=50)
            assert_hits(result, cosines(indexed.path, 0, words))
            assert result.spaces == (SpaceShare(0, FIRST, 1.0),)
        assert {*asked} == {FIRST}
        assert {*opened.engine._generations.newest().indexes} == {0}
        with pytest.raises(QueryError, match="64 dimensions"):
            opened.search(np.ones(32))


def test_mixed_terms_weigh_a_space_by_what_speaks_to_it(indexed: imseek.Collection, photos: Path) -> None:
    picture, cup = photos / "chelsea.png", ids_by_name(indexed)["coffee.png"]
    terms = (
        imseek.Term(text="red", weight=0.5),
        imseek.Term(picture=picture, weight=2),
        imseek.Term(image_id=cup, weight=-1),
    )
    result = indexed.search(imseek.Query(terms, limit=50))

    def unit(vector: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
        wide = vector.astype(np.float64)
        return wide / np.linalg.norm(wide)

    (words,) = registry.load(FIRST).encode_texts(["red"])
    cups = [vectors(indexed.path, space_id)[cup] for space_id in (0, 1)]
    sums = [
        0.5 * unit(words) + 2 * unit(encoded(FIRST, picture)) - unit(cups[0]),
        2 * unit(encoded(SECOND, picture)) - unit(cups[1]),
    ]
    lengths = [float(np.linalg.norm(total)) for total in sums]
    shares = [length / sum(lengths) for length in lengths]
    assert [share.weight for share in result.spaces] == pytest.approx(shares, abs=1e-6)
    a, b = (cosines(indexed.path, n, total) for n, total in enumerate(sums))
    assert_hits(result, {i: shares[0] * a[i] + shares[1] * b[i] for i in a})


@pytest.mark.parametrize("scale", [1e-9, 5e-324, 1e300])
def test_only_the_ratios_of_weights_count(indexed: imseek.Collection, photos: Path, scale: float) -> None:
    def ask(scale: float) -> imseek.SearchResult:
        words, picture = imseek.Term(text="red", weight=-scale), photos / "chelsea.png"
        return indexed.search(imseek.Query((words, imseek.Term(picture=picture, weight=scale)), limit=50))

    found, expected = ask(scale), ask(1.0)
    assert [(h.image_id, h.score) for h in found] == [(h.image_id, h.score) for h in expected]
    assert found.spaces == expected.spaces


def test_terms_that_cancel_out_in_one_space_are_refused(indexed: imseek.Collection) -> None:
    cup = ids_by_name(indexed)["coffee.png"]
    terms = (imseek.Term(text="red"), imseek.Term(image_id=cup), imseek.Term(image_id=cup, weight=-1))
    with pytest.raises(QueryError, match="no direction"):
        indexed.search(imseek.Query(terms))


def test_an_empty_collection_answers_with_nothing(pair: imseek.Collection, photos: Path) -> None:
    result = pair.search(photos / "coffee.png")
    assert (result.hits, len(result.spaces)) == ((), 2)


def test_new_generations_are_seen_in_both(indexed: imseek.Collection, photos: Path) -> None:
    with imseek.open(indexed.path) as reader:
        before = reader.search(photos / "coffee.png", limit=50)
        shutil.copy(photos / "coffee.png", photos / "another.png")
        indexed.index()
        after = reader.search(photos / "coffee.png", limit=50)
    assert {h.image_id for h in after} - {h.image_id for h in before} == {ids_by_name(indexed)["another.png"]}
    assert after[2].score == before[0].score


def test_other_weights_in_the_second_space(
    indexed: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FakeEncoder.fingerprint
    monkeypatch.setattr(FakeEncoder, "fingerprint", lambda e: real(e) if e.info.reference == FIRST else "0" * 64)
    with imseek.open(indexed.path) as opened:
        assert len(opened.search("red")) == 8
        for act in (lambda: opened.search(photos / "coffee.png"), opened.index):
            with pytest.raises(EncoderMismatchError, match=f"other weights of {SECOND}"):
                act()


# -- care ----------------------------------------------------------------------------------------------------


def test_sound_and_every_changed_byte_of_the_second_space_is_found(indexed: imseek.Collection) -> None:
    assert maintenance.verify(indexed.path).problems == ()
    path = layout.vectors(1, 0)
    flip(indexed.path / path)
    (problem,) = maintenance.verify(indexed.path).problems
    assert (problem.kind, problem.file, problem.repairable) == ("vectors", path, True)


@pytest.mark.parametrize(
    ("damage", "catalog_too"),
    [(flip, False), (Path.unlink, False), (Path.unlink, True), (empty, True)],
    ids=["bit", "gone", "gone with the catalog", "cut with the catalog"],
)
def test_a_damaged_file_of_the_second_space_costs_no_id(
    indexed: imseek.Collection, photos: Path, damage: Callable[[Path], None], catalog_too: bool
) -> None:
    before, rows = ids_by_name(indexed), [vectors(indexed.path, n) for n in (0, 1)]
    damage(indexed.path / layout.vectors(1, 0))
    for name in (layout.CATALOG, *layout.BACKUPS) if catalog_too else ():
        (indexed.path / name).unlink(missing_ok=True)
    report = maintenance.repair(indexed.path)
    assert report.after.ok
    assert any(line.startswith(layout.vectors(1, 0)) for line in report.lost), report.lost
    with imseek.open(indexed.path) as opened:
        assert len(opened.search(photos / "coffee.png", limit=50)) == 1, "the copy, in the other shard"
        opened.index([photos])
        after = ids_by_name(opened)
        twins = {"coffee.png", "copy.png"}  # only the catalog told which of them has which id
        assert {n: i for n, i in after.items() if n not in twins} == {n: i for n, i in before.items() if n not in twins}
        assert {after[name] for name in twins} == {before[name] for name in twins}
        assert {s.space.encoder for s in opened.info().spaces} == {FIRST, SECOND}
    for space_id in (0, 1):
        again = vectors(indexed.path, space_id)
        assert again.keys() == rows[space_id].keys()
        assert all((again[i] == rows[space_id][i]).all() for i in again)
    assert maintenance.verify(indexed.path).ok


def test_a_shard_without_vectors_of_a_space_is_damage(indexed: imseek.Collection, photos: Path) -> None:
    """As an earlier imseek may have left it that repaired a collection."""
    with closing(sqlite3.connect(indexed.path / layout.CATALOG)) as catalog, catalog:
        catalog.execute("DELETE FROM files WHERE path = ?", (layout.vectors(1, 1),))
    for name in (layout.CHECKSUMS, layout.CURRENT):
        (indexed.path / name).unlink()
    (indexed.path / layout.vectors(1, 1)).unlink()
    with Writer(indexed.path, "test"):
        pass  # It makes current.json again, which then tells of it.
    assert [shard.spaces for shard in read_current(indexed.path).shards] == [(0, 1), (0,)]
    (problem,) = maintenance.verify(indexed.path).problems
    assert (problem.kind, problem.file) == ("vectors", layout.vectors(1, 1))
    with imseek.open(indexed.path) as opened:
        assert len(opened.search("red")) == 8
        with pytest.raises(CorruptCollectionError, match=f"1 images have no vector of {SECOND}") as refused:
            opened.search(photos / "coffee.png")
        assert "repair" in str(refused.value.hint)
    assert maintenance.repair(indexed.path).after.ok
    with imseek.open(indexed.path) as opened:
        opened.index([photos])
        assert len(opened.search(photos / "coffee.png", limit=50)) == 8


def test_merged_purged_and_emptied(tmp_path: Path, photo_files: list[Path], pair: imseek.Collection) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photo_files:
        shutil.copy(path, folder)
        pair.index([folder])  # eight shards of one image, of which the last commit makes one
    assert [(s.rows, s.spaces) for s in Reader(pair.path).current.shards] == [(8, (0, 1))]
    names, rows = ids_by_name(pair), [vectors(pair.path, n) for n in (0, 1)]
    assert [(names[p.name], 0) for p in photo_files] == [(n, 0) for n in range(8)]
    for space_id, reference in ((0, FIRST), (1, SECOND)):
        for path in photo_files:
            assert rows[space_id][names[path.name]] == pytest.approx(encoded(reference, path), abs=1e-3)

    (folder / "coffee.png").unlink()
    pair.index()
    traces = [rows[space_id][names["coffee.png"]].tobytes() for space_id in (0, 1)]
    assert all(trace in everything(pair.path) for trace in traces)
    assert maintenance.purge(pair.path).images == 1
    assert not any(trace in everything(pair.path) for trace in traces)
    for space_id in (0, 1):
        left = vectors(pair.path, space_id)
        assert left.keys() == rows[space_id].keys() - {names["coffee.png"]}
        assert all((left[i] == rows[space_id][i]).all() for i in left)
    assert maintenance.verify(pair.path).ok

    assert pair.remove_source(1) == 7
    assert pair.search(photo_files[0]).hits == ()
    maintenance.purge(pair.path)
    assert not [*(pair.path / layout.SPACES).rglob("*.npy")]
    assert maintenance.verify(pair.path).ok


def everything(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


# -- a real second encoder -----------------------------------------------------------------------------------


def test_a_model_of_timm_beside_another_encoder(tmp_path: Path, photos: Path, pictures_only: str) -> None:
    reference = pictures_only
    with imseek.create(tmp_path / "c", encoder="fake", also=[reference]) as made:
        made.index([photos])
        assert made.info().spaces[1].modalities == ("image",)
    with imseek.open(tmp_path / "c") as opened:
        assert [share.encoder for share in opened.search("red").spaces] == ["fake"]
        result = opened.search(photos / "coffee.png", limit=8)
        assert [share.encoder for share in result.spaces] == ["fake", reference]
        assert Path(str(result[0].path)).name == "coffee.png"
        assert result[0].score == pytest.approx(1, abs=1e-3)
        a, b = (
            cosines(opened.path, 0, encoded("fake", photos / "coffee.png")),
            cosines(opened.path, 1, encoded(reference, photos / "coffee.png")),
        )
        assert_hits(result, {i: (a[i] + b[i]) / 2 for i in a})
