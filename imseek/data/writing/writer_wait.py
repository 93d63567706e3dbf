"""Open the writer of a collection, waiting up to a timeout for another one, such as that of `imseek watch`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from imseek.data.writing.writer import Writer
from imseek.errors import LockedError

#: Seconds to wait for another writer.
DEFAULT_TIMEOUT: Final = 30.0
_PAUSE: Final = 0.25


@contextmanager
def open_writer(root: Path, kind: str, patience: float | None = None) -> Iterator[Writer]:
    """Open a writer, waiting up to ``patience`` seconds (default :data:`DEFAULT_TIMEOUT`).

    Raises as :class:`Writer`, and LockedError where another writer is active for longer.
    """
    deadline = time.monotonic() + (DEFAULT_TIMEOUT if patience is None else patience)
    with ExitStack() as stack:
        while True:
            writer = Writer(root, kind)
            try:
                stack.enter_context(writer)
                break
            except LockedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
        yield writer
