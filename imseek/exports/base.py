"""The interface of an export format: a name, and a function that writes a selection of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from imseek.exports.results import ExportOptions, SkippedPicture
from imseek.exports.selection import Selection
from imseek.progress import Task

#: Progress phase shared by all formats.
WRITING: Final = "writing images"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a format wrote: the number of ``images``, and of files that were ``linked`` instead of copied."""

    images: int
    linked: int = 0
    skipped: tuple[SkippedPicture, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportJob:
    """One export.

    ``out`` is an empty folder, the name of a new file, or a stream. It becomes ``target`` once complete; relative paths
    in the output are relative to ``target``.
    """

    selection: Selection
    out: Path | BinaryIO
    target: Path | None
    options: ExportOptions
    task: Task

    @property
    def path(self) -> Path:
        """The output path, for formats that do not write to streams."""
        assert isinstance(self.out, Path), "only formats that stream are given a stream"
        return self.out

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """Open the output for writing bytes."""
        if isinstance(self.out, Path):
            with self.out.open("xb") as file:
                yield file
        else:
            yield self.out
            self.out.flush()

    def report(self, done: int) -> None:
        """Report the number of images written. Raises Cancelled if the export was cancelled."""
        self.task.step(WRITING, done, len(self.selection))


@dataclass(frozen=True, slots=True)
class Format:
    """An export format.

    ``shape`` is what it writes; one that ``streams`` can also write to standard output. ``endings`` are the file name
    extensions that select it. A format with ``vectors`` leaves out images without a vector. ``options`` are the fields
    of :class:`ExportOptions` that it accepts. ``loose`` formats contain pictures as files, which a scan would find.
    """

    name: str
    shape: Literal["file", "folder"]
    summary: str
    write: Callable[[ExportJob], WriteResult]
    vectors: bool = False
    streams: bool = False
    endings: tuple[str, ...] = ()
    options: frozenset[str] = frozenset()
    loose: bool = False
