"""Collections of contents that are near each other, and what comparing each with each says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from approximating import snapshot_of
from snapshotting import STAT, clustered, collection_of, remove

from imseek.data.catalog.changeset import Changeset, NewImage
from imseek.data.reader import Reader
from imseek.data.shards.shard_files import row_of
from imseek.data.vectors import IdSet, open_index
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.duplicates import unique_contents
from imseek.duplicates.candidates import pair_candidates
from imseek.duplicates.candidates.pair_candidates import CandidateLimits, Candidates, CandidateSide
from imseek.types.pictures import ImageFacts

Rows = npt.NDArray[np.float32]
Pairs = dict[tuple[int, int], tuple[int, float]]

DEFAULT = CandidateLimits()


def put(root: Path, vectors: Rows, phashes: Sequence[int], names: Sequence[str], at: str = "picture") -> list[int]:
    """Commit images; those of one name have the same bytes."""
    new = []
    for n, (vector, phash, name) in enumerate(zip(vectors, phashes, names, strict=True)):
        content = hashlib.sha256(name.encode()).digest()
        facts = ImageFacts(width=n + 1, height=1, format="PNG", mode="RGB", phash=phash)
        row = row_of(facts, content, 10)
        new.append(NewImage(1, f"{at}-{n}.png".encode(), STAT, content, row, {0: vector.astype(np.float16)}))
    before = set(contents_of(root).ids.tolist()) if any(Reader(root).current.shards) else set()
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=new))
    return sorted(set(contents_of(root).ids.tolist()) - before)


def contents_of(root: Path, allowed: IdSet | None = None) -> unique_contents.UniqueContents:
    return unique_contents.load_contents(Reader(root), allowed)


def made(count: int, seed: int = 0) -> tuple[Rows, list[int], list[str]]:
    """Pictures of which some are near others by their vectors, some by their hashes, some by both."""
    rng = np.random.default_rng(seed)
    vectors = clustered(count, seed)
    near = rng.permutation(count)[: count // 8 * 2].reshape(2, -1)
    noise = 0.3 * rng.random((len(near[0]), 1)) * rng.standard_normal((len(near[0]), vectors.shape[1])) / 8
    vectors[near[0]] = vectors[near[1]] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    phashes = rng.integers(1, 2**64, count, np.uint64).tolist()
    pairs = rng.permutation(count)[: count // 3 // 2 * 2].reshape(2, -1)
    for n, (a, b) in enumerate(zip(*pairs.tolist(), strict=True)):
        flips = rng.choice(64, n % 13, replace=False).tolist()
        phashes[b] = phashes[a] ^ sum(1 << bit for bit in flips)
    return vectors, phashes, [f"{seed} {n}" for n in range(count)]


def side(root: Path, kind: str = "faiss", allowed: IdSet | None = None) -> CandidateSide:
    """``snapshot`` proposes every row that it covers, which are the first two thirds of them by id."""
    reader = Reader(root)
    space = reader.current.space
    segments = reader.segments(space.space_id)
    held = unique_contents.load_contents(reader, allowed)
    if kind == "snapshot":
        upto = int(np.quantile(held.ids, 2 / 3)) if len(held) else 0
        index = open_index("faiss", segments, space.dim, snapshot=snapshot_of(segments, space.dim, upto=upto))
    else:
        index = open_index(kind, segments, space.dim)
    return pair_candidates.side_of(reader, held, space, index)


def by_ids(found: Candidates, one: CandidateSide, other: CandidateSide | None = None) -> Pairs:
    ids = one.contents.ids[found.a].tolist(), (other or one).contents.ids[found.b].tolist()
    facts = zip(found.distance.tolist(), found.cosine.tolist(), strict=True)
    pairs = list(zip(*ids, strict=True))
    assert len(set(pairs)) == len(pairs), "a pair is there twice"
    if other is None:
        assert all(a < b for a, b in pairs)
    return dict(zip(pairs, facts, strict=True))


def by_comparing(one: CandidateSide, other: CandidateSide | None = None, reach: CandidateLimits = DEFAULT) -> Pairs:
    """In float64, each with each."""
    two = other or one
    units, theirs = units_of(one), units_of(two)
    cosines = units @ theirs.T
    a, b = one.contents.phashes[:, np.newaxis], two.contents.phashes[np.newaxis]
    bits = np.unpackbits((a ^ b).view(np.uint8).reshape(*cosines.shape, 8), axis=2)
    apart = np.where((a == 0) | (b == 0), 255, bits.sum(axis=2, dtype=np.int64))
    wanted = (apart <= reach.radius) | (cosines >= reach.cosine)
    wanted &= units.any(axis=1)[:, np.newaxis] & theirs.any(axis=1)
    if other is None:
        wanted = np.triu(wanted, 1)
    i, j = np.nonzero(wanted)
    pairs = zip(one.contents.ids[i].tolist(), two.contents.ids[j].tolist(), strict=True)
    return dict(zip(pairs, zip(apart[i, j].tolist(), cosines[i, j].tolist(), strict=True), strict=True))


def units_of(one: CandidateSide) -> npt.NDArray[np.float64]:
    assert one.index is not None
    rows = {}
    for segment in one.index.segments:
        rows.update(zip(segment.ids.tolist(), segment.rows.astype(np.float64), strict=True))
    stacked = np.array([rows[i] for i in one.contents.ids.tolist()]).reshape(-1, one.index.dim)
    norms = np.linalg.norm(stacked, axis=1, keepdims=True)
    return np.divide(stacked, norms, out=np.zeros_like(stacked), where=norms > 0)


def check(found: Pairs, wanted: Pairs) -> None:
    assert wanted, "nothing to find"
    assert found.keys() == wanted.keys()
    assert [found[pair][0] for pair in wanted] == [wanted[pair][0] for pair in wanted]
    np.testing.assert_allclose([found[pair][1] for pair in wanted], [wanted[pair][1] for pair in wanted], atol=2e-6)


def library_at(root: Path) -> Path:
    """500 contents in two shards; copies, dead ones, some without a hash and some without a vector."""
    collection_of(root)
    vectors, phashes, names = made(300, 1)
    put(root, vectors, phashes, names, "first")
    more, hashes, others = made(200, 2)
    more[:40], hashes[:40] = vectors[:40], phashes[:40]  # Pairs across shards.
    hashes[:10] = [0] * 10
    more[20:24] = 0
    others[100:104] = names[100:104]  # The same bytes as before,
    more[100:104], hashes[100:104] = vectors[100:104], phashes[100:104]
    put(root, more, hashes, others, "second")
    remove(root, [int(contents_of(root).ids[n]) for n in (3, 7, 299)])
    return root
