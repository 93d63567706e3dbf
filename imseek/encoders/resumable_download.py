"""Resumable download of a large file from the model hub."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from imseek.errors import EncoderError, EncoderUnavailableError

if TYPE_CHECKING:
    from imseek.encoders.hub import RemoteFile

#: Error numbers of a full disk or an exhausted quota.
DISK_FULL_ERRNOS: Final = (errno.ENOSPC, errno.EDQUOT)

_PIECE: Final = 1 << 20  # bytes


def fetch_blob(folder: Path, repository: str, commit: str, file: RemoteFile, report: Callable[[int], None]) -> None:
    """Download a large file to where the hub client looks it up by its hash, in ``folder``, the repository's cache.

    Resumes an earlier partial download; ``report`` receives the bytes present so far. Raises EncoderError for a file
    that arrived damaged, EncoderUnavailableError where the disk is full, OSError, and the errors of the client's HTTP
    library.
    """
    import hashlib

    from filelock import FileLock
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    sha256 = file.sha256
    assert sha256 is not None
    blob = folder / "blobs" / sha256
    # The client's own lock, so that it does not download the file at the same time.
    lock = folder.parent / ".locks" / folder.name / f"{sha256}.lock"
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if blob.exists():
            return
        unfinished = blob.with_name(f"{sha256}.incomplete")
        with unfinished.open("ab", buffering=0) as stream:
            if stream.tell() > file.size:  # too long to be the beginning of this file
                stream.truncate(0)
                stream.seek(0)
            if shutil.disk_usage(blob.parent).free < file.size - stream.tell():
                raise disk_full_error(file.name, file.size)
            http_get(
                hf_hub_url(repository, file.name, revision=commit),
                _ProgressFile(stream, report),
                resume_size=stream.tell(),
                headers=build_hf_headers(),
                expected_size=file.size,
            )
            os.fsync(stream.fileno())
        with unfinished.open("rb") as complete:
            digest = hashlib.file_digest(complete, "sha256").hexdigest()
        if digest != sha256:
            unfinished.unlink()
            raise EncoderError(
                f"{file.name} of {repository} arrived damaged: its sha256 is {digest[:12]}…, not {sha256[:12]}…",
                hint="it was removed; the same command fetches it again",
            )
        unfinished.replace(blob)


class _ProgressFile:
    """A file wrapper that reports its size after each write by the hub client."""

    def __init__(self, file: BinaryIO | Any, report: Callable[[int], None]) -> None:
        self._file = file
        self._report = report
        report(file.tell())

    def write(self, data: bytes) -> int:
        remaining = memoryview(data)
        while remaining:  # an unbuffered file may write only a part as the disk fills up
            remaining = remaining[self._file.write(remaining) :]
        self._report(self._file.tell())
        return len(data)

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int) -> int:
        return int(self._file.seek(offset))

    def truncate(self) -> int:
        return int(self._file.truncate())


@contextlib.contextmanager
def client_settings() -> Iterator[None]:
    """Silence the client's progress bars and set its chunks to 1 MB.

    The command line draws its own bars. A lost connection loses the last chunk, and the client's own are ten times as
    large.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    piece, silent = constants.DOWNLOAD_CHUNK_SIZE, are_progress_bars_disabled()
    constants.DOWNLOAD_CHUNK_SIZE = _PIECE
    if not silent:
        disable_progress_bars()
    try:
        yield
    finally:
        constants.DOWNLOAD_CHUNK_SIZE = piece
        if not silent:
            enable_progress_bars()


def disk_full_error(name: str, size: int) -> EncoderUnavailableError:
    """Return the error for a full disk while downloading the file ``name`` of ``size`` bytes."""
    from huggingface_hub import constants

    return EncoderUnavailableError(
        f"the disk is full: {name} takes {size / 1e6:.0f} MB in {constants.HF_HUB_CACHE}",
        hint="free some space, or set HF_HUB_CACHE to a folder on another disk; what has come is kept",
    )
