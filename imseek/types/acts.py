"""What is done to the files of duplicates: plans, what came of them, and what can be undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

#: What to do to a file. *tag*: nothing but a tag of its image. *quarantine*: move it to a folder that is never
#: scanned. *trash*: move it to the desktop's trash. *hard-link*, *reflink*: it stays, and shares the keeper's bytes.
Action: TypeAlias = Literal["tag", "quarantine", "trash", "hard-link", "reflink"]
#: The same for a file in a plan, where *keep* stands for nothing.
FileAction: TypeAlias = Literal["keep", Action]
#: What came of it. *would*: nothing yet, in a dry run. *done*. *already*: it was as it should be. *left*: the file was
#: left alone, and why is said.
Outcome: TypeAlias = Literal["would", "done", "already", "left"]


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file of a plan: absolute path, hexadecimal sha256, and size. ``collection`` is the UUID of another one that a
    keeper belongs to, None for this one."""

    image_id: int
    path: bytes
    content_hash: str
    bytes: int
    action: FileAction
    collection: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    """A keeper, and what to do to its duplicates."""

    kind: str
    reason: str
    keeper: PlannedFile
    files: tuple[PlannedFile, ...]


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A duplicate that a plan leaves out, and why. ``path`` is empty where it is not known."""

    image_id: int
    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class ActedFile:
    """What came of one file. ``to`` is where it lies now, if it moved. ``reason`` says why it was left alone."""

    image_id: int
    path: bytes
    action: FileAction
    outcome: Outcome
    to: bytes | None = None
    reason: str = ""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """What applying a plan did, or (``dry_run``) would do.

    ``undo_id`` undoes it; None where nothing was done. ``freed`` counts bytes of files that are done and that no other
    name holds: they are free, at once or when quarantine or trash is emptied. ``interrupted``: the same call goes on.
    """

    dry_run: bool
    undo_id: str | None
    generation: int
    files: tuple[ActedFile, ...]
    freed: int = 0
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def counts(self) -> Mapping[str, int]:
        """How many files there are of each outcome."""
        return _counts(self.files)


@dataclass(frozen=True, slots=True)
class UndoneFile:
    """What came of one file when it was brought back to ``path``. ``reason`` says why it was left alone."""

    image_id: int
    path: bytes
    action: Action
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What undoing did, or (``dry_run``) would do. ``interrupted``: the same call goes on.

    ``damaged_lines`` of the journal could not be read: files that they are about stay where they are.
    """

    dry_run: bool
    undo_id: str
    generation: int
    files: tuple[UndoneFile, ...]
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    damaged_lines: int = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """How many files there are of each outcome."""
        return _counts(self.files)


@dataclass(frozen=True, slots=True)
class UndoInfo:
    """Something that was done and is on record. ``state``: ``unfinished`` (it was cut short: the same plan goes on),
    ``done``, ``undone``, or ``partly`` (some files could not be brought back). Times are ISO 8601 in UTC.

    ``actions`` counts files by what was done to them; ``bytes`` are of those that can be brought back.
    """

    undo_id: str
    created: str
    state: Literal["unfinished", "done", "undone", "partly"]
    actions: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForeignJournal:
    """A journal that another user, another machine or an earlier imseek wrote, for the user to agree to or not.

    ``actions`` counts the files that it would bring back, by what was done to them: out of the folders ``sources``,
    into the folders ``targets``. ``created`` is what it says of itself (ISO 8601), ``digest`` the sha256 of its file.
    """

    undo_id: str
    created: str
    actions: Mapping[str, int]
    sources: tuple[bytes, ...]
    targets: tuple[bytes, ...]
    digest: str


def _counts(files: tuple[ActedFile, ...] | tuple[UndoneFile, ...]) -> dict[str, int]:
    return dict(Counter(file.outcome for file in files))
