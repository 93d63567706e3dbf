"""One commit over many places: each gets what is its own, in as many statements as two places take."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from databases import BOTH_CATALOGS

import imseek
from imseek.data.catalog import sources
from imseek.data.catalog.changeset import Changeset, FailedFile, NewImage, Placement
from imseek.data.collection_records import FOREVER
from imseek.data.shards.shard_files import row_of
from imseek.data.user_files.file_stat import FileStat
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.types.pictures import ImageFacts

pytestmark = BOTH_CATALOGS

COUNT = 60


def stat(number: int) -> FileStat:
    return FileStat(number, number + 1, number + 2, number + 3, number + 4)


def path(number: int) -> bytes:
    return b"%d.png" % number


def image(number: int) -> NewImage:
    content_hash = hashlib.sha256(str(number).encode()).digest()
    facts = ImageFacts(width=1, height=1, format="PNG", mode="RGB")
    vector = np.full(64, 0.125, np.float16)
    return NewImage(1, path(number), stat(0), content_hash, row_of(facts, content_hash, 9), {0: vector})


def changes(count: int) -> list[Changeset]:
    """Of images 0 to ``count`` and as many failures: all read again, half replaced, half come back, all sorted out."""
    half = range(count // 2)
    back = range(count // 2, count)
    return [
        Changeset(checked=[Placement(n, 1, path(n), stat(100 + n)) for n in range(count)]),
        Changeset(new=[replace(image(1000 + n), path=path(n), replaces=n) for n in half]),
        Changeset(new=[replace(image(n), stat=stat(500 + n), image_id=n) for n in back]),
        Changeset(cleared=[(1, b"f%d" % n) for n in range(count)]),
    ]


def statements(writer: Writer, batch: Changeset) -> int:
    asked: list[str] = []

    with writer.catalog.transaction() as connection:
        kind = type(connection)

    def noted(method: Callable[..., Any]) -> Callable[..., Any]:
        def note(connection: Any, query: str, values: Any = (), /) -> Any:
            asked.append(query)
            return method(connection, query, values)

        return note

    with pytest.MonkeyPatch.context() as patch:
        for name in ("execute", "executemany"):
            patch.setattr(kind, name, noted(getattr(kind, name)))
        commit(writer, batch)
    return len(asked)


@pytest.fixture
def root(collection: imseek.Collection) -> Path:
    with Writer(collection.path, "test") as writer:
        sources.add(writer, "folder", b"/photos")
        commit(writer, Changeset(new=[image(n) for n in range(COUNT + 1)]))
        failures = [FailedFile(1, b"f%d" % n, stat(n), "corrupt", str(n)) for n in range(COUNT + 1)]
        commit(writer, Changeset(failed=failures))
    return collection.path


def test_each_place_gets_its_own_stat_and_no_other_is_touched(root: Path) -> None:
    with Writer(root, "test") as writer:
        checked, replaced, back, cleared = changes(COUNT)
        commit(writer, checked)
        known = writer.catalog.known_places(1)
        assert {p: k.stat for p, k in known.items()} == {
            **{path(n): stat(100 + n) for n in range(COUNT)},
            path(COUNT): stat(0),
        }
        commit(writer, replaced)
        commit(writer, back)
        known = writer.catalog.known_places(1)
        assert {p: (k.image_id, k.stat) for p, k in known.items()} == {
            **{path(n): (COUNT + 1 + n, stat(0)) for n in range(COUNT // 2)},
            **{path(n): (n, stat(500 + n)) for n in range(COUNT // 2, COUNT)},
            path(COUNT): (COUNT, stat(0)),
        }
        with writer.catalog.transaction() as connection:
            query = "SELECT shard_id, image_id FROM images WHERE died = ?"
            rows = connection.execute(query, (FOREVER,)).fetchall()
        in_shard = {shard: {image_id for one, image_id in rows if one == shard} for shard, _ in rows}
        assert in_shard[max(in_shard)] == set(range(COUNT // 2, COUNT))  # those that came back
        commit(writer, cleared)
        assert set(writer.catalog.known_failures(1)) == {b"f%d" % COUNT}


def test_many_places_take_no_more_statements_than_two(root: Path) -> None:
    with Writer(root, "test") as writer:
        few = [statements(writer, batch) for batch in changes(2)]
    with Writer(root, "test") as writer:
        many = [statements(writer, batch) for batch in changes(COUNT)]
    assert many == few
