"""Find the pairs of duplicate images, without grouping them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from imseek.curate.grouping.pair_judgements import judged
from imseek.curate.pair_comparison import Compared, Comparing
from imseek.curate.pipeline import OpenIndex
from imseek.curate.thresholds import Load, thresholds
from imseek.curate.unique_contents import Contents, of_generation
from imseek.data import judgements
from imseek.data.reader import Reader
from imseek.data.vectors import IdSet
from imseek.types import DuplicateKind, DuplicatePair, ProgressCallback, Repeats


@dataclass(frozen=True, slots=True)
class Related:
    """``pairs`` of contents, each by its first image; the images of one content are ``copies`` of each other."""

    contents: Contents
    pairs: tuple[DuplicatePair, ...]
    notes: tuple[str, ...]
    interrupted: bool

    def repeats(self) -> Repeats:
        """Return the images of every content that has copies or is in a pair, and the pairs by first images."""
        firsts = dict.fromkeys(self.contents.copies) | dict.fromkeys(
            e for p in self.pairs for e in (p.a, p.b)
        )
        images = {
            first: self.contents.copies[first].tolist() if first in self.contents.copies else [first]
            for first in firsts
        }
        return Repeats(images, [(pair.a, pair.b, pair.kind) for pair in self.pairs])


def related(
    reader: Reader,
    open_index: OpenIndex,
    load: Load,
    kinds: Sequence[DuplicateKind],
    *,
    allowed: IdSet | None = None,
    where: str = "",
    looks: int,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> Related:
    """Find pairs as :func:`imseek.curate.pipeline.find` does, without those that a person judged different."""
    contents = of_generation(reader, allowed)
    said = judged(judgements.read(reader.root), contents)
    compared, notes = Compared([]), tuple[str, ...]()
    if set(kinds) - {"exact"} and len(contents) > 1:
        space = reader.current.image_spaces[0]
        index = open_index(space)
        limits, notes = thresholds(reader, space, contents, load, progress)
        with Comparing(reader, contents, index, kinds, limits, looks) as comparing:
            compared = comparing.find(where, progress, stop)
    pairs, _ = said.settled(compared.pairs, kinds)
    return Related(contents, tuple(pairs), notes + compared.notes, compared.interrupted)
