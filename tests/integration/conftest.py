"""Fixtures for what is done to files of duplicates."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from acting import copies

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
