"""Encoding pictures and texts without a collection."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import imseek
from imseek.embedding import encode_file
from imseek.encoders import registry
from imseek.errors import EncoderError, MediaError, QueryError, UnknownEncoderError, UsageError
from imseek.media import decode
from imseek.progress import Progress


@pytest.fixture(scope="module")
def encoder() -> imseek.Embedder:
    return imseek.load_encoder("fake")


def test_pictures_of_every_kind_have_the_vectors_of_an_index(
    encoder: imseek.Embedder, collection: imseek.Collection, photos: Path
) -> None:
    paths = sorted(path for path in photos.rglob("*") if path.is_file())
    collection.index(photos)
    rows = encoder.images(paths)
    assert (rows.shape, rows.dtype) == ((len(paths), encoder.dim), np.float32)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    by_path = dict(zip(collection.metadata(["path"])["path"].to_pylist(), collection.vectors().vectors, strict=True))
    assert np.allclose(rows, [by_path[str(path)] for path in paths], atol=1e-3)  # stored in half precision
    with Image.open(paths[0]) as opened:
        forms: list[Any] = [str(paths[0]), paths[0].read_bytes(), opened, decode(paths[0].read_bytes()).pixels]
        assert np.array_equal(encoder.images(forms), np.stack([rows[0]] * len(forms)))
    assert np.array_equal(encoder.texts(["red", "blue"]), registry.load("fake").encode_texts(["red", "blue"]))


def test_nothing_is_encoded_as_no_rows(encoder: imseek.Embedder) -> None:
    assert encoder.images([]).shape == encoder.texts([]).shape == (0, encoder.dim)


def test_many_are_encoded_in_blocks_as_they_come(encoder: imseek.Embedder, photo_files: list[Path]) -> None:
    taken = []

    def pictures() -> Iterator[Path]:
        for n in range(300):
            taken.append(n)
            yield photo_files[n % 2]

    blocks = encoder.image_blocks(pictures())
    first = next(blocks)
    assert len(first) < 100
    assert len(taken) < 300  # no more than the next ones are read in advance
    rows = np.concatenate([first, *blocks])
    assert np.array_equal(rows, np.tile(encoder.images(photo_files[:2]), (150, 1)))
    texts = [f"text {n}" for n in range(600)]
    assert np.array_equal(encoder.texts(iter(texts)), registry.load("fake").encode_texts(texts))


def test_a_picture_that_cannot_be_used_is_named(
    encoder: imseek.Embedder, photo_files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "no picture.jpg").write_text("no")
    pictures: list[Any] = [photo_files[0], tmp_path / "no picture.jpg", b"", str(tmp_path / "gone.jpg"), photo_files[1]]
    with pytest.raises(MediaError, match=r"picture 1 \(.*/no picture\.jpg\): the content matches no known image"):
        encoder.images(pictures)
    failed: dict[int, MediaError] = {}
    rows = encoder.images(pictures, on_error=failed.__setitem__)
    assert {n: error.reason for n, error in failed.items()} == {1: "not_an_image", 2: "empty_file", 3: "vanished"}
    assert str(failed[2]) == "picture 2: the file is empty"
    assert np.isnan(rows[1:4]).all()
    assert np.array_equal(rows[[0, 4]], encoder.images(photo_files[:2]))
    assert np.isnan(encoder.images(pictures[1:4], on_error=failed.__setitem__)).all()
    folder: dict[int, MediaError] = {}
    encoder.images([tmp_path], on_error=folder.__setitem__)
    assert folder[0].reason == "unreadable"


@pytest.mark.parametrize("picture", [None, 7, np.zeros(5), np.zeros((5, 5, 3)), np.zeros((5, 5), np.uint8), ["a.jpg"]])
def test_what_is_no_picture_is_refused(encoder: imseek.Embedder, picture: Any) -> None:
    with pytest.raises(UsageError, match="a picture is a path"):
        encoder.images([picture], on_error=lambda *_: None)


def test_one_is_not_taken_for_many(encoder: imseek.Embedder, photo_files: list[Path]) -> None:
    one: Any
    for one in (str(photo_files[0]), photo_files[0], b"abc", np.zeros((4, 4, 3), np.uint8), 5):
        with pytest.raises(UsageError, match="pictures are a list"):
            encoder.images(one)
    for one in ("red", b"red", None):
        with pytest.raises(UsageError, match="texts are a list"):
            encoder.texts(one)
    with pytest.raises(QueryError):
        encoder.texts(["red", " "])
    assert encoder.images(np.zeros((2, 4, 4, 3), np.uint8)).shape == (2, encoder.dim)  # a stack of pixels


def test_encoders_are_found_by_their_references(monkeypatch: pytest.MonkeyPatch) -> None:
    assert repr(imseek.load_encoder("fake:32")) == "<imseek.Embedder fake:32, 32 dimensions>"
    with pytest.raises(UnknownEncoderError):
        imseek.load_encoder("nothing")
    said: list[str] = []
    monkeypatch.setattr(registry, "resolve", lambda _: registry.Resolution("fake", "a basic encoder"))
    assert imseek.load_encoder("auto", notify=said.append).info.reference == "fake"
    assert said == ["a basic encoder"]


def test_an_encoder_of_pictures_knows_no_words() -> None:
    from imseek.encoders.fake import FakeEncoder

    with pytest.raises(EncoderError):
        imseek.Embedder(FakeEncoder(64, modalities=("image",), reference="fake")).texts(["red"])


def test_threads_share_an_encoder(encoder: imseek.Embedder, photo_files: list[Path]) -> None:
    expected = encoder.images(photo_files)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(encoder.images(photo_files))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(np.array_equal(rows, expected) for rows in found)


@pytest.mark.slow
def test_the_builtin_encoder_gives_what_an_index_holds(photos: Path, tmp_path: Path) -> None:
    encoder = imseek.load_encoder("builtin")
    with imseek.create(tmp_path / "c", encoder="builtin") as collection:
        collection.index(photos)
        table = collection.metadata(["path"])
        assert np.allclose(encoder.images(table["path"].to_pylist()), collection.vectors().vectors, atol=2e-3)
        hit = collection.search("a cat", by="image")[0]
        cosines = encoder.texts(["a cat"]) @ encoder.images([str(hit.path)]).T
        assert cosines[0, 0] == pytest.approx(hit.score, abs=2e-3)


def test_encoders_load_on_first_use() -> None:
    script = "import imseek, sys; assert 'imseek.encoders' not in sys.modules; print(imseek.encoders.canonical('fake'))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "fake\n"


# Files


def test_vectors_are_written_as_an_array(encoder: imseek.Embedder, photo_files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no")
    paths = [str(photo_files[0]), str(tmp_path / "bad.jpg"), str(photo_files[1])]
    seen: list[Progress] = []
    report = encode_file(encoder, paths, tmp_path / "v.npy", progress=seen.append)
    rows = np.load(tmp_path / "v.npy")
    assert np.array_equal(rows[[0, 2]], encoder.images([paths[0], paths[2]]))
    assert np.isnan(rows[1]).all()
    assert (report.vectors, report.dim, report.encoder, report.format) == (2, 64, "fake", "npy")
    assert [(one.position, one.path, one.reason) for one in report.skipped] == [
        (1, str(tmp_path / "bad.jpg").encode(), "not_an_image")
    ]
    assert (seen[-1].done, seen[-1].total, seen[-1].skipped) == (3, 3, 1)
    encode_file(encoder, ["red", "blue"], tmp_path / "w.npy", kind="texts")
    assert np.array_equal(np.load(tmp_path / "w.npy"), encoder.texts(["red", "blue"]))


def test_vectors_are_written_as_a_table_that_can_be_indexed(
    encoder: imseek.Embedder, photo_files: list[Path], tmp_path: Path, collection: imseek.Collection
) -> None:
    (tmp_path / "bad.jpg").write_text("no")
    paths = [str(photo_files[0]), str(tmp_path / "bad.jpg"), str(photo_files[1])]
    encode_file(encoder, paths, tmp_path / "v.parquet")
    table = pq.read_table(tmp_path / "v.parquet")
    assert table["path"].to_pylist() == [paths[0], paths[2]]
    assert np.array_equal(np.stack(table["vector"].to_pylist()), encoder.images([paths[0], paths[2]]))
    assert table.schema.metadata[b"imseek.fingerprint"].decode() == encoder.fingerprint()
    report = collection.index(tmp_path / "v.parquet")
    assert report.added == 2
    assert collection.search(photo_files[1], limit=1)[0].score == pytest.approx(1, abs=2e-3)
    encode_file(encoder, ["red", "blue"], tmp_path / "w.parquet", kind="texts")
    assert pq.read_table(tmp_path / "w.parquet")["text"].to_pylist() == ["red", "blue"]


def test_wrong_files_are_refused(encoder: imseek.Embedder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to encode"):
        encode_file(encoder, [], tmp_path / "v.npy")
    with pytest.raises(UsageError, match=r"neither \.npy nor \.parquet"):
        encode_file(encoder, ["red"], tmp_path / "v.csv", kind="texts")
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedError):
        encode_file(encoder, ["red"], tmp_path / "v.npy", kind="texts", stop=stop)
