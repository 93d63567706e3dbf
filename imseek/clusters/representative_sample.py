"""Representative samples: far from each other (k-centre), close to all images (facility location), or random."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.analysis.snapshot_session import filter_ids
from imseek.analysis.space_vectors import Vectors
from imseek.analysis.unique_vectors import UniqueVectors, find_unique_vectors
from imseek.clusters.kmeans_clusters import sample_positions
from imseek.clusters.results import SampleMethod, SampleReport, Shown
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.progress import Task
from imseek.types.arrays import Float32

CHOOSING: Final = "choosing images"
MEASURING: Final = "measuring the sample"
MAX_SAMPLE: Final = 10_000
#: Candidates whose distances are kept up to date between two passes over all images.
_CANDIDATES: Final = 4096
#: Images that facility location chooses from, and scores against: a matrix of 64 MiB.
MAX_FACILITY: Final = 4096
#: Images closer than this are copies.
_COPY_DISTANCE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """The arguments of :func:`imseek.clusters.sample`."""

    count: int
    method: SampleMethod
    where: str | None
    seed: int


def choose_sample(reader: Reader, request: SampleRequest, task: Task) -> SampleReport:
    """Choose a sample and report it; raises like :func:`imseek.clusters.sample`."""
    vectors = Vectors(reader, allowed=filter_ids(reader, request.where))
    unique = find_unique_vectors(vectors, task)
    notes: list[str] = []
    count = min(request.count, len(unique.first))
    if count < request.count:
        notes.append(f"there are no more than {count:,} contents that differ")
    if not count:
        at, scores = np.empty(0, np.int64), np.empty(0, np.float32)
    elif request.method == "k-centre":
        at, scores = k_centre(vectors, unique, count, request.seed, task)
    elif request.method == "facility":
        if count > MAX_FACILITY:
            raise UsageError(f"facility location chooses {MAX_FACILITY:,} images at most", hint="--method k-centre")
        at, scores = facility_location(vectors, unique, count, request.seed, task)
        if len(unique.first) > MAX_FACILITY:
            notes.append(f"chosen from and by {MAX_FACILITY:,} images at random")
    else:
        at = np.random.default_rng(request.seed).permutation(unique.first)[:count]
        scores = np.zeros(count, np.float32)
    weights, farthest, mean = coverage(vectors, at, task)
    ids = vectors.ids[at].tolist()
    places = reader.places(ids)
    return SampleReport(
        collection=reader.identity.uuid,
        generation=reader.generation,
        encoder=vectors.space.encoder,
        method=request.method,
        images=len(vectors),
        chosen=tuple(Shown(i, score, places.get(i)) for i, score in zip(ids, scores.tolist(), strict=True)),
        weights=tuple(weights.tolist()),
        farthest=farthest,
        mean=mean,
        notes=tuple(notes),
    )


def k_centre(vectors: Vectors, unique: UniqueVectors, count: int, seed: int, task: Task) -> tuple[Ids, Float32]:
    """Greedy k-centre: positions (count,), each farthest from those before it, with its distance when it was chosen.

    The largest distance (as an angle) of any image to the sample is at most twice the optimum (Gonzalez 1985). The
    first image is chosen by ``seed``. A pass over all images collects the farthest as candidates. While the best
    candidate is farther than every other image was at that pass, it is the farthest of all, because distances only
    shrink. The result is therefore exact, and most passes choose many images. Memory: 4 bytes for each image, plus
    4,096 rows.
    """
    m = len(unique.first)
    first = int(np.random.default_rng(seed).integers(m))
    chosen, scores, compared = [first], [0.0], 0
    distance = np.full(m, np.inf, np.float32)  # To the nearest image chosen before this pass.
    while len(chosen) < count:
        task.step(CHOOSING, len(chosen), count)
        fresh, compared = vectors.at(unique.first[chosen[compared:]]), len(chosen)
        for start in range(0, m, _CANDIDATES):
            rows = vectors.at(unique.first[start : start + _CANDIDATES])
            nearest = np.maximum(0, 1 - (rows @ fresh.T).max(axis=1))
            np.minimum(distance[start : start + _CANDIDATES], nearest, out=distance[start : start + _CANDIDATES])
            task.check()
        distance[chosen] = 0
        pool = np.sort(np.argpartition(-distance, min(_CANDIDATES, m) - 1)[:_CANDIDATES])
        beyond = np.ones(m, np.bool_)
        beyond[pool] = False
        bound = float(distance[beyond].max(initial=-1))
        rows, nearest = vectors.at(unique.first[pool]), distance[pool].copy()
        while len(chosen) < count:
            best = int(nearest.argmax())
            if nearest[best] < bound:
                break
            if nearest[best] <= _COPY_DISTANCE:
                return unique.first[chosen], np.array(scores, np.float32)
            chosen.append(int(pool[best]))
            scores.append(float(nearest[best]))
            np.minimum(nearest, np.maximum(0, 1 - rows @ rows[best]), out=nearest)
            nearest[best] = 0
    return unique.first[chosen], np.array(scores, np.float32)


def facility_location(
    vectors: Vectors, unique: UniqueVectors, count: int, seed: int, task: Task
) -> tuple[Ids, Float32]:
    """Facility location: positions (count,) that greedily maximise the mean cosine of images to their nearest choice.

    Also returns the distance of each choice to those before it. The gain over a cosine of −1 is at least 1 − 1/e of the
    optimum over the sampled images (Nemhauser, Wolsey and Fisher 1978). Gains only fall, so few are recomputed (Minoux
    1978).
    """
    at = unique.first[sample_positions(len(unique.first), MAX_FACILITY, seed)]
    rows = vectors.at(at)
    cosines = rows @ rows.T
    best = np.full(len(at), -1, np.float32)
    # Largest gain first; ties by the lower position. A gain is current if its round is the present one.
    heap = [(-float(gain), n, 0) for n, gain in enumerate((cosines - best).sum(axis=1, dtype=np.float64))]
    heapq.heapify(heap)
    chosen: list[int] = []
    scores: list[float] = []
    while len(chosen) < count:
        gain, n, round_ = heapq.heappop(heap)
        if round_ < len(chosen):
            gain = -float(np.maximum(cosines[n] - best, 0).sum(dtype=np.float64))
            heapq.heappush(heap, (gain, n, len(chosen)))
            continue
        task.step(CHOOSING, len(chosen), count)
        scores.append(1 - float(cosines[n, chosen].max()) if chosen else 0.0)
        chosen.append(n)
        np.maximum(best, cosines[n], out=best)
    return at[chosen], np.array(scores, np.float32)


def coverage(vectors: Vectors, chosen: Ids, task: Task) -> tuple[Ids, float | None, float | None]:
    """Count the images nearest to each chosen image, and return the largest and mean distance of an image to its
    nearest."""
    weights = np.zeros(len(chosen), np.int64)
    if not len(chosen):
        return weights, None, None
    centres = vectors.at(chosen)
    farthest, total = 0.0, 0.0
    for part, rows in vectors.blocks(_CANDIDATES):
        task.step(MEASURING, part.start, len(vectors))
        cosines = rows @ centres.T
        weights += np.bincount(cosines.argmax(axis=1), minlength=len(chosen))
        nearest = np.maximum(0, 1 - cosines.max(axis=1))
        farthest = max(farthest, float(nearest.max()))
        total += float(nearest.sum(dtype=np.float64))
    return weights, farthest, total / len(vectors)
