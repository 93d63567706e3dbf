"""Sources: removed with all that is theirs, joined to larger ones under the same ids, moved as a whole."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import imseek
from imseek.data import layout
from imseek.data.catalog import sources
from imseek.data.catalog.changeset import Changeset, FailedFile, NewImage
from imseek.data.reader import Reader
from imseek.data.shards.shard_files import row_of
from imseek.data.user_files.file_stat import FileStat
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.errors import SourceNotFoundError, UsageError
from imseek.types.pictures import ImageFacts

STAT = FileStat(10, 1, 2, 3, 4)


def image(number: int, source_id: int = 1) -> NewImage:
    content_hash = hashlib.sha256(str(number).encode()).digest()
    facts = ImageFacts(width=1, height=1, format="PNG", mode="RGB")
    vector = np.eye(64, dtype=np.float16)[number]
    return NewImage(source_id, b"%d.png" % number, STAT, content_hash, row_of(facts, content_hash, 9), {0: vector})


@pytest.fixture
def root(collection: imseek.Collection) -> Path:
    """Sources 1 (/a/inner) and 2 (/b) with images 0 to 3; image 0 was displaced by 4 when a run died."""
    with Writer(collection.path, "test") as writer:
        sources.add(writer, "folder", b"/a/inner")
        sources.add(writer, "folder", b"/b")
        commit(writer, Changeset(new=[image(0), image(1), image(2, 2), image(3, 2)]))
        commit(writer, Changeset(new=[replace(image(4), path=b"0.png", replaces=0)]))
        commit(writer, Changeset(failed=[FailedFile(1, b"x.png", STAT, "corrupt", "")]))
        assert [i for i, *_ in writer.catalog.missing_images()] == [0]
    return collection.path


def alive(root: Path) -> list[int]:
    reader = Reader(root)
    found: list[int] = []
    for shard in reader.current.shards:
        found += np.delete(np.array(reader.shard_ids(shard)), reader.dead_rows(shard)).tolist()
    return sorted(found)


def places(root: Path) -> dict[int, bytes]:
    return {i: place.path for i, place in Reader(root).places(range(10)).items()}


def test_all_images_of_a_source_go_with_it(root: Path) -> None:
    """The homeless one too: nobody would look for it any more."""
    with Writer(root, "test") as writer:
        assert sources.remove(writer, 1) == 3
        assert writer.catalog.missing_images() == []
        assert [source.source_id for source in writer.catalog.sources()] == [2]
    assert alive(root) == [2, 3]
    assert places(root) == {2: b"/b/2.png", 3: b"/b/3.png"}
    assert imseek.maintenance.verify(root).ok
    with closing(sqlite3.connect(root / layout.CATALOG)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM failures").fetchone() == (0,)


def test_a_source_is_moved_as_a_whole(root: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / "2.png").touch()
    with Writer(root, "test") as writer:
        assert sources.relocate(writer, 2, bytes(new)) == 2
        with pytest.raises(UsageError, match="no such path"):
            sources.relocate(writer, 2, b"/nowhere")
        (tmp_path / "file").touch()
        with pytest.raises(UsageError, match="source 2 is a folder"):
            sources.relocate(writer, 2, bytes(tmp_path / "file"))
        (tmp_path / "unrelated").mkdir()
        with pytest.raises(UsageError, match="none of the 2 images"):
            sources.relocate(writer, 2, bytes(tmp_path / "unrelated"))
        (new / "0.png").touch()
        with pytest.raises(UsageError, match="overlaps source 2"):
            sources.relocate(writer, 1, bytes(new))
        with pytest.raises(SourceNotFoundError, match=r"no source 9 .*there are: 1, 2"):
            sources.remove(writer, 9)
    assert places(root)[2] == bytes(new / "2.png")


def test_places_beside_the_collection_are_relative(tmp_path: Path) -> None:
    here = tmp_path / "photos"
    here.mkdir()
    imseek.create(here / ".imseek", encoder="fake", here=True).close()
    with Writer(here / ".imseek", "test") as writer:
        sources.add(writer, "folder", bytes(here))
        sources.add(writer, "folder", b"/elsewhere")
        commit(writer, Changeset(new=[image(0), image(1, 2)]))
    moved = tmp_path / "moved"
    here.rename(moved)
    assert places(moved / ".imseek") == {0: bytes(moved / "0.png"), 1: b"/elsewhere/1.png"}


@pytest.mark.parametrize(
    ("outer", "inner", "contained"),
    [
        (b"/a", b"/a", True),
        (b"/a", b"/a/b", True),
        (b"/a", b"/ab", False),
        (b"/", b"/a", True),
        (b"/a/b", b"/a", False),
        (b"/\xff", b"/\xff/\n", True),
    ],
)
def test_what_lies_inside(outer: bytes, inner: bytes, contained: bool) -> None:
    assert sources.contains(outer, inner) is contained
