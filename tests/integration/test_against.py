"""What a collection has of another one: the same bytes, the same picture, with and without an encoder in common."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from templates import Templates

import imseek
from imseek.data.reader import Reader
from imseek.data.vectors import open_index
from imseek.duplicates import cross_collection_pairs, unique_contents
from imseek.duplicates.pixels import classify
from imseek.duplicates.results import DuplicateKind
from imseek.progress import Task
from imseek.search.encoder_loader import shared_spaces

KINDS: tuple[DuplicateKind, ...] = ("exact", "same", "scene")


@pytest.fixture
def other(tmp_path: Path, photos: Path, templates: Templates) -> Iterator[imseek.Collection]:
    """Of the photographs one as it is, twice; one smaller as JPEG; one mirrored; and one that is none of them."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copyfile(photos / "coffee.png", folder / "coffee.png")
    shutil.copyfile(photos / "coffee.png", folder / "coffee2.png")
    with Image.open(photos / "astronaut.png") as picture:
        picture.convert("RGB").resize((300, 300)).save(folder / "astronaut.jpg", quality=70)
    with Image.open(photos / "chelsea.png") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "chelsea.png")
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(noise).resize((320, 240)).save(folder / "noise.png")
    templates.indexed(tmp_path / "other", folder, encoder="builtin")
    with imseek.open(tmp_path / "other") as made:
        yield made


def side(collection: imseek.Collection, *, vectors: bool) -> cross_collection_pairs.OverlapSide:
    reader = Reader(collection.path)
    space = reader.current.image_spaces[0]
    index = open_index("faiss", reader.segments(space.space_id), space.dim)
    held = unique_contents.load_contents(reader)
    return cross_collection_pairs.OverlapSide(
        reader, held, collection.read, space if vectors else None, index if vectors else None
    )


def named(collection: imseek.Collection, image_id: int) -> str:
    return Path(str(collection.get(image_id).place.path.decode())).name  # type: ignore[union-attr]


@pytest.mark.parametrize("vectors", [True, False])
def test_what_the_other_has(tmp_path: Path, photos: Path, other: imseek.Collection, vectors: bool) -> None:
    encoder = "builtin" if vectors else "fake"
    with imseek.create(tmp_path / "mine", encoder=encoder) as mine:
        mine.index([photos])
        one, two = side(mine, vectors=vectors), side(other, vectors=vectors)
        assert bool(shared_spaces(one.reader, two.reader)) == vectors
        found = cross_collection_pairs.find(one, two, KINDS)
        pairs = {(named(mine, pair.a), named(other, pair.b)): pair for pair in found.pairs}
        assert {names: pair.kind for names, pair in pairs.items()} == {
            ("coffee.png", "coffee.png"): "exact",
            ("astronaut.png", "astronaut.jpg"): "same",
            ("chelsea.png", "chelsea.png"): "same",
        }
        mirrored = pairs["chelsea.png", "chelsea.png"]
        assert mirrored.orientation != ""
        assert (pairs["astronaut.png", "astronaut.jpg"].cosine is not None) == vectors
        assert (cross_collection_pairs.NO_VECTORS in found.notes) == (not vectors)
        assert not found.interrupted
        assert [pair.kind for pair in cross_collection_pairs.find(one, two, ("exact",)).pairs] == ["exact"]


def test_stopped_and_gone_on(tmp_path: Path, photos: Path, other: imseek.Collection) -> None:
    with imseek.create(tmp_path / "mine", encoder="builtin") as mine:
        mine.index([photos])
        one, two = side(mine, vectors=True), side(other, vectors=True)
        stop = threading.Event()
        stop.set()
        first = cross_collection_pairs.find(one, two, KINDS, task=Task(stop=stop))
        assert first.interrupted
        assert [pair.kind for pair in first.pairs] == ["exact"], "what holds without looking is told"
        assert len(cross_collection_pairs.find(one, two, KINDS).pairs) == 3


def test_the_space_in_common(tmp_path: Path, photos: Path, other: imseek.Collection) -> None:
    """Of several it is the first of the one's that the other has too."""
    with imseek.create(tmp_path / "two", encoder="builtin") as mine:
        mine.index([photos / "coffee.png"])
        one, two = Reader(mine.path), Reader(other.path)
        (space,) = one.current.image_spaces
        strange = replace(space, space_id=7, fingerprint="x")
        one.current = replace(one.current, spaces=(strange, space))
        assert shared_spaces(one, two) == [(space, two.current.image_spaces[0])]
        two.current = replace(two.current, spaces=(strange,))
        assert shared_spaces(one, two) == [(strange, strange)]


def test_equal_contents() -> None:
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 256, (50, 32), np.uint8)
    twin = hashes[3].copy()
    twin[31] ^= 1  # The same first bytes, which alone say nothing.
    one = np.concatenate([hashes[:30], twin[None]])
    two = np.concatenate([hashes[40:], hashes[5:2:-1]])
    a, b = cross_collection_pairs.match_hashes(one, two)
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == [(3, 12), (4, 11), (5, 10)]
    nothing = np.empty((0, 32), np.uint8)
    assert [len(side) for side in cross_collection_pairs.match_hashes(nothing, two)] == [0, 0]
    assert [len(side) for side in cross_collection_pairs.match_hashes(one, nothing)] == [0, 0]


def test_a_progress_that_ends(tmp_path: Path, photos: Path, other: imseek.Collection) -> None:
    told: list[tuple[str, int, int | None]] = []
    note: Callable[[imseek.Progress], None] = lambda p: told.append((p.phase, p.done, p.total))  # noqa: E731
    with imseek.create(tmp_path / "mine", encoder="builtin") as mine:
        mine.index([photos])
        cross_collection_pairs.find(
            side(mine, vectors=True), side(other, vectors=True), KINDS, task=Task(note, interval=0)
        )
    phase, done, total = told[-1]
    assert (phase, done) == (classify.PHASE, total)
