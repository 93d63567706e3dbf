"""Vectors that another tool has made: clip-retrieval's folders, or one ``.npy`` with its metadata beside it.

No picture is opened: rows of the arrays are taken over. docs/sources.md, "Vectors made elsewhere".
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.catalog import UNKNOWN_STAT, FileStat
from imseek.data.places import inside, is_url, join, locate, split
from imseek.errors import MediaError
from imseek.indexer.sources.base import Container, Content, Found, Scalar, Taken, Unreachable
from imseek.indexer.sources.files import file_stat, load_file, open_binary, trouble_at
from imseek.indexer.sources.filters import Filter, looks_like_picture
from imseek.indexer.sources.sheets import open_sheet
from imseek.indexer.sources.sheets.base import Malformed
from imseek.indexer.sources.web import Web
from imseek.types import ImageFacts, SkipReason, display_path

#: Rows that are looked at together.
BLOCK: Final = 4096
#: How far a length may be from 1 in a row that was rounded to float16 by whoever made it.
UNIT_TOLERANCE: Final = 2e-3
#: Endings of metadata, in the order in which they are looked for.
METADATA: Final = (b".parquet", b".csv", b".jsonl")
#: Columns that become facts or the place of the image, and are no columns of their own.
_USED: Final = frozenset({"caption", "width", "height"})
_NUMBERED: Final = re.compile(rb"img_emb_?(\d+)\.npy")
#: Keeps hashes of vectors apart from those of files.
_DOMAIN: Final = b"imseek taken vector 1\0"


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row of an array, of unit length as float16, and what the metadata say of it."""

    vector: npt.NDArray[np.float16]
    told: Mapping[str, Any]


class Vectors:
    """The arrays of a folder that clip-retrieval has written, or one array. Arrays are containers, rows their members.

    Their stat is that of the array and its metadata together. ``notes`` about rows follow once they are read.
    """

    threads = 0

    def __init__(self, root: bytes, *, choose: Filter | None = None, allow_private: bool = False) -> None:
        self._root = root
        self._choose = Filter() if choose is None else choose
        self._web = Web(allow_private=allow_private)
        self.notes: list[str] = []

    def trouble(self) -> str | None:
        return trouble_at(self._root)

    def scan(self) -> Iterator[Found | Container | Unreachable]:
        if not os.path.isdir(self._root):
            yield self._container(b"")
            return
        try:
            names = os.listdir(os.path.join(self._root, b"img_emb"))
        except OSError as error:
            yield Unreachable(b"img_emb", SkipReason.UNREADABLE, f"folder: {error.strerror}")
            return
        for name in sorted((n for n in names if n.endswith(b".npy")), key=_natural):
            path = os.path.join(b"img_emb", name)
            if self._choose.reaches(path):
                yield self._container(path)

    def expand(self, container: Container) -> Iterator[Found | Unreachable]:
        array, metadata = self.array(container.path), self._metadata(container.path)
        if metadata is None:
            raise MediaError(SkipReason.VANISHED, "its metadata are not there any more")
        if (rows := sum(1 for _ in _told(metadata))) != len(array):
            raise MediaError(
                SkipReason.CORRUPT, f"it has {len(array):,} rows, but its metadata have {rows:,}"
            )
        folder, others, metadata_rows = _Folder(self._root, container.path), 0, _told(metadata)
        for start in range(0, len(array), BLOCK):
            told = list(islice(metadata_rows, BLOCK))
            if len(told) != min(BLOCK, len(array) - start):
                raise MediaError(SkipReason.CHANGED, "its metadata changed while they were read")
            vectors, lengths = unit_rows(array[start : start + BLOCK])
            others += int(np.count_nonzero((lengths > 0) & (np.abs(lengths - 1) > UNIT_TOLERANCE)))
            for n, (vector, length, row) in enumerate(zip(vectors, lengths, told, strict=True)):
                location = folder.location(row)
                path = inside(container.path, str(start + n).encode(), location)
                if length > 0:
                    yield Found(path, container.stat, Row(vector, row))
                else:
                    wrong = "all zeros" if length == 0 else "not finite"
                    yield Unreachable(path, SkipReason.BAD_VECTOR, f"the vector is {wrong}", container.stat)
        if others:
            rows_were = "1 row was" if others == 1 else f"{others:,} rows were"
            self.notes.append(f"{self._shown(container.path)}: {rows_were} not of unit length: normalised")

    def load(self, found: Found) -> Content:
        """The row of a picture that a scan has found; the picture itself where ``find`` has led to it."""
        if isinstance(found.where, Row):
            return _content(found, found.where)
        _, _, location = split(found.path)
        if not location:
            raise MediaError(SkipReason.UNREADABLE, "only its vector is known, not where the picture lies")
        place = locate(self._root, found.path)
        if is_url(place):
            return self._web.load(found, place)
        try:
            return load_file(place)
        except FileNotFoundError as error:
            raise MediaError(SkipReason.VANISHED, f"{display_path(place)} is not there any more") from error

    def portable(self, found: Found) -> Found | Content:
        """Rows need no work that is worth sending them anywhere."""
        return self.load(found)

    def find(self, path: bytes) -> Found:
        """The way to the picture, which needs no array."""
        try:
            return Found(path, self._stat(split(path)[0]))
        except OSError:
            return Found(path, UNKNOWN_STAT)  # The picture may be there though the array is not.

    def is_gone(self, path: bytes) -> bool:
        container = split(path)[0]
        if self._choose.chooses and not self._choose.reaches(container):
            return True
        return trouble_at(join(self._root, container)) is not None

    def close(self) -> None:
        self._web.close()

    def array(self, path: bytes) -> npt.NDArray[Any]:
        """The array of a container, (rows, dim), mapped into memory. Raises OSError, MediaError."""
        try:
            array = np.load(os.fsdecode(join(self._root, path)), mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise MediaError(SkipReason.CORRUPT, f"not an array of NumPy: {error}") from error
        if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
            raise MediaError(SkipReason.CORRUPT, "not a matrix of floating-point numbers")
        return array

    def _container(self, path: bytes) -> Container | Unreachable:
        if self._metadata(path) is None:
            said = "there are no metadata beside it (.parquet, .csv or .jsonl) that say what its rows are"
            return Unreachable(path, SkipReason.UNREADABLE, said)
        try:
            return Container(path, self._stat(path))
        except OSError as error:
            return Unreachable(path, SkipReason.UNREADABLE, str(error.strerror))

    def _metadata(self, path: bytes) -> bytes | None:
        """Where the metadata of an array lie: ``metadata/metadata_0.parquet`` for ``img_emb/img_emb_0.npy``."""
        stem = os.path.splitext(join(self._root, path))[0]
        if path:
            number = os.path.basename(stem).removeprefix(b"img_emb")
            stem = os.path.join(self._root, b"metadata", b"metadata" + number)
        places = (stem + ending for ending in METADATA)
        return next((place for place in places if os.path.isfile(place)), None)

    def _stat(self, path: bytes) -> FileStat:
        """That of the array, with a digest of both stats in the place of the inode."""
        array = file_stat(os.stat(join(self._root, path)))
        metadata = self._metadata(path)
        other = array if metadata is None else file_stat(os.stat(metadata))
        both = repr([(s.size, s.mtime_ns, s.ctime_ns, s.inode) for s in (array, other)]).encode()
        digest = int.from_bytes(hashlib.sha256(both).digest()[:8], "big") >> 1
        times = max(array.mtime_ns, other.mtime_ns), max(array.ctime_ns, other.ctime_ns)
        return FileStat(array.size + other.size, *times, digest, array.checked_ns)

    def _shown(self, path: bytes) -> str:
        return display_path(join(self._root, path))


class _Folder:
    """Where the pictures of one array lie, as its metadata say it."""

    def __init__(self, root: bytes, container: bytes) -> None:
        folder = os.path.isdir(root)
        self._holder = os.path.dirname(join(root, container))
        # A relative path counts from where the other tool was started, which is nowhere on record.
        self._bases = (root, os.path.dirname(root)) if folder else (self._holder,)
        self._base: bytes | None = None

    def location(self, told: Mapping[str, Any]) -> bytes:
        """From the folder of the array to the picture, absolute, or a URL; empty where nothing tells."""
        path, url = told.get("image_path"), told.get("url")
        if isinstance(path, str) and _is_name(path):
            encoded = path.encode()
            if os.path.isabs(encoded) or is_url(encoded):
                return encoded
            if looks_like_picture(encoded) and (base := self._base_of(encoded)) is not None:
                return os.path.relpath(os.path.join(base, encoded), self._holder)
        if isinstance(url, str) and url.startswith(("http://", "https://")) and _is_name(url):
            return url.encode()
        return b""

    def _base_of(self, path: bytes) -> bytes | None:
        """The first folder that a picture was found below; the others are looked for there too."""
        if self._base is None:
            found = (base for base in self._bases if os.path.isfile(os.path.join(base, path)))
            self._base = next(found, None)
        return self._base


def _told(metadata: bytes) -> Iterator[Mapping[str, Scalar]]:
    """Rows of metadata; one that cannot be read tells nothing. Raises MediaError, OSError."""
    with open_sheet(metadata, open_binary(metadata)) as sheet:
        for _, row in sheet.rows([column.name for column in sheet.columns]):
            yield {} if isinstance(row, Malformed) else {n: sheet.scalar(cell) for n, cell in row.items()}


def unit_rows(block: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float64]]:
    """Rows of unit length, and the length that each had: 0 for one of zeros, NaN for one that is not finite.

    Those two kinds of rows stay without meaning.
    """
    rows = np.asarray(block, np.float64)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(rows, axis=1)
        lengths[~np.isfinite(lengths)] = np.nan
        return (rows / lengths[:, None]).astype(np.float16), lengths


def _content(found: Found, row: Row) -> Content:
    """A row as it is stored. What nobody has looked at is unknown: no format, and no size unless it is told."""
    told = row.told
    width, height = _size(told, "width", "height")
    if not width:
        width, height = _size(told, "original_width", "original_height")
    caption = told.get("caption")
    # The same vector is the same picture, wherever it lies now: a picture that has moved keeps its id.
    digest = hashlib.sha256(_DOMAIN + np.ascontiguousarray(row.vector, "<f2").tobytes()).digest()
    extra = {name: value for name, value in told.items() if value is not None and name not in _USED}
    taken = Taken(row.vector, ImageFacts(width, height, "unknown", "unknown"), digest)
    said = caption if isinstance(caption, str) and caption else None
    return Content(b"", found.stat, said, extra, taken)


def _size(told: Mapping[str, Any], *names: str) -> tuple[int, int]:
    try:
        width, height = (int(told[name]) for name in names)
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0, 0
    return (width, height) if 0 < width < 2**31 and 0 < height < 2**31 else (0, 0)


def _is_name(text: str) -> bool:
    """Whether it can be a path or URL: text that UTF-8 holds, without NUL."""
    return text != "" and "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _natural(name: bytes) -> tuple[int, bytes]:
    """``img_emb_2.npy`` before ``img_emb_10.npy``, and what has no number last."""
    match = _NUMBERED.fullmatch(name)
    return (int(match[1]) if match else 2**62, name)
