"""Group this collection's images that another collection has too; the other's image is the keeper."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from imseek.analysis.originals import Originals
from imseek.data.catalog import duplicate_judgements
from imseek.data.reader import Reader
from imseek.duplicates import cross_collection_pairs
from imseek.duplicates.existing_links import mark_hard_links, mark_symbolic_links
from imseek.duplicates.pair_reports import scope_of
from imseek.duplicates.pipeline import DuplicatesRequest, OpenIndex, make_group, members_of, report_order
from imseek.duplicates.pixels.verdict import DEFAULTS
from imseek.duplicates.results import KINDS, Duplicate, DuplicateGroup, DuplicateKind, DuplicatePair, DuplicateReport
from imseek.duplicates.thresholds import LoadEncoder, choose_space
from imseek.duplicates.unique_contents import UniqueContents, load_contents
from imseek.progress import SILENT, Task
from imseek.search.encoder_loader import shared_spaces
from imseek.types.duplicate_judgements import Judgement

#: Why the images of the other collection are kept.
REASON = "the other collection has it"


def find(
    reader: Reader,
    open_index: OpenIndex,
    other: Reader,
    open_other: OpenIndex,
    load: LoadEncoder,
    request: DuplicatesRequest,
    task: Task = SILENT,
) -> DuplicateReport:
    """Build a group for each content that ``other`` has too: its most certain match there, and the images of this
    collection.

    Raises StaleGenerationError and CorruptCollectionError.
    """
    contents, theirs = load_contents(reader, request.allowed), load_contents(other)
    shared = shared_spaces(reader, other) if set(request.kinds) - {"exact"} else []
    limits, notes = DEFAULTS, tuple[str, ...]()
    with ExitStack() as stack:
        own_side = cross_collection_pairs.OverlapSide(reader, contents, stack.enter_context(Originals(reader)).read)
        other_side = cross_collection_pairs.OverlapSide(other, theirs, stack.enter_context(Originals(other)).read)
        if shared:
            spaces = [one for one, _ in shared]
            space, limits, notes = choose_space(reader, spaces, request.kinds, contents, load, task)
            other_space = next(second for first, second in shared if first is space)
            own_side = replace(own_side, space=space, index=open_index(space))
            other_side = replace(other_side, space=other_space, index=open_other(other_space))
        overlap = cross_collection_pairs.find(
            own_side,
            other_side,
            request.shown_kinds,
            thresholds=limits,
            where=scope_of(request.where),
            looks=request.looks,
            task=task,
        )
    judgements = (*duplicate_judgements.read(reader.root), *duplicate_judgements.read(other.root))
    pairs, left_out = _apply_judgements(overlap.pairs, contents, theirs, judgements, request.shown_kinds)
    counts: dict[DuplicateKind, int] = dict.fromkeys(request.shown_kinds, 0)
    for pair in pairs:
        counts[pair.kind] += 1
    return DuplicateReport(
        collection=reader.identity.uuid,
        generation=reader.generation,
        searched=contents.images,
        groups=_build_groups(reader, other, contents, _best_pairs(pairs), request),
        pairs=counts,
        judged=left_out,
        notes=notes + overlap.notes,
        against=other.identity.uuid,
        interrupted=overlap.interrupted,
    )


def _apply_judgements(
    pairs: Sequence[DuplicatePair],
    mine: UniqueContents,
    theirs: UniqueContents,
    judgements: Iterable[Judgement],
    kinds: Collection[DuplicateKind],
) -> tuple[list[DuplicatePair], int]:
    """Drop the pairs judged different in either collection, and return the rest with the number dropped.

    Pairs judged the same become of that kind if it is one of ``kinds``.
    """
    verdicts = {(one.a, one.b): one.verdict for one in judgements}
    if not verdicts:
        return list(pairs), 0
    remaining, left_out = [], 0
    for pair in pairs:
        a, b = sorted((_hash(mine, pair.a), _hash(theirs, pair.b)))
        verdict = verdicts.get((a, b))
        if verdict == "different":
            left_out += 1
        elif verdict == "same" and "same" in kinds:
            remaining.append(replace(pair, kind="same", confidence=1.0, judged=True, differences=()))
        else:
            remaining.append(pair)
    return remaining, left_out


def _hash(contents: UniqueContents, image_id: int) -> str:
    at = int(contents.ids.searchsorted(image_id))
    return bytes(contents.hashes[at]).hex()


def _best_pairs(pairs: Iterable[DuplicatePair]) -> Mapping[int, DuplicatePair]:
    """Return the most certain pair of each content of this collection."""
    best: dict[int, DuplicatePair] = {}

    def rank(pair: DuplicatePair) -> tuple[object, ...]:
        return KINDS.index(pair.kind), -pair.confidence, -(pair.cosine or 0.0), pair.b

    for pair in pairs:
        if pair.a not in best or rank(pair) < rank(best[pair.a]):
            best[pair.a] = pair
    return best


def _build_groups(
    reader: Reader,
    other: Reader,
    contents: UniqueContents,
    best: Mapping[int, DuplicatePair],
    request: DuplicatesRequest,
) -> tuple[DuplicateGroup, ...]:
    copies = {a: contents.copies[a].tolist() if a in contents.copies else [a] for a in best}
    members, _ = members_of(reader, [i for ids in copies.values() for i in ids], request.protect)
    keepers, _ = members_of(other, sorted({pair.b for pair in best.values()}))
    groups = [
        make_group(
            pair.kind,
            _mark_links((keepers[pair.b], *(replace(members[i], pair=replace(pair, a=i)) for i in copies[a]))),
            _reason(keepers[pair.b], members[a]),
            request,
        )
        for a, pair in best.items()
    ]
    return tuple(sorted(groups, key=report_order))


def _mark_links(members: Sequence[Duplicate]) -> tuple[Duplicate, ...]:
    return mark_hard_links(mark_symbolic_links(members))


def _reason(theirs: Duplicate, mine: Duplicate) -> str:
    fewer = theirs.width * theirs.height < mine.width * mine.height
    return f"{REASON}, with fewer pixels" if fewer else REASON
