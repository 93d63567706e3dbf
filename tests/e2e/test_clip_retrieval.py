"""The real clip-retrieval (2.45.0, in an environment of its own) indexes and serves what was exported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_retrieving import PYTHON, Service, serving

import imseek
from imseek import export
from imseek.collection import text_encoder
from imseek.data.reader import Reader


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is missing; `make test` installs it")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, photo_files) -> Path:
    """Photographs and parts of them in two shards, one of which has lost a row; some have captions."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("clip-retrieval")
    photos = folder / "photos"
    photos.mkdir()
    with imseek.create(folder / "made", encoder="builtin", captions=True) as collection:
        for part in range(2):
            for path in photo_files[part::2]:
                with Image.open(path) as opened:
                    picture = opened.convert("RGB")
                    picture.thumbnail((192, 192))  # Each is sent with each answer.
                    picture.save(photos / f"{path.stem}.png")
                    for n, box in enumerate(((0, 0), (picture.width // 2, 0), (0, picture.height // 2))):
                        size = (picture.width // 2, picture.height // 2)
                        cut = picture.crop((*box, box[0] + size[0], box[1] + size[1]))
                        cut.save(photos / f"{path.stem}-{n}.png")
            (photos / "coffee.txt").write_text("a cup of coffee on a table")
            (photos / "chelsea.txt").write_text("a tabby cat")
            collection.index([photos])
        (photos / "camera-1.png").unlink()
        collection.index()
    report = export.write(folder / "made", folder / "out", format="clip-retrieval")
    assert report.images == 31
    return folder


@pytest.fixture(scope="module")
def service(exported: Path) -> Iterator[Service]:
    with serving(exported / "out", exported) as found:
        yield found


def same(found: list[dict[str, Any]], expected: list[tuple[int, float]]) -> None:
    """The same ids in the same order, but among scores that rounding may swap: clip-retrieval takes stored rows for
    unit ones, and they are within 0.0005."""
    scores = [one["similarity"] for one in found]
    assert scores == pytest.approx([score for _, score in expected], abs=1e-3)
    known = dict(expected)
    for one, (image_id, score) in zip(found, expected, strict=True):
        assert one["image_id"] == image_id or abs(known[one["image_id"]] - score) < 1e-3


def test_the_same_images_in_the_same_order(exported, service) -> None:
    reader = Reader(exported / "made")
    with imseek.open(exported / "made") as collection:
        ids = sorted(hit.image_id for hit in collection.search("a cat", limit=40).hits)
        assert len(ids) == 31
        for image_id in ids[::4]:
            vector = reader.vector(image_id, 0).astype(np.float32)
            query = imseek.Query((imseek.Term(vector=vector),), limit=31, exact=True)
            hits = collection.search(query).hits
            found = service.knn("image", vector, 31)
            same(found, [(hit.image_id, hit.score) for hit in hits])
            places = {hit.image_id: hit.place.display for hit in hits}
            assert [one["image_path"] for one in found] == [places[one["image_id"]] for one in found]
            assert all(one["image"] for one in found), "it finds and sends the pictures themselves"


def test_words_and_captions(exported, service) -> None:
    with imseek.open(exported / "made") as collection:
        for words in ("a cat", "a cup of coffee", "a rocket"):
            vector = text_encoder(collection).encode_texts([words])[0]
            for by in ("image", "caption"):
                hits = collection.search(imseek.Query((imseek.Term(text=words),), limit=31, by=by, exact=True)).hits
                found = service.knn("image" if by == "image" else "text", vector, 31)
                if by == "caption":
                    found = [one for one in found if one["caption"] is not None]
                    assert [one["caption"] for one in found] == [hit.metadata["caption"] for hit in hits]
                same(found, [(hit.image_id, hit.score) for hit in hits])
