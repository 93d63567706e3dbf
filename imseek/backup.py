"""Back up one generation of a collection to an archive while writers run, and restore it.

    >>> import imseek
    >>> imseek.backup.write("photos.imseek", "photos.tar")               # doctest: +SKIP
    >>> imseek.backup.restore("photos.tar", "elsewhere.imseek")          # doctest: +SKIP

An archive is a plain tar: a manifest, then the collection's files, each with its checksum in the manifest
(docs/format.md, Backups). It holds no pictures. An archive is a path, a URL (``s3://…``) or an open binary file.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

from imseek.data.catalog.place_paths import is_url
from imseek.data.files.open_stream_writes import write_all
from imseek.data.files.system_errors import system_error, translate_os_errors
from imseek.errors import UsageError
from imseek.input_file import open_stream
from imseek.progress import ProgressCallback, Task
from imseek.tilde_expansion import expand_user
from imseek.types.backup import BackupInfo, BackupReport, RestoreReport
from imseek.types.collection_arguments import AnyCollection, path_of
from imseek.types.pictures import display_path

if TYPE_CHECKING:
    from imseek.data.archive.manifest import Manifest
    from imseek.data.archive.tar_stream import ArchiveReader, Sink

#: A path, a URL or an open binary file.
Archive: TypeAlias = str | os.PathLike[str] | IO[bytes]

_REPLACE_HINT: Final = "choose another name, or let it be replaced (--force)"


def write(
    collection: AnyCollection,
    archive: Archive,
    *,
    index: bool = True,
    replace: bool = False,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> BackupReport:
    """Write the newest generation of a collection to an archive, while others read and write the collection.

    A file or URL gets its name only once the archive is complete; until then whatever was there stays. The target must
    be new unless ``replace`` is true. Without ``index``, approximate indexes are left out; they can be rebuilt.
    ``progress`` counts images in proportion to the bytes written. Every file is compared with its checksum on the way.

    Raises UsageError, CollectionNotFoundError, CorruptCollectionError if a file of the collection is damaged,
    StaleGenerationError if writers remove files faster than they can be opened, MissingExtraError (URLs),
    InterruptedError if ``stop`` was set, StorageError, and whatever an open file raises.
    """
    from imseek.data.archive import archive_writer

    root, started = path_of(collection), time.monotonic()
    task = Task(progress, stop)
    results: list[tuple[Manifest, int]] = []

    def fill(work: Path, file: Sink) -> None:
        counting_file = _CountingFile(file)
        manifest = archive_writer.write(root, work, counting_file, index=index, task=task)
        results.append((manifest, counting_file.size))

    _write_archive(archive, root, replace, fill)
    manifest, size = results[0]
    return BackupReport(_info(manifest), size, time.monotonic() - started)


def verify(
    archive: Archive,
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> BackupReport:
    """Read a whole archive and compare every file in it with its checksum. Writes nothing.

    Raises BackupError if it is damaged, cut short or not an archive; FormatVersionError; and as :func:`write`.
    """
    from imseek.data.archive import restore

    started = time.monotonic()
    with _open_archive(archive) as (tape, counting_file):
        restore.check(tape, Task(progress, stop))
        return BackupReport(_info(tape.manifest), counting_file.size, time.monotonic() - started)


def restore(
    archive: Archive,
    folder: str | os.PathLike[str],
    *,
    new_identity: bool = False,
    with_undo: bool = False,
    trust: bool = False,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> RestoreReport:
    """Restore a collection from an archive into a new or empty folder, completely or not at all.

    Every file is compared with its checksum before the folder gets its name. The result is the collection that was
    backed up, with its uuid; ``new_identity`` gives it a uuid of its own, so that both can exist side by side. Journals
    of files that were put away are left out unless ``with_undo`` is true. That excludes ``new_identity``, because only
    one collection may bring the files back. Pass ``trust`` if you know who made the archive; otherwise the collection
    can be searched but not written to until :func:`imseek.maintenance.trust`.

    Raises CollectionExistsError if the folder is not empty, BackupError, FormatVersionError, UsageError,
    MissingExtraError (URLs), InterruptedError if ``stop`` was set, and StorageError if the disk is full.
    """
    from imseek.data import trust as trusting
    from imseek.data.archive import restore

    if new_identity and with_undo:
        raise UsageError(
            "a copy cannot take the undo journals: only one collection may restore the files",
            hint="use either --copy or --with-undo",
        )
    started = time.monotonic()
    root = restore.check_free(expand_user(folder).absolute())
    with _open_archive(archive) as (tape, _):
        task = Task(progress, stop)
        trusting.create_records()
        trusting.distrust(root)  # Forget an earlier collection here, perhaps with the same uuid.
        current = restore.restore(tape, root, new_identity=new_identity, with_undo=with_undo, task=task)
        if trust:
            trusting.trust(root)
        left_out = 0 if with_undo else tape.manifest.journals
        return RestoreReport(
            _info(tape.manifest), root, current.uuid, time.monotonic() - started, journals_left_out=left_out
        )


def _write_archive(archive: Archive, root: Path, replace: bool, fill: Callable[[Path, Sink], None]) -> None:
    """Open the target of an archive of ``root``, and let ``fill`` write to it, with an empty folder to work in."""
    from imseek.data.files import durable_files
    from imseek.data.files.staging import staging_folder
    from imseek.indexer.sources import remote_files

    if not isinstance(archive, str | os.PathLike):
        with staging_folder(Path(tempfile.gettempdir()), "backup") as work:
            fill(work, archive)
        return
    if is_url(url := os.fsencode(archive)):
        remote_files.check_url(url, writing=True)
        with translate_os_errors(location := display_path(url)):
            if not replace and remote_files.is_there(url):
                raise UsageError(f"{location} is there already", hint=_REPLACE_HINT)
            with (
                staging_folder(Path(tempfile.gettempdir()), "backup") as work,
                remote_files.create_binary(url) as file,
            ):
                fill(work, file)
        return
    path = expand_user(archive).absolute()
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise UsageError(f"{path} is inside the collection itself", hint="choose another place")
    with translate_os_errors(path):
        _check_new(path, replace)
    if path.exists() and not path.is_file():  # A tape or a pipe.
        beside = staging_folder(Path(tempfile.gettempdir()), "backup")
        with beside as work, translate_os_errors(path), path.open("wb") as device:
            fill(work, device)
        return
    with staging_folder(path.parent, f"backup-{path.name}") as work:
        temporary = work / "archive"
        durable_files.stage_unhashed(temporary, lambda file: fill(work, file))
        _check_new(path, replace)
        durable_files.publish([(temporary, path)])


def _check_new(path: Path, replace: bool) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file")
    if path.is_file() and not replace:
        raise UsageError(f"{path} is there already", hint=_REPLACE_HINT)
    if not path.parent.is_dir():
        raise UsageError(f"no folder {path.parent}")


@contextmanager
def _open_archive(archive: Archive) -> Iterator[tuple[ArchiveReader, _CountingFile]]:
    """Open an archive and read its manifest; also yields the file, which counts its bytes."""
    from imseek.data.archive.tar_stream import ArchiveReader
    from imseek.indexer.sources import remote_files

    with ExitStack() as stack:
        if not isinstance(archive, str | os.PathLike):
            file, name = archive, str(getattr(archive, "name", "the archive"))
        else:
            raw = os.fsencode(archive)
            name = display_path(raw)
            try:
                if is_url(raw):
                    stream: IO[bytes] = remote_files.open_binary(raw)
                else:
                    stream = open_stream(archive)
            except (FileNotFoundError, IsADirectoryError) as error:
                raise UsageError(f"{name}: {error.strerror}") from error
            except OSError as error:
                raise system_error(error, name) from error
            file = stack.enter_context(stream)
        counting_file = _CountingFile(file, name)
        yield ArchiveReader(counting_file, name), counting_file


def _info(manifest: Manifest) -> BackupInfo:
    return BackupInfo(
        uuid=manifest.uuid,
        generation=manifest.generation,
        committed=manifest.committed,
        created=manifest.created,
        imseek=manifest.imseek,
        images=manifest.images,
        index=manifest.index,
        files=len(manifest.entries),
        bytes=manifest.total,
    )


class _CountingFile:
    """A binary file that counts the bytes read and written."""

    def __init__(self, file: Any, name: str = "") -> None:
        self._file, self._name, self.size = file, name, 0

    def write(self, data: bytes) -> None:
        write_all(self._file, data)
        self.size += len(data)

    def read(self, size: int) -> bytes:
        with translate_os_errors(self._name):
            data: bytes = self._file.read(size)
        self.size += len(data)
        return data
