"""Hard vectors from a fixed seed, to measure indexes on without an encoder or pictures.

    python bench/vectors.py --check [--count 100000]          # prints the properties, and asserts them
    python bench/vectors.py --check --profile clip            # those of real CLIP vectors
    python bench/vectors.py --npy FILE --count 1000000        # writes them as float16 .npy

Images: a mixture of 20,000 classes in 300 superclasses with Zipf's frequencies, spread within a class by a normal
distribution whose covariance is of low rank with a power-law spectrum, around a common mean, with copies and
near-copies among them: random pairs have a cosine of 0.44, the 10th neighbour one of 0.8, the participation ratio of
the covariance (sum of the eigenvalues, squared, over the sum of their squares) is about 64. Text-like queries lie
across a gap, share 160 axes of the pictures and are mostly noise there: a random cosine of 0.13, 0.25 to the picture
that they are about, and 0.4 to the best ten. Their neighbours are spread over many cells, so that an IVF of 4√n
lists that probes 16 of them finds 0.6 of them, among 100,000 as among a million.

That is the profile `hard`. `clip` is calibrated to what VIBE (Jääsaari et al. 2025, arXiv 2505.17810) publishes of a
million pictures of LAION, by CLIP ViT-B/32 and with texts as queries: how recall@100 grows with the lists that a plain
IVF of 512 probes (PUBLISHED), the relative contrast of the 100th neighbour (pictures 2.35, texts 1.22), and the bound
of 0.30 that LAION-400M put on the cosine of a text to its picture. The spectrum falls faster, much of the spread within
a class is rough, and texts are mostly about their picture. Of n vectors the nearest n / 10,000 are looked for, as far
out as the 100th of a million, so that the curve can be compared at any n; at a million, it is that of the 100th itself.
Not met: of a million, texts are easier than published by up to 0.045 at 8 and 16 lists, and pictures need twice the
lists of LAION's for a recall of 0.99; the local intrinsic dimension is higher (pictures 22, published 12; texts 106,
published 66).

Both profiles leave half of the axes empty, which real vectors do not: codes that go by the axes of the vectors gain
more than they would there. `wide` is `clip` with its spread over all axes but the gap, most of which are alike, so that
they gain the least.

Vectors are made block by block: a block depends on the seed and its number only, whatever the count, so that ten
million never lie in memory. They are the same on every machine up to the rounding of its BLAS.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import recorder

Float16 = npt.NDArray[np.float16]
Float32 = npt.NDArray[np.float32]

DIM = 512
#: Rows of a block.
ROWS = 65_536
CLASSES = 20_000
SUPERCLASSES = 300
#: Axes along which pictures of one class differ, and how many of them text queries use.
RANK = 256
TEXT_AXES = 160
#: Zipf's exponent, and the rank that the most frequent class would have, so that it stays below a per cent.
ZIPF = 1.0
ZIPF_SHIFT = 20.0
#: Eigenvalues fall as (i + SPECTRUM) to the power of -DECAY, the profile's.
SPECTRUM = 4.0
#: Shares of rows that are copies of another one of their block, and near-copies (cosine 0.99).
COPIES = 0.005
NEAR_COPIES = 0.015


@dataclass(frozen=True, slots=True)
class Profile:
    """Parameters of one kind of vectors.

    ``mean`` is the share of the squared length that all pictures have in common; of the remainder, ``superclass`` and
    ``by_class`` are the shares of the classes. The rest lies within a class, ``rough`` of it evenly over the axes.

    A text-like query has coefficients of the mean and of its content. Its picture explains ``text_about`` of that;
    the rest is noise, with the standard deviations of the pictures to the power of ``text_noise`` (0: all the same).

    Pictures differ along ``axes`` of the dimensions (half of them at most, if they are no more than RANK).
    """

    mean: float
    superclass: float
    by_class: float
    decay: float
    rough: float
    text_content: float
    text_about: float
    text_noise: float
    text_mean: float = 0.2
    axes: int = RANK


PROFILES = {
    "hard": Profile(0.44, 0.28, 0.35, 1.0, 0.0, 0.7, 0.25, 1.0),
    "clip": Profile(0.44, 0.27, 0.33, 2.0, 0.7, 0.42, 0.7, 0.4),
    "wide": Profile(0.44, 0.27, 0.33, 2.0, 0.7, 0.42, 0.7, 0.4, axes=DIM - 2),
}
Name = Literal["hard", "clip", "wide"]
#: Lists that a plain IVF of 512 probes, and its recall@100 in VIBE (laion-clip-id-512 and laion-clip-512).
PROBES = (1, 2, 4, 8, 16, 32, 64)
PUBLISHED = {
    "pictures": (0.573, 0.724, 0.838, 0.918, 0.968, 0.990, 0.998),
    "texts": (0.364, 0.512, 0.643, 0.761, 0.855, 0.928, 0.977),
}
_LISTS = 512
#: The least and the most of each property that `--check` prints, in their order.
BOUNDS: dict[str, tuple[tuple[float, float], ...]] = {
    "hard": (
        (0.40, 0.48), (0.06, 0.10), (50, 78), (0.70, 0.86), (0.10, 0.16), (0.20, 0.30), (0.30, 0.45),
        (0.80, 1.0), (0.40, 0.80),
    ),
    "clip": (
        (0.40, 0.50), (0.10, 0.16), (16, 27), (0.74, 0.84), (0.10, 0.16), (0.30, 0.34), (0.25, 0.34),
        (0.80, 1.0), (0.60, 0.90),
    ),
    "wide": (
        (0.40, 0.50), (0.06, 0.16), (16, 60), (0.6, 0.84), (0.10, 0.16), (0.20, 0.34), (0.20, 0.34),
        (0.80, 1.0), (0.40, 0.90),
    ),
}  # fmt: skip

_MODEL, _IMAGES, _HELD_OUT, _TEXTS = range(4)  # Streams of random numbers of one seed.


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """``chances`` (classes,) cumulative; ``centres`` (classes, dim), the mean included; ``within`` (rank, dim).

    ``mean`` (dim,) and ``gap`` (dim,) are unit vectors, ``axes`` (rank, dim) orthonormal, ``widths`` (rank,) the
    square roots of the eigenvalues, which add up to 1, and ``text_axes`` the numbers of the axes that text queries use.
    """

    chances: npt.NDArray[np.float64]
    centres: Float32
    within: Float32
    mean: Float32
    gap: Float32
    axes: Float32
    widths: Float32
    text_axes: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """Rows that are near-copies of others: their ``numbers`` (m,), the rows ``originals`` (m, dim) of which they are
    copies, and the ``cosines`` (m,) of the two."""

    numbers: npt.NDArray[np.int64]
    originals: Float32
    cosines: Float32

    def put(self, matrix: Float32, first: int, rng: np.random.Generator) -> None:
        """Replace rows of ``matrix``, whose row numbers begin with ``first``, by copies."""
        here = np.flatnonzero((self.numbers >= first) & (self.numbers < first + len(matrix)))
        originals, cosines = self.originals[here], self.cosines[here, np.newaxis]
        noise = rng.standard_normal(originals.shape, dtype=np.float32)
        noise = _unit(noise - np.einsum("ij,ij->i", noise, originals)[:, np.newaxis] * originals)
        matrix[self.numbers[here] - first] = cosines * originals + np.sqrt(1 - cosines**2) * noise


@lru_cache(maxsize=4)
def mixture(dim: int = DIM, seed: int = 0, profile: Name = "hard") -> Mixture:
    form = PROFILES[profile]
    rng = np.random.default_rng([seed, _MODEL])
    rank = min(form.axes, dim // 2 if form.axes <= RANK else dim - 2)
    basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0].T.astype(np.float32)
    axes, mean, gap = basis[:rank], basis[rank], basis[rank + 1]
    eigenvalues = (np.arange(rank) + SPECTRUM) ** -form.decay
    widths = np.sqrt(eigenvalues / eigenvalues.sum()).astype(np.float32)
    spread = widths[:, np.newaxis] * axes * np.float32(np.sqrt(1 - form.mean))
    upper = rng.standard_normal((SUPERCLASSES, rank), dtype=np.float32)
    weights = zipf(SUPERCLASSES)
    parents = rng.choice(SUPERCLASSES, CLASSES, p=weights / weights.sum())
    lower = rng.standard_normal((CLASSES, rank), dtype=np.float32)
    latent = np.float32(np.sqrt(form.superclass)) * upper[parents] + np.float32(np.sqrt(form.by_class)) * lower
    centres = latent @ spread + np.float32(np.sqrt(form.mean)) * mean
    within = np.float32(np.sqrt(1 - form.superclass - form.by_class)) * spread
    if form.rough:
        rough = np.sqrt((1 - form.rough) * widths**2 + np.float32(form.rough / rank))
        within *= (rough / widths)[:, np.newaxis]
    chances = np.cumsum(zipf(CLASSES))
    text_axes = np.sort(rng.choice(rank, min(TEXT_AXES, rank * 5 // 8), replace=False))
    return Mixture(chances / chances[-1], centres, within, mean, gap, axes, widths, text_axes)


def zipf(count: int) -> npt.NDArray[np.float64]:
    """Frequencies of ranks 0 to ``count`` - 1, not yet adding up to 1."""
    return np.asarray((np.arange(count) + ZIPF_SHIFT) ** -ZIPF, np.float64)


def blocks(count: int, dim: int = DIM, seed: int = 0, rows: int = ROWS, profile: Name = "hard") -> Iterator[Float16]:
    """``count`` unit rows, in float16, as blocks (rows, dim); the last one may be shorter.

    A larger ``count`` begins with the same rows. Other ``rows`` make other vectors.
    """
    for number, start in enumerate(range(0, count, rows)):
        # Drawn whole and then cut, so that it is the same for every count.
        yield block(number, dim, seed, rows, profile)[: count - start]


def rows(
    start: int,
    stop: int,
    dim: int = DIM,
    seed: int = 0,
    profile: Name = "hard",
    copies: Copies | None = None,
) -> Iterator[Float16]:
    """The rows from ``start`` to before ``stop`` of :func:`blocks`, as arrays of at most a block; ``copies`` are as of
    :func:`block`."""
    for number in range(start // ROWS, -(-stop // ROWS)):
        first = number * ROWS
        yield block(number, dim, seed, profile=profile, copies=copies)[max(0, start - first) : stop - first]


def block(
    number: int,
    dim: int = DIM,
    seed: int = 0,
    rows: int = ROWS,
    profile: Name = "hard",
    copies: Copies | None = None,
) -> Float16:
    """(rows, dim) float16: the block of this number, from 0.

    Its copies and near-copies are random ones of its rows, or those of ``copies`` and no others.
    """
    rng = np.random.default_rng([seed, _IMAGES, number])
    matrix = _draw(mixture(dim, seed, profile), rng, rows)
    if copies is not None:
        matrix = _unit(matrix)
        copies.put(matrix, number * rows, rng)
        return matrix.astype(np.float16)
    exact, near = int(rows * COPIES), int(rows * NEAR_COPIES)
    positions = rng.permutation(rows)[: 2 * (exact + near)]
    copied, originals = positions[: exact + near], positions[exact + near :]
    matrix[copied] = matrix[originals]
    noise = rng.standard_normal((near, dim), dtype=np.float32) * np.float32(0.14 / np.sqrt(dim))
    matrix[copied[exact:]] += noise
    return _unit(matrix).astype(np.float16)


def copies_of(
    numbers: npt.NDArray[np.int64],
    originals: npt.NDArray[np.int64],
    cosines: Float32,
    dim: int = DIM,
    seed: int = 0,
    profile: Name = "hard",
) -> Copies:
    """The rows ``numbers`` (m,) as copies of the rows ``originals`` (m,), wherever these are; all blocks with some of
    them are drawn. No original may be a copy."""
    matrix = np.empty((len(numbers), dim), np.float32)
    for number in np.unique(originals // ROWS).tolist():
        here = originals // ROWS == number
        rows = _draw(mixture(dim, seed, profile), np.random.default_rng([seed, _IMAGES, number]), ROWS)
        matrix[here] = _unit(rows[originals[here] - number * ROWS])
    return Copies(numbers, matrix, cosines)


def draws(rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
    """(n,) numbers evenly spread over [0, 1), one for each row number, for benchmarks to filter by.

    Multiples of the golden ratio (Weyl 1916), so that a share s of any run of rows lies below s.
    """
    scrambled = np.asarray(rows, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (scrambled >> np.uint64(11)).astype(np.float64) / 2.0**53


def image_queries(n: int, dim: int = DIM, seed: int = 0, profile: Name = "hard") -> Float32:
    """(n, dim) float32 unit rows, drawn like the pictures, but not among them."""
    return _unit(_draw(mixture(dim, seed, profile), np.random.default_rng([seed, _HELD_OUT]), n))


def text_queries(
    n: int, dim: int = DIM, seed: int = 0, profile: Name = "hard"
) -> tuple[Float32, npt.NDArray[np.int64]]:
    """(n, dim) float32 unit rows, and for each the row number (below ROWS) of the picture that it is about."""
    form, model, rng = PROFILES[profile], mixture(dim, seed, profile), np.random.default_rng([seed, _TEXTS])
    targets = rng.integers(0, ROWS, n)
    axes, widths = model.axes[model.text_axes], model.widths[model.text_axes]
    pictures = _unit(block(0, dim, seed, profile=profile)[targets].astype(np.float32) @ axes.T)
    noise = _unit(rng.standard_normal((n, len(axes)), dtype=np.float32) * widths**form.text_noise)
    about = form.text_about
    content = _unit(np.float32(about) * pictures + np.float32(np.sqrt(1 - about**2)) * noise) @ axes
    across = np.sqrt(1 - form.text_mean**2 - form.text_content**2)
    queries = form.text_mean * model.mean + form.text_content * content + across * model.gap
    return _unit(queries.astype(np.float32)), targets


def write_npy(path: Path, count: int, dim: int = DIM, seed: int = 0, profile: Name = "hard") -> None:
    """The vectors as a float16 ``.npy`` file, a block in memory at a time."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(count, dim))
    start = 0
    for part in blocks(count, dim, seed, profile=profile):
        out[start : start + len(part)] = part
        start += len(part)
    out.flush()


def _draw(model: Mixture, rng: np.random.Generator, n: int) -> Float32:
    """(n, dim) float32, not yet of length 1."""
    classes = np.minimum(np.searchsorted(model.chances, rng.random(n)), len(model.chances) - 1)
    rows: Float32 = rng.standard_normal((n, len(model.within)), dtype=np.float32) @ model.within
    rows += model.centres[classes]
    return rows


def _unit(rows: Float32) -> Float32:
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, np.newaxis]
    unit: Float32 = rows / norms
    return unit


def check(count: int, dim: int, seed: int, profile: Name = "hard", query_count: int = 300) -> list[str]:
    """Print the properties of the first ``count`` vectors; return those outside their bounds."""
    import faiss

    images = image_queries(query_count, dim, seed, profile)
    texts, about = text_queries(query_count, dim, seed, profile)
    queries = np.concatenate([images, texts])
    lists = int(4 * count**0.5)
    quantizer = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, dim, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
    )
    index.cp.niter, index.cp.max_points_per_centroid = 8, 30
    heap = faiss.ResultHeap(len(queries), max(10, count // 10_000), keep_max=True)
    drawing_s, start_time = 0.0, time.perf_counter()
    sample = np.concatenate([b.astype(np.float32) for b in blocks(min(count, 2 * ROWS), dim, seed, profile=profile)])
    index.train(sample)
    centres = train_lists(sample) if profile == "clip" else np.empty((1, dim), np.float32)
    lists, total = np.empty(0, np.int64), np.zeros(dim)
    for at in range(0, count, ROWS):
        block_start = time.perf_counter()
        part = block(at // ROWS, dim, seed, profile=profile)[: count - at]
        drawing_s += time.perf_counter() - block_start
        rows = part.astype(np.float32)
        index.add(rows)
        cosines, nearest = faiss.knn(queries, rows, heap.k, metric=faiss.METRIC_INNER_PRODUCT)
        heap.add_result(cosines, at + nearest)
        lists = np.concatenate([lists, (rows @ centres.T).argmax(1)])
        total += rows.sum(axis=0)
    heap.finalize()
    rate = count / drawing_s
    print(f"{count:,} x {dim}, seed {seed}, {profile}: {rate / 1e3:.0f} thousand rows a second made; ", end="")
    recorder.put(count=count, dim=dim, seed=seed, profile=profile, rows_per_s=rate)
    print(f"{time.perf_counter() - start_time:.0f} s in all, imbalance {index.invlists.imbalance_factor():.2f}")
    centred = np.linalg.eigvalsh(np.cov(sample[: 50 * dim].T))
    pairs = sample[:2000] @ sample[2000:4000].T
    across = texts @ sample[:20_000].T
    index.nprobe = 16
    _, ids = index.search(queries, 10)
    recalls = [len(np.intersect1d(a, b)) / 10 for a, b in zip(ids, heap.I[:, :10], strict=True)]
    values = {
        "cosine of random pictures": pairs.mean(),
        "its standard deviation": pairs.std(),
        "participation ratio": centred.sum() ** 2 / (centred**2).sum(),
        "cosine of a picture to its 10th": heap.D[:query_count, 9].mean(),
        "cosine of a text to a random picture": across.mean(),
        "cosine of a text to its picture": (texts * sample[about]).sum(1).mean(),
        "cosine of a text to its 10th": heap.D[query_count:, 9].mean(),
        "recall@10 of pictures, nprobe 16": np.mean(recalls[:query_count]),
        "recall@10 of texts, nprobe 16": np.mean(recalls[query_count:]),
    }
    figures = {name: (value, *BOUNDS[profile][n]) for n, (name, value) in enumerate(values.items())}
    if profile == "clip":
        k = max(1, count // 10_000)
        contrasts = (1 - queries @ total / count) / (1 - heap.D[:, k - 1])
        ranks = np.argsort(np.argsort(-(queries @ centres.T), axis=1), axis=1)
        reached = np.take_along_axis(ranks, lists[heap.I[:, :k]], 1)
        figures |= calibration("pictures", contrasts[:query_count], reached[:query_count], (2.2, 2.8), 0.08)
        figures |= calibration("texts", contrasts[query_count:], reached[query_count:], (1.18, 1.26), 0.04)
    for name, (value, _, _) in figures.items():
        print(f"  {name:38} {value:7.3f}")
        recorder.add_row("properties", property=name, value=value)
    return [f"{name}: {v:.3f}" for name, (v, least, most) in figures.items() if not least <= v < most]


def train_lists(sample: Float32) -> Float32:
    """Centres of lists (512, dim), by plain k-means that assigns rows by products, as VIBE does."""
    import faiss

    clustering = faiss.Clustering(sample.shape[1], _LISTS)
    clustering.niter, clustering.max_points_per_centroid = 8, 40
    clustering.train(sample, faiss.IndexFlatIP(sample.shape[1]))
    centres: Float32 = faiss.vector_to_array(clustering.centroids).reshape(_LISTS, -1)
    return centres


def calibration(
    name: str,
    contrasts: npt.NDArray[np.float64],
    ranks: npt.NDArray[np.int64],
    contrast: tuple[float, float],
    most_off: float,
) -> dict[str, tuple[float, float, float]]:
    """Figures to compare with those published for LAION-CLIP, each with its least and greatest allowed value.

    ``contrasts`` (q,) are those of queries, ``ranks`` (q, k) of the lists that hold their neighbours, by nearness.
    """
    figures = {f"contrast of {name}": (float(np.median(contrasts)), *contrast)}
    for probe, published in zip(PROBES, PUBLISHED[name], strict=True):
        recall = float((ranks < probe).mean())
        figures[f"recall of {name}, {probe} of 512 lists"] = (recall, published - most_off, published + most_off)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--npy", type=Path)
    parser.add_argument("--count", type=int, default=100_000, help="at least 65,536 to check")
    parser.add_argument("--dim", type=int, default=DIM)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", choices=PROFILES, default="hard")
    options = parser.parse_args()
    if options.npy:
        write_npy(options.npy, options.count, options.dim, options.seed, options.profile)
    faults = check(options.count, options.dim, options.seed, options.profile) if options.check else []
    print("\n".join(f"not as it should be: {fault}" for fault in faults), end="\n" if faults else "")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(recorder.run(main))
