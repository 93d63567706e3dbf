"""Plans in files, which people edit."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from acting import (
    Document,
    done,
    edited,
    first,
    planned,
    reasons,
    state,
)

import imseek
from imseek.data import layout
from imseek.duplicates.actions import journal
from imseek.duplicates.actions.plans import Plan
from imseek.duplicates.actions.undo import undo
from imseek.errors import PlanError, StorageError, UsageError


def test_a_plan_is_written_and_read(collection: imseek.Collection, twins: list[Path], tmp_path: Path) -> None:
    odd = twins[1].with_name("\udcff\n.png")
    twins[1].rename(odd)
    collection.index()
    plan = planned(collection, [twins[0], odd, *twins[2:]], to=tmp_path / "away", protect=[tmp_path / "safe"])
    file = tmp_path / "plan.json"
    plan.save(file)
    assert Plan.load(file) == plan
    assert Plan.load(file).digest == plan.digest
    plan.save(file)
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(UsageError, match="is not a plan"):
        plan.save(other)
    assert done(collection, Plan.load(file)).counts == {"done": 3}
    assert undo(collection.path, dry_run=False).counts == {"done": 3}


def renamed(document: Document, before: str, after: str) -> None:
    first(document, path=document["groups"][0]["files"][0]["path"].replace(before, after))


def folder(document: Document) -> str:
    return str(Path(document["groups"][0]["keep"]["path"]).parent)


def keeper_goes(document: Document) -> None:
    (group,) = document["groups"]
    kept = {**group["files"].pop(), "action": "keep"}
    document["groups"].append({**group, "keep": kept, "files": [{**group["keep"], "action": "trash"}]})


EDITS: dict[str, tuple[Callable[[Document], object], str]] = {
    "outside": (lambda d: first(d, path="/etc/passwd"), "outside the sources"),
    "beside": (lambda d: renamed(d, "photos", "photos2"), "outside the sources"),
    "steps back": (lambda d: renamed(d, "/a.png", "/below/../a.png"), "without `.` and `..`"),
    "relative": (lambda d: first(d, path="a.png"), "must be absolute"),
    "no keeper": (lambda d: d["groups"][0].pop("keep"), "group 1: keep is missing"),
    "twice": (lambda d: d["groups"][0]["files"].append(d["groups"][0]["files"][0]), "in the plan twice"),
    "keeper goes": (keeper_goes, "to be kept in one group"),
    "unknown image": (lambda d: first(d, image_id=99_999), "never was an image"),
    "other collection": (lambda d: d.update(collection="x"), "another collection"),
    "unknown action": (lambda d: first(d, action="delete"), "action is 'delete'"),
    "unknown member": (lambda d: first(d, force=True), "nothing is known of 'force'"),
    "hash": (lambda d: first(d, content_hash="abc"), "not a sha256"),
    "protected": (lambda d: d["protect"].append({"path": folder(d)}), "is protected"),
    "quarantine over a source": (lambda d: d.update(to=folder(d)), "would not be scanned any more"),
    "later format": (lambda d: d.update(imseek_plan=2), "format 2"),
    "format that is no number": (lambda d: d.update(imseek_plan=True), "format True"),
    "bytes that are no number": (lambda d: first(d, bytes=True), "bytes must be a whole number"),
    "image that is no number": (lambda d: first(d, image_id=1.0), "image_id must be a whole number"),
    "image beyond the catalog": (lambda d: first(d, image_id=2**63), "image_id must be a whole number"),
    "NUL": (lambda d: renamed(d, "/a.png", "/a.png\0.txt"), "without `.` and `..`"),
    "keeper outside": (lambda d: d["groups"][0]["keep"].update(path="/etc/hostname"), "outside the sources"),
    "keeper beside": (
        lambda d: d["groups"][0]["keep"].update(path=folder(d) + "2/coffee.png"),
        "outside the sources",
    ),
    "file of another collection": (lambda d: first(d, collection="x"), "files of another collection"),
    "quarantine that steps back": (lambda d: d.update(to=folder(d) + "/../x"), "without `.` and `..`"),
    "quarantine over the home": (lambda d: d.update(to=str(Path(folder(d)).parent)), "would not be scanned"),
    "base64": (lambda d: first(d, path_b64="L2V0Yy9wYXNzd2Q="), "name different files"),
    "links other bytes": (
        lambda d: first(d, action="hard-link", content_hash="0" * 64),
        "only files of the same bytes",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_plan_that_cannot_be_trusted_is_refused_as_a_whole(
    name: str, photos: Path, collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    change, message = EDITS[name]
    before = state(photos)
    with pytest.raises((PlanError, UsageError), match=message):
        done(collection, edited(planned(collection, twins), tmp_path, change))
    assert state(photos) == before
    assert journal.list_undo_infos(collection.path) == ()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"imseek_plan": 1}', '{"a": 1, "a": 2}', "[" * 100_000, "\xff"])
def test_what_is_no_plan(text: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(PlanError):
        Plan.load(file)


def test_a_path_of_another_picture_is_left_alone(
    photos: Path, collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    """Within the sources, but not where the collection has this image."""
    plan = edited(
        planned(collection, twins),
        tmp_path,
        lambda d: d["groups"][0]["files"][0].update(path=str(photos / "astronaut.png")),
    )
    report = done(collection, plan)
    assert report.counts == {"left": 1, "done": 2}
    assert "it lies elsewhere now" in reasons(report)["astronaut.png"]
    assert twins[1].exists()


def test_files_can_be_kept_by_hand(collection: imseek.Collection, twins: list[Path], tmp_path: Path) -> None:
    plan = edited(
        planned(collection, twins),
        tmp_path,
        lambda d: d["groups"][0]["files"][0].update(action="keep"),
    )
    assert done(collection, plan).counts == {"done": 2}
    assert [path.exists() for path in twins] == [True, True, False, False]


def test_what_lies_in_archives_is_refused(collection: imseek.Collection, photos: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    collection.index([photos, archive])
    plan = planned(collection, [photos / "coffee.png", Path(f"{archive}!/coffee.png")])
    assert plan.files == ()
    assert plan.refused[0].reason == "it lies in an archive"


@pytest.fixture
def canaries(photos: Path) -> dict[Path, bytes]:
    """Files of the user among the pictures, which no scan takes in."""
    found = {photos / ".ssh" / "id_ed25519": b"a key", photos / "below" / "thesis.txt": b"years of work"}
    for path, content in found.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return found


@pytest.mark.parametrize("action", ["quarantine", "trash", "hard-link"])
def test_no_file_but_a_picture_is_touched_whatever_catalog_and_plan_agree_on(
    action: str,
    photos: Path,
    collection: imseek.Collection,
    twins: list[Path],
    canaries: dict[Path, bytes],
    trash: Path,
    tmp_path: Path,
) -> None:
    """Both by somebody else: the catalog says that other files of the user are pictures, of the same bytes."""
    plan = planned(collection, twins[:3], action)
    ids = {file.path: file.image_id for file in plan.files}
    changes = []
    with closing(sqlite3.connect(collection.path / layout.CATALOG)) as catalog, catalog:
        for twin, (path, content) in zip(twins[1:], canaries.items(), strict=False):
            image_id, digest = ids[os.fsencode(twin)], hashlib.sha256(b"a key").digest()
            path.write_bytes(b"a key")  # Links are for equal bytes.
            place = os.fsencode(path.relative_to(photos))
            catalog.execute("UPDATE places SET path = ? WHERE image_id = ?", (place, image_id))
            catalog.execute("UPDATE images SET content_hash = ? WHERE image_id = ?", (digest, image_id))
            changes.append({"path": str(path), "content_hash": digest.hex(), "bytes": len(content)})

    (collection.path / layout.CHECKSUMS).unlink()  # Theirs would be of the catalog as it is.

    def change(document: Document) -> None:
        (group,) = document["groups"]
        for file, members in zip(group["files"], changes, strict=True):
            file.update(members)
        if action == "hard-link":
            group["keep"] = {**group["files"].pop(), "action": "keep"}

    before = state(photos)
    report = done(collection, edited(plan, tmp_path, change))
    assert set(reasons(report).values()) == {"it is not a picture"}
    assert report.counts == {"left": len(report.files)}
    assert state(photos) == before
    assert not (trash / "files").exists()


def test_a_keeper_of_another_collection_is_a_picture_in_its_place(
    photos: Path,
    collection: imseek.Collection,
    twins: list[Path],
    canaries: dict[Path, bytes],
    tmp_path: Path,
) -> None:
    before = state(photos)
    shutil.copyfile(twins[0], tmp_path / "elsewhere.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "elsewhere.png")
    for name, content, reason in (
        ("elsewhere.png", b"", ""),
        ("gone.png", b"", "its keeper: it is not there any more"),
        ("link.png", b"", "its keeper: it is a symbolic link: the picture lies elsewhere"),
        ("thesis.txt", b"years of work", "its keeper: it is not a picture"),
    ):
        path = tmp_path / name if not content else photos / "below" / name
        digest = hashlib.sha256(content or twins[0].read_bytes()).hexdigest()

        def change(document: Document, path: Path = path, digest: str = digest) -> None:
            document["groups"][0]["keep"].update(path=str(path), content_hash=digest, collection="theirs")

        report = done(collection, edited(planned(collection, twins[:2]), tmp_path, change))
        assert reasons(report) == ({"a.png": reason} if reason else {})
        if not reason:
            assert undo(collection.path, dry_run=False).counts == {"done": 1}
        assert state(photos) == before


def test_pictures_are_put_away_where_nobody_else_gets_at_them(
    photos: Path, collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    """The folder may be named by a plan of somebody else's."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / layout.QUARANTINE_MARKER).write_text("as imseek writes it")
    plan = edited(planned(collection, twins), tmp_path, lambda d: d.update(to=str(shared)))
    before = state(photos)
    with pytest.raises(UsageError, match="everybody may write into"):
        done(collection, plan)
    assert state(photos) == before
    for folder in (tmp_path / "new" / "deep", None):
        assert done(collection, planned(collection, twins, to=folder)).counts == {"done": 3}
        made = folder or photos / layout.QUARANTINE
        assert made.stat().st_mode & 0o777 == 0o700
        assert undo(collection.path, dry_run=False).counts == {"done": 3}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_no_plan(kind: str, tmp_path: Path, collection: imseek.Collection) -> None:
    file = tmp_path / "plan.json"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        file.mkdir()
    with pytest.raises(PlanError):
        Plan.load(file)
    with pytest.raises(UsageError):
        Plan("x", 0, "now", "tag", ()).save(file)


def test_a_plan_is_not_written_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that others write into, one of them may guess the name of what is unfinished."""
    monkeypatch.setattr("secrets.token_hex", lambda _: "guess")
    (tmp_path / "mine").write_text("mine")
    for guess in ("guess", os.getpid()):
        (tmp_path / f".plan.json.{guess}").symlink_to(tmp_path / "mine")
    with suppress(StorageError):
        Plan("x", 0, "now", "tag", ()).save(tmp_path / "plan.json")
    assert (tmp_path / "mine").read_text() == "mine"
