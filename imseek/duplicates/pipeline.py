"""Find groups of duplicates in one generation: contents → candidates → pairs → groups with a keeper."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from imseek.analysis.originals import Originals
from imseek.data.catalog import duplicate_judgements
from imseek.data.reader import Reader
from imseek.data.shards.metadata_columns import tags_of
from imseek.data.vectors import IdSet, VectorIndex
from imseek.duplicates.candidates.candidate_limit import DEFAULT_LOOKS
from imseek.duplicates.collection_pairs import ComparisonResult, PairComparer
from imseek.duplicates.existing_links import mark_hard_links, mark_symbolic_links
from imseek.duplicates.grouping.apply_judgements import PairJudgements, match_judgements
from imseek.duplicates.grouping.complete_linkage import Reach
from imseek.duplicates.grouping.finished_components import IncrementalGroups
from imseek.duplicates.grouping.groups import Confirm, Group, Grouping, group_pairs
from imseek.duplicates.grouping.keepers import Folders, Keeper, choose_keeper, richness
from imseek.duplicates.picture_quality import QualityReader
from imseek.duplicates.pixels.verdict import DEFAULTS, Thresholds
from imseek.duplicates.results import (
    KINDS,
    Duplicate,
    DuplicateGroup,
    DuplicateKind,
    DuplicatePair,
    DuplicateReport,
    KeepRule,
    shown_kinds,
)
from imseek.duplicates.thresholds import LoadEncoder, choose_space
from imseek.duplicates.unique_contents import UniqueContents, load_contents
from imseek.encoders.input_checks import available_cpus
from imseek.freed_memory import release_freed_memory
from imseek.map_ahead import map_ahead
from imseek.progress import SILENT, Task
from imseek.types.collection_info import SpaceInfo

#: Opens the index of a space in the current generation.
OpenIndex: TypeAlias = Callable[[SpaceInfo], VectorIndex]
#: Takes a group of the report.
OnGroup: TypeAlias = Callable[[DuplicateGroup], None]

#: The reasons given for groups in which all images are kept.
_STAY_REASONS: Final[Mapping[DuplicateKind, str]] = {
    "inside": "one is part of the other, so both stay",
    "edited": "they differ in places, so all stay",
}
NO_FOLDERS: Final = Folders()
#: Progress phase, which counts groups.
_KEEPER_PHASE: Final = "choosing what to keep"
#: Images whose metadata is held in memory at the same time.
_BATCH_IMAGES: Final = 1024
#: Groups for each thread that wait for their keepers to be chosen, or to be taken.
_GROUPS_AHEAD: Final = 64
#: Least seconds between two looks at which groups are complete, and seconds to pause for each that a look has taken.
_GIVE_SECONDS: Final = 0.5
_GIVE_PAUSE: Final = 4


@dataclass(frozen=True, slots=True)
class DuplicatesRequest:
    """Options of a duplicate search; see :func:`imseek.duplicates.find`. ``where`` is the condition behind
    ``allowed``."""

    kinds: Sequence[DuplicateKind]
    keep: KeepRule = "best"
    prefer: Folders = NO_FOLDERS
    protect: Folders = NO_FOLDERS
    allowed: IdSet | None = None
    where: str = ""
    looks: int = DEFAULT_LOOKS

    @property
    def shown_kinds(self) -> Sequence[DuplicateKind]:
        """The kinds of pairs to report; images of those that are not among ``kinds`` stay."""
        return shown_kinds(self.kinds)


def find(
    reader: Reader,
    open_index: OpenIndex,
    load: LoadEncoder,
    request: DuplicatesRequest,
    task: Task = SILENT,
    on_group: OnGroup | None = None,
) -> DuplicateReport:
    """Find the groups of duplicates in one generation. ``load`` loads an encoder whose thresholds are unknown.

    ``on_group`` takes groups that are complete while other pairs are still being compared. Raises StaleGenerationError
    and CorruptCollectionError.
    """
    with ExitStack() as stack:
        originals = stack.enter_context(Originals(reader))
        quality = QualityReader(reader.root, originals.read)
        stack.callback(quality.save)
        found = _find_groups(reader, open_index, load, request, originals, quality, task, on_group)
        # That of contents, candidates and pictures.
        release_freed_memory()
        groups, interrupted = _choose_keepers(reader, found.grouping, request, quality, task)
    reader.forget_rows()
    release_freed_memory()
    return DuplicateReport(
        collection=reader.identity.uuid,
        generation=reader.generation,
        searched=found.searched,
        groups=groups,
        pairs=found.pairs,
        judged=found.judged,
        notes=found.notes,
        interrupted=found.interrupted or interrupted,
    )


@dataclass(frozen=True, slots=True)
class _FoundGroups:
    """Groups without keepers, and the numbers of the report: all that is left of the comparison."""

    grouping: Grouping
    searched: int
    pairs: Mapping[DuplicateKind, int]
    judged: int
    notes: tuple[str, ...]
    interrupted: bool


def _find_groups(
    reader: Reader,
    open_index: OpenIndex,
    load: LoadEncoder,
    request: DuplicatesRequest,
    originals: Originals,
    quality: QualityReader,
    task: Task,
    on_group: OnGroup | None,
) -> _FoundGroups:
    contents = load_contents(reader, request.allowed)
    judgements = match_judgements(duplicate_judgements.read(reader.root), contents)
    copies = contents.copies if "exact" in request.kinds else {}
    alike = {first: ids.tolist() for first, ids in copies.items()}
    grouper = _Grouper(reader, request, alike, judgements, quality, task, on_group)
    comparison = ComparisonResult([])
    notes: tuple[str, ...] = ()
    with ExitStack() as stack:
        if set(request.kinds) - {"exact"} and len(contents) > 1:
            spaces = reader.current.image_spaces
            space, limits, notes = choose_space(reader, spaces, request.kinds, contents, load, task)
            index = open_index(space)
            comparer = PairComparer(
                reader,
                originals.read,
                contents,
                space,
                index,
                request.shown_kinds,
                limits,
                request.looks,
                request.where,
            )
            stack.callback(comparer.save)
            grouper.compare_by(comparer.confirm, limits)
            comparison = comparer.find(task, None if on_group is None else grouper)
            if "inside" in request.kinds and not comparison.interrupted:
                insides = comparer.find_inside(load(space), comparison.pairs, task)
                comparison = comparison.merged_with(insides)
        pairs, left_out = judgements.resolve(comparison.pairs, request.shown_kinds)
        grouping = grouper.group(pairs)
    return _FoundGroups(
        grouping,
        searched=contents.images,
        pairs=_count_pairs(pairs, contents, request.shown_kinds),
        judged=left_out,
        notes=notes + comparison.notes,
        interrupted=comparison.interrupted or grouping.interrupted,
    )


class _Grouper:
    """Groups pairs: all at the end and, for ``on_group``, with keepers, those that are complete while others are being
    compared."""

    def __init__(
        self,
        reader: Reader,
        request: DuplicatesRequest,
        alike: Mapping[int, Sequence[int]],
        judgements: PairJudgements,
        quality: QualityReader,
        task: Task,
        on_group: OnGroup | None,
    ) -> None:
        """``alike`` maps contents to their images; ``judgements`` has the judgements on the contents; ``quality``
        measures the pictures that decide which one to keep."""
        self._reader, self._request, self._alike, self._judgements = reader, request, alike, judgements
        self._quality, self._task, self._on_group = quality, task, on_group
        self._confirm: Confirm = _confirm_nothing
        self._limits = DEFAULTS
        self._confirmed: dict[tuple[int, int], DuplicatePair | None] = {}
        self._incremental = IncrementalGroups(alike, judgements.same if "same" in request.kinds else ())
        self._due = 0.0

    def compare_by(self, confirm: Confirm, limits: Thresholds) -> None:
        """Ask ``confirm`` for pairs that are not found; ``limits`` are those of the pairs found."""
        self._confirm, self._limits = confirm, limits

    def begin(self, candidates: Iterable[int]) -> None:
        self._incremental.begin(candidates)
        self._give()

    def add(self, pairs: Sequence[DuplicatePair], compared: Iterable[int]) -> None:
        # Pairs of kind "inside" join nothing; which of them are shown is known at the end only.
        self._incremental.add((pair for pair in pairs if pair.kind != "inside"), compared)
        begin = time.monotonic()
        if begin >= self._due:
            self._give()
            end = time.monotonic()
            self._due = end + max(_GIVE_SECONDS, _GIVE_PAUSE * (end - begin))

    def group(self, pairs: Sequence[DuplicatePair]) -> Grouping:
        """Group all pairs."""
        return self._group(pairs, self._alike, self._judgements, self._task)

    def _give(self) -> None:
        if not (components := self._incremental.take()):
            return
        contents = [content for component in components for content in component.contents]
        judgements = self._judgements.among(contents)
        pairs, _ = judgements.resolve(
            [pair for component in components for pair in component.pairs], self._request.shown_kinds
        )
        alike = {content: self._alike[content] for content in contents if content in self._alike}
        silent = Task(stop=self._task.stop)
        grouping = self._group(pairs, alike, judgements, silent)
        groups, interrupted = _choose_keepers(self._reader, grouping, self._request, self._quality, silent)
        if self._on_group is not None and not grouping.interrupted and not interrupted:
            for group in groups:
                self._on_group(group)

    def _group(
        self, pairs: Sequence[DuplicatePair], alike: Mapping[int, Sequence[int]], judgements: PairJudgements, task: Task
    ) -> Grouping:
        # How near two pictures must be to a third to count as duplicates without being compared: see groups.
        limits = self._limits
        same = Reach(limits.near_bits, limits.near_cosine, limits.agreement)
        reach: dict[DuplicateKind, Reach] = {"same": same, "scene": Reach(cosine=limits.scene_cosine)}
        return group_pairs(pairs, alike, self._confirm_once, judgements.different, reach=reach, task=task)

    def _confirm_once(self, a: int, b: int) -> DuplicatePair | None:
        if (a, b) not in self._confirmed:
            self._confirmed[a, b] = self._confirm(a, b)
        return self._confirmed[a, b]


def _confirm_nothing(_a: int, _b: int) -> None:
    """Confirm no pair; used when only equal contents are grouped."""


def _count_pairs(
    pairs: Sequence[DuplicatePair], contents: UniqueContents, kinds: Sequence[DuplicateKind]
) -> dict[DuplicateKind, int]:
    counts: dict[DuplicateKind, int] = dict.fromkeys(kinds, 0)
    for pair in pairs:
        counts[pair.kind] += 1
    if "exact" in counts:
        sizes = (len(ids) for ids in contents.copies.values())
        counts["exact"] = sum(size * (size - 1) // 2 for size in sizes)
    return counts


def _choose_keepers(
    reader: Reader, grouping: Grouping, request: DuplicatesRequest, quality: QualityReader, task: Task
) -> tuple[tuple[DuplicateGroup, ...], bool]:
    """Choose the keeper of each group, and return the groups in report order, and whether the task was cancelled on the
    way: from then on, no picture is measured."""
    groups: list[DuplicateGroup] = []
    interrupted = False
    members, rich = members_of(reader, [i for group in grouping.groups for i in group.members], request.protect)
    task.report(_KEEPER_PHASE, 0, len(grouping.groups))
    choose = partial(_choose_keeper, members=members, rich=rich, request=request, quality=quality, task=task)
    threads = available_cpus()
    with ThreadPoolExecutor(threads, "quality") as pool:
        chosen = map_ahead(pool, choose, grouping.groups, _GROUPS_AHEAD * threads)
        for group, (keeper, is_cancelled) in zip(grouping.groups, chosen, strict=True):
            interrupted |= is_cancelled
            first, *others = keeper.members
            related = [replace(member, pair=grouping.pair(first.image_id, member.image_id)) for member in others]
            members_marked = mark_hard_links((first, *related))
            groups.append(make_group(group.kind, members_marked, keeper.reason, request))
            task.report(_KEEPER_PHASE, len(groups), len(grouping.groups))
    return tuple(sorted(groups, key=report_order)), interrupted


def _choose_keeper(
    group: Group,
    *,
    members: Mapping[int, Duplicate],
    rich: Mapping[int, int],
    request: DuplicatesRequest,
    quality: QualityReader,
    task: Task,
) -> tuple[Keeper, bool]:
    """Return the keeper of a group, and whether its pictures were not measured since the task is cancelled."""
    is_cancelled = group.kind == "same" and task.is_cancelled
    keeper = choose_keeper(
        mark_symbolic_links(members[i] for i in group.members),
        request.keep,
        request.prefer,
        request.protect,
        richness=lambda member: rich[member.image_id],
        quality=quality if group.kind == "same" and not is_cancelled else None,
    )
    return keeper, is_cancelled


def make_group(
    kind: DuplicateKind, members: tuple[Duplicate, ...], reason: str, request: DuplicatesRequest
) -> DuplicateGroup:
    """Make a group; edited images all stay, unless that kind was requested by name."""
    group = DuplicateGroup(kind, members, reason, edited_stay="edited" not in request.kinds)
    return group if group.has_suggestion else replace(group, reason=_STAY_REASONS.get(kind, reason))


def report_order(group: DuplicateGroup) -> tuple[int, int, int]:
    """Sort key: by kind, then by the bytes that removing the others frees, most first."""
    return KINDS.index(group.kind), -group.surplus_bytes, group.others[0].image_id


def members_of(
    reader: Reader, ids: Sequence[int], protect: Folders = NO_FOLDERS
) -> tuple[dict[int, Duplicate], dict[int, int]]:
    """Return the images by id, and the amount of metadata known about each.

    Their rows are read in the order of ids, each part of a table once.
    """
    images: dict[int, Duplicate] = {}
    rich: dict[int, int] = {}
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), _BATCH_IMAGES):
        batch = ordered[start : start + _BATCH_IMAGES]
        facts, places, tags = reader.metadata(batch), reader.places(batch), tags_of(reader, batch)
        for image_id in batch:
            row, place = facts[image_id], places.get(image_id)
            images[image_id] = Duplicate(
                collection=reader.identity.uuid,
                image_id=image_id,
                place=place,
                content_hash=row["content_hash"],
                width=row["width"],
                height=row["height"],
                bytes=row["bytes"],
                format=row["format"],
                taken_at=row.get("taken_at"),
                protected=place is not None and protect.hold(place.path),
            )
            rich[image_id] = richness(row, tags.get(image_id, ()))
    return images, rich
