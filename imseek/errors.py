"""Every error imseek raises on purpose. The command line turns them into messages and exit codes.

    ImseekError
    ├── UsageError                 the request makes no sense as it stands (exit 2)
    │   ├── CollectionNotFoundError
    │   ├── AmbiguousCollectionError
    │   ├── CollectionExistsError
    │   ├── SourceNotFoundError
    │   ├── ImageNotFoundError     no such image_id
    │   ├── AlbumNotFoundError     no such album
    │   ├── JobNotFoundError       no such run
    │   ├── UnknownEncoderError    no such reference; near matches in the hint
    │   ├── QueryError
    │   └── PlanError              a plan of what to do to files that cannot be trusted
    ├── JobError                   a job did not begin, or cannot be asked to stop
    ├── WatchError                 folders cannot be followed
    ├── ExecutorError              workers of a cluster cannot be had, or do not fit the run
    ├── ServerError                a server does not answer, or not as it should
    ├── MissingExtraError          an optional dependency is not installed
    ├── PluginError                a plugin does not load, or is not what it should be
    ├── MediaError                 one picture cannot be used; carries a reason code
    │   └── ContentChangedError    what lies at its place is not what was indexed (HTTP 409)
    ├── EncoderError
    │   ├── EncoderUnavailableError   weights are not here and cannot be fetched
    │   ├── LicenceError              weights are not for any use, and their licence was not accepted
    │   ├── UntrustedWeightsError     wrong checksum, or a file that could run code
    │   └── EncoderMismatchError      a query encoder differs from the collection's
    └── StorageError
        ├── LockedError            another writer is at work (exit 75)
        ├── FormatVersionError     made by a newer imseek
        ├── CorruptCollectionError
        ├── UntrustedCollectionError   somebody else made it, and the user has not said that it is trusted
        ├── UnsafePathError        a path that leads out of the folder it belongs to
        ├── UntrustedJournalError  an undo journal that this user's imseek did not write, and nobody agreed to
        ├── UntrustedServerError   a collection names a database server that the user has not allowed
        ├── BackupError            an archive that is damaged, cut short, or none of ours
        ├── StaleGenerationError   files of this generation are gone: take a new one
        │   └── ExpiredPageError   a page token of a generation that is no longer searched
        └── ReadOnlyError          the medium or the file system must not be written

``exit_code`` is what a command ends with; ``hint`` says what can be done.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Final

#: Hints for a collection without captions, a full disk and too many open files.
CAPTION_SOURCES: Final = (
    "`imseek index` reads captions from tables, text files beside pictures, and pictures (docs/sources.md)"
)
FREE_SPACE: Final = "free some space; what was committed is safe"
MORE_FILES: Final = "too many open files: raise the limit (ulimit -n)"
_OS_HINTS: Final = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EMFILE: MORE_FILES,
    errno.ENFILE: MORE_FILES,
    errno.EIO: "the disk may be failing; what was committed is safe",
    errno.ENOENT: "has it been moved or deleted meanwhile? What was committed is safe",
}


def hint_of_os_error(error: OSError) -> str | None:
    """Suggest what to do about an error of the system; None for remote storage, which has messages of its own."""
    number = error.errno or 0
    return _OS_HINTS.get(number) if error.strerror in (None, os.strerror(number)) else None


def repair_command(root: object) -> str:
    """Return the command that repairs the collection in the folder ``root``, as a shell reads it."""
    import shlex

    return f"imseek collection repair {shlex.quote(str(root))}"


def did_you_mean(name: str, choices: Iterable[str], otherwise: str = "there are") -> str:
    """Return a hint for an unknown name: similar names, or else ``otherwise`` and the known names."""
    import difflib

    names = list(choices)
    by_lower = {one.lower(): one for one in reversed(names)}
    near = [by_lower[one] for one in difflib.get_close_matches(name.lower(), by_lower, n=3)]
    return f"did you mean {' or '.join(near)}?" if near else f"{otherwise}: {', '.join(names[:40])}"


class ImseekError(Exception):
    """Base class of all errors. ``hint`` says what the user can do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(ImseekError):
    exit_code = 2


class CollectionNotFoundError(UsageError): ...


class AmbiguousCollectionError(UsageError): ...


class CollectionExistsError(UsageError): ...


class SourceNotFoundError(UsageError): ...


class ImageNotFoundError(UsageError): ...


class AlbumNotFoundError(UsageError): ...


class JobNotFoundError(UsageError): ...


class UnknownEncoderError(UsageError): ...


class QueryError(UsageError): ...


class PlanError(UsageError): ...


class JobError(ImseekError): ...


class WatchError(ImseekError): ...


class ExecutorError(ImseekError): ...


class ServerError(ImseekError): ...


class PluginError(ImseekError): ...


class MissingExtraError(ImseekError):
    """A dependency is missing; the message names the extra to install, or the base install where ``extra`` is None.

    ``broken`` is the error of one that is installed and cannot be loaded, as without a library of the system.
    """

    def __init__(self, package: str, extra: str | None, broken: ImportError | None = None) -> None:
        install = "pip install " + ("." if extra is None else f"'.[{extra}]'")
        if broken is None:
            super().__init__(f"{package} is not installed", hint=f"in imseek's folder: {install}")
        else:
            reinstall = f"install what it needs, or {package} again: in imseek's folder, {install}"
            super().__init__(f"{package} cannot be loaded: {broken}", hint=reinstall)
        self.package = package
        self.extra = extra


class MediaError(ImseekError):
    """A picture cannot be used. ``reason`` is a stable code of :class:`imseek.types.pictures.SkipReason`."""

    def __init__(self, reason: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


#: Reason of a picture whose content has changed, in addition to those of :class:`imseek.types.pictures.SkipReason`.
CONTENT_CHANGED = "content_changed"


class ContentChangedError(MediaError):
    """The content at an image's place differs from what was indexed."""


class EncoderError(ImseekError): ...


class EncoderUnavailableError(EncoderError): ...


class LicenceError(EncoderError): ...


class UntrustedWeightsError(EncoderError): ...


class EncoderMismatchError(EncoderError): ...


class StorageError(ImseekError): ...


class LockedError(StorageError):
    exit_code = 75


class FormatVersionError(StorageError): ...


class CorruptCollectionError(StorageError): ...


class UntrustedCollectionError(StorageError):
    """An operation other than searching needs a collection that is not trusted. ``root`` is its folder."""

    def __init__(self, message: str, *, root: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.root = root


class UnsafePathError(StorageError): ...


class UntrustedJournalError(StorageError): ...


class UntrustedServerError(StorageError):
    """A collection names a server that the user has not allowed; ``uuid`` and ``url`` identify both."""

    def __init__(self, message: str, *, uuid: str = "", url: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.uuid = uuid
        self.url = url


class BackupError(StorageError): ...


class StaleGenerationError(StorageError): ...


class ExpiredPageError(StaleGenerationError): ...


class ReadOnlyError(StorageError): ...
