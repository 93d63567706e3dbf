"""What a format is: a name, and how it writes a selection of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from imseek.data.snapshot_progress import Telling
from imseek.exports.selection import Selection
from imseek.types import ExportFormat, ExportOptions, SkippedPicture

#: The phase of progress that all formats share.
WRITING: Final = "writing images"


@dataclass(frozen=True, slots=True)
class Written:
    """What a format has done: so many ``images``, and so many files that are ``linked`` and not copied."""

    images: int
    linked: int = 0
    skipped: tuple[SkippedPicture, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One export. ``out`` is where it is written: an empty folder, the name of a new file, or a stream. It becomes
    ``target`` once it is complete; where paths in it are relative, they count from there."""

    selection: Selection
    out: Path | BinaryIO
    target: Path | None
    options: ExportOptions
    telling: Telling

    @property
    def path(self) -> Path:
        """Of formats that are written to a path."""
        assert isinstance(self.out, Path), "only formats that stream are given a stream"
        return self.out

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """The file, or the stream, to write bytes into."""
        if isinstance(self.out, Path):
            with self.out.open("xb") as file:
                yield file
        else:
            yield self.out
            self.out.flush()

    def told(self, done: int) -> None:
        """So many images are written. Raises InterruptedError where the end is asked for."""
        self.telling.tell(WRITING, done, len(self.selection))


@dataclass(frozen=True, slots=True)
class Format:
    """``shape`` is what it writes; one that ``streams`` can go to standard output too. ``endings`` of a file's name
    tell it. Images without a vector are left out where it holds ``vectors``. ``options`` are the fields of
    :class:`ExportOptions` that it knows. In some, pictures lie as files (``loose``), which a scan would find."""

    name: ExportFormat
    shape: Literal["file", "folder"]
    summary: str
    write: Callable[[Job], Written]
    vectors: bool = False
    streams: bool = False
    endings: tuple[str, ...] = ()
    options: frozenset[str] = frozenset()
    loose: bool = False
