"""Find the pairs of duplicate images, without grouping them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imseek.analysis.originals import Originals
from imseek.data.catalog import duplicate_judgements
from imseek.data.reader import Reader
from imseek.data.vectors import IdSet
from imseek.duplicates.collection_pairs import ComparisonResult, PairComparer
from imseek.duplicates.grouping.apply_judgements import match_judgements
from imseek.duplicates.pipeline import OpenIndex
from imseek.duplicates.results import DuplicateContents, DuplicateKind, DuplicatePair
from imseek.duplicates.thresholds import LoadEncoder, choose_space
from imseek.duplicates.unique_contents import UniqueContents, load_contents
from imseek.progress import SILENT, Task


@dataclass(frozen=True, slots=True)
class RelatedPairs:
    """``pairs`` of contents, each by its first image; the images of one content are ``copies`` of each other."""

    contents: UniqueContents
    pairs: tuple[DuplicatePair, ...]
    notes: tuple[str, ...]
    interrupted: bool

    def repeats(self) -> DuplicateContents:
        """Return the images of every content that has copies or is in a pair, and the pairs by first images."""
        firsts = dict.fromkeys(self.contents.copies) | dict.fromkeys(e for p in self.pairs for e in (p.a, p.b))
        images = {
            first: self.contents.copies[first].tolist() if first in self.contents.copies else [first]
            for first in firsts
        }
        return DuplicateContents(images, [(pair.a, pair.b, pair.kind) for pair in self.pairs])


def find_related(
    reader: Reader,
    open_index: OpenIndex,
    load: LoadEncoder,
    kinds: Sequence[DuplicateKind],
    *,
    allowed: IdSet | None = None,
    where: str = "",
    looks: int,
    task: Task = SILENT,
) -> RelatedPairs:
    """Find pairs as :func:`imseek.duplicates.pipeline.find` does, without those that a person judged different."""
    contents = load_contents(reader, allowed)
    judgements = match_judgements(duplicate_judgements.read(reader.root), contents)
    comparison, notes = ComparisonResult([]), tuple[str, ...]()
    if set(kinds) - {"exact"} and len(contents) > 1:
        space, limits, notes = choose_space(reader, reader.current.image_spaces, kinds, contents, load, task)
        index = open_index(space)
        with Originals(reader) as originals:
            comparer = PairComparer(reader, originals.read, contents, space, index, kinds, limits, looks, where)
            comparison = comparer.find(task)
    pairs, _ = judgements.resolve(comparison.pairs, kinds)
    return RelatedPairs(contents, tuple(pairs), notes + comparison.notes, comparison.interrupted)
