"""Plans: actions on the files of duplicates, made from a report and stored in a file that people read and edit.

A plan changes nothing. :mod:`imseek.duplicates.actions.apply` carries it out, and checks every file again before
acting.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imseek.data import layout
from imseek.data.catalog.catalog_writer import LIVE, now
from imseek.data.catalog.place_paths import MEMBER_SEPARATOR, file_uri, is_url, join
from imseek.data.catalog.quarantined_duplicates import CatalogImage, LiveSource, live_sources, look_up_images
from imseek.data.catalog.sources import contains
from imseek.data.current_generation import read_current
from imseek.data.files.system_errors import translate_os_errors
from imseek.duplicates.action_results import Action, FileAction, PlannedFile, PlannedGroup, RefusedFile
from imseek.duplicates.actions import plan_file
from imseek.duplicates.actions.plan_file import TAG
from imseek.duplicates.grouping.keepers import AnyPath
from imseek.duplicates.offline_sources import describe_missing, is_missing
from imseek.duplicates.results import (
    LEAST_CONFIDENCE,
    ConfidenceCount,
    Duplicate,
    DuplicateGroup,
    DuplicateReport,
    count_by_confidence,
)
from imseek.errors import PlanError, UsageError
from imseek.tilde_expansion import expand_user
from imseek.types.indexing_runs import FOLDER_KINDS
from imseek.types.pictures import display_path

#: Source kinds in which each picture is a file.
FILE_SOURCE_KINDS: Final = frozenset({*FOLDER_KINDS, "file", "list"})
#: Actions that replace a file by a hard link or reflink to its keeper.
LINK_ACTIONS: Final = frozenset({"hard-link", "reflink"})
#: Actions that move a file away.
MOVE_ACTIONS: Final = frozenset({"quarantine", "trash"})
#: Why a file cannot be linked to its keeper.
OTHER_DEVICE: Final = "the keeper lies on another file system"


@dataclass(frozen=True, slots=True)
class Plan(plan_file.PlanContent):
    """Planned actions, group by group. Paths are absolute."""

    @property
    def files(self) -> tuple[PlannedFile, ...]:
        """The files to act on."""
        return tuple(file for group in self.groups for file in group.files if file.action != "keep")

    @property
    def bytes(self) -> int:
        """Total size of :attr:`files`; links count nothing."""
        return sum(size_of(file) for file in self.files)

    @property
    def sure(self) -> tuple[ConfidenceCount, ...]:
        """:attr:`files` by how sure it is that they are duplicates, the surest first; a plan may not know it."""
        sizes = ((file.confidence, size_of(file)) for file in self.files)
        return count_by_confidence((confidence, size) for confidence, size in sizes if confidence is not None)

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 that identifies what the plan requests."""
        document = {k: v for k, v in plan_file.to_document(self).items() if k not in ("about", "refused")}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, object]:
        """Return the JSON object that :meth:`save` writes."""
        return plan_file.to_document(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON. Raises UsageError if the path holds a file that is not a plan, and StorageError."""
        file = Path(path)
        if file.exists() and not plan_file.is_plan(file):
            raise UsageError(f"{file} is there, and is not a plan", hint="name a file that is not there yet")
        text = json.dumps(plan_file.to_document(self), indent=1, ensure_ascii=False)
        staged = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
        with translate_os_errors(file):
            try:
                with staged.open("x", encoding="utf-8") as out:
                    out.write(text + "\n")
                staged.replace(file)
            finally:
                with suppress(OSError):
                    staged.unlink()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read and validate a plan. Raises PlanError that names the entry at fault."""
        plan = plan_file.read_plan(Path(path), cls)
        plan.check()
        return plan

    def check(self) -> None:
        """Raise PlanError if the plan contradicts itself."""
        keepers = {(group.keeper.collection, group.keeper.image_id) for group in self.groups}
        keeper_paths = {group.keeper.path for group in self.groups}
        ids: set[int] = set()
        paths: set[bytes] = set()
        for number, group in enumerate(self.groups, start=1):
            for file in group.files:
                entry = f"group {number}, {display_path(file.path)}"
                if file.image_id in ids or file.path in paths:
                    raise PlanError(f"{entry}: the same file is in the plan twice")
                ids.add(file.image_id)
                paths.add(file.path)
                if file.action == "keep":
                    continue
                if (None, file.image_id) in keepers or file.path in keeper_paths:
                    raise PlanError(f"{entry}: it is to be kept in one group, and not in another")
                if file.action in LINK_ACTIONS and file.content_hash != group.keeper.content_hash:
                    raise PlanError(f"{entry}: only files of the same bytes can be linked")
                if (folder := protecting_folder(self.protect, file.path)) is not None:
                    raise PlanError(f"{entry}: {display_path(folder)} is protected")


def size_of(file: PlannedFile) -> int:
    """Return the bytes that acting on a file is about: 0 if it is a further name of another one."""
    return 0 if file.is_link else file.bytes


def make_plan(
    report: DuplicateReport,
    action: Action,
    to: AnyPath | None = None,
    *,
    root: Path,
    tag: str = TAG,
    protect: Sequence[AnyPath] = (),
    at_least: float = LEAST_CONFIDENCE,
) -> Plan:
    """Make a plan that applies ``action`` to every image of a report except the keepers. No file is touched or opened.

    ``root`` is the collection of the report, ``to`` a folder for quarantined files; nothing in the ``protect`` folders
    is to be touched. Duplicates that cannot be acted on, or are less sure than ``at_least``, are listed in ``refused``.
    Raises UsageError for an empty tag, a folder ``to`` that cannot be a quarantine or a share that is none, and
    CollectionNotFoundError.
    """
    current = read_current(root)
    if current.uuid != report.collection:
        raise UsageError("the report is of another collection")
    if not tag.strip():
        raise UsageError("a tag must not be empty")
    if to is not None and action != "quarantine":
        raise UsageError(f"a folder is named, but {action} moves nothing there")
    if not 0 <= at_least <= 1:
        raise UsageError(f"a share is 0 to 1, not {at_least}")
    if isinstance(protect, str | bytes | os.PathLike):
        raise UsageError(f"folders are a list, not {protect!r}")
    folders = tuple(_absolute(folder) for folder in protect)
    target = None if to is None else _absolute(to)
    if target is not None:
        check_quarantine_folder(root, target)
    builder = _PlanBuilder(root, report, action, folders, at_least)
    groups = builder.groups(report.groups)
    return Plan(
        collection=report.collection,
        generation=report.generation,
        created=now(),
        action=action,
        groups=groups,
        to=target,
        tag=tag,
        protect=folders,
        refused=tuple(builder.refused),
    )


def check_quarantine_folder(root: Path, folder: bytes) -> None:
    """Raise UsageError for a folder that must not become a quarantine; scans skip quarantine folders."""
    shown = display_path(folder)
    for source in live_sources(root).values():
        if source.root and not is_url(source.root) and contains(folder, source.root):
            raise UsageError(f"{shown} holds source {source.source_id}, which would not be scanned any more")
    base = os.fsencode(root.absolute())
    if contains(base, folder) or contains(folder, base):
        raise UsageError(f"{shown} and the collection must not lie in each other")
    try:
        names = [os.fsdecode(name) for name in os.listdir(folder)]
        is_anybodys = bool(os.stat(folder).st_mode & stat.S_IWOTH)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{shown} cannot be used: {error.strerror}") from error
    if is_anybodys:
        raise UsageError(
            f"everybody may write into {shown}: pictures that are put away there could be taken or replaced",
            hint="name a folder that is not there yet, or chmod o-w this one",
        )
    if names and not layout.is_quarantine(names):
        raise UsageError(
            f"{shown} holds other files, which would not be scanned any more",
            hint="name a folder that is empty or not there yet",
        )


def locate_file(image: CatalogImage | None, sources: dict[int, LiveSource]) -> tuple[bytes, str]:
    """Return the path of an image's file, and why it cannot be acted on ("" if it can)."""
    if image is None:
        return b"", "the collection does not have it any more"
    source = None if image.source_id is None else sources.get(image.source_id)
    if source is None:
        return b"", "it is not known where it lies"
    if is_url(source.root) or is_url(image.path):
        return b"", "it lies on the web"
    if source.kind not in FILE_SOURCE_KINDS or MEMBER_SEPARATOR in image.path:
        archived = source.kind == "archive"
        return b"", "it lies in an archive" if archived else "it lies in a table, or a table names it"
    return join(source.root, image.path), ""


def is_behind_link(source: LiveSource, path: bytes) -> bool:
    """Return whether a symbolic link lies between the root of a source and the folder of a file."""
    if source.kind not in FOLDER_KINDS:
        return False
    folder = os.path.join(os.path.realpath(source.root), os.path.dirname(path)).rstrip(b"/") or b"/"
    return os.path.realpath(folder) != folder


def protecting_folder(folders: Iterable[bytes], path: bytes) -> bytes | None:
    """Return the protected folder that contains a path, by name or after resolving links."""
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    for folder in folders:
        if contains(folder, path) or contains(os.path.realpath(folder), real):
            return folder
    return None


def file_problem(path: bytes, keeper: bytes, action: Action) -> str:
    """Return why a file must not be acted on, judging by lstat; "" if it may be, or does not exist now."""
    try:
        info = os.lstat(path)
    except OSError:
        return ""
    if stat.S_ISLNK(info.st_mode):
        return "it is a symbolic link: the picture lies elsewhere"
    if not stat.S_ISREG(info.st_mode):
        return "it is not a regular file"
    with suppress(OSError):
        keeper_info = os.stat(keeper)
        if os.path.samestat(info, keeper_info):
            return "it is the keeper under another name (a hard link): there are no two copies"
        if action in LINK_ACTIONS and info.st_dev != keeper_info.st_dev:
            return OTHER_DEVICE
    return ""


class _PlanBuilder:
    """Builds a plan group by group. An image that one group keeps is not given away by another."""

    def __init__(
        self, root: Path, report: DuplicateReport, action: Action, protect: Sequence[bytes], at_least: float
    ) -> None:
        self.refused: list[RefusedFile] = []
        self._action = action
        self._protect = protect
        self._at_least = at_least
        self._collection = report.collection
        self._sources = live_sources(root)
        mine = [m for g in report.groups for m in g.members if m.collection == report.collection]
        self._catalog_images = look_up_images(root, sorted({member.image_id for member in mine}))
        self._keepers: set[int] = set()
        self._acted: set[int] = set()

    def groups(self, groups: Iterable[DuplicateGroup]) -> tuple[PlannedGroup, ...]:
        planned_groups = []
        for group in groups:
            if (planned := self._group(group)) is not None:
                planned_groups.append(planned)
        return tuple(planned_groups)

    def _group(self, group: DuplicateGroup) -> PlannedGroup | None:
        original = group.keeper
        is_own = original.collection == self._collection
        path, trouble = self._place(original)
        if not trouble and is_own and original.image_id in self._acted:
            trouble = "another group gives it away"
        if not trouble and os.path.islink(path):
            trouble = "it is a symbolic link, which would lead nowhere if its target moved"
        if trouble:
            self.refused += [
                RefusedFile(duplicate.image_id, self._place(duplicate)[0], f"its keeper cannot be relied on: {trouble}")
                for duplicate in group.others
            ]
            return None
        planned_keeper = self._plan_file(original, path, "keep")
        files = [
            planned
            for duplicate in group.others
            if (planned := self._plan_duplicate(duplicate, planned_keeper)) is not None
        ]
        if not files:
            return None
        if is_own:
            self._keepers.add(original.image_id)
        self._acted |= {file.image_id for file in files}
        return PlannedGroup(group.kind, group.reason, planned_keeper, tuple(files))

    def _plan_duplicate(self, duplicate: Duplicate, keeper: PlannedFile) -> PlannedFile | None:
        if duplicate.collection == self._collection and duplicate.image_id in self._acted:
            return None  # Another group already includes it.
        path, trouble = self._place(duplicate)
        if not trouble:
            trouble = self._trouble(duplicate, path, keeper)
        if trouble:
            self.refused.append(RefusedFile(duplicate.image_id, path, trouble))
            return None
        return self._plan_file(duplicate, path, self._action)

    def _trouble(self, duplicate: Duplicate, path: bytes, keeper: PlannedFile) -> str:
        if duplicate.collection != self._collection:
            return "it belongs to another collection"
        if duplicate.image_id in self._keepers:
            return "another group keeps it"
        if (folder := protecting_folder(self._protect, path)) is not None:
            return f"{display_path(folder)} is protected"
        if duplicate.protected:
            return "it is protected"
        if not duplicate.is_sure(self._at_least):
            return f"it is less than {self._at_least:.0%} sure to be a duplicate"
        if self._action == "tag":
            return ""
        if self._action in LINK_ACTIONS and duplicate.content_hash != keeper.content_hash:
            return "it has other bytes than the keeper: only equal ones can be linked"
        return file_problem(path, keeper.path, self._action)

    def _place(self, duplicate: Duplicate) -> tuple[bytes, str]:
        if duplicate.collection != self._collection:
            place = duplicate.place
            if place is None or place.uri != file_uri(place.path):
                return b"", "it is not a file of its own"
            return place.path, ""
        image = self._catalog_images.get(duplicate.image_id)
        path, trouble = locate_file(image, self._sources)
        if image is not None and not trouble:
            if image.state != LIVE:
                trouble = f"it is {image.state}"
            elif image.content_hash.hex() != duplicate.content_hash:
                trouble = "it has changed since the report"
            elif image.source_id is not None and is_missing(self._sources[image.source_id]):
                trouble = describe_missing(self._sources[image.source_id])
            elif image.source_id is not None and is_behind_link(self._sources[image.source_id], image.path):
                trouble = "a symbolic link lies on the way to it"
        return path, trouble

    def _plan_file(self, duplicate: Duplicate, path: bytes, action: FileAction) -> PlannedFile:
        return PlannedFile(
            duplicate.image_id,
            path,
            duplicate.content_hash,
            duplicate.bytes,
            action,
            None if duplicate.collection == self._collection else duplicate.collection,
            None if duplicate.pair is None or action == "keep" else duplicate.pair.confidence,
            duplicate.link is not None and action != "keep",
        )


def _absolute(path: AnyPath) -> bytes:
    return os.path.abspath(os.fsencode(expand_user(path)))
