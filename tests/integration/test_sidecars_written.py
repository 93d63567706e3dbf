"""Tags written into files beside pictures: what is written, what is left alone, and that all of it can be undone."""

from __future__ import annotations

import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from xmp import LIGHTROOM, annotations

import imseek
from imseek import edits, overview, sidecars, tags
from imseek.data import layout
from imseek.data.reader import Reader
from imseek.edits import ImageEdit
from imseek.errors import UsageError
from imseek.media.xmp import MAX_BYTES, read_xmp
from imseek.sidecars import files
from imseek.ui.cli.app import main


@pytest.fixture
def tagged(collection: imseek.Collection, photos: Path, later: Callable[[float], None]) -> imseek.Collection:
    """Photographs, two of them tagged by a person; one says something itself."""
    with Image.open(photos / "rocket.jpg") as image:
        image.copy().save(photos / "rocket.jpg", xmp=annotations("embedded", rating=5))
    later(10)
    collection.index([photos])
    tags.add(collection, "launch", [photos / "rocket.jpg"])
    tags.add(collection, "sky & sea", [photos / "rocket.jpg", photos / "below" / "flower.jpg"])
    tags.add(collection, "guess", [photos / "chelsea.png"], provenance="probe cats")
    return collection


def beside(photos: Path) -> list[str]:
    return sorted(
        str(path.relative_to(photos)) for path in photos.rglob("*") if path.suffix not in (".jpg", ".png", "")
    )


def keywords(collection: imseek.Collection, picture: Path) -> list[str]:
    reader = Reader(collection.path)
    (image_id,) = [i for i, p in reader.places(range(100)).items() if p.path == bytes(picture)]
    return list(reader.image(image_id).metadata.get("keywords", ()))


def test_a_dry_run_writes_nothing(tagged: imseek.Collection, photos: Path) -> None:
    generation = Reader(tagged.path).generation
    report = sidecars.write(tagged)
    assert report == sidecars.SidecarReport(2, 2, 2, 0, {}, False, None)
    assert beside(photos) == []
    assert Reader(tagged.path).generation == generation


def test_what_is_written_is_read_and_can_be_undone(
    tagged: imseek.Collection, photos: Path, later: Callable[[float], None]
) -> None:
    report = sidecars.write(tagged, apply=True)
    assert (report.edited, report.created, report.applied) == (2, 2, True)
    assert beside(photos) == ["below/flower.jpg.xmp", "rocket.jpg.xmp"]
    # What the picture says comes along, since the file goes before it.
    assert read_xmp((photos / "rocket.jpg.xmp").read_bytes()).keywords == ("embedded", "launch", "sky & sea")
    later(10)
    assert tagged.index([photos]).sidecars == 2
    assert keywords(tagged, photos / "below" / "flower.jpg") == ["sky & sea"]
    again = sidecars.write(tagged, apply=True)
    assert (again.edited, again.unchanged, again.undo_id) == (0, 2, None)

    assert report.undo_id is not None
    assert sidecars.undo(tagged, report.undo_id) == sidecars.SidecarUndo(report.undo_id, 0, 2, ())
    assert beside(photos) == []
    assert not (tagged.path / layout.sidecar_journal(report.undo_id)).exists()
    later(10)
    tagged.index([photos])
    assert keywords(tagged, photos / "rocket.jpg") == ["embedded"]
    with pytest.raises(UsageError, match="nothing written"):
        sidecars.undo(tagged, report.undo_id)


def test_captions_and_ratings_that_users_state_are_written_too(
    tagged: imseek.Collection, photos: Path, later: Callable[[float], None]
) -> None:
    (photos / "coffee.png.xmp").write_bytes(LIGHTROOM)
    later(10)
    tagged.index([photos])
    rocket, coffee = (overview.find_image(tagged, str(photos / name)) for name in ("rocket.jpg", "coffee.png"))
    edits.put(tagged, {rocket: ImageEdit(rating=-1), coffee: ImageEdit(caption="a cup & a saucer")})
    report = sidecars.write(tagged)
    assert (report.images, report.edited, report.created) == (3, 3, 2)
    assert (photos / "coffee.png.xmp").read_bytes() == LIGHTROOM
    report = sidecars.write(tagged, apply=True)
    written = read_xmp((photos / "coffee.png.xmp").read_bytes())
    assert (written.caption, written.rating, written.title) == ("a cup & a saucer", 4, "Evening")
    assert read_xmp((photos / "rocket.jpg.xmp").read_bytes()).rating == -1
    assert sidecars.write(tagged).unchanged == 3
    assert report.undo_id is not None
    sidecars.undo(tagged, report.undo_id)
    assert (photos / "coffee.png.xmp").read_bytes() == LIGHTROOM
    assert tagged.get(coffee).metadata["caption"] == "a cup & a saucer"  # What users state stays.


def test_the_rest_of_a_sidecar_stays(tagged: imseek.Collection, photos: Path) -> None:
    sidecar = photos / "rocket.xmp"
    sidecar.write_bytes(LIGHTROOM)
    sidecar.chmod(0o640)
    report = sidecars.write(tagged, where="width > 0", apply=True)
    assert (report.edited, report.created) == (2, 1)
    after = sidecar.read_bytes()
    assert set(read_xmp(after).keywords) == {*read_xmp(LIGHTROOM).keywords, "launch", "sky & sea"}
    assert after.replace(b"<rdf:li>launch</rdf:li><rdf:li>sky &amp; sea</rdf:li>", b"") == LIGHTROOM
    assert stat.S_IMODE(sidecar.stat().st_mode) == 0o640
    assert beside(photos) == ["below/flower.jpg.xmp", "rocket.xmp"]
    assert report.undo_id is not None
    assert sidecars.undo(tagged, report.undo_id).restored == 1
    assert sidecar.read_bytes() == LIGHTROOM
    assert stat.S_IMODE(sidecar.stat().st_mode) == 0o640


def test_pictures_that_share_a_sidecar(collection: imseek.Collection, photos: Path) -> None:
    shutil.copyfile(photos / "chelsea.png", photos / "rocket.png")
    (photos / "rocket.xmp").write_bytes(annotations("both"))
    collection.index([photos])
    tags.add(collection, "one", [photos / "rocket.jpg"])
    tags.add(collection, "two", [photos / "rocket.png"])
    first, second = (overview.find_image(collection, str(photos / f"rocket.{kind}")) for kind in ("jpg", "png"))
    edits.put(collection, {first: ImageEdit(caption="lift-off"), second: ImageEdit(rating=2)})
    assert sidecars.write(collection, apply=True).edited == 1
    written = read_xmp((photos / "rocket.xmp").read_bytes())
    assert (written.keywords, written.caption, written.rating) == (("both", "one", "two"), "lift-off", 2)


# --- what is left alone --------------------------------------------------------------------------------------


def test_what_cannot_be_written_is_counted(
    tagged: imseek.Collection, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(photos / "chelsea.png", "inside.png")
    tagged.index([tmp_path / "a.zip"])
    tags.add(tagged, "inside", [str(tmp_path / "a.zip!/inside.png")])
    names = ["coffee.png", "chelsea.png", "astronaut.png"]
    pictures = [photos / name for name in names if (photos / name).exists()]
    assert pictures
    tags.add(tagged, "gone", pictures[:1])
    pictures[0].unlink()
    (photos / "rocket.jpg.xmp").write_bytes(b"<broken")
    (tmp_path / "elsewhere.xmp").write_bytes(LIGHTROOM)
    (photos / "below" / "flower.jpg.xmp").symlink_to(tmp_path / "elsewhere.xmp")
    report = sidecars.write(tagged, apply=True)
    assert report.refused == {"archive": 1, "missing": 1, "unreadable": 2}
    assert (report.images, report.edited, report.applied, report.undo_id) == (4, 0, False, None)
    assert (tmp_path / "elsewhere.xmp").read_bytes() == LIGHTROOM
    (photos / "below" / "flower.jpg.xmp").unlink()
    (photos / "rocket.jpg.xmp").write_bytes(LIGHTROOM + b" " * MAX_BYTES)
    access = os.access  # these tests may run as root
    monkeypatch.setattr("os.access", lambda path, mode: not isinstance(path, bytes) and access(path, mode))
    assert sidecars.write(tagged, apply=True).refused == {"archive": 1, "missing": 1, "read_only": 1, "unreadable": 1}


def test_a_sidecar_without_the_right_to_write_stays(
    tagged: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = photos / "rocket.jpg.xmp"
    sidecar.write_bytes(LIGHTROOM)
    access = os.access  # these tests may run as root
    monkeypatch.setattr("os.access", lambda path, mode: path != bytes(sidecar) and access(path, mode))
    report = sidecars.write(tagged, apply=True)
    assert (report.edited, report.refused) == (1, {"read_only": 1})
    assert sidecar.read_bytes() == LIGHTROOM


def test_a_file_that_changes_at_the_last_moment_is_left(
    tagged: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "rocket.jpg.xmp").write_bytes(LIGHTROOM)
    write = files.write

    def late(path: bytes, before: bytes | None, after: bytes, name: str) -> None:
        Path(os.fsdecode(path)).write_bytes(b"somebody else's")
        write(path, before, after, name)

    monkeypatch.setattr(files, "write", late)
    report = sidecars.write(tagged, apply=True)
    assert (report.edited, report.refused) == (0, {"changed": 2})
    monkeypatch.undo()
    assert {path.read_bytes() for path in photos.rglob("*.xmp")} == {b"somebody else's"}
    assert not list(photos.rglob(".*"))
    assert report.undo_id is not None
    assert len(sidecars.undo(tagged, report.undo_id).left) == 2


def test_an_undo_leaves_what_was_changed_since(tagged: imseek.Collection, photos: Path) -> None:
    report = sidecars.write(tagged, apply=True)
    (photos / "rocket.jpg.xmp").write_bytes(annotations("mine"))
    assert report.undo_id is not None
    undone = sidecars.undo(tagged, report.undo_id)
    assert (undone.removed, undone.left) == (1, (bytes(photos / "rocket.jpg.xmp"),))
    assert (tagged.path / layout.sidecar_journal(report.undo_id)).exists()
    (photos / "rocket.jpg.xmp").unlink()
    assert sidecars.undo(tagged, report.undo_id).left == ()


def test_a_run_that_ends_half_way_can_be_undone(
    tagged: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "rocket.jpg.xmp").write_bytes(LIGHTROOM)
    write, calls = files.write, []

    def killed(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        sidecars.write(tagged, apply=True)
    monkeypatch.undo()
    (journal,) = (tagged.path / layout.UNDO).glob("*.sidecars")
    with journal.open("ab") as file:
        file.write(b'{"path": "aGFs')  # the power went while the next batch was recorded
    with pytest.raises(UsageError) as refusal:
        sidecars.undo(tagged, "unknown")
    assert refusal.value.hint == f"the newest: {journal.stem}"
    undone = sidecars.undo(tagged, journal.stem)
    assert (undone.restored, undone.removed, undone.left) == (1, 1, ())
    assert (photos / "rocket.jpg.xmp").read_bytes() == LIGHTROOM
    assert beside(photos) == ["rocket.jpg.xmp"]


@pytest.mark.parametrize("how", ["other", "line", "key"])
def test_a_journal_of_somebody_else_is_refused(
    tagged: imseek.Collection, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    report = sidecars.write(tagged, apply=True)
    assert report.undo_id is not None
    journal = tagged.path / layout.sidecar_journal(report.undo_id)
    undo_id = report.undo_id
    if how == "other":
        undo_id = "20200101-000000-aaaaaa"
        journal.rename(tagged.path / layout.sidecar_journal(undo_id))
    elif how == "line":
        first, *rest = journal.read_text().splitlines()
        document = json.loads(first) | {"path": "L2V0Yy9wYXNzd2Q="}
        journal.write_text("\n".join([json.dumps(document), *rest, ""]))
    else:
        monkeypatch.setattr("imseek.sidecars.journal.load_key", lambda: bytes(32))
    before = {path: path.read_bytes() for path in photos.rglob("*.xmp")}
    with pytest.raises(UsageError, match="not written by your imseek"):
        sidecars.undo(tagged, undo_id)
    assert {path: path.read_bytes() for path in photos.rglob("*.xmp")} == before


@pytest.mark.parametrize("undo_id", ["", "x", "../../x", "20200101-000000-aaaaaa"])
def test_an_id_that_is_none(tagged: imseek.Collection, undo_id: str) -> None:
    with pytest.raises(UsageError, match="nothing written"):
        sidecars.undo(tagged, undo_id)


# --- the command ---------------------------------------------------------------------------------------------


def test_the_command(tagged: imseek.Collection, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        code = main(["tag", "write-sidecars", "-c", str(tagged.path), *arguments])
        return code, capsys.readouterr().out

    code, said = run()
    assert code == 0
    assert "would write tags, captions and ratings of 2 images into 2 sidecars, 2 of them new" in said
    assert "--apply" in said
    assert beside(photos) == []
    code, said = run("--apply", "--json")
    answer = json.loads(said)
    assert (code, answer["edited"], answer["applied"]) == (0, 2, True)
    (photos / "rocket.jpg.xmp").write_bytes(b"mine")
    code, said = run("--undo", answer["undo_id"])
    assert (code, said) == (1, "put back 0 sidecars, removed 1\n")
    assert run("--undo", answer["undo_id"], "--apply")[0] == 2
