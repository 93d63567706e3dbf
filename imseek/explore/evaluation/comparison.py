"""Compare two encoders, or two collections, on the same queries, with significance.

Captions are embedded by each side's encoder. Stored image vectors are used where a side has them. Otherwise images are
read once, encoded for all encoders that need them, and kept in a temporary file.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from imseek.data.content_lookup import HashLookup, same_contents
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids, IdSet
from imseek.encoders import registry, space_compatibility
from imseek.encoders.base import Encoder
from imseek.errors import QueryError, UsageError
from imseek.explore.captions import caption_pairs
from imseek.explore.captions.caption_pairs import Said
from imseek.explore.evaluation import encode_images
from imseek.explore.evaluation.encode_texts import check_words, encoded, ranking, speaker
from imseek.explore.evaluation.rank_metrics import chosen, draws, figures
from imseek.explore.evaluation.retrieval import none_left
from imseek.explore.metrics.bootstrap import Values, paired
from imseek.explore.metrics.retrieval import Chosen, Held, Pairs, Ranks, Rows, ranks
from imseek.explore.snapshot_session import allowed
from imseek.explore.space_vectors import Vectors
from imseek.types import Float32, Progress, ProgressCallback, SpaceInfo
from imseek.types.evaluate import Compared, CompareReport, Side

#: Maximum number of unreadable images to report.
_SHOWN: Final = 10
_LOOKED_UP: Final = 500


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """What to compare: two ``encoders``, or two collections by their first spaces.

    An encoder is a reference, the id of a space, or None for the first space.
    """

    encoders: tuple[int | str | None, int | str | None] | None
    captions: caption_pairs.Given | None = None
    column: str | None = None
    where: str | None = None
    ks: Sequence[int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Half:
    """One side: its text encoder, and the space with its image vectors, None: yet to be encoded."""

    side: Side
    encoder: Encoder
    space: SpaceInfo | None


@dataclass(frozen=True, slots=True, eq=False)
class _Working:
    """Callbacks of the caller."""

    progress: ProgressCallback | None
    stop: threading.Event | None
    notify: Callable[[str], None] | None


class _StoppedError(Exception):
    """The caller asked to stop."""

    pass


def compare(
    reader: Reader,
    other: Reader | None,
    contest: Contest,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> CompareReport:
    """Compare two sides; see :func:`imseek.evaluate.compare`. ``other`` is the second of two collections."""
    working = _Working(progress, stop, notify)
    within = allowed(reader, contest.where)
    said = _said(reader, contest, within)
    ids = np.unique(said.ids)
    a, b = _halves(reader, other, contest, working)
    with tempfile.TemporaryDirectory(prefix="imseek-") as folder:
        try:
            if other is not None:
                common, theirs = _in_both(reader, other, ids)
                shown_a, shown_b = Vectors(reader), Vectors(other)
                rows: list[Rows] = [Chosen(shown_a.of, common), Chosen(shown_b.of, theirs)]
                unreadable: tuple[tuple[int, str], ...] = ()
            else:
                common, rows, unreadable = _rows(reader, ids, (a, b), Path(folder), working)
            return _contest(said, common, (a, b), rows, contest, unreadable, working)
        except _StoppedError:
            return CompareReport(a.side, b.side, 0, 0, None, None, said.left_out, interrupted=True)


def _said(reader: Reader, contest: Contest, within: IdSet | None) -> Said:
    space = reader.current.space
    if contest.captions is None:
        said = caption_pairs.own(reader, space, within)
    else:
        live = Vectors(reader, space, within).ids
        said = caption_pairs.said_of(reader, contest.captions, contest.column, live)
    if not said.texts:
        raise none_left(said.left_out, given=contest.captions is not None)
    return said


def _halves(reader: Reader, other: Reader | None, contest: Contest, working: _Working) -> tuple[_Half, _Half]:
    if other is not None:
        if other.identity.uuid == reader.identity.uuid:
            raise UsageError("a collection cannot be compared with itself")
        first, second = (_stored(one, one.current.space, working) for one in (reader, other))
        return first, second
    assert contest.encoders is not None
    a, b = (_half(reader, named, working) for named in contest.encoders)
    if a.encoder.fingerprint() == b.encoder.fingerprint():
        raise UsageError(f"{a.side.encoder} and {b.side.encoder} are the same encoder: nothing to compare")
    return a, b


def _half(reader: Reader, named: int | str | None, working: _Working) -> _Half:
    if named is None:
        return _stored(reader, reader.current.space, working)
    reference = registry.canonical(named) if isinstance(named, str) and named != registry.AUTO else named
    for space in reader.current.image_spaces:
        if space.space_id == named or space.encoder == reference:
            return _stored(reader, space, working)
    if isinstance(named, int):
        raise UsageError(f"no space of pictures has the id {named}")
    encoder = space_compatibility.load_resolved(
        registry.resolve(named), ("image", "text"), None, working.notify
    )
    check_words(encoder)
    return _Half(Side(named, encoder.info.reference, str(reader.root), stored=False), encoder, None)


def _stored(reader: Reader, space: SpaceInfo, working: _Working) -> _Half:
    side = Side(space.encoder, space.encoder, str(reader.root), stored=True)
    return _Half(side, speaker(reader.root, space, working.notify), space)


def _in_both(reader: Reader, other: Reader, ids: Ids) -> tuple[Ids, Ids]:
    """Return those of ``ids`` whose content the other collection also has, and their ids there."""
    there = Vectors(other)
    lookup = HashLookup(other.root)
    mine: list[int] = []
    theirs: list[int] = []
    try:
        for start in range(0, len(ids), _LOOKED_UP):
            some = ids[start : start + _LOOKED_UP].tolist()
            for image_id, (content, _) in same_contents(reader.root, some).items():
                if (found := lookup.find(content)) is not None:
                    mine.append(image_id)
                    theirs.append(found)
    finally:
        lookup.close()
    known = there.positions(np.array(theirs, np.int64)) >= 0
    return np.array(mine, np.int64)[known], np.array(theirs, np.int64)[known]


def _rows(
    reader: Reader, ids: Ids, halves: Sequence[_Half], folder: Path, working: _Working
) -> tuple[Ids, list[Rows], tuple[tuple[int, str], ...]]:
    """Return the ids whose images both sides have, their rows on each side, and the unreadable images."""
    missing = [half for half in halves if half.space is None]
    made: dict[int, Float32] = {}
    where = np.arange(len(ids))
    unreadable: tuple[tuple[int, str], ...] = ()
    if missing:
        where, held, unreadable = _encoded(reader, ids, [half.encoder for half in missing], folder, working)
        made = {id(half): rows for half, rows in zip(missing, held, strict=True)}
    common = ids[where]
    rows: list[Rows] = []
    for half in halves:
        if half.space is None:
            rows.append(Chosen(made[id(half)].__getitem__, np.arange(len(common))))
        else:
            rows.append(Chosen(Vectors(reader, half.space).of, common))
    return common, rows, unreadable


def _encoded(
    reader: Reader, ids: Ids, encoders: Sequence[Encoder], folder: Path, working: _Working
) -> tuple[Ids, list[Float32], tuple[tuple[int, str], ...]]:
    """Encode images into files in ``folder``.

    Returns positions (m,) in ``ids`` of the readable images, their rows by encoder, and the unreadable ones.
    """
    started = time.monotonic()
    held = [
        np.memmap(folder / f"{n}.f32", np.float32, "w+", shape=(len(ids), encoder.info.dim))
        for n, encoder in enumerate(encoders)
    ]
    good: list[int] = []
    troubles: list[tuple[int, str]] = []
    for some in encode_images.encode(reader, ids, encoders, working.stop):
        for array, rows in zip(held, some.rows, strict=True):
            array[len(good) : len(good) + len(some.ids)] = rows
        good += some.ids.tolist()
        troubles += some.troubles
        if working.progress is not None:
            seconds = time.monotonic() - started
            working.progress(Progress("encode", len(good), len(ids), len(troubles), seconds))
    if working.stop is not None and working.stop.is_set():
        raise _StoppedError
    return np.searchsorted(ids, np.array(good, np.int64)), [*held], tuple(troubles)


def _contest(
    said: Said,
    common: Ids,
    halves: Sequence[_Half],
    rows: Sequence[Rows],
    contest: Contest,
    unreadable: tuple[tuple[int, str], ...],
    working: _Working,
) -> CompareReport:
    """Rank in both directions on both sides, and compare the metrics."""
    known = np.isin(said.ids, common)
    asked = [text for text, good in zip(said.texts, known.tolist(), strict=True) if good]
    if not asked:
        raise QueryError(
            "no captioned picture is on both sides"
            if not unreadable
            else f"none of {len(unreadable):,} pictures can be read: {unreadable[0][1]}"
        )
    picture = np.searchsorted(common, said.ids[known])
    forth, back = [], []
    for half, shown in zip(halves, rows, strict=True):
        words = encoded(half.encoder, asked, working.progress, working.stop)
        if words is None:
            raise _StoppedError
        there = Pairs.of(np.arange(len(picture)), picture, len(picture))
        again = Pairs.of(picture, np.arange(len(picture)), len(common))
        forth.append(
            ranks(Held(words), shown, there, tell=ranking(working.progress, len(picture)), stop=working.stop)
        )
        back.append(
            ranks(shown, Held(words), again, tell=ranking(working.progress, len(common)), stop=working.stop)
        )
        if len(forth[-1].first) < len(picture) or len(back[-1].first) < len(common):
            raise _StoppedError
    ks = chosen(contest.ks, len(common))
    groups = picture if len(common) < len(picture) else None
    a, b = halves
    return CompareReport(
        a=a.side,
        b=b.side,
        images=len(common),
        captions=len(picture),
        text_to_image=_compared(forth[0], forth[1], ks, groups),
        image_to_text=_compared(back[0], back[1], chosen(contest.ks, len(picture)), None),
        left_out=said.left_out,
        unreadable=len(unreadable),
        reasons=tuple(f"image {image_id}: {reason}" for image_id, reason in unreadable[:_SHOWN]),
    )


def _compared(a: Ranks, b: Ranks, ks: Sequence[int], groups: Values | None) -> Compared:
    many = draws(len(a.first))
    return Compared(
        a=figures(a, ks, groups),
        b=figures(b, ks, groups),
        recall={k: paired(a.hits(k), b.hits(k), groups=groups, resamples=many) for k in ks},
        mean_average_precision=paired(a.precision, b.precision, groups=groups, resamples=many),
    )
