"""Acts on files of duplicates that are killed on the way: what must be there then, and after going on or back.

A trial kills ``apply`` or ``undo`` before one of its operations (or in the midst of a write), looks whether every file
is there with all its bytes, goes on in one of several ways, and compares with what was there before everything.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from durability.stage import PASSING, draw

#: Ways to do it. *links*: where the system has no rename that refuses to replace. *disk*: quarantine on another disk.
#: *over*: hard links where the system cannot swap names.
WAYS = ("quarantine", "links", "disk", "trash", "hard-link", "over", "reflink", "tag")
#: What comes after a kill of either command; what it was killed in comes to its end in the first step or is left.
AFTER = {
    "apply": (
        ("undo",),
        ("apply", "undo"),
        ("index", "undo"),
        ("index", "apply", "undo"),
        ("apply", "index", "undo"),
    ),
    "undo": (("undo",), ("index", "undo"), ("apply", "undo"), ("index", "apply", "index", "undo")),
}
GROUPS, COPIES = 3, 2


class Case:
    """The folders of a trial: pictures with the collection among them, a trash, and another disk."""

    def __init__(self, home: str, way: str, disk: str) -> None:
        self.home = Path(home)
        self.way = way
        self.photos = self.home / "photos"
        self.root = self.photos / ".imseek"
        self.trash = self.home / "share"
        self.disk = Path(disk)
        self.away = [self.photos, self.trash, self.disk]

    @property
    def action(self) -> str:
        return {"over": "hard-link"}.get(
            self.way, "quarantine" if self.way in ("links", "disk", "copies") else self.way
        )


def prepare(home: str) -> None:
    """Three groups of three, and two pictures on their own; some have tags, and texts beside them."""
    import imseek
    from imseek.data.catalog import tags
    from imseek.data.writing.writer import Writer

    case = Case(home, "", home)
    for group in range(GROUPS):
        kept = case.photos / f"{group}.png"
        kept.parent.mkdir(parents=True, exist_ok=True)
        draw(kept, group)
        for n in range(COPIES):
            copy = case.photos / f"album{n}" / f"{group}.png"
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(kept.read_bytes())
            copy.chmod(0o604 + 0o40 * n)
            os.utime(copy, ns=(10**18, 10**18 + 1000 * group + n))
            if group == 1:
                copy.with_suffix(".json").write_text(json.dumps({"rating": n + 1}))
    for n in range(2):
        draw(case.photos / f"alone{n}.png", 100 + n)
    imseek.create(case.root, encoder="fake", here=True).close()
    with imseek.open(case.root) as collection:
        collection.index([case.photos])
    given = {(i, f"tag of {i % 4}"): "test" for i in ids_of(case).values()}
    with Writer(case.root, "note") as writer:
        tags.put(writer, given)
    (case.home / "facts.json").write_text(json.dumps(facts_of(case)))


def facts_of(case: Case) -> dict[str, Any]:
    """All that must be the same in the end: files, ids, and what is known of images."""
    import imseek

    ids = ids_of(case)
    with imseek.open(case.root) as collection:
        known = {str(i): [collection.get(i).tags, dict(collection.get(i).metadata)] for i in ids.values()}
    facts = {"files": files_of(case.photos), "ids": ids, "known": known}
    found: dict[str, Any] = json.loads(json.dumps(facts))
    return found


def ids_of(case: Case) -> dict[str, int]:
    """Images that are searched, by path."""
    from durability.stage import live_ids
    from imseek.data.reader import Reader

    reader = Reader(case.root)
    try:
        places = reader.places(live_ids(reader))
    finally:
        reader.close()
    return {os.path.relpath(os.fsdecode(p.path), case.photos): i for i, p in places.items()}


def files_of(folder: Path) -> dict[str, list[Any]]:
    """sha256, mode and mtime by path, but for files of ours, as JSON has them."""
    from acting import state

    return {path: list(facts) for path, facts in state(folder).items()}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Operations:
    """Counts what this process does to the disk, and kills it before, or within, one of these operations."""

    def __init__(self, die_before: int | None) -> None:
        self.log: list[str] = []
        self._die_before = die_before

    def install(self) -> None:
        from imseek.data.catalog.sqlite.catalog_file import SqliteConnection
        from imseek.data.files import durable_files
        from imseek.data.user_files import file_copies, file_moves

        for name in ("rename", "replace", "unlink", "mkdir", "rmdir", "link", "fsync", "utime", "fchmod"):
            setattr(os, name, self._before(name, getattr(os, name)))
        for name in ("rename_noreplace", "exchange"):
            setattr(file_moves, name, self._before(name, getattr(file_moves, name)))
        file_copies._write = self._within("write", file_copies._write, 1)  # type: ignore[assignment]
        durable_files.append = self._within("append", durable_files.append, 1)  # type: ignore[assignment]
        SqliteConnection.commit = self._before("commit", SqliteConnection.commit)  # type: ignore[method-assign]

    def _before(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            self._happens(name)
            return function(*args, **kwargs)

        return operation

    def _within(self, name: str, function: Callable[..., Any], at: int) -> Callable[..., Any]:
        """Before it, and with half of its bytes written."""

        def operation(*args: Any, **kwargs: Any) -> Any:
            self._happens(name)
            half = list(args)
            half[at] = args[at][: len(args[at]) // 2]
            self._happens(f"half of {name}", lambda: function(*half, **kwargs))
            return function(*args, **kwargs)

        return operation

    def _happens(self, name: str, last: Callable[[], object] = lambda: None) -> None:
        if len(self.log) == self._die_before:
            last()
            os.kill(os.getpid(), signal.SIGKILL)
        self.log.append(name)


def victim(home: str, way: str, command: str, disk: str, die_before: int | None) -> list[str]:
    """Returns the operations, where it comes to its end."""
    case = Case(home, way, disk)
    _set_up(case)
    _plan(case)
    if command == "undo" and not (case.home / "applied").exists():
        apply(case)
        (case.home / "applied").touch()
    operations = Operations(die_before)
    operations.install()
    STEPS[command](case)
    return operations.log


def heir(home: str, way: str, disk: str, steps: Sequence[str]) -> list[str]:
    """Looks at what is left, does the steps, and compares with what was. Returns the kinds of problems at first."""
    import imseek

    case = Case(home, way, disk)
    _set_up(case)
    facts = json.loads((case.home / "facts.json").read_text())
    all_are_there(case, facts)
    kinds = [problem.kind for problem in imseek.maintenance.verify(case.root).problems]
    assert set(kinds) <= PASSING, kinds
    for step in steps:
        STEPS[step](case)
        all_are_there(case, facts)
    restored(case, facts)
    return kinds


def all_are_there(case: Case, facts: dict[str, Any]) -> None:
    """Each file lies at its place, or its bytes lie where they were put, as often as there were files of them."""
    there = files_of(case.photos)
    if case.action in ("hard-link", "reflink", "tag"):
        for name, (sha256, *_) in facts["files"].items():
            assert name in there, f"{name} is gone"
            assert there[name][0] == sha256, f"{name} has other bytes"
        return
    inodes = {}
    for folder in case.away:
        for path in folder.rglob("*"):
            if path.is_file() and case.root not in path.parents:
                info = path.stat()
                inodes[info.st_dev, info.st_ino] = digest(path)
    found = Counter(inodes.values())
    for sha256, count in Counter(sha256 for sha256, *_ in facts["files"].values()).items():
        assert found[sha256] >= count, f"{count - found[sha256]} of {count} files are gone"
    for name, (sha256, *_) in there.items():
        if name in facts["files"]:
            assert sha256 == facts["files"][name][0], f"{name} has other bytes"


def survivor(home: str, way: str, steps: Sequence[str]) -> None:
    """What comes after a power cut, which takes times and modes away in the model: bytes, ids, tags come back."""
    case = Case(home, way, home)
    case.away = [case.photos]
    _set_up(case)
    facts = json.loads((case.home / "facts.json").read_text())
    all_are_there(case, facts)
    for step in steps:
        STEPS[step](case)
    now = facts_of(case)
    for name, (sha256, *_) in facts["files"].items():
        assert now["files"][name][0] == sha256, name
    assert (now["ids"], now["known"]) == (facts["ids"], facts["known"])


def main(home: str, way: str, command: str) -> None:
    """To be recorded."""
    case = Case(home, way, home)
    _set_up(case)
    STEPS[command](case)


def plan(home: str, way: str) -> None:
    """What comes before a recording."""
    case = Case(home, way, home)
    _set_up(case)
    _plan(case)


def restored(case: Case, facts: dict[str, Any]) -> None:
    """All is as it was before, with ids and tags, and nothing of ours lies about."""
    import imseek

    assert imseek.maintenance.verify(case.root).ok
    now = facts_of(case)
    for what, before in facts.items():
        assert now[what] == before, what
    if case.action == "hard-link":
        names = list(facts["files"])
        assert len({(case.photos / name).stat().st_ino for name in names}) == len(names)
    stray = [
        str(path)
        for folder in case.away
        for path in folder.rglob("*")
        if path.is_file() and case.root not in path.parents and path.name != "IMSEEK-QUARANTINE.txt"
        if case.trash / "imseek" not in path.parents  # The home, which has the key that journals are signed with.
        if folder != case.photos or str(path.relative_to(folder)) not in facts["files"]
    ]
    assert stray == [], stray
    index(case)
    assert facts_of(case) == now


def _set_up(case: Case) -> None:
    import send2trash
    import send2trash.plat_other as linux

    from imseek.data.user_files import file_copies, file_moves

    send2trash.send2trash = linux.send2trash
    os.environ["HOME"], os.environ["XDG_DATA_HOME"] = str(case.home), str(case.trash)
    linux.XDG_DATA_HOME = os.fsencode(case.trash)
    linux.HOMETRASH_B = os.fsencode(case.trash / "Trash")
    if case.way in ("links", "over"):

        def none(*_: object) -> None:
            raise OSError(38, "Function not implemented")

        file_moves.rename_noreplace = file_moves.exchange = none
    if case.way == "copies":  # As to another disk, while a recording sees one folder.

        def elsewhere(*_: object) -> None:
            raise OSError(18, "Invalid cross-device link")

        file_moves.rename_noreplace = elsewhere
    if case.way == "reflink":  # Where the file system has none, a copy takes the way of a clone.
        file_copies.write_clone = file_copies.write_copy
        file_copies.can_clone = lambda *_: True


def _plan(case: Case) -> None:
    from acting import report_of

    from imseek.duplicates.actions import plans

    file = case.home / "plan.json"
    if file.exists():
        return
    groups = [
        [case.photos / f"{group}.png", *(case.photos / f"album{n}" / f"{group}.png" for n in range(COPIES))]
        for group in range(GROUPS)
    ]
    to = case.disk / "away" if case.way == "disk" else None
    plans.make_plan(report_of(case.root, groups), case.action, to, root=case.root).save(file)  # type: ignore[arg-type]


def apply(case: Case) -> None:
    from imseek.duplicates.actions import apply as applying
    from imseek.duplicates.actions.plans import Plan

    applying.BATCH = 4
    report = applying.apply(case.root, Plan.load(case.home / "plan.json"), dry_run=False)
    assert report.counts.get("left", 0) == 0, report.files


def undo(case: Case) -> None:
    """Until there is nothing more to undo."""
    from imseek.duplicates.actions import undo as undoing
    from imseek.errors import UsageError

    undoing.BATCH = 4
    for _ in range(4):
        try:
            report = undoing.undo(case.root, dry_run=False)
        except UsageError as error:
            if "nothing to undo" not in str(error):
                raise
            return
        assert report.counts.get("left", 0) == 0, report.files
    raise AssertionError("there is always more to undo")


def index(case: Case) -> None:
    """As a folder that is followed would be."""
    import imseek

    with imseek.open(case.root) as collection:
        report = collection.index([case.photos])
    counts = report.added, report.copied, report.removed, report.changed, report.moved
    assert counts == (0, 0, 0, 0, 0), report


STEPS = {"apply": apply, "undo": undo, "index": index}


if __name__ == "__main__":
    main(*sys.argv[1:])
