"""The record of what is done to files, written before it is done, so that it can be undone from wherever it stopped.

``<collection>/undo/<id>.jsonl`` has an object a line, each with a checksum of its own: what is meant to happen to which
file (durable before anything happens), and what came of it. The disk has the last word: who reads it looks where each
file lies, and tells it by its bytes.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from imseek.data import durable, layout
from imseek.data.current import read_identity
from imseek.data.system_errors import explained
from imseek.errors import UsageError
from imseek.types import Action, UndoInfo

FORMAT: Final = 1
#: What has come of a file: it is not known yet, it is done, it was left alone; it is on its way back, it is back, it
#: cannot be had any more.
State: TypeAlias = Literal["meant", "done", "left", "returning", "undone", "gone"]
#: States of files that are to be brought back, as far as is known.
AWAY: Final = frozenset({"meant", "done", "returning"})
_NAME: Final = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Intent:
    """What is meant to happen to one file, number ``n`` of the plan.

    ``path`` is that within the source, ``full`` where that was; ``to`` is where it goes, below ``to_base``. Mode,
    mtime, device, inode, owner (user, group) and extended attributes (only of what is replaced) are of the file before.
    ``tags`` and ``columns`` are what the keeper gets, beside what it has; ``tag`` is what the image itself gets.
    """

    n: int
    action: Action
    image_id: int
    source_id: int
    path: bytes
    full: bytes
    content_hash: str
    size: int
    mode: int
    mtime_ns: int
    device: int
    inode: int
    owner: tuple[int, int]
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    keeper_id: int | None = None
    keeper: bytes = b""
    to: bytes = b""
    to_base: bytes = b""
    tag: str = ""
    tags: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)


_PATHS: Final = ("path", "full", "keeper", "to", "to_base")


@dataclass(slots=True)
class Journal:
    """One journal, read as a whole. Files without an intent are not in it."""

    file: Path
    undo_id: str
    created: str = ""
    plan: str = ""
    ended: bool = False
    damaged: int = 0
    intents: dict[int, Intent] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)
    trashed: dict[int, bytes] = field(default_factory=dict)
    copies: dict[int, set[int]] = field(default_factory=dict)

    # -- writing: each returns once it is durable, unless it says otherwise ---------------------------------

    def intend(self, intents: Iterable[Intent]) -> None:
        """Must be durable before any of it happens."""
        new = [self._merged(intent) for intent in intents]
        self._append([{"do": "mean", **_document(intent)} for intent in new], sync=True)
        for intent in new:
            self.intents[intent.n] = intent
            self.states[intent.n] = "meant"

    def note(self, states: Mapping[int, State], *, sync: bool = True) -> None:
        """What came of files. Where that is lost, the disk tells."""
        if states:
            self._append([{"do": "note", "n": n, "state": state} for n, state in states.items()], sync=sync)
            self.states.update(states)

    def note_trashed(self, n: int, to: bytes) -> None:
        """Where the trash has put a file. Not fsynced: the trash has a record of its own."""
        self._append([{"do": "trashed", "n": n, "to": _coded(to)}], sync=False)
        self.trashed[n] = to

    def note_copy(self, n: int, inode: int) -> None:
        """That a copy of a file has been made on another disk, there or back: by its inode it is told from others."""
        self._append([{"do": "copied", "n": n, "inode": inode}], sync=True)
        self.copies.setdefault(n, set()).add(inode)

    def end(self) -> None:
        """All of the plan has been gone through."""
        self._append([{"do": "end"}], sync=True)
        self.ended = True

    def _merged(self, intent: Intent) -> Intent:
        """With what an earlier try, which was cut short, may have given to the keeper."""
        before = self.intents.get(intent.n)
        if before is None or before.keeper_id != intent.keeper_id:
            return intent
        tags = tuple(dict.fromkeys((*before.tags, *intent.tags)))
        return replace(
            intent,
            tags=tags,
            columns={**before.columns, **intent.columns},
            tag=before.tag or intent.tag,
        )

    def _append(self, records: Iterable[Mapping[str, Any]], *, sync: bool) -> None:
        data = b"".join(_line(record) for record in records)
        durable.append(self.file, data, sync=sync)

    # -- reading ---------------------------------------------------------------------------------------

    @property
    def state(self) -> Literal["unfinished", "done", "undone", "partly"]:
        states = {state for state in self.states.values() if state != "left"}
        if states & {"returning", "undone", "gone"}:
            return "partly" if states & AWAY else "undone"
        return "done" if self.ended and "meant" not in states else "unfinished"

    def info(self) -> UndoInfo:
        counts = dict(Counter[str](i.action for n, i in self.intents.items() if self.states[n] != "left"))
        held = sum(i.size for n, i in self.intents.items() if self.states[n] in AWAY)
        notes = (f"{self.damaged} lines of {self.file} could not be read",) if self.damaged else ()
        return UndoInfo(self.undo_id, self.created, self.state, counts, held, notes)


def begin(root: Path, staging: Path, plan: str) -> Journal:
    """A new journal for a plan, known by its digest. Raises StorageError."""
    undo_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    if (known := _names(root)) and undo_id <= known[0]:
        undo_id = _after(known[0])
    created = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    journal = Journal(root / layout.journal(undo_id), undo_id, created, plan)
    first = {
        "do": "begin",
        "format": FORMAT,
        "id": undo_id,
        "created": created,
        "plan": plan,
        "collection": read_identity(root).uuid,
    }
    durable.write_file(journal.file, _line(first), staging=staging)
    return journal


def _after(undo_id: str) -> str:
    """An id behind that one, for a second journal within a second, or after the clock was set back: the last is what
    is undone first."""
    stamp, last = undo_id[:-6], int(undo_id[-6:], 16)
    if last < 0xFFFFFF:
        return f"{stamp}{last + 1:06x}"
    later = calendar.timegm(time.strptime(stamp, "%Y%m%d-%H%M%S-")) + 1
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(later))}-000000"


def find(root: Path, undo_id: str) -> Journal:
    """Raises UsageError where there is none, and where a later imseek wrote it."""
    if not _NAME.fullmatch(undo_id) or not (file := root / layout.journal(undo_id)).exists():
        known = ", ".join(_names(root)[:5]) or "none"
        raise UsageError(f"nothing on record as {undo_id} (there are: {known})", hint="imseek undo --list")
    return _read(file, undo_id)


def journals(root: Path) -> list[Journal]:
    """All of a collection, the newest first. Raises StorageError."""
    return [_read(root / layout.journal(name), name) for name in _names(root)]


def list_(root: Path) -> tuple[UndoInfo, ...]:
    """What was done to files of a collection, the newest first."""
    return tuple(journal.info() for journal in journals(root))


def promised(root: Path) -> dict[bytes, bytes]:
    """Places that files were put away in, or were to be, with where each file was; empty where that is not one file."""
    found: dict[bytes, bytes] = {}
    for journal in journals(root):
        for n, intent in journal.intents.items():
            if intent.to and journal.states[n] not in ("left", "undone"):
                found[intent.to] = intent.full if found.get(intent.to, intent.full) == intent.full else b""
    return found


def copied(root: Path) -> dict[tuple[int, bytes], set[int]]:
    """Inodes of the copies that were made of files on other disks, there or back, by source and path within it."""
    found: dict[tuple[int, bytes], set[int]] = {}
    for journal in journals(root):
        for n, inodes in journal.copies.items():
            if (intent := journal.intents.get(n)) is not None:  # Its line may be damaged.
                found.setdefault((intent.source_id, intent.path), set()).update(inodes)
    return found


def _names(root: Path) -> list[str]:
    found = [path.name.removesuffix(".jsonl") for path in (root / layout.UNDO).glob("*.jsonl")]
    return sorted((name for name in found if _NAME.fullmatch(name)), reverse=True)


def _read(file: Path, undo_id: str) -> Journal:
    """A line that was cut short, or has changed, is passed over: the disk tells what came of its file."""
    journal = Journal(file, undo_id)
    with explained(file):
        lines = file.read_bytes().split(b"\n")
    for number, line in enumerate(lines):
        if not line:
            continue
        record = _record(line)
        if record is None:
            journal.damaged += number < len(lines) - 1  # The last one may be half a line, of a kill.
            continue
        _take(journal, record)
    return journal


def _take(journal: Journal, record: Mapping[str, Any]) -> None:
    match record["do"]:
        case "begin":
            if record["format"] != FORMAT:
                raise UsageError(f"{journal.file} was written by a later imseek", hint="update imseek")
            journal.created, journal.plan = record["created"], record["plan"]
        case "mean":
            intent = _intent(record)
            journal.intents[intent.n], journal.states[intent.n] = intent, "meant"
        case "note" if record["n"] in journal.intents:
            journal.states[record["n"]] = record["state"]
        case "trashed":
            journal.trashed[record["n"]] = base64.b64decode(record["to"])
        case "copied":
            journal.copies.setdefault(record["n"], set()).add(record["inode"])
        case "end":
            journal.ended = True


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
        stated = found.pop("sum")
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return found if stated == _sum(found) else None


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps({**record, "sum": _sum(record)}, sort_keys=True).encode() + b"\n"


def _sum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def _document(intent: Intent) -> dict[str, Any]:
    made = {name: getattr(intent, name) for name in Intent.__slots__}
    made |= {name: _coded(made[name]) for name in _PATHS}
    shown = intent.full.decode("utf-8", "backslashreplace")
    made["attributes"] = {name: _coded(value) for name, value in intent.attributes.items()}
    return {
        **made,
        "owner": list(intent.owner),
        "tags": list(intent.tags),
        "columns": dict(intent.columns),
        "shown": shown,
    }


def _intent(record: Mapping[str, Any]) -> Intent:
    values = {name: record[name] for name in Intent.__slots__}
    values |= {name: base64.b64decode(values[name]) for name in _PATHS}
    assert values["action"] in get_args(Action)
    values["attributes"] = {name: base64.b64decode(one) for name, one in values["attributes"].items()}
    return Intent(**{**values, "tags": tuple(values["tags"]), "owner": tuple(values["owner"])})


def _coded(path: bytes) -> str:
    return base64.b64encode(path).decode("ascii")
