"""Streams that others have opened."""

from __future__ import annotations

import errno
import io
import os
from typing import Any


def write_all(out: Any, data: bytes) -> None:
    """Raw streams, such as a socket's, may take a part only; what has a buffer takes all. Raises what ``out`` does."""
    if not isinstance(out, io.RawIOBase):
        out.write(data)
        return
    left = memoryview(data)
    while left.nbytes:
        if (taken := out.write(left)) is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        left = left[taken:]
