"""The undo journal: records actions on files before they happen, so that they can be undone from wherever they stopped.

``<collection>/undo/<id>.jsonl`` has one record per line (:mod:`imseek.duplicates.actions.journal_records`), signed for
this user (:mod:`imseek.duplicates.actions.journal_signature`): the intended action on each file, durable before
anything happens, and its outcome. The disk has the last word: readers look for each file and identify it by its bytes.
"""

from __future__ import annotations

import calendar
import errno
import hashlib
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, NamedTuple

from imseek.data import layout
from imseek.data.collection_records import read_identity
from imseek.data.files import durable_files
from imseek.data.files.system_errors import system_error, translate_os_errors
from imseek.data.user_files import safe_path
from imseek.data.user_files.safe_path import ChangingError, SafePath
from imseek.duplicates.action_results import Action, UndoInfo
from imseek.duplicates.actions import journal_records
from imseek.duplicates.actions.journal_records import (
    AWAY_STATES,
    Begin,
    CopyInode,
    End,
    Intent,
    Note,
    Record,
    State,
    TrashLocation,
)
from imseek.duplicates.actions.journal_signature import Signer, load_key
from imseek.errors import (
    CorruptCollectionError,
    FormatVersionError,
    ImseekError,
    UnsafePathError,
    UsageError,
)

#: Longest line in bytes. Ours hold a few extended attributes and captions of at most 64 KiB each.
_MAX_LINE: Final = 1 << 24
#: Reading stops after this many damaged lines.
_MAX_DAMAGED: Final = 10_000
#: Number of damaged lines described individually in messages.
_DAMAGE_SHOWN: Final = 3


class DamagedLine(NamedTuple):
    """A line that is not a valid record: its number, its bytes and the reason."""

    number: int
    data: bytes
    reason: str


@dataclass(slots=True)
class Journal:
    """One journal, read completely. It contains only files with an intent.

    ``is_signed`` says that this user's imseek wrote every record; ``is_whole`` that the journal was read to its end,
    which fails only if it is too damaged. ``digest`` is the sha256 of what was read.
    """

    file: Path
    undo_id: str
    signer: Signer
    begin: Begin
    is_signed: bool = False
    is_whole: bool = True
    digest: str = ""
    ended: bool = False
    damaged: list[DamagedLine] = field(default_factory=list)
    intents: dict[int, Intent] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)
    trashed: dict[int, bytes] = field(default_factory=dict)
    copies: dict[int, set[int]] = field(default_factory=dict)

    @property
    def plan(self) -> str:
        """The digest of the plan."""
        return self.begin.plan

    # -- writing: durable on return, unless stated otherwise --------------------------------------------

    def record_intents(self, intents: Iterable[Intent]) -> None:
        """Record intents. They must be durable before any action starts."""
        merged = [journal_records.merge_intents(self.intents.get(intent.n), intent) for intent in intents]
        self._append(merged, sync=True)
        for intent in merged:
            self.intents[intent.n] = intent
            self.states[intent.n] = "meant"

    def note(self, states: Mapping[int, State], *, sync: bool = True) -> None:
        """Record outcomes of files. If this record is lost, the disk still shows them."""
        if states:
            self._append([Note(n, state) for n, state in states.items()], sync=sync)
            self.states.update(states)

    def note_trashed(self, n: int, to: bytes) -> None:
        """Record where the trash put a file. Not fsynced, as the trash has its own record."""
        self._append([TrashLocation(n, to)], sync=False)
        self.trashed[n] = to

    def note_copy(self, n: int, inode: int) -> None:
        """Record the inode of a copy of a file made on another disk, in either direction."""
        self._append([CopyInode(n, inode)], sync=True)
        self.copies.setdefault(n, set()).add(inode)

    def end(self) -> None:
        """Record that the whole plan has been processed."""
        self._append([End()], sync=True)
        self.ended = True

    def adopt(self, staging: Path) -> None:
        """Rewrite the journal as this user's own, after the user agreed to its content. Damaged lines are kept as they
        are."""
        self.begin = replace(self.begin, adopted=True)
        data = b"".join(self._line(record) for record in self._records())
        durable_files.write_file(self.file, data + b"".join(one.data + b"\n" for one in self.damaged), staging=staging)
        self.is_signed = True

    def _records(self) -> Iterator[Record]:
        yield self.begin
        yield from self.intents.values()
        for n, inodes in self.copies.items():
            yield from (CopyInode(n, inode) for inode in inodes)
        yield from (TrashLocation(n, to) for n, to in self.trashed.items())
        yield from (Note(n, state) for n, state in self.states.items() if state != "meant")
        if self.ended:
            yield End()

    def _append(self, records: Iterable[Record], *, sync: bool) -> None:
        assert self.is_signed, "what others wrote is adopted before anything is added"
        durable_files.append(self.file, b"".join(map(self._line, records)), sync=sync)

    def _line(self, record: Record) -> bytes:
        return journal_records.encode_line(self.signer.sign(journal_records.to_document(record)))

    # -- reading ---------------------------------------------------------------------------------------

    @property
    def state(self) -> Literal["unfinished", "done", "undone", "partly"]:
        states = {state for state in self.states.values() if state != "left"}
        if states & {"returning", "undone", "gone"}:
            return "partly" if states & AWAY_STATES else "undone"
        return "done" if self.ended and "meant" not in states else "unfinished"

    def info(self) -> UndoInfo:
        counts = dict(Counter[Action](i.action for n, i in self.intents.items() if self.states[n] != "left"))
        size = sum(i.size for n, i in self.intents.items() if self.states[n] in AWAY_STATES)
        return UndoInfo(self.undo_id, self.begin.created, self.state, counts, size, tuple(self._notes()))

    def _notes(self) -> Iterator[str]:
        if self.damaged:
            shown = "; ".join(f"line {one.number}: {one.reason}" for one in self.damaged[:_DAMAGE_SHOWN])
            more = "; …" if len(self.damaged) > _DAMAGE_SHOWN else ""
            lines = "1 line" if len(self.damaged) == 1 else f"{len(self.damaged):,} lines"
            yield f"{lines} of {self.file} could not be read ({shown}{more})"
        if not self.is_whole:
            yield f"{self.file} was not read to its end: it is too damaged"
        elif not self.is_signed:
            yield "another user, another machine or an earlier imseek wrote it: undoing it asks first"


def begin(root: Path, staging: Path, plan: str) -> Journal:
    """Start a new journal for a plan, given its digest. Raises StorageError."""
    undo_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    if (existing_ids := _journal_ids(root)) and undo_id <= existing_ids[0]:
        undo_id = _next_id(existing_ids[0])
        if not layout.is_journal(layout.journal(undo_id)):
            raise CorruptCollectionError(
                f"{root / layout.journal(existing_ids[0])} is from the end of time: no journal can follow it",
                hint="move it away",
            )
    created = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    collection = read_identity(root).uuid
    signer = Signer(load_key(), collection, undo_id)
    first = Begin(undo_id, created, plan, collection)
    journal = Journal(root / layout.journal(undo_id), undo_id, signer, first, is_signed=True)
    durable_files.write_file(journal.file, journal._line(first), staging=staging)
    return journal


def _next_id(undo_id: str) -> str:
    """Return the next id after ``undo_id``, for a second journal in one second or after the clock was set back.

    The latest id is undone first.
    """
    stamp, last = undo_id[:-6], int(undo_id[-6:], 16)
    if last < 0xFFFFFF:
        return f"{stamp}{last + 1:06x}"
    try:
        later = calendar.timegm(time.strptime(stamp, "%Y%m%d-%H%M%S-")) + 1
    except ValueError:  # Someone else made this id: there is no such day.
        return ""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(later))}-000000"


def find(root: Path, undo_id: str) -> Journal:
    """Return one journal. Raises UsageError if there is none, FormatVersionError if a later imseek wrote it,
    StorageError."""
    names = _journal_ids(root)
    if undo_id not in names:
        latest_ids = ", ".join(names[:5]) or "none"
        raise UsageError(f"no run {undo_id!r} to undo (there are: {latest_ids})", hint="imseek duplicates undo --list")
    return next(_read_journals(root, [undo_id]))


def load_journals(root: Path) -> list[Journal]:
    """Return all journals of a collection, newest first. Raises as :func:`find`."""
    return list(_read_journals(root, _journal_ids(root)))


def list_undo_infos(root: Path) -> tuple[UndoInfo, ...]:
    """Describe what was done to the files of a collection, newest first."""
    return tuple(journal.info() for journal in load_journals(root))


def reserved_paths(root: Path) -> dict[bytes, bytes]:
    """Map each quarantine path on record to the original path of its file; to b"" if several files claim it."""
    originals: dict[bytes, bytes] = {}
    for journal in load_journals(root):
        for n, intent in journal.intents.items():
            if intent.to and journal.states[n] not in ("left", "undone"):
                originals[intent.to] = intent.full if originals.get(intent.to, intent.full) == intent.full else b""
    return originals


def copied_inodes(root: Path) -> dict[tuple[int, bytes], set[int]]:
    """Return the inodes of copies that this user's imseek made on other disks, by source id and path within the
    source."""
    inodes_by_place: dict[tuple[int, bytes], set[int]] = {}
    for journal in load_journals(root):
        for n, inodes in journal.copies.items() if journal.is_signed else ():
            if (intent := journal.intents.get(n)) is not None:  # None if its line is damaged.
                inodes_by_place.setdefault((intent.source_id, intent.path), set()).update(inodes)
    return inodes_by_place


def _journal_ids(root: Path) -> list[str]:
    """Return the ids of the journals, newest first. Raises UnsafePathError if their folder is a link."""
    try:
        with safe_path.open_parent(_path(root, "")) as at:
            names = os.listdir(at.folder)
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise UnsafePathError(f"{root / layout.UNDO} is a link, or a file: journals lie in a folder") from error
    except OSError as error:
        raise system_error(error, root / layout.UNDO) from error
    files = [name for name in names if layout.is_journal(f"{layout.UNDO}/{name}")]
    return sorted((name.removesuffix(".jsonl") for name in files), reverse=True)


def _path(root: Path, undo_id: str) -> SafePath:
    return SafePath(os.fsencode(root), os.fsencode(layout.journal(undo_id)))


def _read_journals(root: Path, names: Iterable[str]) -> Iterator[Journal]:
    key = load_key()
    try:
        collection = read_identity(root).uuid
    except ImseekError:  # Damaged, so no journal can be verified.
        key, collection = None, ""
    for undo_id in names:
        yield _read_journal(root, undo_id, Signer(key, collection, undo_id))


def _read_journal(root: Path, undo_id: str, signer: Signer) -> Journal:
    """Read a journal. Truncated, changed or invalid lines are skipped: the disk shows what became of their files.

    Raises FormatVersionError, UnsafePathError for anything but a regular file, and StorageError.
    """
    file = root / layout.journal(undo_id)
    journal = Journal(file, undo_id, signer, Begin(undo_id, "", "", ""))
    digest, signatures = hashlib.sha256(), set[bool]()
    with translate_os_errors(file):
        for number, data in enumerate(_lines(root, undo_id), start=1):
            digest.update(data)
            if len(data) > _MAX_LINE or len(journal.damaged) == _MAX_DAMAGED:
                journal.is_whole = False
                break
            line = data.rstrip(b"\n")
            if not line:
                continue
            try:
                document = journal_records.decode_line(line)
                record = journal_records.parse(document)
            except ValueError as error:
                if line != data:  # Otherwise it may be half a line, left by a kill.
                    journal.damaged.append(DamagedLine(number, line, str(error)))
            except FormatVersionError as error:
                raise FormatVersionError(f"{file}: {error}", hint=error.hint) from error
            else:
                _apply_record(journal, record)
                signatures.add(signer.is_signed(document))
    journal.is_signed = signatures == {True} and journal.is_whole
    journal.digest = digest.hexdigest()
    return journal


def _lines(root: Path, undo_id: str) -> Iterator[bytes]:
    with safe_path.open_parent(_path(root, undo_id)) as at:
        try:
            fd = safe_path.open_regular(at)
        except ChangingError as error:
            raise UnsafePathError(f"{root / layout.journal(undo_id)}: {error}") from error
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise UnsafePathError(
                f"{root / layout.journal(undo_id)} is a link: imseek makes no journals that are links",
                hint="move it out of that folder",
            ) from error
    with os.fdopen(fd, "rb") as file:
        while line := file.readline(_MAX_LINE + 1):
            yield line


def _apply_record(journal: Journal, record: Record) -> None:
    match record:
        case Begin():
            journal.begin = record
        case Intent(n=n):
            journal.intents[n], journal.states[n] = record, "meant"
        case Note(n=n, state=state):
            if n in journal.intents:
                journal.states[n] = state
        case TrashLocation(n=n, to=to):
            journal.trashed[n] = to
        case CopyInode(n=n, inode=inode):
            journal.copies.setdefault(n, set()).add(inode)
        case End():
            journal.ended = True
