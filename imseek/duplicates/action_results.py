"""Actions on the files of duplicates: plans, results, and records for undo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from imseek.duplicates.results import ConfidenceCount
from imseek.types.json_form import ContentHash, Count, FilePath, json_member

#: An action on a file. *tag*: only tag its image. *quarantine*: move it to a folder that is never scanned. *trash*:
#: move it to the desktop's trash. *hard-link*, *reflink*: the file stays, and shares the keeper's bytes.
Action: TypeAlias = Literal["tag", "quarantine", "trash", "hard-link", "reflink"]
#: An action in a plan, where *keep* means none.
FileAction: TypeAlias = Literal["keep", Action]
#: The result for a file. *would*: dry run, nothing done yet. *done*. *already*: nothing to do. *left*: the file was
#: left alone, with a reason.
Outcome: TypeAlias = Literal["would", "done", "already", "left"]
#: A path in bytes; classes with a field named ``bytes`` cannot say it otherwise.
_Path: TypeAlias = bytes


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file of a plan."""

    image_id: Count
    path: FilePath
    """Absolute path."""
    content_hash: ContentHash
    """Hexadecimal sha256."""
    bytes: Count
    """Size."""
    action: FileAction
    collection: str | None = None
    """UUID of the collection that a keeper belongs to, None for this one."""
    confidence: float | None = None
    """Confidence that it duplicates the keeper, 0 to 1; None for the keeper."""
    is_link: bool = False
    """Whether it is a link to the file of another image of its group, so that removing it frees nothing."""


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    """A keeper, with the actions planned for its duplicates."""

    kind: str
    reason: str
    keeper: PlannedFile
    files: tuple[PlannedFile, ...]


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A duplicate that a plan leaves out, with the reason."""

    image_id: Count
    path: FilePath
    """Empty where it is unknown."""
    reason: str


@dataclass(frozen=True, slots=True)
class AppliedFile:
    """The result for one file."""

    image_id: Count
    path: FilePath
    action: Action
    outcome: Outcome
    """would: in a dry run; already: nothing to do; left: left alone, with a reason."""
    to: _Path | None = None
    """Its new path if it moved."""
    reason: str = ""
    """Why it was left alone."""
    bytes: Count = 0
    """Its size; 0 if it is a further name of another file."""


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """The result of applying a plan."""

    dry_run: bool
    """Whether it only tells what would be done."""
    undo_id: str | None
    """Id of the undo that reverts it; null where nothing was done."""
    generation: Count
    files: tuple[AppliedFile, ...]
    freed: Count = 0
    """Bytes of processed files that have no other hard link: free at once, or once quarantine or trash is emptied."""
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    """Whether it stopped before the end; the same call resumes."""
    sure: tuple[ConfidenceCount, ...] = ()
    """The files acted on, or to be acted on, by how sure the plan is that they are duplicates, the surest first."""

    @property
    @json_member()
    def counts(self) -> Mapping[Outcome, Count]:
        """Number of files by outcome."""
        return _counts(self.files)


@dataclass(frozen=True, slots=True)
class UndoneFile:
    """The result of restoring one file."""

    image_id: Count
    path: FilePath
    """Where it was before."""
    action: Action
    """The action that is undone."""
    outcome: Outcome
    """would: in a dry run; already: nothing to do; left: left alone, with a reason."""
    reason: str = ""
    """Why it was left alone."""


@dataclass(frozen=True, slots=True)
class UndoReport:
    """The result of an undo."""

    dry_run: bool
    """Whether it only tells what would be done."""
    undo_id: str
    generation: Count
    files: tuple[UndoneFile, ...]
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    """Whether it stopped before the end; the same call resumes."""
    damaged_lines: Count = 0
    """Unreadable lines of the journal: the files they concern stay where they are."""

    @property
    @json_member()
    def counts(self) -> Mapping[Outcome, Count]:
        """Number of files by outcome."""
        return _counts(self.files)


@dataclass(frozen=True, slots=True)
class UndoInfo:
    """A recorded change that may be undone."""

    undo_id: str
    created: str
    """ISO 8601 in UTC."""
    state: Literal["unfinished", "done", "undone", "partly"]
    """unfinished: it was cut short, and the same plan resumes it; partly: some files could not be restored."""
    actions: Mapping[Action, Count] = field(default_factory=dict)
    """Number of files by action."""
    bytes: Count = 0
    """Size of the files that can be restored."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForeignJournal:
    """A journal written by another user, another machine or an earlier imseek, which the user has to approve."""

    undo_id: str
    created: str
    """ISO 8601, as stated in the journal."""
    actions: Mapping[Action, int]
    """Number of files it would restore, by their original action."""
    sources: tuple[bytes, ...]
    """Folders that it would restore files from."""
    targets: tuple[bytes, ...]
    """Folders that it would restore files into."""
    digest: str
    """Hexadecimal sha256 of its file."""


def _counts(files: tuple[AppliedFile, ...] | tuple[UndoneFile, ...]) -> dict[Outcome, int]:
    return dict(Counter[Outcome](file.outcome for file in files))
