"""Fixtures for what is done to files of duplicates, and pictures whose labels are known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from acting import copies
from labelling import COLOURS, SHADES, paint
from templates import Templates

import imseek


@pytest.fixture
def twins(photos: Path, collection: imseek.Collection) -> list[Path]:
    """A photograph and three copies of it, indexed with seven other photographs."""
    made = copies(photos, photos / "coffee.png", ["a.png", "below/b.png", "album/deep/c.png"])
    collection.index([photos])
    return [photos / "coffee.png", *made]


@pytest.fixture
def trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A trash of our own, on the disk of the pictures."""
    import send2trash.plat_other as linux

    monkeypatch.setattr("send2trash.send2trash", linux.send2trash)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr(linux, "XDG_DATA_HOME", os.fsencode(tmp_path / "share"))
    monkeypatch.setattr(linux, "HOMETRASH_B", os.fsencode(tmp_path / "share" / "Trash"))
    return tmp_path / "share" / "Trash"


@pytest.fixture
def coloured_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four pictures in each of the folders red, green and blue; the cache is the test's own."""
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    for name in COLOURS:
        for n in range(SHADES):
            paint(tmp_path / "pictures", name, n)
    return tmp_path / "pictures"


@pytest.fixture
def coloured(tmp_path: Path, coloured_pictures: Path, templates: Templates) -> Path:
    """A collection of them, by the fake encoder."""
    return templates.indexed(tmp_path / "made", coloured_pictures)
