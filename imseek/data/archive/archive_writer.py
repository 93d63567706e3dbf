"""Write a generation as a tar: the manifest, then every file that it lists."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from imseek._version import __version__
from imseek.data.archive import tar_stream
from imseek.data.archive.generation_snapshot import GenerationSnapshot, open_generation
from imseek.data.archive.manifest import FOLDER, NAME, Manifest, parse
from imseek.data.catalog import now
from imseek.data.system_errors import translate_os_errors
from imseek.errors import CorruptCollectionError

#: Receives the bytes of files written so far; may raise to cancel.
ProgressCallback = Callable[[Manifest, int], None]


def write(root: Path, work: Path, out: tar_stream.Sink, *, index: bool, tell: ProgressCallback) -> Manifest:
    """Archive the newest generation of the collection at ``root``; ``work`` is an empty folder.

    Every file is verified while it is copied: raises CorruptCollectionError for a damaged one, when part of the archive
    has already been written. Raises as :func:`open_generation` before that, and whatever ``out`` and ``tell`` raise.
    """
    with ExitStack() as stack:
        with translate_os_errors(root):
            found = stack.enter_context(open_generation(root, work, index=index))
        manifest = _make_manifest(found, index)
        _write(root, found, manifest, out, tell)
        return manifest


class _SourceFile:
    """A file of the collection whose read errors are distinct from errors of the output."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path

    def read(self, size: int) -> bytes:
        with translate_os_errors(self._path):
            return self._file.read(size)


def _make_manifest(found: GenerationSnapshot, index: bool) -> Manifest:
    current = found.current
    return Manifest(
        uuid=current.uuid,
        generation=current.generation,
        committed=current.committed,
        created=now(),
        imseek=__version__,
        images=current.images,
        index=index,
        entries=tuple(found.files),
    )


def _write(
    root: Path, found: GenerationSnapshot, manifest: Manifest, out: tar_stream.Sink, tell: ProgressCallback
) -> None:
    mtime, done = int(time.time()), 0

    def count(passed: int) -> None:
        nonlocal done
        done += passed
        tell(manifest, done)

    tell(manifest, 0)
    first = manifest.sealed()
    parse(first, "the archive")  # Never write what could not be restored.
    out.write(tar_stream.header(NAME, len(first), mtime) + first + tar_stream.padding(len(first)))
    for entry, file in found.files.items():
        out.write(tar_stream.header(f"{FOLDER}/{entry.path}", entry.size, mtime))
        try:
            sound = tar_stream.copy(_SourceFile(file, root / entry.path), entry, out, count)
        except EOFError:
            sound = False
        if not sound:
            raise CorruptCollectionError(
                f"{root / entry.path} is damaged: no backup was made", hint=f"imseek collection repair {root}"
            )
        out.write(tar_stream.padding(entry.size))
        file.close()
    out.write(tar_stream.end())
