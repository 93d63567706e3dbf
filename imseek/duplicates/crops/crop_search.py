"""Find pictures inside pictures: a crop, a photograph in a screenshot, a tile of a collage.

The vector of a whole picture says little about its parts. So tiles of each picture are encoded as well
(:mod:`imseek.duplicates.crops.tile_vectors`), and compared with the vectors of whole pictures: the nearest ones may lie
in the picture. Pixels decide: each candidate is located on a coarse grid (:mod:`imseek.duplicates.crops.crop_location`)
and laid over the picture there (:mod:`imseek.duplicates.pixels.registration`).

This is done only on request: encoding the tiles takes fourteen times as long as indexing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.vectors import IdSet, VectorIndex
from imseek.data.vectors.scores import unit_rows
from imseek.duplicates.crops.crop_location import CropLocator, Location, count_corner_squares
from imseek.duplicates.crops.crop_verdict_cache import CropCache, CropVerdict
from imseek.duplicates.crops.tile_vectors import TileEncoder, TileVectors
from imseek.duplicates.pixels.luminance_cache import LuminanceCache, to_luminance
from imseek.duplicates.pixels.registration import Registration, register_inside
from imseek.duplicates.pixels.resampling import Luminance
from imseek.duplicates.unique_contents import Digests, Ids
from imseek.errors import MediaError
from imseek.media.decode import decode
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

PHASE: Final = "pictures inside pictures"

#: Longer side of a picture to search in, in pixels: three pictures side by side in it are as large as the parts
#: searched for.
WHOLE_SIDE: Final = 320
#: Share of correct pairs on half A of bench/duplicates_inside.py; most of the others share a part.
CONFIDENCE: Final = 0.89
#: Margin around a location that is compared with it, as a share of the sides of the whole.
_MARGIN: Final = 0.02


@dataclass(frozen=True, slots=True)
class CropRules:
    """Limits for candidates and criteria for acceptance, chosen on half A of bench/duplicates_inside.py.

    The ``nearest`` pictures of each tile with at least ``cosine`` are candidates, ``most`` per picture, best ranks
    first. A part needs ``count_corner_squares`` in at least this many squares, or it would match anywhere.
    ``correlation`` is the minimum for the coarse location; ``agreement``, ``drift`` (in pixels) and ``detail`` are
    those of :class:`Registration`. At least ``visible`` of the part must lie in the whole (``cut`` if only its centre
    was found), fill ``filled`` of the place that was found, and take at most ``largest`` of the whole: beyond that it
    is the same picture.
    """

    nearest: int = 10
    cosine: float = 0.6
    most: int = 40
    corners: int = 6
    correlation: float = 0.65
    agreement: float = 0.88
    drift: float = 0.8
    detail: float = 0.5
    visible: float = 0.9
    cut: float = 0.5
    filled: float = 0.5
    largest: float = 0.9


@dataclass(frozen=True, slots=True)
class CropPair:
    """The picture ``part`` lies in the picture ``whole``; both are positions in the searched contents.

    ``cosine`` is that of the part and its nearest tile; ``agreement`` and ``correlation`` are those of their pixels
    (:class:`Registration`). ``box`` is left, top, right, bottom as shares of the whole, ``visible`` the share of the
    part visible there.
    """

    whole: int
    part: int
    cosine: float
    agreement: float
    correlation: float
    box: tuple[float, float, float, float]
    visible: float


@dataclass(frozen=True, slots=True)
class CropResult:
    """Result of the crop search.

    ``pairs`` are ordered by whole and part; ``missing`` pictures could not be read. ``encoded`` tiles were new, and
    ``looked_at`` pairs. If ``interrupted``, the next call resumes.
    """

    pairs: tuple[CropPair, ...]
    missing: int
    encoded: int
    looked_at: int
    interrupted: bool = False


def find(
    ids: Ids,
    hashes: Digests,
    rows: Callable[[Ids], Float32],
    index: VectorIndex,
    tiler: TileEncoder,
    read: Callable[[int], bytes | None],
    *,
    rules: CropRules = CropRules(),
    keep: Path | None = None,
    task: Task = SILENT,
) -> CropResult:
    """Find which pictures lie in which, among contents with ``ids`` (n,), ascending, and ``hashes`` (n, 32).

    ``rows`` returns the unit rows (m, dim) of ids, and ``index`` searches them, both in the space that ``tiler``
    encodes for. ``read`` returns the bytes of the n-th picture, or None. ``keep`` is the folder of the collection whose
    cache stores the verdicts. Memory: 250 bytes per picture, and 500 MB.
    """
    allowed = IdSet(ids)
    matcher = _CropMatcher(ids, hashes, read, rules, keep)
    pairs: list[CropPair] = []
    for block in tiler(hashes, task):
        whole_rows = rows(ids[block.at])
        for n, candidates in zip(
            block.at.tolist(), _candidates(ids, block, whole_rows, index, allowed, rules), strict=True
        ):
            if task.is_cancelled:
                break
            pairs += matcher.at(n, candidates)
        matcher.cache.save()
        task.report(PHASE, int(block.at[-1]) + 1, len(ids), skipped=len(tiler.missing))
    missing = len(matcher.missing | tiler.missing)
    return CropResult(tuple(pairs), missing, tiler.encoded, matcher.looked_at, task.is_cancelled)


def confirm(whole: Luminance, part: Luminance, rules: CropRules = CropRules()) -> tuple[Location, Registration] | None:
    """Return where a part lies in a picture and how well it fits; None if it does not.

    Both are luminance (h, w) float32, with longer sides of up to ``WHOLE_SIDE`` and 160 pixels.
    """
    return _judge_crop(CropLocator(whole), whole, part, rules)


def _candidates(
    ids: Ids, block: TileVectors, wholes: Float32, index: VectorIndex, allowed: IdSet, rules: CropRules
) -> Iterator[list[tuple[int, float]]]:
    """Yield for each picture of a block the positions of possible parts, with their highest cosine to a tile."""
    queries = np.concatenate([wholes[:, None], block.rows.astype(np.float32)], axis=1)
    is_encoded = queries.any(axis=2)  # Rows of zeros could not be encoded.
    unit = unit_rows(queries[is_encoded])
    answers = iter(index.search(unit, rules.nearest + 1, allowed=allowed) if len(unit) else ())
    for n, count in zip(block.at.tolist(), is_encoded.sum(axis=1).tolist(), strict=True):
        ranks: dict[int, tuple[int, float]] = {}
        for matches in islice(answers, count):
            others = matches.ids != ids[n]
            scores = matches.scores[others]
            for rank, (image_id, score) in enumerate(zip(matches.ids[others].tolist(), scores.tolist(), strict=True)):
                if score >= rules.cosine:
                    before = ranks.get(image_id, (rank, -1.0))
                    ranks[image_id] = min(rank, before[0]), max(score, before[1])
        order = sorted(ranks, key=lambda one: (ranks[one][0], -ranks[one][1], one))[: rules.most]
        at = np.searchsorted(ids, np.array(order, np.int64)).tolist()
        yield [(position, ranks[one][1]) for position, one in zip(at, order, strict=True)]


class _CropMatcher:
    """Compares candidates with pictures, each pair of contents once."""

    def __init__(
        self,
        ids: Ids,
        hashes: Digests,
        read: Callable[[int], bytes | None],
        rules: CropRules,
        keep: Path | None,
    ) -> None:
        self._ids, self._hashes, self._read, self._rules = ids, hashes, read, rules
        self._parts = LuminanceCache(read)
        self.cache = CropCache(keep, rules)
        self.missing: set[int] = set()
        self.looked_at = 0

    def at(self, n: int, candidates: Sequence[tuple[int, float]]) -> Iterator[CropPair]:
        """Yield the candidates, given by position and cosine, that lie in the n-th picture."""
        image_id, whole = int(self._ids[n]), self._hashes[n].tobytes()
        verdicts = {at: self.cache.get(image_id, whole, self._hashes[at].tobytes()) for at, _ in candidates}
        if unjudged := sorted(at for at, verdict in verdicts.items() if verdict is None):
            picture = self._picture(n)
            if picture is None:
                self.missing.add(n)
            else:
                locator = CropLocator(picture)
                for at in unjudged:
                    if (part := self._parts(at)) is not None:
                        verdicts[at] = verdict = self._judge(locator, picture, part.astype(np.float32))
                        self.cache.put(image_id, whole, self._hashes[at].tobytes(), verdict)
        for at, cosine in sorted(candidates):
            if (crop := verdicts[at]) is not None and crop.found:
                box = (crop.left, crop.top, crop.right, crop.bottom)
                yield CropPair(n, at, cosine, crop.agreement, crop.correlation, box, crop.visible)

    def _judge(self, locator: CropLocator, picture: Luminance, part: Luminance) -> CropVerdict:
        self.looked_at += 1
        match = _judge_crop(locator, picture, part, self._rules)
        if match is None:
            return CropVerdict(found=False)
        at, registration = match
        box = (at.left, at.top, at.right, at.bottom)
        return CropVerdict(
            True, registration.agreement, registration.correlation, *box, min(1.0, registration.overlap_b)
        )

    def _picture(self, position: int) -> Luminance | None:
        """Load a picture to search in; None if it cannot be read."""
        try:
            data = self._read(position)
            if data is None:
                return None
            pixels = decode(data, min_side=WHOLE_SIDE, measured=False, preview=True).pixels
            return to_luminance(pixels, WHOLE_SIDE).astype(np.float32)
        except (MediaError, OSError):
            return None


def _judge_crop(
    locator: CropLocator, picture: Luminance, part: Luminance, rules: CropRules
) -> tuple[Location, Registration] | None:
    if count_corner_squares(part) < rules.corners:
        return None
    at = locator.locate(part)
    if at.correlation < rules.correlation:
        return None
    # If only the centre was found, the rest is there too or was cropped.
    for place in (at,) if at.whole else (at.of_all(part), at):
        if place.share <= rules.largest:
            surroundings = _cut_with_margin(picture, place)
            registration = register_inside(surroundings, part)
            # Relative to the location, without its margin.
            filled = registration.overlap_a * surroundings.size / (place.share * picture.size)
            if _fits(registration, rules.visible if place.whole else rules.cut, filled, rules):
                return place, registration
    return None


def _fits(registration: Registration, visible: float, filled: float, rules: CropRules) -> bool:
    return (
        registration.agreement >= rules.agreement
        and registration.drift <= rules.drift
        and registration.detail >= rules.detail
        and registration.overlap_b >= visible
        and filled >= rules.filled
    )


def _cut_with_margin(picture: Luminance, at: Location) -> npt.NDArray[np.float32]:
    height, width = picture.shape
    top, left = (max(0.0, edge - _MARGIN) for edge in (at.top, at.left))
    bottom, right = (min(1.0, edge + _MARGIN) for edge in (at.bottom, at.right))
    return np.ascontiguousarray(
        picture[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
    )
