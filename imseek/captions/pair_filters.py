"""DataComp's filters for image–caption pairs (Gadre et al. 2023, arXiv 2304.14108)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data import layout
from imseek.data.collection_records import Shard
from imseek.data.reader import Reader
from imseek.data.shards import shard_files
from imseek.data.vectors.base import Ids
from imseek.errors import CAPTION_SOURCES, UsageError
from imseek.types.arrays import Float32
from imseek.types.pictures import Place

#: Limits of the basic filter, as in DataComp's `baselines/apply_filter.py`: more than two words and five characters, at
#: least 200 pixels on the shorter side, aspect ratio at most three. Its test for English is left out.
MIN_WORDS: Final = 3
MIN_CHARACTERS: Final = 6
MIN_SIDE: Final = 200
MAX_ASPECT: Final = 3.0
#: Images whose paths are looked up at once.
_PLACE_BATCH: Final = 5000
#: Images whose uids are held in memory at once.
_UID_BATCH: Final = 500_000


@dataclass(frozen=True, slots=True)
class Pair:
    """A selected pair. ``uid`` is the image's id in its source table, None without such a column."""

    image_id: int
    uid: str | None
    place: Place | None
    score: float


def top_share(ids: Ids, scores: Float32, share: float) -> npt.NDArray[np.bool_]:
    """Select the ⌊share · n⌋ highest scores (n,); ties go to the lower id.

    Memory: 16 bytes each. Raises UsageError for an invalid share, or one that keeps nothing.
    """
    if not (isinstance(share, int | float) and 0 < share <= 1):
        raise UsageError(f"{share!r} is not a share", hint="above 0, and 1 at the most: 0.3 keeps the best 30 %")
    if not len(ids):
        raise UsageError("no image has a caption to score", hint=CAPTION_SOURCES)
    count = math.floor(share * len(ids) + 1e-9)
    if not count:
        raise UsageError(f"a share of {share:g} of {len(ids):,} captions is less than one caption")
    is_kept = np.zeros(len(ids), np.bool_)
    bar = np.partition(scores, len(ids) - count)[len(ids) - count]
    is_kept[scores > bar] = True
    ties = np.flatnonzero(scores == bar)
    is_kept[ties[np.argsort(ids[ties], kind="stable")[: count - np.count_nonzero(is_kept)]]] = True
    return is_kept


def passes_basic_filter(reader: Reader, ids: Ids, captions: Sequence[str] | None = None) -> npt.NDArray[np.bool_]:
    """Apply the basic filter (n,) to images (ids ascending, repeats allowed).

    Uses the stored width and height, and n ``captions``, or the stored ones.
    """
    unique_ids, place = np.unique(ids, return_inverse=True)
    passes = np.zeros(len(unique_ids), np.bool_)
    for shard, rows, at in _iter_shard_rows(reader, unique_ids):
        sizes = _read_columns(reader, shard, ["width", "height"])
        width, height = (sizes.column(n).to_numpy()[rows].astype(np.float64) for n in ("width", "height"))
        shorter, longer = np.minimum(width, height), np.maximum(width, height)
        is_good = (shorter >= MIN_SIDE) & (longer <= MAX_ASPECT * shorter)
        if captions is None:
            texts = [text or "" for block in reader.texts(shard, "caption") for text in block]
            is_good &= np.array([_is_long(text) for text in texts], np.bool_)[rows]
        passes[at] = is_good
    mask: npt.NDArray[np.bool_] = passes[place]
    return mask if captions is None else mask & np.array([_is_long(text) for text in captions], np.bool_)


def iter_pairs(reader: Reader, ids: Ids, scores: Float32) -> Iterator[Pair]:
    """Yield the selected pairs (ids ascending) with their places. Memory: the uids of half a million images."""
    for start in range(0, len(ids), _UID_BATCH):
        part = slice(start, start + _UID_BATCH)
        yield from _iter_pair_batch(reader, ids[part], scores[part])


def _iter_pair_batch(reader: Reader, ids: Ids, scores: Float32) -> Iterator[Pair]:
    uids: dict[int, str] = {}
    for shard, rows, at in _iter_shard_rows(reader, ids):
        table = _read_columns(reader, shard, ["uid"])
        if "uid" in table.column_names:
            uid_pairs = zip(ids[at].tolist(), table.column("uid").take(rows).to_pylist(), strict=True)
            uids.update({image_id: str(uid) for image_id, uid in uid_pairs if uid is not None})
    for start in range(0, len(ids), _PLACE_BATCH):
        batch = ids[start : start + _PLACE_BATCH].tolist()
        places = reader.places(batch)
        for image_id, score in zip(batch, scores[start : start + _PLACE_BATCH].tolist(), strict=True):
            yield Pair(image_id, uids.get(image_id), places.get(image_id), score)


def _iter_shard_rows(reader: Reader, ids: Ids) -> Iterator[tuple[Shard, Any, Any]]:
    """Yield, by shard, the rows that are live and among ``ids``, and their positions in ``ids``."""
    for shard in reader.current.shards:
        shard_ids = reader.shard_ids(shard)
        if not len(ids) or not len(shard_ids) or shard_ids[-1] < ids[0] or shard_ids[0] > ids[-1]:
            continue
        rows = np.flatnonzero(np.isin(shard_ids, ids))
        rows = np.setdiff1d(rows, reader.dead_rows(shard))
        if len(rows):
            yield shard, rows, np.searchsorted(ids, shard_ids[rows])


def _read_columns(reader: Reader, shard: Shard, names: list[str]) -> Any:
    return reader.load(layout.metadata(shard.shard_id), partial(shard_files.read_table, columns=names))


def _is_long(caption: str) -> bool:
    return len(caption.split()) >= MIN_WORDS and len(caption) >= MIN_CHARACTERS
