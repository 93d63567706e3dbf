"""The routes that the pages' scripts use: what is known of a picture, tags, what is taken along."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tracemalloc
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from templates import Templates
from xmp import annotations

import imseek
from imseek.data.writing.writer import Writer
from imseek.errors import LockedError
from imseek.ocr import text_store
from imseek.ocr.results import TextLine
from imseek.ui.render.result_json import to_json
from imseek.ui.server.service import Service
from imseek.ui.server.settings import Settings
from imseek.ui.web import downloads, image_details
from imseek.ui.web.image_action_routes import image_action_routes
from imseek.ui.web.selection_store import MAX_IMAGES, SelectionStore, make_selection


@pytest.fixture
def root(tmp_path: Path, photos: Path, templates: Templates) -> Path:
    made = tmp_path / "c"
    return templates.indexed(made, photos)


class Asked:
    """The routes over one collection, and the choices that they know."""

    def __init__(self, root: Path, *, opens: bool = False) -> None:
        self.choices = SelectionStore()
        self.service = Service(Settings((("photos", root),)))
        routes = image_action_routes(self.service, self.choices, "/pictures", "/taken", opens=opens)
        self.client = TestClient(Starlette(routes=routes), raise_server_exceptions=False)

    def known(self, image_id: int) -> Any:
        return self.client.get(f"/pictures/photos/images/{image_id}/about").json()

    def tag(self, **body: Any) -> Any:
        return self.client.post("/pictures/photos/tags", json=body)

    def taken(self, file: str, *ids: int, hits: Any = ()) -> Any:
        return self.client.get(f"/taken/{self.choices.keep(make_selection('photos', ids, hits))}/{file}")


@pytest.fixture
def asked(root: Path) -> Asked:
    return Asked(root)


def _ids(root: Path) -> dict[str, int]:
    with imseek.open(root) as collection:
        return {Path(hit.path or "").name: hit.image_id for hit in collection.search("red", limit=50)}


@pytest.mark.parametrize("image_id", ["9" * 5000, "9" * 19, "-1", "1e3", "\u0661", "x"])
def test_what_is_no_id_is_told(root: Path, image_id: str) -> None:
    client = Asked(root, opens=True).client
    assert client.get(f"/pictures/photos/images/{image_id}/about").status_code == 404
    assert client.post(f"/pictures/photos/images/{image_id}/open", json={}).status_code == 404


# -- one picture ---------------------------------------------------------------------------------------------


def test_all_that_is_known_of_a_picture(asked: Asked, root: Path, photos: Path) -> None:
    image_id = _ids(root)["rocket.jpg"]
    imseek.tags.add(root, "sky", [image_id], provenance="probe sky")
    with imseek.open(root) as collection:
        image = collection.get(image_id)
    known = asked.known(image_id)
    facts = dict(known["facts"])
    assert facts["Pixels"] == f"{image.metadata['width']:,} × {image.metadata['height']:,}"
    assert dict(map(tuple, known["columns"]))["SHA-256"] == image.content_hash
    assert facts["Source"] == f"{photos} (folder)"
    assert known["tags"] == [{"tag": "sky", "provenance": "probe sky"}]
    assert known["place"]["path"] == str(photos / "rocket.jpg")
    assert known["place"]["folder"] == str(photos)
    assert (known["place"]["kind"], known["place"]["here"], known["shown"]) == ("file", True, True)
    told = {name for name, _ in known["columns"]}
    said = {"caption", "width", "height", "bytes", "format", "frames", "taken_at", "camera", "lens"}
    assert told | said | {"latitude", "longitude"} >= set(image.metadata)
    assert known["gps"] is None
    assert known["opens"] is False


def test_what_people_say_of_a_picture_and_what_it_says(tmp_path: Path, photos: Path, templates: Templates) -> None:
    (photos / "rocket.jpg.xmp").write_bytes(
        annotations("sky", "a <b>", people=("Anna",), title="Launch", rating=4, label="Red")
    )
    root = tmp_path / "c"
    with imseek.create(root, encoder="fake") as collection:
        collection.index([photos])
    image_id, other = _ids(root)["rocket.jpg"], _ids(root)["coffee.png"]
    with Writer(root, "test") as writer:
        text_store.begin(writer, "none 1")
        lines = [TextLine(0.1, 0.2, 0.5, 0.1, 0.9, "<script>\u202e"), TextLine(0.1, 0.4, 0.5, 0.1, 0.9, "x" * 9000)]
        text_store.store(writer, {image_id: lines, other: []})
    asked = Asked(root)
    known = asked.known(image_id)
    facts = dict(known["facts"])
    assert [facts[name] for name in ("Title", "Keywords", "People", "Colour label")] == [
        "Launch", "sky, a <b>", "Anna", "Red"
    ]  # fmt: skip
    assert known["rating"] == 4
    assert known["lines"][0] == {"text": r"<script>\u202e", "box": [0.1, 0.2, 0.5, 0.1]}
    assert len(known["lines"][1]["text"]) == 5000
    shown = {name for name, _ in known["columns"]}
    assert shown.isdisjoint({"keywords", "people", "rating", "text", "has_text", "text_lines"})
    assert asked.known(other)["lines"] == []
    assert asked.known(_ids(root)["chelsea.png"])["lines"] == []  # It was not read.


def test_text_without_sound_boxes_is_shown_all_the_same() -> None:
    known = {"has_text": True, "text": "one\ntwo", "text_lines": "[[0,0,2,2,1,"}
    assert image_details.text_lines(known) == [{"text": "one", "box": None}, {"text": "two", "box": None}]
    long = {"has_text": True, "text": "\n".join(["word " * 200] * 3000)}
    assert sum(len(line["text"]) for line in image_details.text_lines(long)) <= 110_000


def test_words_that_are_typed_go_on(asked: Asked) -> None:
    found = asked.client.get("/pictures/photos/suggest", params={"q": "a roc"})
    assert found.json() == {"suggestions": [{"text": "a rocket", "kind": "name"}]}
    assert asked.client.get("/pictures/photos/suggest").json() == {"suggestions": []}
    assert asked.client.get("/pictures/photos/suggest", params={"q": "roc" * 5000}).json() == {"suggestions": []}
    assert asked.client.get("/pictures/nothing/suggest").status_code == 422


def test_a_picture_that_is_not_where_it_was(asked: Asked, root: Path, photos: Path) -> None:
    image_id = _ids(root)["coffee.png"]
    (photos / "coffee.png").unlink()
    assert asked.known(image_id)["place"]["here"] is False


def test_a_picture_whose_source_was_removed(asked: Asked, root: Path) -> None:
    image_id = _ids(root)["coffee.png"]
    assert asked.known(image_id)["id"] == image_id
    with imseek.open(root) as collection:
        collection.remove_source(collection.info().sources[0].source_id)
    answer = asked.client.get(f"/pictures/photos/images/{image_id}/about")
    assert answer.status_code == 404
    assert "no image" in answer.json()["message"]


def test_a_member_of_an_archive(tmp_path: Path, photos: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(photos / "coffee.png", "in/side.png")
    with imseek.create(tmp_path / "z", encoder="fake") as collection:
        collection.index([tmp_path / "a.zip"])
    asked = Asked(tmp_path / "z")
    image_id = _ids(tmp_path / "z")["side.png"]
    place = asked.known(image_id)["place"]
    assert place["path"] == f"{tmp_path}/a.zip!/in/side.png"
    assert (place["kind"], place["here"]) == ("archive", True)
    with zipfile.ZipFile(io.BytesIO(asked.taken("pictures.zip", image_id).content)) as made:
        assert made.read("side.png") == (photos / "coffee.png").read_bytes()


@pytest.mark.parametrize("path", ["images/99999/about", f"images/{10**30}/about"])
def test_no_such_picture(asked: Asked, path: str) -> None:
    assert asked.client.get(f"/pictures/photos/{path}").status_code == 404


def test_no_such_collection(asked: Asked) -> None:
    answer = asked.client.get("/pictures/nothing/images/1/about")
    assert (answer.status_code, "no collection" in answer.json()["message"]) == (422, True)


# -- tags ----------------------------------------------------------------------------------------------------


def _counts(answer: Any) -> tuple[int, int]:
    return answer.json()["changed"], answer.json()["named"]


def test_tags_are_given_and_taken(asked: Asked, root: Path) -> None:
    first, second = list(_ids(root).values())[:2]
    assert _counts(asked.tag(tag=" boat ", add=True, ids=[first])) == (1, 1)
    token = asked.choices.keep(make_selection("photos", [first, second]))
    assert _counts(asked.tag(tag="boat", add=True, choice=token)) == (1, 2)
    assert asked.known(second)["tags"] == [{"tag": "boat", "provenance": "person"}]
    assert asked.client.get("/pictures/photos/tags").json() == {"tags": ["boat"]}
    assert _counts(asked.tag(tag="boat", add=False, choice=token)) == (2, 2)
    assert asked.known(first)["tags"] == []


def test_as_many_pictures_as_can_be_selected_are_dragged_onto_an_album(asked: Asked, root: Path) -> None:
    few = list(_ids(root).values())
    ids = few * MAX_IMAGES
    post = partial(asked.client.post, "/pictures/photos/albums")
    answer = post(json={"album": "best of", "act": "create", "ids": ids[:MAX_IMAGES]})
    assert answer.json()["changed"] == len(few)
    answer = post(json={"album": "best of", "act": "add", "ids": ids[: MAX_IMAGES + 1]})
    assert answer.status_code == 422
    assert "100,000" in answer.json()["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"tag": "", "add": True, "ids": [1]},
        {"tag": "two\nlines", "add": True, "ids": [1]},
        {"tag": "x" * 201, "add": True, "ids": [1]},
        {"tag": "x", "add": True, "ids": ["/etc/passwd"]},
        {"tag": "x", "add": True, "ids": [True]},
        {"tag": "x", "add": True, "ids": [-1]},
        {"tag": "x", "add": "yes", "ids": [1]},
        {"tag": 5, "add": True, "ids": [1]},
        {"tag": "x", "add": True},
        {"tag": "x", "add": True, "choice": "gone"},
        {"tag": "nobody has it", "add": False, "ids": [1]},
        {},
    ],
)
def test_what_is_no_tag_is_refused(asked: Asked, root: Path, body: dict[str, Any]) -> None:
    answer = asked.tag(**body)
    assert answer.status_code == 422
    assert answer.json()["message"]
    assert imseek.tags.counts(root) == ()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"tag": "x", "add": true, "ids": [1]}', "text/plain"),
        (b"[1]", "application/json"),
        (b"{", "application/json"),
        (b"[" * 60_000, "application/json"),
        (b" " * 70_000, "application/json"),
        (b"\xff", "application/json"),
    ],
)
def test_what_is_no_json_is_refused(asked: Asked, body: bytes, kind: str) -> None:
    answer = asked.client.post("/pictures/photos/tags", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422


def test_another_writer_is_told(asked: Asked, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from imseek.data.writing.writer import Writer

    monkeypatch.setattr("imseek.data.writing.writer_wait.DEFAULT_TIMEOUT", 0.0)
    with Writer(root, "test"):
        answer = asked.tag(tag="boat", add=True, ids=[next(iter(_ids(root).values()))])
    assert answer.status_code == 409
    assert answer.json()["message"]
    with pytest.raises(LockedError), Writer(root, "test"), Writer(root, "another"):
        pass


# -- what is taken along -------------------------------------------------------------------------------------


def test_a_zip_has_the_pictures_byte_for_byte(asked: Asked, root: Path, photos: Path) -> None:
    ids = _ids(root)
    answer = asked.taken("pictures.zip", *ids.values())
    assert answer.headers["content-disposition"].startswith('attachment; filename="photos-8.zip"')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        assert made.testzip() is None
        assert set(made.namelist()) == set(ids)
        for path in photos.rglob("*.*"):
            assert made.read(path.name) == path.read_bytes()


def test_a_zip_says_what_is_not_in_it(asked: Asked, root: Path, photos: Path) -> None:
    ids = _ids(root)
    (photos / "coffee.png").unlink()
    answer = asked.taken("pictures.zip", ids["coffee.png"], ids["rocket.jpg"], 99999)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        assert made.namelist() == ["rocket.jpg", "left out.txt"]
        said = made.read("left out.txt").decode().splitlines()
    assert said[0] == "2 pictures left out:"
    assert said[1].startswith(f"{photos / 'coffee.png'}: ")
    assert said[2] == "image 99999: it is no longer in the collection"


def test_a_zip_takes_nothing_that_was_put_in_the_place_of_a_picture(
    asked: Asked, root: Path, photos: Path, tmp_path: Path
) -> None:
    ids = _ids(root)
    (tmp_path / "private.txt").write_text("the key of the house")
    for name in ("coffee.png", "chelsea.png", "rocket.jpg"):
        next(photos.rglob(name)).unlink()
    (photos / "coffee.png").symlink_to(tmp_path / "private.txt")
    (photos / "chelsea.png").symlink_to("/dev/zero")
    os.mkfifo(photos / "rocket.jpg")
    answer = asked.taken("pictures.zip", ids["coffee.png"], ids["chelsea.png"], ids["rocket.jpg"])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        assert made.namelist() == ["left out.txt"]
        left = made.read("left out.txt").decode()
    for name in ("coffee.png", "chelsea.png", "rocket.jpg"):
        assert f"{next(photos.rglob(name))}: this file changed since it was indexed: index again" in left
    assert b"key of the house" not in answer.content


def test_a_zip_ends_at_its_bound(root: Path, photos: Path) -> None:
    ids = _ids(root)
    small = min(ids, key=lambda name: next(photos.rglob(name)).stat().st_size)
    bound = next(photos.rglob(small)).stat().st_size
    with imseek.open(root) as collection:
        data = b"".join(downloads.stream_zip(collection, list(ids.values()), largest=bound))
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        assert made.namelist() == [small, "left out.txt"]
        assert made.read("left out.txt").decode().count("a zip holds at most") == len(ids) - 1


def test_too_many_bytes_are_refused_before_anything_is_sent(
    asked: Asked, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MAX_BYTES", 1000)
    answer = asked.taken("pictures.zip", *_ids(root).values())
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("A zip holds at most 1.0 kB")


def test_a_zip_takes_the_memory_of_a_few_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "many").mkdir()
    noise = rng.integers(0, 256, (1000, 1000, 3), np.uint8)
    for n in range(24):
        noise[0, 0] = n
        Image.fromarray(noise).save(tmp_path / "many" / f"{n}.bmp")
    with imseek.create(tmp_path / "c", encoder="fake") as collection:
        collection.index([tmp_path / "many"])
        ids = [hit.image_id for hit in collection.search("red", limit=50)]
        sent = 0
        tracemalloc.start()
        for piece in downloads.stream_zip(collection, ids):
            sent += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert sent > 24 * 3_000_000
    assert peak < 5 * 3_000_000


def test_tables_hold_what_json_holds(asked: Asked, root: Path) -> None:
    with imseek.open(root) as collection:
        result = collection.search("red", limit=3)
        imseek.tags.add(root, "boat", [result[0].image_id])
        expected = to_json(result)["hits"]
        uuid = collection.uuid
    ids = [hit.image_id for hit in result]
    table = pq.read_table(io.BytesIO(asked.taken("pictures.parquet", *ids, hits=result.hits).content))
    rows = table.to_pylist()
    for row, hit in zip(rows, expected, strict=True):
        for name in ("image_id", "score", "source_id", "path", "uri", "duplicates"):
            assert row[name] == hit[name], name
        assert row["collection"] == uuid
        for name, value in hit["metadata"].items():
            assert row[name] == value, name
    assert [row["tags"] for row in rows] == [["boat"], [], []]
    lines = list(csv.DictReader(io.StringIO(asked.taken("pictures.csv", *ids, hits=result.hits).text)))
    assert list(lines[0]) == list(rows[0])
    assert [int(line["image_id"]) for line in lines] == ids
    assert [float(line["score"]) for line in lines] == [hit["score"] for hit in expected]
    assert lines[0]["tags"] == '["boat"]'


def test_a_caption_is_no_formula(tmp_path: Path, photos: Path) -> None:
    shutil.copyfile(photos / "rocket.jpg", tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text('=HYPERLINK("http://elsewhere.example")')
    with imseek.create(tmp_path / "c", encoder="fake") as collection:
        collection.index([tmp_path / "a.jpg"])
    asked = Asked(tmp_path / "c")
    line = next(csv.DictReader(io.StringIO(asked.taken("pictures.csv", 0).text)))
    assert line["caption"] == '\'=HYPERLINK("http://elsewhere.example")'
    table = pq.read_table(io.BytesIO(asked.taken("pictures.parquet", 0).content))
    assert table["caption"].to_pylist() == ['=HYPERLINK("http://elsewhere.example")']


def test_paths_one_a_line(asked: Asked, root: Path, photos: Path) -> None:
    ids = _ids(root)
    answer = asked.taken("paths.txt", ids["rocket.jpg"], ids["coffee.png"])
    assert answer.text == f"{photos / 'rocket.jpg'}\n{photos / 'coffee.png'}\n"


@pytest.mark.parametrize("file", ["passwd", "..%2f..%2fetc%2fpasswd", "pictures.tar"])
def test_nothing_else_is_taken(asked: Asked, file: str) -> None:
    assert asked.taken(file, 1).status_code == 404


def test_a_choice_that_is_forgotten(asked: Asked) -> None:
    answer = asked.client.get("/taken/nothing/pictures.zip")
    assert answer.status_code == 404
    assert answer.json()["hint"] == "select the pictures again"


# -- the viewer of the system --------------------------------------------------------------------------------


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    monkeypatch.setattr("typer.launch", lambda target: made.append(target) or 0)
    return made


def test_a_picture_is_opened_here(root: Path, photos: Path, launched: list[str]) -> None:
    asked = Asked(root, opens=True)
    image_id = _ids(root)["coffee.png"]
    assert asked.client.post(f"/pictures/photos/images/{image_id}/open", json={}).status_code == 200
    assert launched == [str(photos / "coffee.png")]


def test_nothing_is_opened_where_nobody_sees_it(asked: Asked, root: Path, launched: list[str]) -> None:
    answer = asked.client.post(f"/pictures/photos/images/{_ids(root)['coffee.png']}/open", json={})
    assert (answer.status_code, launched) == (422, [])


# -- many at once --------------------------------------------------------------------------------------------


def test_many_images_are_those_that_are_there(root: Path) -> None:
    ids = list(_ids(root).values())
    imseek.tags.add(root, "boat", [ids[1]])
    with imseek.open(root) as collection:
        found = collection.get_many([ids[1], 99999, ids[0], ids[1]])
        assert list(found) == [ids[1], ids[0]]
        assert found[ids[1]] == collection.get(ids[1])
        assert found[ids[1]].tags == ("boat",)
        assert found[ids[0]] == collection.get(ids[0])


# -- changes that can be undone ------------------------------------------------------------------------------


def test_changes_of_tags_albums_and_information_are_undone(asked: Asked, root: Path) -> None:
    a, b, *_ = sorted(_ids(root).values())

    def post(path: str, **body: Any) -> Any:
        return asked.client.post(f"/pictures/photos/{path}", json=body).json()

    def undo(change: dict[str, str]) -> Any:
        return post(f"changes/{change['token']}/undo")

    imseek.tags.add(root, "sea", [a], provenance="probe sea")
    before = imseek.tags.every(root)
    for body, said in (
        ({"tag": "sea", "add": True, "ids": [a, b]}, "2 pictures tagged “sea”"),
        ({"tag": "sea", "add": False, "ids": [a, b]}, "“sea” removed from 1 picture"),
        ({"tag": "favourite", "add": True, "ids": [b]}, "1 picture added to favourites"),
    ):
        change = post("tags", **body)["change"]
        assert change["text"] == said
        assert undo(change) == {"text": said}
        assert imseek.tags.every(root) == before
    assert undo(change)["message"] == "this can no longer be undone"
    assert asked.client.post(f"/pictures/photos/changes/{change['token']}/undo", json={}).status_code == 410
    assert post("tags", tag="favourite", add=True, ids=[b])["change"] is not None
    assert post("tags", tag="favourite", add=True, ids=[b])["change"] is None
    assert post("favourites", ids=[a, b]) == {"favourites": [b]}

    made = post("albums", album="Best of", act="create", ids=[b])["change"]
    assert made["text"] == "Album “Best of” created with 1 picture"
    assert post("albums", album="Best of", act="create", ids=[a])["change"]["text"] == "1 picture added to “Best of”"
    front = post("albums", album="Best of", act="front", ids=[a])["change"]
    assert imseek.albums.get(root, "Best of").image_ids == (a, b)
    undo(front)
    assert imseek.albums.get(root, "Best of").image_ids == (b, a)
    post("albums", album="Best of", act="cover", ids=[a])
    assert asked.client.get("/pictures/photos/albums").json() == {
        "albums": [{"name": "Best of", "images": 2, "cover": a}]
    }
    hits = asked.client.get("/pictures/photos/hits", params={"album": "Best of", "start": 1}).json()
    assert ([card["id"] for card in hits["cards"]], hits["more"]) == ([a], None)
    assert post("albums", album="Nowhere", act="add", ids=[a])["message"] == "no album is called 'Nowhere'"
    assert "cannot change" in post("albums", album="Best of", act="burn", ids=[a])["message"]

    rated = post(f"images/{a}/edit", rating=4)["change"]
    written = post(f"images/{a}/edit", caption=" the  quay\n")["change"]
    assert [asked.known(a)[name] for name in ("caption", "rating")] == ["the quay", 4]
    undo(rated)  # What was changed since stays.
    assert [asked.known(a)[name] for name in ("caption", "rating")] == ["the quay", None]
    undo(written)
    assert [asked.known(a)[name] for name in ("caption", "rating")] == ["", None]
    for wrong in ({"rating": True}, {"rating": 9}, {"caption": 3}, {"caption": "a\0"}, {"title": "x"}, {}):
        assert "message" in post(f"images/{a}/edit", **wrong)


def test_the_outline_of_the_world_may_be_kept_and_tags_may_not(asked: Asked) -> None:
    world = asked.client.get("/pictures/photos/world")
    assert world.headers["cache-control"] == "private, max-age=86400"
    assert world.json()["path"].startswith("M")
    assert asked.client.get("/pictures/photos/tags").headers["cache-control"] == "no-store"
