"""Entries of a collection's folder that imseek never creates there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imseek.data import layout
from imseek.data.files.collection_files import find_strange_at_top


def test_a_log_that_goes_while_files_are_looked_at_is_not_strange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite deletes it as its last connection closes, perhaps in another process."""
    log = tmp_path / f"{layout.CATALOG}-wal"
    log.touch()
    (tmp_path / layout.CATALOG).mkdir()
    listed = os.scandir

    @contextmanager
    def scandir(path: Path) -> Iterator[list[os.DirEntry[str]]]:
        with listed(path) as entries:
            found = list(entries)
        log.unlink()
        yield found

    monkeypatch.setattr(os, "scandir", scandir)
    assert find_strange_at_top(tmp_path).keys() == {layout.CATALOG}
    assert not log.exists()
