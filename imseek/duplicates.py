"""Pictures that are there more than once: ``imseek.duplicates.find(collection)``, and what can be done with them.

>>> report = imseek.duplicates.find("photos.imseek")      # doctest: +SKIP
>>> for group in report.groups:
...     print(group.keeper.place, [other.place for other in group.others], group.reason)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from imseek.curate import overlap_groups, pipeline
from imseek.curate.actions import plan_file, plans
from imseek.curate.candidates.candidate_limit import LOOKS
from imseek.curate.grouping.keepers import RULES, AnyPath, Folders
from imseek.curate.pipeline import Wanted
from imseek.data import judgements as stored
from imseek.data.content_lookup import HashLookup
from imseek.data.durable_files import digest_of_file
from imseek.data.vectors import IdSet
from imseek.errors import StaleGenerationError, UsageError
from imseek.explore.snapshot_session import reading
from imseek.input_file import open_input
from imseek.search.encoder_loader import load_encoder
from imseek.search.generations import Editions
from imseek.search.where import Filters
from imseek.types import (
    Action,
    AnyCollection,
    ApplyReport,
    DuplicateKind,
    DuplicateReport,
    ForeignJournal,
    Judgement,
    KeepRule,
    ProgressCallback,
    SpaceInfo,
    UndoInfo,
    UndoReport,
    Verdict,
    path_of,
)

if TYPE_CHECKING:
    from imseek.encoders.base import Encoder


KINDS: Final[tuple[DuplicateKind, ...]] = get_args(DuplicateKind)
#: What `tag` gives where no other is named.
TAG: Final = plan_file.TAG
#: Who says what `judge` stores.
PERSON: Final = "person"


def find(
    collection: AnyCollection,
    *,
    kinds: Iterable[DuplicateKind] = ("exact", "same"),
    keep: KeepRule = "best",
    prefer: Sequence[AnyPath] = (),
    protect: Sequence[AnyPath] = (),
    against: AnyCollection | None = None,
    where: str | None = None,
    looks: int = LOOKS,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> DuplicateReport:
    """Groups of images that are duplicates of each other, each with the one that is proposed to stay.

    ``kinds`` are those of pairs that count; ``keep`` is the rule by which one of a group is to stay, among those below
    a folder of ``protect`` where there are any; with ``path-priority`` the first folder of ``prefer`` that holds one
    decides. ``where`` leaves out images that do not meet a condition (docs/where.md). Of more than ``looks`` candidates
    the most promising are looked at, of the others hash and vector decide. Changes nothing.

    With ``against``, the groups are what that other collection has of this one: its image is the keeper, whatever the
    rule, and the others are those of this collection.

    Raises UsageError, QueryError (``where``), CollectionNotFoundError, CorruptCollectionError.
    """
    wanted = tuple(dict.fromkeys(kinds))
    if unknown := [kind for kind in wanted if kind not in KINDS]:
        raise UsageError(f"{unknown[0]!r} is no kind of duplicate", hint=f"one of {', '.join(KINDS)}")
    if not wanted:
        raise UsageError("no kind of duplicate to look for", hint=f"one of {', '.join(KINDS)}")
    if looks < 0:
        raise UsageError(f"so many pairs cannot be looked at: {looks}")
    if keep not in RULES:
        raise UsageError(f"{keep!r} is no rule for what to keep", hint=f"one of {', '.join(RULES)}")
    if keep == "path-priority" and not prefer:
        raise UsageError(
            "path-priority needs to know which folders come first", hint="prefer (--prefer) names them"
        )
    if "inside" in wanted and against is not None:
        raise UsageError("pictures inside pictures are looked for within one collection only")
    root, theirs = path_of(collection), None if against is None else path_of(against)

    def load(space: SpaceInfo) -> Encoder:
        return load_encoder(root, space, ("image",))

    with ExitStack() as stack:
        editions = Editions(root, "faiss")
        stack.callback(editions.close)
        others = None if theirs is None else Editions(theirs, "faiss")
        if others is not None:
            stack.callback(others.close)
        while True:
            edition, other = editions.newest(), None if others is None else others.newest()
            reader = edition.reader
            if other is not None and other.reader.identity.uuid == reader.identity.uuid:
                raise UsageError("a collection cannot be compared with itself", hint="leave out --against")
            try:
                allowed = None if where is None else IdSet(Filters().ids(reader, where))
                asked = Wanted(
                    wanted, keep, Folders.of(prefer), Folders.of(protect), allowed, where or "", looks
                )
                index = partial(editions.index, edition)
                if others is None or other is None:
                    return pipeline.find(reader, index, load, asked, progress, stop)
                there = partial(others.index, other)
                return overlap_groups.find(reader, index, other.reader, there, load, asked, progress, stop)
            except StaleGenerationError:  # A writer has taken files away meanwhile.
                renewed = editions.renew() != reader.generation
                if others is not None and other is not None:
                    renewed |= others.renew() != other.reader.generation
                if not renewed:
                    raise


def judge(
    collection: AnyCollection, images: Sequence[int | AnyPath], verdict: Verdict
) -> tuple[Judgement, ...]:
    """Say of pictures that each is the ``"same"`` as each other one, or ``"different"``; remembered for good.

    Images are ids, or files that need not be indexed: a judgement is about contents. It takes the place of an earlier
    one about the same two. Returns what holds now, by content. Raises UsageError (fewer than two contents, no such
    file), ImageNotFoundError, LockedError.
    """
    from imseek.data.writer_wait import writing

    root = path_of(collection)
    pairs = list(combinations(_contents_of(root, images), 2))
    made = [stored.said(a, b, verdict, PERSON) for a, b in pairs]
    with writing(root, "judge") as writer:
        stored.record(writer, made)
    return _judged(root, pairs)


def forget(collection: AnyCollection, images: Sequence[int | AnyPath]) -> tuple[Judgement, ...]:
    """Take back what was said of pictures, each with each other one; returns that. Raises as :func:`judge`."""
    from imseek.data.writer_wait import writing

    root = path_of(collection)
    pairs = list(combinations(_contents_of(root, images), 2))
    before = _judged(root, pairs)
    if before:
        with writing(root, "judge --forget") as writer:
            stored.withdraw(writer, pairs)
    return before


def rejudge(
    collection: AnyCollection, wanted: Mapping[tuple[str, str], Verdict | None]
) -> dict[tuple[str, str], Verdict | None]:
    """Let it be that this was said of pairs of contents (hexadecimal sha256), or (None) nothing; all in one commit.

    Returns what was said of them before: the same call with that takes this one back. Contents need not be in the
    collection any more. Raises UsageError (no hash, the same content twice), LockedError, ReadOnlyError.
    """
    from imseek.data import judgement_file
    from imseek.data.writer_wait import writing

    root = path_of(collection)
    # Checked as if something were said of each; the pair then has its lower hash first.
    asked = {
        (one.a, one.b): None if verdict is None else one
        for (a, b), verdict in wanted.items()
        for one in (stored.said(a, b, verdict or "same", PERSON),)
    }
    if not asked:
        return {}
    with writing(root, "judge") as writer:
        said = {(one.a, one.b): one.verdict for one in stored.read(root)}
        judgement_file.change(writer, asked)
    return {pair: said.get(pair) for pair in asked}


def judgements(collection: AnyCollection) -> tuple[Judgement, ...]:
    """All that was said, the latest first."""
    found = stored.read(path_of(collection))
    return tuple(sorted(found, key=lambda one: one.decided_at, reverse=True))


def _judged(root: Path, pairs: Iterable[tuple[str, str]]) -> tuple[Judgement, ...]:
    wanted = set(pairs)
    return tuple(one for one in stored.read(root) if (one.a, one.b) in wanted)


def images_of(collection: AnyCollection, contents: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """By content (hexadecimal sha256) the ids, ascending, of the live images that have it now."""
    lookup = HashLookup(path_of(collection))
    try:
        return {content: tuple(lookup.find_all(bytes.fromhex(content))) for content in contents}
    finally:
        lookup.close()


def plan(
    collection: AnyCollection,
    report: DuplicateReport,
    action: Action,
    *,
    to: AnyPath | None = None,
    tag: str = TAG,
    protect: Sequence[AnyPath] = (),
) -> plans.Plan:
    """What is to be done to all images of a report but the keepers. Nothing is touched; :func:`apply` does it.

    ``action`` is ``"tag"`` (with ``tag``), ``"quarantine"`` (moved to the folder ``to``, else to one on the same file
    system), ``"trash"``, ``"hard-link"`` or ``"reflink"``. Nothing below a folder of ``protect``, here or for the
    report, is to be touched. Groups of kind *inside* are left out. Raises UsageError.
    """
    if action not in get_args(Action):
        raise UsageError(
            f"{action!r} is nothing that can be done", hint=f"one of {', '.join(get_args(Action))}"
        )
    # Neither of two pictures takes the place of the other where one is only part of the other.
    report = replace(report, groups=tuple(group for group in report.groups if group.kind != "inside"))
    return plans.make(report, action, root=path_of(collection), to=to, tag=tag, protect=protect)


def load_plan(path: str | os.PathLike[str]) -> plans.Plan:
    """What ``plan(…).save(path)`` has written, perhaps edited since. Raises PlanError, which names the entry."""
    return plans.Plan.load(path)


def apply(
    collection: AnyCollection,
    plan: plans.Plan,
    *,
    dry_run: bool = True,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> ApplyReport:
    """Do what a plan says, or (``dry_run``) look at every file and tell what would be done.

    Each file, and its keeper, is read again before it is touched; one that has changed or gone is left alone, and told.
    :func:`undo` brings all back. Cut short, the same call goes on; ``stop`` ends it between two files. Raises PlanError
    for a plan that cannot be trusted, before anything is touched; LockedError, ReadOnlyError, StorageError.
    """
    from imseek.curate.actions import apply as applying

    return applying.apply(path_of(collection), plan, dry_run, progress, stop)


def undo(
    collection: AnyCollection,
    undo_id: str | None = None,
    *,
    dry_run: bool = True,
    trust_journal: bool | Callable[[ForeignJournal], bool] = False,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> UndoReport:
    """Bring back what :func:`apply` has done last, or under an id; or (``dry_run``) tell what would come back.

    Files that cannot be brought back now are left alone, and told; the same call tries again. A journal that another
    user, another machine or an earlier imseek wrote moves nothing unless ``trust_journal`` is true, or answers so once
    it is told what the journal is about. Raises UsageError where there is nothing to undo, UntrustedJournalError,
    LockedError, ReadOnlyError, StorageError.
    """
    from imseek.curate.actions import undo as undoing

    trust = trust_journal if callable(trust_journal) else lambda _: bool(trust_journal)
    return undoing.undo(path_of(collection), undo_id, dry_run, progress, stop, trust=trust)


def foreign_journal(collection: AnyCollection, undo_id: str | None = None) -> ForeignJournal | None:
    """What :func:`undo` with the same id needs ``trust_journal`` for: None where it needs no such thing.

    Raises UsageError where there is nothing to undo, StorageError.
    """
    from imseek.curate.actions import undo as undoing

    return undoing.foreign_journal(path_of(collection), undo_id)


def undoable(collection: AnyCollection) -> tuple[UndoInfo, ...]:
    """What was done to files, the newest first."""
    from imseek.curate.actions import journal

    return journal.list_(path_of(collection))


def _contents_of(root: Path, images: Sequence[int | AnyPath]) -> list[str]:
    """Hexadecimal sha256 of two or more different contents, ascending."""
    if isinstance(images, str | bytes | os.PathLike):
        raise UsageError(f"images are a list, not {images!r}")
    ids = [image for image in images if isinstance(image, int)]
    found = reading(root, lambda reader: {reader.image(one).content_hash for one in ids})
    for image in images:
        if isinstance(image, int):
            continue
        path = os.fsdecode(image)
        try:
            with open_input(path) as file:
                found.add(digest_of_file(file).sha256)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    if len(found) < 2:
        raise UsageError(
            "a judgement is of two contents, and these are the same file",
            hint="images of the same bytes need none",
        )
    return sorted(found)
