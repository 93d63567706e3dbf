"""Two encoders over the same pictures: equal to evaluating each alone; pictures read once, nothing stored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from templates import Templates

import imseek
from imseek import evaluate, maintenance
from imseek.encoders.fake import FakeEncoder
from imseek.errors import QueryError, UsageError
from imseek.evaluate import encode_images
from imseek.metrics.estimate import Estimate, better_side

CAPTIONS = {
    "astronaut.png": ["a woman in orange", "white and red and black"],
    "chelsea.png": ["a cat, red and yellow"],
    "coffee.png": ["a cup on a table"],
    "rocket.jpg": ["black and blue"],
    "camera.png": ["white and black"],
}


@pytest.fixture
def indexed(tmp_path: Path, photos: Path, templates: Templates) -> Iterator[imseek.Collection]:
    templates.indexed(tmp_path / "c", photos, encoder="fake:64")
    with imseek.open(tmp_path / "c") as made:
        yield made


def given(collection: imseek.Collection) -> dict[int, list[str]]:
    hits = collection.search(np.ones(64), limit=100, metadata=False)
    ids = {Path(str(hit.path)).name: hit.image_id for hit in hits}
    return {ids[name]: texts for name, texts in CAPTIONS.items()}


def stored(root: Path) -> dict[str, bytes]:
    """All files but those that SQLite keeps while the catalog is open."""
    files = (path for path in root.rglob("*") if path.is_file() and "sqlite-" not in path.name)
    return {str(path): path.read_bytes() for path in files}


def test_each_side_is_as_evaluated_alone(
    indexed: imseek.Collection, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    real = encode_images.decode

    def counting(data: bytes, **more: object) -> object:
        decoded.append(len(data))
        return real(data, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(encode_images, "decode", counting)
    before = stored(indexed.path)
    report = evaluate.compare(indexed, encoders=("fake:96", "fake:32"), captions=given(indexed))
    assert len(decoded) == 5, "each picture is decoded once for both"
    assert stored(indexed.path) == before, "nothing is stored"
    for half, encoder in ((report.a, "fake:96"), (report.b, "fake:32")):
        assert (half.encoder, half.stored) == (encoder, False)
    assert report.text_to_image is not None
    assert report.image_to_text is not None
    for found, encoder in (("a", "fake:96"), ("b", "fake:32")):
        with imseek.create(tmp_path / encoder, encoder=encoder) as made:
            made.index([photos])
            hits = made.search(np.ones(int(encoder[5:])), limit=100, metadata=False)
            ids = {Path(str(hit.path)).name: hit.image_id for hit in hits}
            alone = evaluate.retrieval(made, captions={ids[n]: texts for n, texts in CAPTIONS.items()})
        assert getattr(report.text_to_image, found) == alone.text_to_image
        assert getattr(report.image_to_text, found) == alone.image_to_text
    forth = report.text_to_image
    for k in (1, 5):
        assert forth.recall[k].value == pytest.approx(forth.b.recall[k].value - forth.a.recall[k].value)
        assert forth.recall[k].low <= forth.recall[k].value <= forth.recall[k].high
    assert (report.images, report.captions, report.unreadable) == (5, 6, 0)


def test_a_space_of_the_collection_is_taken_as_it_is(
    indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photos: Path
) -> None:
    mixed = evaluate.compare(indexed, encoders=("fake:64", "fake:32"), captions=given(indexed))
    assert (mixed.a.stored, mixed.b.stored) == (True, False)
    alone = evaluate.retrieval(indexed, captions=given(indexed))
    assert mixed.text_to_image is not None
    assert mixed.text_to_image.a == alone.text_to_image
    with imseek.create(tmp_path / "two", encoder="fake:64", also=["fake:32"]) as two:
        two.index([photos])
        monkeypatch.setattr(encode_images, "decode", lambda *_, **__: pytest.fail("all vectors are there"))
        both = evaluate.compare(two, encoders=(0, "fake:32"), captions=given(two))
    assert (both.a.stored, both.b.stored) == (True, True)
    assert both.text_to_image == mixed.text_to_image
    assert both.image_to_text == mixed.image_to_text


def test_the_first_space_need_not_have_the_id_0(indexed: imseek.Collection) -> None:
    said = given(indexed)
    maintenance.reencode(indexed.path, "fake:48")
    report = evaluate.compare(indexed, encoders=(None, "fake:32"), captions=said)
    assert (report.a.encoder, report.a.stored) == ("fake:48", True)
    with pytest.raises(UsageError, match="the same encoder"):
        evaluate.compare(indexed, encoders=(None, 1), captions=said)
    with pytest.raises(UsageError, match="has the id 0"):
        evaluate.compare(indexed, encoders=(0, 1), captions=said)


def test_two_collections_by_content(indexed: imseek.Collection, tmp_path: Path, photos: Path) -> None:
    said = given(indexed)
    (photos / "coffee.png").unlink()
    (photos / "rocket.jpg").rename(photos / "below" / "elsewhere.jpg")
    with imseek.create(tmp_path / "b", encoder="fake:32") as other:
        other.index([photos])
        report = evaluate.compare(indexed, against=other, captions=said)
        again = evaluate.compare(indexed, against=other, captions=said)
    assert report == again
    assert (report.images, report.captions) == (4, 5)
    assert (report.a.encoder, report.b.encoder) == ("fake:64", "fake:32")
    assert report.b.collection == str(tmp_path / "b")
    with pytest.raises(UsageError, match="with itself"):
        evaluate.compare(indexed, against=indexed.path, captions=said)


def test_pictures_that_cannot_be_read_are_left_out_of_both(indexed: imseek.Collection, photos: Path) -> None:
    said = given(indexed)
    (photos / "coffee.png").unlink()
    (photos / "camera.png").write_bytes((photos / "rocket.jpg").read_bytes())
    report = evaluate.compare(indexed, encoders=("fake:64", "fake:32"), captions=said)
    assert (report.images, report.captions, report.unreadable) == (3, 4, 2)
    assert any(reason.endswith("it is not there any more") for reason in report.reasons), report.reasons
    assert any("changed since it was indexed" in reason for reason in report.reasons)
    assert report.text_to_image is not None
    assert report.text_to_image.a.items == report.text_to_image.b.items == 3
    for path in photos.rglob("*.*"):
        path.unlink()
    with pytest.raises(QueryError, match="none of 5 pictures can be read"):
        evaluate.compare(indexed, encoders=("fake:64", "fake:32"), captions=said)


def test_the_verdict() -> None:
    assert better_side(Estimate(0.1, 0.01, 0.2)) == "b"
    assert better_side(Estimate(-0.1, -0.2, -0.01)) == "a"
    assert better_side(Estimate(0.1, -0.01, 0.2)) is None
    assert better_side(Estimate(0.1, 0.0, 0.2)) is None


def test_what_cannot_be_compared(indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    said = given(indexed)
    with pytest.raises(UsageError, match="what can be compared"):
        evaluate.compare(indexed, captions=said)
    with pytest.raises(UsageError, match="not 3"):
        evaluate.compare(indexed, encoders=(0, 1, 2), captions=said)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the same encoder"):
        evaluate.compare(indexed, encoders=(0, "fake:64"), captions=said)
    with pytest.raises(UsageError, match="has the id 9"):
        evaluate.compare(indexed, encoders=(0, 9), captions=said)
    with pytest.raises(UsageError, match="no encoder is called"):
        evaluate.compare(indexed, encoders=(0, "nonsense"), captions=said)
    with pytest.raises(QueryError, match="no image has a caption"):
        evaluate.compare(indexed, encoders=(0, "fake:32"))
    stop = threading.Event()
    stop.set()
    report = evaluate.compare(indexed, encoders=(0, "fake:32"), captions=said, stop=stop)
    assert (report.interrupted, report.text_to_image, report.verdict) == (True, None, None)
    from dataclasses import replace

    monkeypatch.setattr(FakeEncoder, "info", property(lambda self: replace(self._info, modalities=("image",))))
    with pytest.raises(UsageError, match="knows no words"):
        evaluate.compare(indexed, encoders=("fake:32", "fake:16"), captions=said)
