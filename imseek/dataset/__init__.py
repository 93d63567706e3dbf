"""Analyse a collection as a data set: ``quality``, ``balance``, ``leakage`` and ``coverage``.

Everything comes from stored values; pictures are opened only to confirm duplicates, as far as ``looks`` allows.

>>> report = imseek.dataset.quality("photos.imseek")      # doctest: +SKIP
>>> [(one.kind, one.count) for one in report.lists]       # doctest: +SKIP
[('blurred', 12), ('dark', 3), ('bright', 0), ('empty', 1)]
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from imseek.analysis.score_columns import check_name
from imseek.analysis.snapshot_session import SnapshotSession, filter_ids, run_with_reader
from imseek.analysis.space_vectors import Vectors
from imseek.data.catalog import models
from imseek.data.current_generation import read_current
from imseek.data.reader import Reader
from imseek.data.vectors.base import IdSet
from imseek.dataset import class_balance, collection_comparison, quality_flags
from imseek.dataset.duplicates_by_class import count_repeats, find_leaks
from imseek.dataset.lacking_images import EXPECTED_SHARE, MAX_QUERIED
from imseek.dataset.part_membership import parts_of
from imseek.dataset.rated_images import rated_images
from imseek.dataset.results import (
    Balance,
    ClassCount,
    CoverageReport,
    LeakCount,
    LeakGroup,
    LeakImage,
    LeakKind,
    LeakReport,
    QualityKind,
    QualityList,
    QualityReport,
)
from imseek.duplicates import find as find_duplicates
from imseek.duplicates.pair_search import RelatedPairs, find_related
from imseek.duplicates.results import DuplicateContents, DuplicateKind, DuplicatePair
from imseek.errors import UsageError
from imseek.progress import ProgressCallback, Task
from imseek.search.encoder_loader import load_encoder
from imseek.search.generations import retry_if_stale
from imseek.types.collection_arguments import AnyCollection, path_of
from imseek.unique_numbers import unique_numbers

KINDS: Final = quality_flags.KINDS
#: The rule for each quality list, in the syntax of ``--where``.
RULES: Final = quality_flags.RULES
#: Default number of images per class, group or list.
LIMIT: Final = 20


def quality(
    collection: AnyCollection,
    *,
    kinds: Iterable[QualityKind] = KINDS,
    where: str | None = None,
    limit: int = LIMIT,
) -> QualityReport:
    """List pictures that are blurred, dark, overexposed (``bright``) or near-empty, by measures made at indexing.

    Each list holds the ``limit`` worst images; an image may be in several. Images indexed by an early version have no
    measures and count as ``unknown``: :func:`imseek.maintenance.measure` adds them. :data:`RULES` gives the criteria.
    Raises UsageError (an unknown kind), QueryError, CollectionNotFoundError, CorruptCollectionError.
    """
    unique_kinds = _check_kinds(kinds)

    def work(reader: Reader) -> QualityReport:
        ids, measures = quality_flags.read_measures(reader, filter_ids(reader, where))
        flagged = quality_flags.flag_images(measures)
        lists = []
        for kind in unique_kinds:
            rows = np.flatnonzero(flagged[kind])
            name, sign = quality_flags.ORDER[kind]
            worst = rows[np.lexsort((ids[rows], -sign * measures[name][rows]))][:limit]
            rated = [
                (int(ids[n]), {f"luma_{m}": float(v[n]) for m, v in measures.items() if not np.isnan(v[n])})
                for n in worst.tolist()
            ]
            lists.append(QualityList(kind, quality_flags.RULES[kind], len(rows), rated_images(reader, rated)))
        unknown = int(np.isnan(measures["mean"]).sum())
        return QualityReport(len(ids), unknown, tuple(lists), reader.generation)

    return run_with_reader(collection, work)


def tag_quality(
    collection: AnyCollection, *, kinds: Iterable[QualityKind] = KINDS, where: str | None = None
) -> dict[QualityKind, int]:
    """Tag the images of each quality list with its kind, the rule as provenance. Returns how many images match.

    Existing tags stay. Raises as :func:`quality`, LockedError and ReadOnlyError.
    """
    from imseek.data.catalog import tags
    from imseek.data.writing.writer_wait import open_writer

    unique_kinds = _check_kinds(kinds)

    def work(reader: Reader) -> dict[QualityKind, list[int]]:
        ids, measures = quality_flags.read_measures(reader, filter_ids(reader, where))
        flagged = quality_flags.flag_images(measures)
        return {kind: ids[flagged[kind]].tolist() for kind in unique_kinds}

    lists = run_with_reader(collection, work)
    rules = quality_flags.RULES
    new_tags = {(image_id, str(kind)): f"quality: {rules[kind]}" for kind, ids in lists.items() for image_id in ids}
    if new_tags:
        with open_writer(path_of(collection), "dataset quality --tag") as writer:
            tags.put(writer, new_tags)
    return {kind: len(ids) for kind, ids in lists.items()}


def check_save_name(name: str) -> None:
    """Raise UsageError for a name under which :func:`save_quality` can store nothing."""
    models.check_name(name)


def save_quality(
    collection: AnyCollection, name: str, *, kinds: Iterable[QualityKind] = KINDS, where: str | None = None
) -> dict[QualityKind, int]:
    """Store a boolean derived column ``<name>_<kind>`` for each kind; null where nothing was measured.

    Returns how many values are true. Replaces an earlier set of that name. Raises as :func:`quality`, UsageError for a
    name that is invalid or taken by something else, LockedError and ReadOnlyError.
    """
    from imseek.data.catalog.models import Model
    from imseek.data.shards.derived_results import store

    unique_kinds = _check_kinds(kinds)

    def work(reader: Reader) -> dict[str, dict[int, bool]]:
        check_name(reader, name, "quality", [f"{name}_{kind}" for kind in unique_kinds], replace=True)
        ids, measures = quality_flags.read_measures(reader, filter_ids(reader, where))
        is_measured = ~np.isnan(measures["mean"])
        flagged = quality_flags.flag_images(measures)
        return {
            f"{name}_{kind}": dict(zip(ids[is_measured].tolist(), flagged[kind][is_measured].tolist(), strict=True))
            for kind in unique_kinds
        }

    values = run_with_reader(collection, work)
    facts = {"rules": {kind: quality_flags.RULES[kind] for kind in unique_kinds}, "where": where}
    store(path_of(collection), values, Model(name, "quality", facts))
    return {kind: sum(values[f"{name}_{kind}"].values()) for kind in unique_kinds}


def balance(
    collection: AnyCollection,
    by: str = "tag",
    *,
    where: str | None = None,
    duplicates: bool = False,
    looks: int = 0,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> Balance:
    """Count the images of each class: ``by`` tag, ``folder``, or any other column that filters accept.

    With ``duplicates``, also counts the images of each class that have an exact or near duplicate in it, opening at
    most ``looks`` pictures (:func:`imseek.duplicates.find`). Raises QueryError for an unknown column.
    """

    def work(reader: Reader, repeats: DuplicateContents | None, notes: tuple[str, ...]) -> Balance:
        allowed = filter_ids(reader, where)
        membership = class_balance.ClassMembership(reader, by, allowed)
        images = reader.current.images if allowed is None else len(Vectors(reader, None, allowed))
        sizes = membership.sizes()
        repeat_counts: Mapping[str, int] | None = None
        if repeats is not None:
            concerned = IdSet([i for ids in repeats.images.values() for i in ids])
            entries = np.flatnonzero(concerned.marks(membership.ids))
            classes: dict[int, list[str]] = {}
            for n in entries.tolist():
                classes.setdefault(int(membership.ids[n]), []).append(membership.names[membership.number[n]])
            repeat_counts = count_repeats(repeats, classes)
        order = sorted(range(len(sizes)), key=lambda n: (-sizes[n], membership.names[n]))
        return Balance(
            by=by,
            images=images,
            without=images - len(unique_numbers(membership.ids)),
            classes=tuple(
                ClassCount(
                    membership.names[n],
                    int(sizes[n]),
                    float(sizes[n]) / images,
                    None if repeat_counts is None else repeat_counts[membership.names[n]],
                )
                for n in order
            ),
            effective=class_balance.effective_class_count(sizes.tolist()),
            ratio=class_balance.imbalance_ratio(sizes.tolist()),
            generation=reader.generation,
            notes=notes,
        )

    if not duplicates:
        return run_with_reader(collection, lambda reader: work(reader, None, ()))
    with SnapshotSession(collection) as session:

        def work_with_duplicates(reader: Reader) -> Balance:
            related = _find_related(session, reader, where, looks, Task(progress, stop, interval=0))
            note = ("interrupted: there may be more duplicates",) if related.interrupted else ()
            return work(reader, related.repeats(), related.notes + note)

        return session.run(work_with_duplicates)


def leakage(
    collection: AnyCollection,
    split: str | Mapping[str, Sequence[str | os.PathLike[str]]],
    *,
    where: str | None = None,
    looks: int = 10_000,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> LeakReport:
    """Find images of one part of a collection that also occur in another: the same bytes, or the same picture.

    ``split`` is a column that assigns images to parts, or the folders of each part. For two collections, see
    :func:`leakage_against`. At most ``looks`` pairs of pictures are compared; hash and vector decide the rest. Raises
    UsageError unless there are two parts, QueryError.
    """
    with SnapshotSession(collection) as session:

        def work(reader: Reader) -> LeakReport:
            allowed = filter_ids(reader, where)
            class_of, images = parts_of(reader, split, allowed)
            sizes = Counter(class_of.values())
            if len(sizes) < 2:
                raise UsageError(
                    f"images are in {len(sizes)} part{'s' * (len(sizes) != 1)}"
                    + (f" only ({next(iter(sizes))})" if sizes else ""),
                    hint="a leak takes two: a column such as folder, or folders that hold images (--folders A,B)",
                )
            related = _find_related(session, reader, where, looks, Task(progress, stop, interval=0))
            leaks = find_leaks(related.repeats(), class_of)
            places = reader.places([i for _, ids in leaks.groups for i in ids])
            confidences = _confidences(leaks.groups, related.pairs)
            return LeakReport(
                splits=dict(sorted(sizes.items())),
                without=images - len(class_of),
                counts=tuple(LeakCount(*parts, *counts) for parts, counts in leaks.counts.items()),
                groups=tuple(
                    LeakGroup(kind, tuple(LeakImage(class_of[i], i, places.get(i)) for i in ids), confidence)
                    for (kind, ids), confidence in zip(leaks.groups, confidences, strict=True)
                ),
                generation=reader.generation,
                notes=related.notes,
                interrupted=related.interrupted,
            )

        return session.run(work)


def _confidences(groups: Sequence[tuple[LeakKind, Sequence[int]]], pairs: Iterable[DuplicatePair]) -> list[float]:
    """Return for each group of images the confidence of its least sure pair, 1 where there is none."""
    group_of = {image_id: number for number, (_, ids) in enumerate(groups) for image_id in ids}
    confidences = [1.0] * len(groups)
    for pair in pairs:
        number = group_of.get(pair.a)
        if number is not None and number == group_of.get(pair.b):
            confidences[number] = min(confidences[number], pair.confidence)
    return confidences


def leakage_against(
    collection: AnyCollection,
    other: AnyCollection,
    *,
    names: tuple[str, str] = ("this", "other"),
    where: str | None = None,
    looks: int = 10_000,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> LeakReport:
    """Find images of ``collection`` that also occur in ``other``; ``names`` name the two parts. See :func:`leakage`.

    Each group holds images of the collection and the image of the other that most surely equals them.
    """
    report = find_duplicates(collection, against=other, where=where, looks=looks, progress=progress, stop=stop)
    own_part, other_part = names
    # An edited picture leaks as a copy does.
    kinds = Counter(_leak_kind(member.pair.kind) for group in report.groups for member in group.others if member.pair)
    counts = (LeakCount(own_part, other_part, kinds["exact"], kinds["same"]),) if kinds else ()
    groups = tuple(
        LeakGroup(
            _leak_kind(group.kind),
            (
                *(LeakImage(own_part, member.image_id, member.place) for member in group.others),
                LeakImage(other_part, group.keeper.image_id, group.keeper.place),
            ),
            min((member.pair.confidence for member in group.others if member.pair is not None), default=1.0),
        )
        for group in report.groups
    )
    return LeakReport(
        splits={own_part: report.searched, other_part: read_current(path_of(other)).images},
        without=0,
        counts=counts,
        groups=groups,
        generation=report.generation,
        notes=report.notes,
        interrupted=report.interrupted,
    )


def _leak_kind(kind: DuplicateKind) -> LeakKind:
    return "exact" if kind == "exact" else "same"


def coverage(
    a: AnyCollection,
    b: AnyCollection,
    *,
    where: str | None = None,
    groups: int = LIMIT,
    examples: int = 6,
    expected: float = EXPECTED_SHARE,
    most: int = MAX_QUERIED,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> CoverageReport:
    """Find what collection ``a`` has that ``b`` lacks, and the reverse, by the vectors of an encoder that both share.

    An image is lacking if it and its neighbours lie farther from the other collection than all but the share
    ``expected`` of that collection's own images (docs/dataset.md). Lacking images are clustered into at most ``groups``
    groups, each with ``examples``. Larger collections are sampled to ``most`` images. ``where`` applies to both. Raises
    UsageError if both are the same collection or share no encoder; QueryError, CollectionNotFoundError.
    """
    if not 0 < expected < 1:
        raise UsageError(f"the expected share lies between 0 and 1, not at {expected:g}")
    task = Task(progress, stop)
    with SnapshotSession(a) as first, SnapshotSession(b) as second:
        return retry_if_stale(
            lambda: collection_comparison.compare_coverage(
                first, second, where, groups, examples, expected, most, task
            ),
            first,
            second,
        )


def _check_kinds(kinds: Iterable[QualityKind]) -> tuple[QualityKind, ...]:
    unique_kinds = tuple(dict.fromkeys(kinds))
    if unknown := [kind for kind in unique_kinds if kind not in KINDS]:
        raise UsageError(f"{unknown[0]!r} is not a kind of quality", hint=f"one of {', '.join(KINDS)}")
    return unique_kinds


def _find_related(session: SnapshotSession, reader: Reader, where: str | None, looks: int, task: Task) -> RelatedPairs:
    return find_related(
        reader,
        session.index,
        lambda space: load_encoder(session.root, space, ("image",)),
        ("exact", "same", "edited"),
        allowed=filter_ids(reader, where),
        where=where or "",
        looks=looks,
        task=task,
    )
