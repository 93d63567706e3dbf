"""What is known at and below a path: by the writer and without its lock, neighbours in the alphabet left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import imseek
from imseek.data import image_refs
from imseek.data.catalog import path_lookup, sources
from imseek.data.catalog.changeset import Changeset, FailedFile, NewImage
from imseek.data.shards.shard_files import row_of
from imseek.data.user_files.file_stat import FileStat
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.types.pictures import ImageFacts

STAT = FileStat(10, 1, 2, 3, 4)
#: Around `a/b` in the order of bytes; NUL stands before a member of a container.
PATHS = (
    b"a",
    b"a/b",
    b"a/b-c.png",
    b"a/b.png",
    b"a/b/c.png",
    b"a/b/d/e.png",
    b"a/b0.png",
    b"a/b\0member",
    b"a/\xff",
)
FIRST, SECOND = b"/photos", b"/photos/inner"


def image(number: int, source_id: int, path: bytes) -> NewImage:
    content_hash = number.to_bytes(32, "big")
    facts = ImageFacts(width=1, height=1, format="PNG", mode="RGB")
    vector = np.eye(64, dtype=np.float16)[number % 64]
    return NewImage(source_id, path, STAT, content_hash, row_of(facts, content_hash, 10), {0: vector})


@pytest.fixture
def filled(collection: imseek.Collection) -> Path:
    """All paths in two sources, one inside the other, as images and as failures; the one before them has died."""
    with Writer(collection.path, "test") as writer:
        for root in (b"/photos/gone", FIRST, SECOND):
            sources.add(writer, "folder", root)
        sources.add(writer, "list", b"")
        batch = Changeset()
        for source_id in (1, 2, 3):
            batch.new += [image(20 * source_id + n, source_id, path) for n, path in enumerate(PATHS)]
            batch.failed += [FailedFile(source_id, path, STAT, "corrupt", "") for path in PATHS]
        batch.new.append(image(5, 4, b"/photos/listed.png"))
        commit(writer, batch)
        sources.remove(writer, 1)
    return collection.path


def expected(below: bytes) -> set[bytes]:
    return {path for path in PATHS if path == below or path.startswith((below + b"/", below + b"\0"))}


@pytest.mark.parametrize("below", [b"a", b"a/b", b"a/b/d", b"a/b.png", b"a/c", b"a/b/c.png", b"a/\xff"])
def test_places_and_failures_at_and_below_a_path(filled: Path, below: bytes) -> None:
    with Writer(filled, "test") as writer:
        assert set(writer.catalog.known_places(2, below=below)) == expected(below)
        assert set(writer.catalog.known_failures(2, below=below)) == expected(below)
        assert set(writer.catalog.known_places(2)) == set(PATHS)
    for root in (FIRST, SECOND):
        path = root + b"/" + below
        files = {root + b"/" + one.partition(b"\0")[0] for one in expected(below)}
        assert set(path_lookup.files_below(filled, path, 100)) == files
        assert path_lookup.paths_with_images(filled, [path]) == ({path} if files else set())


def test_sources_within_a_path(filled: Path) -> None:
    assert [(s.kind, s.root) for s in path_lookup.local_sources(filled)] == [
        ("folder", FIRST),
        ("folder", SECOND),
    ]
    both = {r + b"/" + p.partition(b"\0")[0] for r in (FIRST, SECOND) for p in PATHS}
    assert set(path_lookup.files_below(filled, b"/", 100)) == both
    assert set(path_lookup.files_below(filled, FIRST, 100)) == both
    assert len(path_lookup.files_below(filled, FIRST, 3)) >= 3
    asked = [
        b"/",
        FIRST,
        SECOND,
        b"/photo",
        b"/photos/inn",
        b"/photos/gone",
        b"/photos/gone/a",
        b"/photos/listed.png",
    ]
    assert path_lookup.paths_with_images(filled, asked) == {b"/", FIRST, SECOND}


def test_images_are_found_by_a_url_and_by_a_path_without_a_folder(collection: imseek.Collection) -> None:
    """A list of URLs is a source without a folder, and so is a list of paths here and there."""
    root = collection.path
    with Writer(root, "test") as writer:
        sources.add(writer, "list", b"")
        new = [
            image(0, 1, b"https://example.org/a.png"),
            image(1, 1, b"/photos/b.png"),
            image(2, 1, b"/photos/c.zip"),
        ]
        commit(writer, Changeset(new=new))
    assert image_refs.find_ids(root, [b"https://example.org/a.png", b"/photos/b.png"]) == {
        b"https://example.org/a.png": (0,),
        b"/photos/b.png": (1,),
    }
    assert image_refs.find_ids(root, [b"/photos/../photos/b.png", b"https://example.org/b.png"]) == {
        b"/photos/../photos/b.png": (1,),
        b"https://example.org/b.png": (),
    }
