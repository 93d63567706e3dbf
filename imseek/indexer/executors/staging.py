"""Stage rows from workers in a folder or object storage until the run has committed them.

Some stores cannot rename, so a file gets its final name at once. It is valid only if its length and checksum match
those that its writer has reported. Nothing here needs to be durable: lost rows are made again, and the run's own
files are written by :mod:`imseek.data.files.durable_files`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imseek.errors import ImseekError, MissingExtraError, UsageError

Rows = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A staged file: its name, length in bytes and hex SHA-256."""

    name: str
    size: int
    sha256: str


class StagedError(Exception):
    """A staged file is missing or differs from what was written."""


class Staging:
    """Staged files of one run below ``place``, a path or a URL that fsspec can write to. Can be pickled."""

    def __init__(self, place: str, collection: str, run: str) -> None:
        """Open the store of ``place``. Raises UsageError, MissingExtraError."""
        from fsspec.core import url_to_fs

        self.place = place
        protocol = place.partition("://")[0]
        try:
            # Listings are not cached, since other processes write here too.
            self._system, path = url_to_fs(place, use_listings_cache=False)
        except ImportError as error:
            raise MissingExtraError(f"what writes to {protocol}://", _EXTRAS.get(protocol, "remote")) from error
        except ValueError as error:
            raise UsageError(f"cannot stage in {place}: {error}") from error
        self._above = f"{path.rstrip('/')}/{collection}"
        self._path = f"{self._above}/{run}"

    def __reduce__(self) -> tuple[type[Staging], tuple[str, str, str]]:
        _, collection, run = self._path.rsplit("/", 2)
        return Staging, (self.place, collection, run)

    def write(self, name: str, rows: Rows) -> Manifest:
        """Write rows to a new file. Raises OSError, or whatever the store raises."""
        file = io.BytesIO()
        np.save(file, rows, allow_pickle=False)
        data = file.getvalue()
        self._system.makedirs(self._path, exist_ok=True)
        self._system.pipe_file(f"{self._path}/{name}", data)
        return Manifest(name, len(data), hashlib.sha256(data).hexdigest())

    def read(self, manifest: Manifest) -> Rows:
        """Read a staged file and verify its length and checksum. Raises StagedError."""
        try:
            data: bytes = self._system.cat_file(f"{self._path}/{manifest.name}")
        except ImseekError:
            raise
        except Exception as error:  # each store has its own errors
            raise StagedError(f"{type(error).__name__}: {error}") from error
        if len(data) != manifest.size or hashlib.sha256(data).hexdigest() != manifest.sha256:
            raise StagedError(f"{manifest.name} is not what was written ({len(data)} bytes)")
        rows: Any = np.load(io.BytesIO(data), allow_pickle=False)
        return rows  # type: ignore[no-any-return]

    def remove(self, manifest: Manifest) -> None:
        """Remove a file; if that fails, :meth:`clear` removes it later."""
        _quietly(self._system.rm_file, f"{self._path}/{manifest.name}")

    def clear(self) -> None:
        """Remove all staged files of this run, of lost workers, and of earlier runs of the collection.

        Only the writer of the collection may call it: then the earlier runs are dead.
        """
        _quietly(self._system.rm, self._above, recursive=True)


_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


def _quietly(remove: Any, *arguments: Any, **options: Any) -> None:
    with contextlib.suppress(Exception):  # leftovers do no harm, and each store has its own errors
        remove(*arguments, **options)
