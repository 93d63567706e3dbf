"""Write a generation as a tar: the manifest, then every file that it lists."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

from imseek._version import __version__
from imseek.data.archive import tar_stream
from imseek.data.archive.generation_snapshot import GenerationSnapshot, open_generation
from imseek.data.archive.manifest import FOLDER, NAME, Manifest, byte_counter, parse
from imseek.data.catalog.catalog_writer import now
from imseek.data.files.system_errors import translate_os_errors
from imseek.errors import CorruptCollectionError, repair_command
from imseek.progress import Task

PHASE: Final = "backing up"


def write(root: Path, work: Path, out: tar_stream.Sink, *, index: bool, task: Task) -> Manifest:
    """Archive the newest generation of the collection at ``root``; ``work`` is an empty folder.

    Every file is verified while it is copied: raises CorruptCollectionError for a damaged one, when part of the archive
    has already been written. Raises as :func:`open_generation` before that, Cancelled, and whatever ``out`` raises.
    """
    with ExitStack() as stack:
        with translate_os_errors(root):
            snapshot = stack.enter_context(open_generation(root, work, index=index))
        manifest = _make_manifest(snapshot, index)
        _write(root, snapshot, manifest, out, task)
        return manifest


class _SourceFile:
    """A file of the collection whose read errors are distinct from errors of the output."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path

    def read(self, size: int) -> bytes:
        with translate_os_errors(self._path):
            return self._file.read(size)


def _make_manifest(snapshot: GenerationSnapshot, index: bool) -> Manifest:
    current = snapshot.current
    return Manifest(
        uuid=current.uuid,
        generation=current.generation,
        committed=current.committed,
        created=now(),
        imseek=__version__,
        images=current.images,
        index=index,
        entries=tuple(snapshot.files),
    )


def _write(root: Path, snapshot: GenerationSnapshot, manifest: Manifest, out: tar_stream.Sink, task: Task) -> None:
    mtime = int(time.time())
    count = byte_counter(manifest, task, PHASE)
    first = manifest.seal()
    parse(first, "the archive")  # Never write what could not be restored.
    out.write(tar_stream.header(NAME, len(first), mtime) + first + tar_stream.padding(len(first)))
    for entry, file in snapshot.files.items():
        out.write(tar_stream.header(f"{FOLDER}/{entry.path}", entry.size, mtime))
        try:
            is_sound = tar_stream.copy(_SourceFile(file, root / entry.path), entry, out, count)
        except EOFError:
            is_sound = False
        if not is_sound:
            raise CorruptCollectionError(
                f"{root / entry.path} is damaged: no backup was made", hint=repair_command(root)
            )
        out.write(tar_stream.padding(entry.size))
        file.close()
    out.write(tar_stream.end())
