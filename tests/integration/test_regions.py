"""Search by a region of a picture, by every door: real photographs, and parts of them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from templates import Templates

import imseek
from imseek.errors import ContentChangedError, ImageNotFoundError, QueryError
from imseek.search import query_from_json
from imseek.ui.http.app import make_app
from imseek.ui.server.settings import Settings
from imseek.ui.web import search_state

#: The heads of the cat and of the astronaut, and the cup of coffee, in shares.
PARTS = {
    "chelsea.png": (0.25, 0.1, 0.5, 0.6),
    "coffee.png": (0.25, 0.1, 0.55, 0.7),
    "astronaut.png": (0.2, 0.0, 0.5, 0.5),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    folder = tmp_path_factory.mktemp("regions")
    pictures = folder / "pictures"
    pictures.mkdir()
    for path in photo_files:
        (pictures / path.name).write_bytes(path.read_bytes())
    with imseek.create(folder / "photos", encoder="builtin") as collection:
        collection.index([pictures])
    return folder / "photos"


@pytest.fixture(scope="module")
def photos(root: Path) -> Iterator[imseek.Collection]:
    with imseek.open(root) as opened:
        yield opened


def _id(photos: imseek.Collection, name: str) -> int:
    return next(one.image_id for one in photos if one.place is not None and one.place.display.endswith(name))


def _crop(path: str, box: tuple[float, ...]) -> bytes:
    """The region as a picture of its own, cut by Pillow."""
    with Image.open(path) as image:
        x, y, width, height = (share * side for share, side in zip(box, image.size * 2, strict=True))
        buffer = io.BytesIO()
        image.convert("RGB").crop((round(x), round(y), round(x + width), round(y + height))).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_region_searches_as_the_same_part_cut_out_by_hand(photos: imseek.Collection) -> None:
    for name, box in PARTS.items():
        image_id = _id(photos, name)
        path = next(str(hit.path) for hit in photos.search(image_id, limit=1))
        found = photos.search(imseek.Term(image_id=image_id, region=box), limit=8)
        by_hand = photos.search(_crop(path, box), limit=8)
        assert found[0].image_id == image_id, name
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in by_hand], abs=0.02), name
        assert found[0].score < 0.995  # Not the vector of the whole picture.
        # The same box of a file, and in pixels.
        with Image.open(path) as image:
            pixels = tuple(round(share * side) for share, side in zip(box, image.size * 2, strict=True))
        for term in (imseek.Term(picture=Path(path), region=box), imseek.Term(image_id=image_id, region=pixels)):
            again = photos.search(term, limit=8)
            assert [hit.image_id for hit in again][:1] == [image_id]
            assert [hit.score for hit in again] == pytest.approx([hit.score for hit in found], abs=0.02)


def test_the_whole_picture_as_a_region_is_the_picture(photos: imseek.Collection) -> None:
    image_id = _id(photos, "flower.jpg")
    (hit,) = photos.search(imseek.Term(image_id=image_id, region=(0, 0, 1, 1)), limit=1)
    assert hit.image_id == image_id
    assert hit.score > 0.99


def test_regions_are_combined_with_words_and_refused_terms(photos: imseek.Collection) -> None:
    cat = _id(photos, "chelsea.png")
    query = imseek.Query([imseek.Term(image_id=cat, region=PARTS["chelsea.png"]), "an animal"], limit=3)
    first = photos.search(query)
    assert first[0].image_id == cat
    rest = photos.search(query, page=first.next_page)
    assert not {hit.image_id for hit in first} & {hit.image_id for hit in rest}
    other = imseek.Query([imseek.Term(image_id=cat, region=(0, 0, 1, 1)), "an animal"], limit=3)
    with pytest.raises(QueryError, match="page"):  # The token is of another query.
        photos.search(other, page=first.next_page)


def test_boxes_that_the_picture_does_not_have(photos: imseek.Collection) -> None:
    cat = _id(photos, "chelsea.png")
    for box, message in (
        ((400, 0, 100, 100), "beyond the picture, which has 451 × 300"),
        ((0, 0, 0.01, 0.01), "covers 5 × 3"),
    ):
        with pytest.raises(QueryError, match=message) as refused:
            photos.search(imseek.Term(image_id=cat, region=box))
        assert refused.value.hint
    with pytest.raises(ImageNotFoundError):
        photos.search(imseek.Term(image_id=10**6, region=(0, 0, 1, 1)))


def test_only_what_was_indexed_is_searched_by(tmp_path: Path, photo_files: list[Path], templates: Templates) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("rocket.jpg", "china.jpg"):
        (folder / name).write_bytes(next(path for path in photo_files if path.name == name).read_bytes())
    with imseek.open(templates.indexed(tmp_path / "c", folder)) as photos:
        rocket, china = (_id(photos, name) for name in ("rocket.jpg", "china.jpg"))
        (folder / "rocket.jpg").write_bytes((folder / "china.jpg").read_bytes())
        with pytest.raises(ContentChangedError, match=f"needs the picture of image {rocket}"):
            photos.search(imseek.Term(image_id=rocket, region=(0, 0, 0.5, 0.5)))
        (folder / "china.jpg").unlink()
        with pytest.raises(imseek.errors.MediaError, match="not there any more"):
            photos.search(imseek.Term(image_id=china, region=(0, 0, 0.5, 0.5)))
        assert photos.search(china, limit=1)[0].image_id == china  # Its vector is enough for the whole.


def test_every_door_answers_alike(root: Path, photos: imseek.Collection) -> None:
    box = PARTS["chelsea.png"]
    cat = _id(photos, "chelsea.png")
    expected = [hit.image_id for hit in photos.search(imseek.Term(image_id=cat, region=box), limit=8)]
    document = {"like": {"image_id": cat, "region": list(box)}, "limit": 8}
    assert [hit.image_id for hit in photos.search(query_from_json(document, files=False))] == expected
    text = ",".join(map(str, box))
    asked = search_state.parse_address({"like": [f"id:{cat}@{text}"]}).state.with_changes(cutoff=False, limit=8)
    assert [hit.image_id for hit in photos.search(asked.query(lambda _: b""))] == expected
    data = photos.read(cat)
    settings = Settings((("photos", root),), token="a-token-for-tests-0123456789", rate=0)
    with TestClient(make_app(settings), base_url="http://localhost:1234") as client:
        client.headers["Authorization"] = "Bearer a-token-for-tests-0123456789"
        at = "/collections/photos"

        def ids(answer: Any) -> list[int]:
            assert answer.status_code == 200, answer.text
            return [hit["image_id"] for hit in answer.json()["hits"]]

        assert ids(client.post(f"{at}/search", json=document)) == expected
        sent = {"like": {"picture": base64.b64encode(data).decode(), "region": list(box)}, "limit": 8}
        assert ids(client.post(f"{at}/search", json=sent)) == expected
        assert ids(client.get(f"{at}/images/{cat}/similar", params={"region": text, "limit": 8})) == expected
        picture = {"picture": ("a.png", data)}
        assert ids(client.post(f"{at}/similar", files=picture, params={"region": text, "limit": 8})) == expected
        for wrong in ("0.5,0.5,0.6,0.2", "a", "0,0,9999,9999", ""):
            refused = client.get(f"{at}/images/{cat}/similar", params={"region": wrong})
            assert refused.status_code == 422, wrong
            assert "region" in json.dumps(refused.json())


def test_a_contact_sheet_shows_the_region(photos: imseek.Collection) -> None:
    from imseek.showing.sheet import _query_picture, title_of

    query = imseek.Query(imseek.Term(image_id=_id(photos, "chelsea.png"), region=PARTS["chelsea.png"]), limit=1)
    result = photos.search(query)
    assert title_of(query).startswith("part of image")
    with result.pictures.opened() as read:  # type: ignore[union-attr]
        shown = _query_picture(query, result, read)
    assert shown is not None
    assert shown.shape[1] / shown.shape[0] == pytest.approx(451 * 0.5 / (300 * 0.6), rel=0.02)
    assert isinstance(shown, np.ndarray)
