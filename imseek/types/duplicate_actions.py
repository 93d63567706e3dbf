"""Actions on the files of duplicates: plans, results, and records for undo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

#: An action on a file. *tag*: only tag its image. *quarantine*: move it to a folder that is never scanned. *trash*:
#: move it to the desktop's trash. *hard-link*, *reflink*: the file stays, and shares the keeper's bytes.
Action: TypeAlias = Literal["tag", "quarantine", "trash", "hard-link", "reflink"]
#: An action in a plan, where *keep* means none.
FileAction: TypeAlias = Literal["keep", Action]
#: The result for a file. *would*: dry run, nothing done yet. *done*. *already*: nothing to do. *left*: the file was
#: left alone, with a reason.
Outcome: TypeAlias = Literal["would", "done", "already", "left"]


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file of a plan: absolute path, hexadecimal sha256, and size.

    ``collection`` is the UUID of the collection that a keeper belongs to, None for this one.
    """

    image_id: int
    path: bytes
    content_hash: str
    bytes: int
    action: FileAction
    collection: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    """A keeper, with the actions planned for its duplicates."""

    kind: str
    reason: str
    keeper: PlannedFile
    files: tuple[PlannedFile, ...]


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A duplicate that a plan leaves out, with the reason. ``path`` is empty where it is unknown."""

    image_id: int
    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class AppliedFile:
    """The result for one file. ``to`` is its new path if it moved; ``reason`` says why it was left alone."""

    image_id: int
    path: bytes
    action: FileAction
    outcome: Outcome
    to: bytes | None = None
    reason: str = ""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """The result of applying a plan, or of a ``dry_run``.

    ``undo_id`` reverts it; None where nothing was done. ``freed`` counts bytes of processed files that have no other
    hard link: they become free at once, or when the quarantine or trash is emptied. If ``interrupted``, the same call
    resumes.
    """

    dry_run: bool
    undo_id: str | None
    generation: int
    files: tuple[AppliedFile, ...]
    freed: int = 0
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of files by outcome."""
        return _counts(self.files)


@dataclass(frozen=True, slots=True)
class UndoneFile:
    """The result of restoring one file to ``path``. ``reason`` says why it was left alone."""

    image_id: int
    path: bytes
    action: Action
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class UndoReport:
    """The result of an undo, or of a ``dry_run``. If ``interrupted``, the same call resumes.

    ``damaged_lines`` of the journal were unreadable: the files they concern stay where they are.
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
        """Number of files by outcome."""
        return _counts(self.files)


@dataclass(frozen=True, slots=True)
class UndoInfo:
    """A recorded change that may be undone.

    ``state`` is ``unfinished`` (it was cut short; the same plan resumes it), ``done``, ``undone``, or ``partly`` (some
    files could not be restored). Times are ISO 8601 in UTC. ``actions`` counts files by action; ``bytes`` are those of
    the files that can be restored.
    """

    undo_id: str
    created: str
    state: Literal["unfinished", "done", "undone", "partly"]
    actions: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForeignJournal:
    """A journal written by another user, another machine or an earlier imseek, which the user has to approve.

    ``actions`` counts the files it would restore by their original action, from the folders ``sources`` into the
    folders ``targets``. ``created`` (ISO 8601) is as stated in the journal, ``digest`` the sha256 of its file.
    """

    undo_id: str
    created: str
    actions: Mapping[str, int]
    sources: tuple[bytes, ...]
    targets: tuple[bytes, ...]
    digest: str


def _counts(files: tuple[AppliedFile, ...] | tuple[UndoneFile, ...]) -> dict[str, int]:
    return dict(Counter(file.outcome for file in files))
