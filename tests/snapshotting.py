"""Collections of vectors for tests of approximate indexes: no pictures, rows committed as a writer does it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import imseek
from imseek.data.catalog import sources
from imseek.data.catalog.changeset import Changeset, NewImage
from imseek.data.reader import Reader
from imseek.data.shards.shard_files import row_of
from imseek.data.user_files.file_stat import FileStat
from imseek.data.vectors import Matches, VectorIndex, open_index
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.types.pictures import ImageFacts

Rows = npt.NDArray[np.float32]

STAT = FileStat(10, 1, 2, 3, 4)
DIM = 64  # of the encoder "fake"


def clustered(count: int, seed: int, dim: int = DIM, clusters: int = 40) -> Rows:
    """(count, dim) unit rows around a few centres, which are the same for all seeds."""
    centres = np.random.default_rng(0).standard_normal((clusters, dim))
    rng = np.random.default_rng(seed)
    rows = centres[rng.integers(0, clusters, count)] + 0.6 * rng.standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def new_images(vectors: Rows, tag: str, ids: Sequence[int] | None = None, space: int = 0) -> list[NewImage]:
    """An image for each of ``vectors``; ``tag`` tells those of one call from those of another."""
    made = []
    for n, vector in enumerate(vectors):
        content = hashlib.sha256(f"{tag} {n}".encode()).digest()
        facts = ImageFacts(width=n + 1, height=1, format="PNG", mode="RGB")
        made.append(
            NewImage(
                1,
                f"{tag}-{n}.png".encode(),
                STAT,
                content,
                row_of(facts, content, 10),
                {space: vector.astype(np.float16)},
                image_id=None if ids is None else ids[n],
            )
        )
    return made


def add(root: Path, vectors: Rows, tag: str) -> list[int]:
    """Commit images with these vectors; their ids."""
    before = set(ids_of(root))
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=new_images(vectors, tag)))
    return sorted(set(ids_of(root)) - before)


def remove(root: Path, ids: Sequence[int]) -> None:
    with Writer(root, "test") as writer:
        commit(writer, Changeset(gone=list(ids)))


def suspend(root: Path, ids: Sequence[int]) -> None:
    with Writer(root, "test") as writer:
        commit(writer, Changeset(suspended=list(ids)))


def collection_of(path: Path, *vectors: Rows, encoder: str = "fake", catalog: str | None = None) -> Path:
    """A collection at ``path`` with a commit for each of ``vectors``."""
    imseek.create(path, encoder=encoder, catalog=catalog).close()
    with Writer(path, "test") as writer:
        assert sources.add(writer, "folder", b"/photos").source_id == 1
    for n, rows in enumerate(vectors):
        add(path, rows, f"first {n}")
    return path


def ids_of(root: Path) -> list[int]:
    """Of the live images, ascending."""
    reader = Reader(root)
    found: list[int] = []
    for segment in reader.segments(reader.current.space.space_id):
        found += segment.ids[segment.searchable()].tolist()
    return sorted(found)


def index_of(root: Path, kind: str = "faiss", reader: Reader | None = None, **more: Any) -> VectorIndex:
    """The index of the first space as a search opens it, or (``memory``) the reference."""
    reader = reader or Reader(root)
    space = reader.current.space
    snapshot = reader.snapshot(space.space_id) if kind == "faiss" else None
    return open_index(kind, reader.segments(space.space_id), space.dim, snapshot=snapshot, **more)


def recall(found: Sequence[Matches], wanted: Sequence[Matches]) -> float:
    """The mean share of the wanted ids that were found."""
    shares = [len(np.intersect1d(f.ids, w.ids)) / len(w) for f, w in zip(found, wanted, strict=True) if len(w)]
    return float(np.mean(shares))


def check_scores(found: Sequence[Matches], reference: VectorIndex, queries: Rows) -> None:
    """Fail unless every hit is a live row, in order, with the score to the last bit that the reference gives it."""
    for matches, query in zip(found, queries, strict=True):
        assert len(np.unique(matches.ids)) == len(matches), "an id was found twice"
        (exact,) = reference.search(query[np.newaxis], max(1, len(reference)))
        scores = dict(zip(exact.ids.tolist(), exact.scores.tolist(), strict=True))
        assert set(matches.ids.tolist()) <= scores.keys(), "an image was found that is not live"
        assert [scores[i] for i in matches.ids.tolist()] == matches.scores.tolist()
        ranked = sorted(zip(matches.scores.tolist(), matches.ids.tolist(), strict=True), key=lambda p: (-p[0], p[1]))
        assert [i for _, i in ranked] == matches.ids.tolist(), "not ordered by score, then id"


def same(found: Sequence[Matches], wanted: Sequence[Matches]) -> None:
    """Equal ids, and scores to the last bit."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.scores, other.scores)
