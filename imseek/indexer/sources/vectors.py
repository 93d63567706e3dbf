"""Import vectors from other tools: clip-retrieval's folders, a ``.npy`` with metadata beside it, or a Parquet column.

Opens no picture: rows are imported as they are. docs/sources.md, "Vectors made elsewhere".
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.catalog.place_paths import is_url, join, locate, member_path, split
from imseek.data.user_files.file_stat import UNKNOWN_STAT, FileStat
from imseek.errors import MediaError
from imseek.indexer.sources.base import (
    Container,
    Content,
    FoundImage,
    ImportedVector,
    Scalar,
    SidecarContent,
    UnreachableEntry,
)
from imseek.indexer.sources.encoder_claims import RESERVED_COLUMNS, Claim, claim_of, facts_of
from imseek.indexer.sources.filters import Filter, looks_like_picture
from imseek.indexer.sources.local_files import (
    FileOpener,
    check_file_allowed,
    file_stat,
    open_binary,
    read_file,
    trouble_at,
)
from imseek.indexer.sources.matrices import Matrix, is_parquet, open_matrix
from imseek.indexer.sources.tables import open_sheet
from imseek.indexer.sources.tables.base import MalformedRow
from imseek.indexer.sources.web import WebReader
from imseek.types.indexing_runs import SourceOptions
from imseek.types.pictures import ImageFacts, SkipReason, display_path

#: Tolerance on the length 1 of a row that was rounded to float16.
UNIT_TOLERANCE: Final = 2e-3
#: Endings of metadata files, in order of precedence.
METADATA_SUFFIXES: Final = (b".parquet", b".csv", b".jsonl")
#: Columns with the places of pictures, in order of precedence; for arrays only the first, clip-retrieval's.
_PATH_COLUMNS: Final = (
    "image_path",
    "path",
    "file_name",
    "filepath",
    "file_path",
    "filename",
    "image",
    "file",
)
#: Columns that become facts or the place of the image, and are not kept as columns.
_RESERVED_COLUMNS: Final = frozenset({"caption", "width", "height"})
_NUMBERED: Final = re.compile(rb"img_emb_?(\d+)\.npy")
#: Prefix that separates hashes of vectors from those of files.
_HASH_PREFIX: Final = b"imseek taken vector 1\0"


@dataclass(frozen=True, slots=True, eq=False)
class VectorRow:
    """A unit float16 row and its metadata, which ``is_ours`` marks as the complete facts of an imseek export."""

    vector: npt.NDArray[np.float16]
    metadata: Mapping[str, Any]
    is_ours: bool = False


class Vectors:
    """The arrays of a clip-retrieval folder, one array, or one Parquet file, as containers of rows.

    A container's stat combines those of the array and its metadata. ``notes`` about rows follow once they are read.
    """

    threads = 0

    def __init__(
        self,
        root: bytes,
        *,
        choose: Filter | None = None,
        allow_private: bool = False,
        column: str | None = None,
        image_column: str | None = None,
        opener: FileOpener | None = None,
    ) -> None:
        """Set up the source. ``column`` holds a Parquet file's vectors, ``image_column`` the places of pictures."""
        self._root = root
        self._column = column
        self._image_column = image_column
        self._opener = FileOpener(root) if opener is None else opener
        self._choose = Filter() if choose is None else choose
        self._web = WebReader(allow_private=allow_private)
        self.notes: list[str] = []

    def trouble(self) -> str | None:
        return trouble_at(self._root)

    def scan(self) -> Iterator[FoundImage | Container | UnreachableEntry]:
        if not os.path.isdir(self._root):
            yield self._container(b"")
            return
        try:
            names = os.listdir(os.path.join(self._root, b"img_emb"))
        except OSError as error:
            yield UnreachableEntry(b"img_emb", SkipReason.UNREADABLE, f"folder: {error.strerror}")
            return
        for name in sorted((n for n in names if n.endswith(b".npy")), key=_natural_key):
            path = os.path.join(b"img_emb", name)
            if self._choose.reaches(path):
                yield self._container(path)

    def expand(self, container: Container) -> Iterator[FoundImage | UnreachableEntry]:
        matrix, metadata = self.matrix(container.path), self._metadata(container.path)
        if metadata is None:
            raise MediaError(SkipReason.VANISHED, "its metadata are not there any more")
        in_table = is_parquet(join(self._root, container.path))
        if not in_table and (rows := sum(1 for _ in _read_metadata(metadata))) != matrix.rows:
            raise MediaError(SkipReason.CORRUPT, f"it has {matrix.rows:,} rows, but its metadata have {rows:,}")
        is_ours = in_table and claim_of(metadata) is not None
        folder, unnormalised = _PictureLocator(self._root, container.path, self._names(in_table=in_table)), 0
        start, metadata_rows = 0, _read_metadata(metadata)
        for block in matrix.blocks():
            block_metadata = list(islice(metadata_rows, len(block)))
            if len(block_metadata) != len(block):
                raise MediaError(SkipReason.CHANGED, "its metadata changed while they were read")
            vectors, lengths = unit_rows(block)
            if in_table:
                vectors = _keep_exact_rows(block, vectors, lengths)
            unnormalised += int(np.count_nonzero((lengths > 0) & (np.abs(lengths - 1) > UNIT_TOLERANCE)))
            for n, (vector, length, row) in enumerate(zip(vectors, lengths, block_metadata, strict=True)):
                location = folder.location(row)
                path = member_path(container.path, str(start + n).encode(), location)
                if length > 0:
                    yield FoundImage(path, container.stat, VectorRow(vector, row, is_ours))
                else:
                    fault = "all zeros" if length == 0 else "not finite"
                    yield UnreachableEntry(path, SkipReason.BAD_VECTOR, f"the vector is {fault}", container.stat)
            start += len(block)
        if unnormalised:
            rows_were = "1 row was" if unnormalised == 1 else f"{unnormalised:,} rows were"
            self.notes.append(
                f"{display_path(join(self._root, container.path))}: {rows_were} not of unit length: normalised"
            )

    def load(self, image: FoundImage) -> Content:
        """Return the row of a scanned picture; the picture itself for an entry from ``find``."""
        if isinstance(image.where, VectorRow):
            return _imported_content(image, image.where)
        _, _, location = split(image.path)
        if not location:
            raise MediaError(SkipReason.UNREADABLE, "only its vector is known, not where the picture lies")
        place = locate(self._root, image.path)
        if is_url(place):
            return self._web.load(image, place)
        return read_file(self._opener.open_named(place))

    def load_sidecars(self, image: FoundImage) -> SidecarContent:
        raise NotImplementedError("no picture is read")

    def portable(self, image: FoundImage) -> FoundImage | Content:
        """Load the row here, since it needs no work worth distributing."""
        return self.load(image)

    def find(self, path: bytes) -> FoundImage:
        """Locate the picture, without opening the array."""
        return FoundImage(path, UNKNOWN_STAT)

    def is_gone(self, path: bytes) -> bool:
        container = split(path)[0]
        if self._choose.has_patterns and not self._choose.reaches(container):
            return True
        return trouble_at(join(self._root, container)) is not None

    def close(self) -> None:
        self._web.close()

    def matrix(self, path: bytes) -> Matrix:
        """Open the vectors of a container. Raises OSError, MediaError, UsageError."""
        return open_matrix(join(self._root, path), self._column)

    def _names(self, *, in_table: bool) -> tuple[str, ...]:
        """Return the columns that may hold the places of pictures."""
        if self._image_column is not None:
            return (self._image_column,)
        return _PATH_COLUMNS if in_table else _PATH_COLUMNS[:1]

    def check(self) -> None:
        """Raise UsageError for a Parquet file whose vector column is ambiguous."""
        if is_parquet(self._root):
            with suppress(OSError, MediaError):  # the run reports it
                self.matrix(b"")

    def claim(self) -> Claim | None:
        """Return a Parquet file's statement about its encoder."""
        return claim_of(self._root) if is_parquet(self._root) else None

    def _container(self, path: bytes) -> Container | UnreachableEntry:
        if self._metadata(path) is None:
            message = "there are no metadata beside it (.parquet, .csv or .jsonl) that say what its rows are"
            return UnreachableEntry(path, SkipReason.UNREADABLE, message)
        try:
            return Container(path, self._stat(path))
        except OSError as error:
            return UnreachableEntry(path, SkipReason.UNREADABLE, str(error.strerror))

    def _metadata(self, path: bytes) -> bytes | None:
        """Return the metadata file of an array: ``metadata/metadata_0.parquet`` for ``img_emb/img_emb_0.npy``."""
        array_path = join(self._root, path)
        if is_parquet(array_path):
            return array_path if os.path.isfile(array_path) else None
        stem = os.path.splitext(array_path)[0]
        if path:
            number = os.path.basename(stem).removeprefix(b"img_emb")
            stem = os.path.join(self._root, b"metadata", b"metadata" + number)
        places = (stem + ending for ending in METADATA_SUFFIXES)
        return next((place for place in places if os.path.isfile(place)), None)

    def _stat(self, path: bytes) -> FileStat:
        """Combine the stats of the array and its metadata, with a digest of both in place of the inode."""
        array = file_stat(os.stat(join(self._root, path)))
        metadata = self._metadata(path)
        other = array if metadata is None else file_stat(os.stat(metadata))
        state = repr([(s.size, s.mtime_ns, s.ctime_ns, s.inode) for s in (array, other)]).encode()
        digest = int.from_bytes(hashlib.sha256(state).digest()[:8], "big") >> 1
        times = max(array.mtime_ns, other.mtime_ns), max(array.ctime_ns, other.ctime_ns)
        return FileStat(array.size + other.size, *times, digest, array.checked_ns)


def open_vectors(
    root: bytes, options: SourceOptions, choose: Filter | None = None, *, opener: FileOpener | None = None
) -> Vectors:
    """Open the vectors at ``root`` according to a source's options."""
    return Vectors(
        root,
        choose=choose,
        allow_private=options.allow_private,
        column=options.vector_column,
        image_column=options.image_column,
        opener=opener,
    )


class _PictureLocator:
    """Locates the pictures of one array from its metadata."""

    def __init__(self, root: bytes, container: bytes, paths: Sequence[str]) -> None:
        folder = os.path.isdir(root)
        self._paths = paths
        self._holder = os.path.dirname(join(root, container))
        # A relative path starts at the other tool's working folder, which is not recorded.
        self._bases = (root, os.path.dirname(root)) if folder else (self._holder,)
        self._base: bytes | None = None

    def location(self, metadata: Mapping[str, Any]) -> bytes:
        """Return the picture's path relative to the array's folder, absolute, or a URL; empty where unknown."""
        path = next((metadata[name] for name in self._paths if metadata.get(name)), None)
        exact, url = metadata.get("path_b64"), metadata.get("url")
        if isinstance(path, str) and _is_valid_path(path):
            encoded = path.encode() if not isinstance(exact, str) else _decode_path(exact)
            if is_url(encoded) or (os.path.isabs(encoded) and self._may_be_named(encoded)):
                return encoded
            if looks_like_picture(encoded) and (base := self._base_of(encoded)) is not None:
                return os.path.relpath(os.path.join(base, encoded), self._holder)
        if isinstance(url, str) and url.startswith(("http://", "https://")) and _is_valid_path(url):
            return url.encode()
        return b""

    def _may_be_named(self, path: bytes) -> bool:
        try:
            check_file_allowed(path, self._holder)
        except MediaError:
            return False
        return True

    def _base_of(self, path: bytes) -> bytes | None:
        """Return the first folder below which a picture was found; the others are expected there too."""
        if self._base is None:
            bases = (base for base in self._bases if os.path.isfile(os.path.join(base, path)))
            self._base = next(bases, None)
        return self._base


def _decode_path(text: str) -> bytes:
    """Decode a path that is not UTF-8 from base64; empty where it is no path."""
    try:
        path = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return b"" if b"\0" in path else path


def _read_metadata(metadata: bytes) -> Iterator[Mapping[str, Scalar]]:
    """Yield rows of metadata, empty where unreadable. Raises MediaError, OSError."""
    with open_sheet(metadata, open_binary(metadata)) as sheet:
        for _, row in sheet.rows([column.name for column in sheet.columns]):
            yield {} if isinstance(row, MalformedRow) else {n: sheet.scalar(cell) for n, cell in row.items()}


def unit_rows(block: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float64]]:
    """Scale rows to unit length, and return their original lengths: 0 for zero rows, NaN for non-finite ones.

    Those two kinds of rows stay meaningless.
    """
    rows = np.asarray(block, np.float64)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(rows, axis=1)
        lengths[~np.isfinite(lengths)] = np.nan
        return (rows / lengths[:, None]).astype(np.float16), lengths


def _keep_exact_rows(
    block: npt.NDArray[Any], vectors: npt.NDArray[np.float16], lengths: npt.NDArray[np.float64]
) -> npt.NDArray[np.float16]:
    """Replace rows of ``vectors`` by the originals where these are exact in float16 and of length 1 up to rounding.

    Normalised again, some would differ in the last bit.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        half = block.astype(np.float16)
        same = (half == block).all(axis=1) & (np.abs(lengths - 1) <= UNIT_TOLERANCE)
    return np.where(same[:, None], half, vectors)


def _imported_content(image: FoundImage, row: VectorRow) -> Content:
    """Build the content of an imported row. Unknown facts stay unknown: no format, and no size unless stated."""
    metadata = row.metadata
    width, height = _read_size(metadata, "width", "height")
    if not width:
        width, height = _read_size(metadata, "original_width", "original_height")
    caption = metadata.get("caption")
    # Equal vectors count as the same picture wherever it lies, so a moved picture keeps its id.
    digest = hashlib.sha256(_HASH_PREFIX + np.ascontiguousarray(row.vector, "<f2").tobytes()).digest()
    reserved = RESERVED_COLUMNS if row.is_ours else _RESERVED_COLUMNS
    extra = {name: value for name, value in metadata.items() if value is not None and name not in reserved}
    facts, size = facts_of(metadata) if row.is_ours else (ImageFacts(width, height, "unknown", "unknown"), 0)
    caption_text = caption if isinstance(caption, str) and caption else None
    return Content(b"", image.stat, caption_text, extra, ImportedVector(row.vector, facts, digest, size))


def _read_size(metadata: Mapping[str, Any], *names: str) -> tuple[int, int]:
    try:
        width, height = (int(metadata[name]) for name in names)
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0, 0
    return (width, height) if 0 < width < 2**31 and 0 < height < 2**31 else (0, 0)


def _is_valid_path(text: str) -> bool:
    """Tell whether a text can be a path or URL: valid UTF-8 without NUL."""
    return text != "" and "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _natural_key(name: bytes) -> tuple[int, bytes]:
    """Sort key: ``img_emb_2.npy`` before ``img_emb_10.npy``, names without a number last."""
    match = _NUMBERED.fullmatch(name)
    return (int(match[1]) if match else 2**62, name)
