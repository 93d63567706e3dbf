"""Operations on duplicates: find and judge them; plan, apply and undo actions on them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from imseek.analysis.snapshot_session import SnapshotSession, filter_ids, run_with_reader
from imseek.data.catalog import duplicate_judgements
from imseek.data.catalog.content_lookup import HashLookup
from imseek.data.files.durable_files import digest_of_file
from imseek.duplicates import cross_collection_groups, pipeline
from imseek.duplicates.action_results import Action, ApplyReport, ForeignJournal, UndoInfo, UndoReport
from imseek.duplicates.actions import plan_file, plans
from imseek.duplicates.candidates.candidate_limit import DEFAULT_LOOKS
from imseek.duplicates.grouping.keepers import RULES, AnyPath, Folders
from imseek.duplicates.offline_sources import missing_notes
from imseek.duplicates.pipeline import DuplicatesRequest
from imseek.duplicates.results import KINDS, LEAST_CONFIDENCE, DuplicateGroup, DuplicateKind, DuplicateReport, KeepRule
from imseek.errors import UsageError
from imseek.input_file import open_input
from imseek.progress import ProgressCallback, Task
from imseek.search.encoder_loader import load_encoder
from imseek.search.generations import retry_if_stale
from imseek.types.collection_arguments import AnyCollection, path_of
from imseek.types.collection_info import SpaceInfo
from imseek.types.duplicate_judgements import Judgement, Verdict

if TYPE_CHECKING:
    from imseek.encoders.base import Encoder


#: The default tag of the action `tag`.
TAG: Final = plan_file.TAG
#: The author recorded with judgements made by `judge`.
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
    looks: int = DEFAULT_LOOKS,
    on_group: Callable[[DuplicateGroup], None] | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> DuplicateReport:
    """Find groups of duplicate images, each with the image proposed to be kept. Changes nothing.

    ``kinds`` selects the kinds of pairs. Looking for *same* pictures shows *edited* ones too, all of which stay unless
    that kind is named as well. ``keep`` is the rule that chooses the keeper of a group, among images below a
    ``protect`` folder if there are any; with ``path-priority``, the first ``prefer`` folder that holds an image
    decides. ``where`` restricts the images (docs/where.md). At most ``looks`` candidates, the most promising, are
    compared by pixels; hash and vector decide the rest.

    With ``against``, groups hold the images of this collection that the other one has too; the other's image is the
    keeper whatever the rule.

    ``on_group`` takes each group of the report once, in the thread of the caller: as soon as all candidates of its
    images are compared, and those that are left at the end. ``stop`` ends the search early; the report then has the
    groups of the pairs found so far.

    Raises UsageError, QueryError (``where``), CollectionNotFoundError, CorruptCollectionError.
    """
    unique_kinds = tuple(dict.fromkeys(kinds))
    if unknown_kinds := [kind for kind in unique_kinds if kind not in KINDS]:
        raise UsageError(f"{unknown_kinds[0]!r} is not a kind of duplicate", hint=f"one of {', '.join(KINDS)}")
    if not unique_kinds:
        raise UsageError("no kind of duplicate to look for", hint=f"one of {', '.join(KINDS)}")
    if looks < 0:
        raise UsageError(f"the number of pairs to compare cannot be {looks}")
    if keep not in RULES:
        raise UsageError(f"{keep!r} is not a rule for what to keep", hint=f"one of {', '.join(RULES)}")
    if keep == "path-priority" and not prefer:
        raise UsageError("path-priority needs folders in order of preference", hint="prefer (--prefer) names them")
    if "inside" in unique_kinds and against is not None:
        raise UsageError("pictures inside pictures can be found within one collection only")
    # Each part that is done is kept, so each is reported.
    task = Task(progress, stop, interval=0)
    root = path_of(collection)

    def load(space: SpaceInfo) -> Encoder:
        return load_encoder(root, space, ("image",))

    with ExitStack() as stack:
        session = stack.enter_context(SnapshotSession(collection))
        other_session = None if against is None else stack.enter_context(SnapshotSession(against))
        if other_session is not None and other_session.reader.identity.uuid == session.reader.identity.uuid:
            raise UsageError("a collection cannot be compared with itself", hint="leave out --against")

        reported: set[frozenset[tuple[str, int]]] = set()

        def report_group(group: DuplicateGroup) -> None:
            images = frozenset((member.collection, member.image_id) for member in group.members)
            if on_group is not None and images not in reported:
                reported.add(images)
                on_group(group)

        def work() -> DuplicateReport:
            reader = session.reader
            request = DuplicatesRequest(
                unique_kinds,
                keep,
                Folders.of(prefer),
                Folders.of(protect),
                filter_ids(reader, where),
                where or "",
                looks,
            )
            if other_session is None:
                return pipeline.find(
                    reader, session.index, load, request, task, None if on_group is None else report_group
                )
            return cross_collection_groups.find(
                reader, session.index, other_session.reader, other_session.index, load, request, task
            )

        report = retry_if_stale(work, *(one for one in (session, other_session) if one is not None))
        roots = {one.reader.identity.uuid: one.reader.root for one in (session, other_session) if one is not None}
        report = replace(report, notes=report.notes + missing_notes(report.groups, roots))
        for group in report.groups:
            report_group(group)
        return report


def judge(collection: AnyCollection, images: Sequence[int | AnyPath], verdict: Verdict) -> tuple[Judgement, ...]:
    """Record that each pair of these pictures is the ``"same"`` or ``"different"``, permanently.

    Images are ids, or files that need not be indexed: judgements are about contents. A new judgement replaces an
    earlier one on the same pair. Returns the judgements now in force, by content. Raises UsageError (fewer than two
    contents, no such file), ImageNotFoundError, LockedError.
    """
    from imseek.data.writing.writer_wait import open_writer

    root = path_of(collection)
    pairs = list(combinations(_contents_of(root, images), 2))
    new_judgements = [duplicate_judgements.make_judgement(a, b, verdict, PERSON) for a, b in pairs]
    with open_writer(root, "judge") as writer:
        duplicate_judgements.record(writer, new_judgements)
    return _judgements_of(root, pairs)


def forget(collection: AnyCollection, images: Sequence[int | AnyPath]) -> tuple[Judgement, ...]:
    """Withdraw and return the judgements on each pair of these pictures. Raises as :func:`judge`."""
    from imseek.data.writing.writer_wait import open_writer

    root = path_of(collection)
    pairs = list(combinations(_contents_of(root, images), 2))
    before = _judgements_of(root, pairs)
    if before:
        with open_writer(root, "judge --forget") as writer:
            duplicate_judgements.withdraw(writer, pairs)
    return before


def rejudge(
    collection: AnyCollection, verdicts: Mapping[tuple[str, str], Verdict | None]
) -> dict[tuple[str, str], Verdict | None]:
    """Set the verdicts on pairs of contents (hexadecimal sha256), or withdraw them (None), in one commit.

    Returns the previous verdicts; passing those back reverts this call. Contents need not be in the collection any
    more. Raises UsageError (an invalid hash, the same content twice), LockedError, ReadOnlyError.
    """
    from imseek.data.catalog import duplicate_judgement_file
    from imseek.data.writing.writer_wait import open_writer

    root = path_of(collection)
    # A dummy verdict validates the pair and puts its lower hash first.
    changes = {
        (one.a, one.b): None if verdict is None else one
        for (a, b), verdict in verdicts.items()
        for one in (duplicate_judgements.make_judgement(a, b, verdict or "same", PERSON),)
    }
    if not changes:
        return {}
    with open_writer(root, "judge") as writer:
        earlier = {(one.a, one.b): one.verdict for one in duplicate_judgements.read(root)}
        duplicate_judgement_file.update_judgements(writer, changes)
    return {pair: earlier.get(pair) for pair in changes}


def judgements(collection: AnyCollection) -> tuple[Judgement, ...]:
    """Return all judgements, the latest first."""
    all_judgements = duplicate_judgements.read(path_of(collection))
    return tuple(sorted(all_judgements, key=lambda judgement: judgement.decided_at, reverse=True))


def _judgements_of(root: Path, pairs: Iterable[tuple[str, str]]) -> tuple[Judgement, ...]:
    pair_set = set(pairs)
    return tuple(one for one in duplicate_judgements.read(root) if (one.a, one.b) in pair_set)


def images_of(collection: AnyCollection, contents: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Map each content (hexadecimal sha256) to the ids of its live images, ascending."""
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
    at_least: float = LEAST_CONFIDENCE,
) -> plans.Plan:
    """Plan an action on all images of a report except the keepers. Touches no file; :func:`apply` does.

    ``action`` is ``"tag"`` (with ``tag``), ``"quarantine"`` (move to the folder ``to``, by default one on the same file
    system), ``"trash"``, ``"hard-link"`` or ``"reflink"``. Nothing below a ``protect`` folder, given here or for the
    report, is touched. Groups whose images all stay are left out: those of kind
    *inside*, and *edited* ones unless they were asked for by name. So are images whose pair with the keeper has a lower
    confidence than ``at_least``, 0 to 1, unless it was judged by a person. Raises UsageError.
    """
    if action not in get_args(Action):
        raise UsageError(f"{action!r} is nothing that can be done", hint=f"one of {', '.join(get_args(Action))}")
    report = replace(report, groups=tuple(group for group in report.groups if group.has_suggestion))
    return plans.make_plan(report, action, root=path_of(collection), to=to, tag=tag, protect=protect, at_least=at_least)


def load_plan(path: str | os.PathLike[str]) -> plans.Plan:
    """Load a plan written by ``plan(…).save(path)``, perhaps edited since. Raises PlanError, which names the entry."""
    return plans.Plan.load(path)


def apply(
    collection: AnyCollection,
    plan: plans.Plan,
    *,
    dry_run: bool = True,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> ApplyReport:
    """Carry out a plan, or with ``dry_run`` check every file and report what would be done.

    Each file and its keeper are read again before the file is touched; files that have changed or gone are left alone
    and reported. :func:`undo` reverts everything. After an interruption, repeat the call to continue; ``stop`` ends it
    between two files. Raises PlanError for an untrustworthy plan before touching anything; LockedError, ReadOnlyError,
    StorageError.
    """
    from imseek.duplicates.actions import apply as applying

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
    """Revert the last :func:`apply`, or the one with an id; with ``dry_run``, report what would be reverted.

    Files that cannot be restored now are left alone and reported; repeat the call to retry. A journal written by
    another user, another machine or an earlier imseek moves nothing unless ``trust_journal`` is true, or returns true
    when called with a description of the journal. Raises UsageError if there is nothing to undo, UntrustedJournalError,
    LockedError, ReadOnlyError, StorageError.
    """
    from imseek.duplicates.actions import undo as undoing

    trust = trust_journal if callable(trust_journal) else lambda _: bool(trust_journal)
    return undoing.undo(path_of(collection), undo_id, dry_run, progress, stop, trust=trust)


def foreign_journal(collection: AnyCollection, undo_id: str | None = None) -> ForeignJournal | None:
    """Describe the journal for which :func:`undo` with this id needs ``trust_journal``; None if it does not.

    Raises UsageError if there is nothing to undo, StorageError.
    """
    from imseek.duplicates.actions import undo as undoing

    return undoing.foreign_journal(path_of(collection), undo_id)


def undoable(collection: AnyCollection) -> tuple[UndoInfo, ...]:
    """List the actions that can be undone, the newest first."""
    from imseek.duplicates.actions import journal

    return journal.list_undo_infos(path_of(collection))


def _contents_of(root: Path, images: Sequence[int | AnyPath]) -> list[str]:
    """Return the hexadecimal sha256 of two or more distinct contents, ascending."""
    if isinstance(images, str | bytes | os.PathLike):
        raise UsageError(f"images are a list, not {images!r}")
    ids = [image for image in images if isinstance(image, int)]
    hashes = run_with_reader(root, lambda reader: {reader.image(one).content_hash for one in ids})
    for image in images:
        if isinstance(image, int):
            continue
        path = os.fsdecode(image)
        try:
            with open_input(path) as file:
                hashes.add(digest_of_file(file).sha256)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    if len(hashes) < 2:
        raise UsageError(
            "both are the same file, so there is nothing to judge",
            hint="images with the same bytes need no judgement",
        )
    return sorted(hashes)
