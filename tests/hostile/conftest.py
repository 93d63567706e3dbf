"""A folder in memory for what hostile files are told about."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def memory_folder() -> Iterator[Path]:
    """An empty folder, in memory where the system has such a file system."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="imseek-hostile-", dir=memory if memory.is_dir() else None))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
