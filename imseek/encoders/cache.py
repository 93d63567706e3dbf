"""The user's cache folder. Its content can be deleted at any time and is rebuilt when needed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from imseek.errors import EncoderUnavailableError
from imseek.home import write_atomically

_MANIFEST = "manifest.json"


def cache_dir() -> Path:
    """Return ``$IMSEEK_CACHE``, or the platform's cache folder for imseek. It need not exist yet.

    Raises EncoderUnavailableError for a user without a home folder.
    """
    override = os.environ.get("IMSEEK_CACHE")
    if override:
        return Path(override)
    import platformdirs

    try:
        return Path(platformdirs.user_cache_dir("imseek"))
    except RuntimeError as error:
        raise EncoderUnavailableError(
            "there is no home folder to keep a cache in", hint="set IMSEEK_CACHE to a folder"
        ) from error


def build_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return ``folder``, after having ``make`` fill it if it is missing or incomplete.

    ``make`` receives an empty folder and writes files into it. A folder is incomplete if a file is missing, or differs
    from the manifest in size, or in its bytes while its time has changed as well (queries do not rehash an untouched
    file of 90 MB). The files are synced to disk before their folder is renamed into place, so a kill at any moment
    leaves nothing that looks complete. A lock keeps two processes from building the same folder twice. Raises
    EncoderUnavailableError where the cache cannot be written.
    """
    if is_complete(folder):
        return folder
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not is_complete(folder):  # another process may have made it meanwhile
                _make(folder, make)
    except OSError as error:
        raise EncoderUnavailableError(
            f"cannot fill the cache folder {folder.parent}: {error}",
            hint="set IMSEEK_CACHE to a folder that can be written, on a disk with space",
        ) from error
    return folder


def is_complete(folder: Path) -> bool:
    """Return whether ``folder`` holds the complete output of :func:`build_once`. Builds nothing."""
    try:
        files = json.loads((folder / _MANIFEST).read_bytes())
        return bool(files) and all(_is_unchanged(folder / name, **facts) for name, facts in files.items())
    except (OSError, ValueError, TypeError, AttributeError):  # missing or damaged
        return False


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    """Rebuild ``folder``. The caller holds its lock, so any other unfinished attempt has died."""
    import tempfile  # a query only reads the cache

    for left_over in folder.parent.glob(f"{folder.name}.*.tmp"):
        shutil.rmtree(left_over)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.", suffix=".tmp"))
    try:
        make(unfinished)
        files = {path.name: _describe(path) for path in sorted(unfinished.iterdir())}
        write_atomically(unfinished / _MANIFEST, json.dumps(files, indent=1).encode())
        for name in (*files, _MANIFEST):
            # Temporary files are private, but these are public weights: a container may fill its cache as root and run
            # as another user.
            (unfinished / name).chmod(0o644)
            _sync(unfinished / name)
        unfinished.chmod(0o755)
        _sync(unfinished)
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _is_unchanged(path: Path, *, size: int, mtime_ns: int, sha256: str) -> bool:
    status = path.stat()
    return status.st_size == size and (status.st_mtime_ns == mtime_ns or _sha256(path) == sha256)


def _describe(path: Path) -> dict[str, int | str]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
