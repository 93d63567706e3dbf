"""Write to streams that others have opened."""

from __future__ import annotations

import errno
import io
import os
from typing import Any


def write_all(out: Any, data: bytes) -> None:
    """Write all of ``data``: raw streams, such as sockets, may accept only part of it. Raises what ``out`` raises."""
    if not isinstance(out, io.RawIOBase):
        out.write(data)
        return
    remaining = memoryview(data)
    while remaining.nbytes:
        if (count := out.write(remaining)) is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        remaining = remaining[count:]
