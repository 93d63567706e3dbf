"""The right to write a collection, for which one waits a while: a folder that is followed is indexed now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from imseek.data.writer import Writer
from imseek.errors import LockedError

#: Seconds to wait for another writer.
PATIENCE: Final = 30.0
_PAUSE: Final = 0.25


@contextmanager
def writing(root: Path, kind: str, patience: float | None = None) -> Iterator[Writer]:
    """A writer, after ``patience`` seconds at most (:data:`PATIENCE`). Raises as :class:`Writer`, LockedError where
    another one goes on for too long."""
    until = time.monotonic() + (PATIENCE if patience is None else patience)
    with ExitStack() as stack:
        while True:
            writer = Writer(root, kind)
            try:
                stack.enter_context(writer)
                break
            except LockedError:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)
        yield writer
