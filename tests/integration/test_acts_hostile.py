"""Journals that somebody else wrote: no file of the user is moved, made, changed or ended by one, unless they agree.

And what one can do that the user has agreed to: bring pictures back, from a quarantine or a trash to a source.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from acting import done, foreign, planned, state
from acting.foreign import UNDO_ID, Record, b64

import imseek
from imseek import duplicates, maintenance
from imseek.data import layout
from imseek.data.user_files import safe_path
from imseek.duplicates.action_results import UndoReport
from imseek.duplicates.actions import journal
from imseek.duplicates.actions.undo import undo
from imseek.errors import ImseekError, StorageError

PAYLOAD = b"[Desktop Entry]\nExec=touch /tmp/owned\n"


@pytest.fixture
def home(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home: a picture, and files that no collection has any business with."""
    folder = tmp_path / "user"
    for name, content in {
        ".bashrc": "alias ll='ls -l'\n",
        ".ssh/id_ed25519": "a key\n",
        ".config/autostart/mine.desktop": "[Desktop Entry]\n",
        "thesis.txt": "years of work\n",
        "letters/info/love.trashinfo": "[Trash Info]\n",
        "letters/files/love": "a letter\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / ".ssh" / "id_ed25519").chmod(0o600)
    (folder / "empty").mkdir()
    shutil.copyfile(photos / "coffee.png", folder / "wallpaper.png")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / ".local/share"))
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "imseek"))
    return folder


@pytest.fixture
def root(home: Path, collection: imseek.Collection) -> Path:
    """A collection as somebody else could have made it: its source is the user's home."""
    collection.index([home])
    return collection.path


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """A folder of theirs that looks like a quarantine."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / layout.QUARANTINE_MARKER).write_text("as imseek writes it")
    (folder / "payload").write_bytes(PAYLOAD)
    return folder


def facts(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Of everything below a folder: what it is, whose, its mode, times and bytes."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        names = tuple(os.listxattr(path, follow_symlinks=False))
        key = (info.st_ino, info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns if content else 0)
        found[str(path.relative_to(folder))] = (*key, hashlib.sha256(content).hexdigest(), names)
    return found


def moved(home: Path, away: Path) -> list[Record]:
    target = ".config/autostart/evil.desktop"
    return [foreign.intent(home, target, away / "payload", away, mode=0o755)]


def out_of_it(home: Path, away: Path) -> list[Record]:
    target = home / ".config/autostart/evil.desktop"
    return [foreign.intent(home, "../user/.config/autostart/evil.desktop", away / "payload", away, full=b64(target))]


def of_no_source(home: Path, away: Path) -> list[Record]:
    target = home.parent / "evil.desktop"
    record = foreign.intent(home, "evil.desktop", away / "payload", away, full=b64(target), source_id=7)
    return [record]


def by_a_link(home: Path, away: Path) -> list[Record]:
    (away / "link").symlink_to(home)
    return [foreign.intent(home, "moved.txt", away / "link" / "thesis.txt", away)]


def in_place_of_a_quarantine(home: Path, away: Path) -> list[Record]:
    (home.parent / "quarantine").symlink_to(home)
    return [foreign.intent(home, "x/thesis.txt", home.parent / "quarantine/thesis.txt", home.parent / "quarantine")]


def without_a_marker(home: Path, away: Path) -> list[Record]:
    return [foreign.intent(home, "moved.txt", home / "thesis.txt", home)]


def with_a_link_for_a_marker(home: Path, away: Path) -> list[Record]:
    (away / layout.QUARANTINE_MARKER).unlink()
    (away / layout.QUARANTINE_MARKER).symlink_to(home / "thesis.txt")
    return moved(home, away)


def replaced(home: Path, away: Path) -> list[Record]:
    path = home / ".bashrc"
    lies = {
        "action": "hard-link",
        "keeper": b64(home / ".ssh/id_ed25519"),
        "to": "",
        "to_base": "",
        "mode": 0o4777,
    }
    return [foreign.intent(home, ".bashrc", path, home, **lies, owner=[0, 0])]


def trashed(home: Path, away: Path) -> list[Record]:
    lies = {"action": "trash", "to": "", "to_base": ""}
    return [
        foreign.intent(home, "moved", home / "letters/files/love", home, **lies),
        {"do": "trashed", "n": 0, "to": b64(home / "letters/files/love")},
    ]


def forgotten(home: Path, away: Path) -> list[Record]:
    """It lies at its place: only the record in what is said to be a trash would go."""
    lies = {"action": "trash", "to": "", "to_base": ""}
    return [
        foreign.intent(home, "thesis.txt", home / "thesis.txt", home, **lies),
        {"do": "trashed", "n": 0, "to": b64(home / "letters/files/love-that-is-gone")},
        {"do": "trashed", "n": 0, "to": b64(home / "letters/files/love")},
    ]


LIES = (
    moved, out_of_it, of_no_source, by_a_link, in_place_of_a_quarantine, without_a_marker, with_a_link_for_a_marker,
    replaced, trashed, forgotten,
)  # fmt: skip
Lie = Callable[[Path, Path], list[Record]]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_unasked_nothing_is_done(root: Path, home: Path, away: Path, lie: Lie) -> None:
    foreign.write(root, lie(home, away))
    before = facts(home), facts(away)
    with suppress(ImseekError):
        undo(root, UNDO_ID, dry_run=False)
    assert (facts(home), facts(away)) == before
    assert not (home.parent / "evil.desktop").exists()
    with pytest.raises(StorageError, match="not obeyed unasked"):
        undo(root, UNDO_ID, dry_run=False)


def agreed(root: Path) -> UndoReport:
    return duplicates.undo(root, UNDO_ID, dry_run=False, trust_journal=True)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_also_one_that_was_agreed_to_brings_back_pictures_only(root: Path, home: Path, away: Path, lie: Lie) -> None:
    foreign.write(root, lie(home, away))
    before = facts(home), facts(away)
    report = agreed(root)
    assert {file.outcome for file in report.files} <= {"left", "already"}, report
    assert (facts(home), facts(away)) == before
    assert not (home.parent / "evil.desktop").exists()


def test_a_look_changes_nothing_and_says_whose_it_is(root: Path, home: Path, away: Path) -> None:
    foreign.write(root, moved(home, away))
    before, file = facts(home), root / layout.journal(UNDO_ID)
    data = file.read_bytes()
    report = undo(root)
    assert [one.reason for one in report.files] == ["it is not a picture"]
    assert "another user, another machine" in report.notes[0]
    assert (facts(home), file.read_bytes()) == (before, data)


def test_what_is_shown_is_what_is_agreed_to(root: Path, home: Path, away: Path, photos: Path) -> None:
    shutil.copyfile(photos / "chelsea.png", away / "cat.png")
    foreign.write(root, [foreign.intent(home, "cat.png", away / "cat.png", away)])
    shown = duplicates.foreign_journal(root)
    assert shown is not None
    assert (shown.undo_id, shown.actions) == (UNDO_ID, {"quarantine": 1})
    assert (shown.sources, shown.targets) == ((os.fsencode(away),), (os.fsencode(home),))
    before = facts(home)
    # Somebody changes it while the question is on the screen.
    foreign.write(root, [foreign.intent(home, "letters/cat.png", away / "cat.png", away)])
    with pytest.raises(StorageError, match="not obeyed unasked"):
        duplicates.undo(root, dry_run=False, trust_journal=lambda found: found == shown)
    assert facts(home) == before
    foreign.write(root, [foreign.intent(home, "cat.png", away / "cat.png", away)])
    report = duplicates.undo(root, dry_run=False, trust_journal=lambda found: found == shown)
    assert report.counts == {"done": 1}
    assert duplicates.foreign_journal(root, UNDO_ID) is None, "it is asked once"


def test_changed_while_it_waits_for_the_lock(
    root: Path, home: Path, away: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imseek.duplicates.actions import undo as undoing

    shutil.copyfile(photos / "chelsea.png", away / "cat.png")
    foreign.write(root, [foreign.intent(home, "cat.png", away / "cat.png", away)])
    real, before = undoing.open_writer, facts(home)

    def writing(path: Path, kind: str) -> Any:
        foreign.write(root, [foreign.intent(home, ".ssh/cat.png", away / "cat.png", away)])
        return real(path, kind)

    monkeypatch.setattr(undoing, "open_writer", writing)
    with pytest.raises(StorageError, match="not obeyed unasked"):
        agreed(root)
    assert facts(home) == before


def test_a_picture_comes_back_as_one(root: Path, home: Path, away: Path, photos: Path) -> None:
    """Never executable, and not set-uid, whatever the journal and the file itself say."""
    shutil.copyfile(photos / "chelsea.png", away / "cat.png")
    (away / "cat.png").chmod(0o4755)
    foreign.write(root, [foreign.intent(home, "pictures/cat.png", away / "cat.png", away, mode=0o4777)])
    assert agreed(root).counts == {"done": 1}
    info = (home / "pictures" / "cat.png").stat()
    assert (info.st_mode & 0o7777, info.st_mtime_ns) == (0o666, 10**18)
    assert not (away / "cat.png").exists()


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a second file system")
def test_from_another_disk_too(root: Path, home: Path, away: Path, photos: Path) -> None:
    disk = Path("/dev/shm") / f"imseek-theirs-{os.getpid()}"
    try:
        shutil.copytree(away, disk)
        shutil.copyfile(photos / "chelsea.png", disk / "cat.png")
        (disk / "cat.png").chmod(0o6755)
        foreign.write(root, [foreign.intent(home, "cat.png", disk / "cat.png", disk, mode=0o644)])
        assert agreed(root).counts == {"done": 1}
        assert (home / "cat.png").stat().st_mode & 0o7777 == 0o644
    finally:
        shutil.rmtree(disk)


def test_of_owner_and_attributes_an_ordinary_user_s(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root, who could give a file away and make it powerful: neither is done."""
    owners: list[tuple[int, int]] = []
    named: list[str] = []
    real = os.setxattr

    def setxattr(file: Any, name: Any, *rest: Any) -> None:
        named.append(os.fsdecode(name))
        real(file, name, *rest)

    monkeypatch.setattr(os, "fchown", lambda fd, user, group: owners.append((user, group)))
    monkeypatch.setattr(os, "setxattr", setxattr)
    mine = (home / "wallpaper.png").stat()
    shutil.copyfile(home / "wallpaper.png", home / "copy.png")
    given = {name: b64("x") for name in ("user.note", "security.capability", "trusted.x", "system.y", "usercheat")}
    lies = {"action": "hard-link", "keeper": b64(home / "copy.png"), "to": "", "to_base": "", "mode": 0o7777}
    record = foreign.intent(home, "wallpaper.png", home / "wallpaper.png", home, **lies)
    foreign.write(root, [{**record, "attributes": given, "owner": [4321, 4321]}])
    assert agreed(root).counts == {"done": 1}
    assert (4321, 4321) not in owners
    assert named == ["user.note"]
    now = (home / "wallpaper.png").stat()
    assert (now.st_mode & 0o7777, now.st_uid) == (0o666, mine.st_uid)


def test_a_plan_does_not_go_on_by_a_journal_of_somebody_else(
    collection: imseek.Collection, photos: Path, twins: list[Path], tmp_path: Path
) -> None:
    """Theirs says that the file was copied to a place of theirs: going on with that would end the original."""
    plan = planned(collection, twins[:2])
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    shutil.copyfile(twins[1], theirs / "a.png")
    record = foreign.intent(photos, "a.png", theirs / "a.png", theirs, image_id=plan.files[0].image_id)
    file = foreign.write(collection.path, [record])
    lines = [
        foreign.begun(collection.path, plan=plan.digest),
        record,
        {"do": "copied", "n": 0, "inode": (theirs / "a.png").stat().st_ino},
    ]
    file.write_bytes(b"".join(map(foreign.sealed, lines)))
    before = state(photos)
    report = done(collection, plan)
    assert report.undo_id != UNDO_ID
    assert report.files[0].to == os.fsencode(photos / ".imseek-quarantine" / "a.png")
    assert undo(collection.path, report.undo_id, dry_run=False).counts == {"done": 1}
    assert state(photos) == before


@pytest.mark.parametrize("action", ["hard-link", "reflink", "trash", "tag"])
def test_nor_by_one_of_another_kind(
    action: str, collection: imseek.Collection, photos: Path, twins: list[Path], home: Path
) -> None:
    plan = planned(collection, twins[:2], "tag", tag="twice")
    lies = {"action": action, "to": "", "to_base": "", "keeper": b64(home / "thesis.txt")}
    record = foreign.intent(photos, "a.png", twins[1], photos, **lies)
    file = foreign.write(collection.path, [record])
    file.write_bytes(b"".join(map(foreign.sealed, [foreign.begun(collection.path, plan=plan.digest), record])))
    before = state(photos), facts(home)
    assert done(collection, plan).undo_id != UNDO_ID
    assert (state(photos), facts(home)) == before


def test_their_copies_end_no_file_of_a_journal_of_ours(
    collection: imseek.Collection, photos: Path, twins: list[Path], tmp_path: Path
) -> None:
    """Two equal files: neither is ended on the word of a journal that says which of them is a copy."""
    report = done(collection, planned(collection, twins[:2], to=tmp_path / "away"))
    shutil.copy2(tmp_path / "away" / "a.png", twins[1])
    record = foreign.intent(photos, "a.png", tmp_path / "away" / "a.png", tmp_path / "away")
    foreign.write(
        collection.path,
        [record, {"do": "copied", "n": 0, "inode": twins[1].stat().st_ino}],
        "20250101-000000-abcdef",
    )
    own = journal.find(collection.path, str(report.undo_id))
    own.note({0: "returning"})
    assert undo(collection.path, report.undo_id, dry_run=False).counts == {"already": 1}
    assert twins[1].exists()
    assert (tmp_path / "away" / "a.png").exists()


def test_a_journal_from_before_signatures_is_asked_about_once(
    collection: imseek.Collection, photos: Path, twins: list[Path]
) -> None:
    """As an earlier imseek left it: with the user's yes, all comes back as it always has."""
    before = state(photos)
    report = done(collection, planned(collection, twins))
    file = journal.find(collection.path, str(report.undo_id)).file
    foreign.unsign(file)
    with pytest.raises(StorageError, match="not obeyed unasked") as caught:
        undo(collection.path, dry_run=False)
    assert caught.value.hint is not None
    assert caught.value.hint.endswith(
        f"imseek duplicates undo {report.undo_id} -c {collection.path} --yes --trust-journal"
    )
    assert duplicates.undo(collection.path, dry_run=False, trust_journal=True).counts == {"done": 3}
    assert state(photos) == before


def test_a_catalog_from_before_is_still_told_what_is_put_away(
    collection: imseek.Collection, photos: Path, twins: list[Path]
) -> None:
    """A home that was lost: `repair` knows from the journal which images are put away. No file is touched for it."""
    from imseek.data.catalog.quarantined_duplicates import QuarantineChange, apply_change
    from imseek.data.writing.writer import Writer
    from imseek.duplicates.actions import quarantine_recovery

    report = done(collection, planned(collection, twins))
    foreign.unsign(journal.find(collection.path, str(report.undo_id)).file)
    with Writer(collection.path, "an older catalog") as writer:
        apply_change(writer, QuarantineChange(kept=[file.image_id for file in report.files]))
    before = state(photos, aside=True)
    assert quarantine_recovery.recover_quarantine(collection.path) == 3
    assert state(photos, aside=True) == before
    found = collection.index([photos])
    assert (found.added, found.removed) == (0, 0)


def test_a_collection_with_journals_of_any_kind_is_cared_for(root: Path, home: Path, away: Path) -> None:
    """Purges, repairs and lists come to their end, and touch no file of the user."""
    for n, lie in enumerate(LIES[:4]):
        foreign.write(root, lie(home, away), f"20260101-00000{n}-abcdef")
    (root / layout.UNDO / "20260102-000000-abcdef.jsonl").write_bytes(b"\0" * 1000 + b"\n" + b"[" * 10_000)
    before = facts(home)
    maintenance.purge(root)
    maintenance.repair(root)
    assert len(duplicates.undoable(root)) == 5
    assert facts(home) == before


def test_empty_folders_are_removed_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "quarantine/a/b/c").mkdir(parents=True)
    (tmp_path / "elsewhere/b/c").mkdir(parents=True)
    (tmp_path / "quarantine/link").symlink_to(tmp_path / "elsewhere")
    base = os.fsencode(tmp_path / "quarantine")
    safe_path.remove_empty_folders(base, b"link/b/c")
    assert (tmp_path / "elsewhere/b/c").is_dir()
    with pytest.raises(StorageError):
        safe_path.remove_empty_folders(base, b"../elsewhere/b/c")
    (tmp_path / "quarantine/a/full").write_text("")
    safe_path.remove_empty_folders(base, b"a/b/c")
    assert sorted(os.listdir(tmp_path / "quarantine/a")) == ["full"]
    safe_path.remove_empty_folders(base, b"")
    assert (tmp_path / "quarantine").is_dir()


def test_records_of_a_trash_are_read_with_care(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trash at the top of a disk that somebody else has filled: pipes, links and endless files in it."""
    from imseek.duplicates.actions import trash

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    info, files = tmp_path / "share/Trash/info", tmp_path / "share/Trash/files"
    info.mkdir(parents=True)
    files.mkdir()
    os.mkfifo(info / "a.trashinfo")
    (info / "a.2.trashinfo").symlink_to("/dev/zero")
    os.mkfifo(files / "a.3.png")
    (files / "a.4.png").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_bytes(b"a secret")
    digest = hashlib.sha256(b"a secret").digest()
    assert trash.find(os.fsencode(tmp_path / "a.png"), digest) is None
    assert trash.is_trash_path(os.fsencode(files / "a.png"))
    for place in (
        tmp_path / "a.png",
        tmp_path / "x/Trash/files/a.png",
        info / "a.trashinfo",
        files / "sub/a.png",
    ):
        assert not trash.is_trash_path(os.fsencode(place)), place
