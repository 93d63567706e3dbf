"""Downloads of selected images: a zip that is streamed while it is written, and tables."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from imseek import overview
from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.types.json_form import Score
from imseek.types.pictures import Image, ImagePlace
from imseek.ui.render.result_json import plain, to_json
from imseek.ui.render.words import format_count, format_size, printable
from imseek.ui.web.selection_store import ImageSelection

#: Limits of one zip.
MAX_PICTURES: Final = 5_000
MAX_BYTES: Final = 4 << 30
#: Images looked up per call.
_TOGETHER: Final = 500
#: Member of a zip that lists the pictures left out, with reasons.
LEFT_OUT: Final = "left out.txt"
_MAX_NAME_BYTES: Final = 150
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")
#: Extensions by format, for names without one.
_ENDINGS: Final = {"JPEG": ".jpg", "JPEG XL": ".jxl", "HEIC": ".heic", "TIFF": ".tif", "SVG": ".svg"}
#: First characters that spreadsheets take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
#: Columns of every image, named as in ``--json``.
_FIRST_COLUMNS: Final = ("image_id", "score", "collection", "source_id", "path", "uri", "duplicates", "tags")


def size_refusal(pictures: int, stored: int) -> str | None:
    """Return why a zip of this size is refused, or None."""
    if pictures <= MAX_PICTURES and stored <= MAX_BYTES:
        return None
    most, these = (
        (f"{MAX_PICTURES:,} pictures", f"{pictures:,}")
        if pictures > MAX_PICTURES
        else (format_size(MAX_BYTES), format_size(stored))
    )
    return f"A zip holds at most {most}, and these are {these}: select fewer, or take their paths."


def stream_zip(collection: Collection, ids: Sequence[int], *, largest: int = MAX_BYTES) -> Iterator[bytes]:
    """Yield a zip of pictures as they were indexed, piece by piece, with at most one picture in memory.

    A text in the zip names those that cannot be read, have changed, or exceed ``largest`` bytes in all.
    """
    sink = _ZipBuffer()
    names = UniqueNames()
    left: list[str] = []
    total = 0
    # Pictures are compressed already. The output cannot seek, so sizes follow the data.
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as out:
        for start in range(0, len(ids), _TOGETHER):
            some = ids[start : start + _TOGETHER]
            images = collection.get_many(some)
            for image_id in some:
                image = images.get(image_id)
                if image is None:
                    left.append(f"image {image_id}: it is no longer in the collection")
                    continue
                try:
                    data = collection.read(image_id)
                except ImseekError as error:
                    left.append(f"{_where(image)}: {printable(str(error))}")
                    continue
                if total + len(data) > largest:
                    left.append(f"{_where(image)}: a zip holds at most {format_size(largest)}")
                    continue
                total += len(data)
                member = zipfile.ZipInfo(names.of(image), time.localtime()[:6])
                member.external_attr = 0o644 << 16
                out.writestr(member, data)
                yield from sink.drain()
        if left:
            out.writestr(LEFT_OUT, "\n".join([f"{format_count(len(left), 'picture')} left out:", *left, ""]))
    yield from sink.drain()


class UniqueNames:
    """Unique file names for one folder, also where case does not count; none leads out of the folder."""

    def __init__(self) -> None:
        self._used_names = {LEFT_OUT}
        self._last_numbers: dict[str, int] = {}

    def of(self, image: Image) -> str:
        stem, ending = _safe_name(image)
        name, n = stem + ending, self._last_numbers.get((stem + ending).casefold(), 1)
        while name.casefold() in self._used_names:
            n += 1
            name = f"{stem} ({n}){ending}"
        self._last_numbers[(stem + ending).casefold()] = n
        self._used_names.add(name.casefold())
        return name


def _safe_name(image: Image) -> tuple[str, str]:
    """Return stem and extension of a name that is valid on any system."""
    place = image.place
    kind = str(image.metadata.get("format") or "")
    if place is None or overview.place_kind(place) == "table":
        name = f"image-{image.image_id}"
    else:
        path = place.path.partition(b"?")[0].partition(b"#")[0] if overview.place_kind(place) == "web" else place.path
        name = path.rstrip(b"/").rpartition(b"/")[2].decode("utf-8", "replace")
    # No separators of any system, control characters, or marks that change the direction of writing.
    name = "".join("_" if c in '/\\:*?"<>|' or not c.isprintable() else c for c in name)
    name = unicodedata.normalize("NFC", name).strip(" .")
    ending = match[0] if (match := _ENDING.search(name)) else _ENDINGS.get(kind, f".{kind.lower()}" if kind else "")
    stem = (name[: -len(match[0])] if match else name).strip(" .") or f"image-{image.image_id}"
    stem = stem.encode()[:_MAX_NAME_BYTES].decode("utf-8", "ignore").rstrip(" .")
    return (f"_{stem}" if _RESERVED.match(stem) else stem), ending


def rows(collection: Collection, choice: ImageSelection) -> Iterator[dict[str, Any]]:
    """Yield the images of a selection that still exist, in its order, with all metadata."""
    for start in range(0, len(choice.ids), _TOGETHER):
        for image in collection.get_many(choice.ids[start : start + _TOGETHER]).values():
            yield _row(collection, choice, image)


def csv_lines(collection: Collection, choice: ImageSelection) -> Iterator[str]:
    """Yield the lines of a CSV table; lists are JSON, and an apostrophe protects what a spreadsheet would take for a
    formula."""
    columns = dict.fromkeys(_FIRST_COLUMNS)
    for row in rows(collection, choice):  # A first pass for the column names: any image may add one.
        columns.update(dict.fromkeys(row))
    line = io.StringIO()
    writer = csv.DictWriter(line, list(columns), lineterminator="\r\n")
    writer.writeheader()
    for row in rows(collection, choice):
        writer.writerow({name: _cell(value) for name, value in row.items()})
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()


def parquet(collection: Collection, choice: ImageSelection) -> bytes:
    """Return the same table as Parquet, with types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = list(rows(collection, choice))
    names = list(dict.fromkeys([*_FIRST_COLUMNS, *(name for row in records for name in row)]))
    kinds = {
        "image_id": pa.int64(),
        "score": pa.float64(),
        "collection": pa.string(),
        "source_id": pa.int64(),
        "path": pa.string(),
        "uri": pa.string(),
        "duplicates": pa.list_(pa.int64()),
        "tags": pa.list_(pa.string()),
        "phash": pa.uint64(),
    }
    columns = [_column([row.get(name) for row in records], kinds.get(name)) for name in names]
    out = io.BytesIO()
    pq.write_table(pa.table(columns, names=names), out, compression="zstd")
    return out.getvalue()


def paths(collection: Collection, ids: Sequence[int]) -> Iterator[str]:
    """Yield the paths of pictures as lines; bytes that are not UTF-8 and control characters are escaped."""
    for start in range(0, len(ids), _TOGETHER):
        for image in collection.get_many(ids[start : start + _TOGETHER]).values():
            if image.place is not None:
                yield image.place.display + "\n"


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a table of images; columns of the metadata follow."""

    image_id: int
    score: Score | None
    collection: str
    place: ImagePlace
    duplicates: tuple[int, ...]
    tags: tuple[str, ...]
    content_hash: str


def _row(collection: Collection, choice: ImageSelection, image: Image) -> dict[str, Any]:
    hit = choice.hit_data.get(image.image_id)
    score, duplicates = (None, ()) if hit is None else (hit[0], tuple(hit[1]))
    row = to_json(_Row(image.image_id, score, collection.uuid, image.place, duplicates, image.tags, image.content_hash))
    for name, value in image.metadata.items():
        row[f"extra_{name}" if name in row else name] = plain(value)
    return row


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode()
        return f"'{text}" if text.startswith(_FORMULA) else text
    return value


def _column(values: list[Any], kind: Any) -> Any:
    import pyarrow as pa

    if kind is None and any(isinstance(value, dict) for value in values):
        values = [None if value is None else json.dumps(value) for value in values]
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):  # Mixed types, or not UTF-8.
        return pa.array(
            [None if v is None else str(v).encode("utf-8", "replace").decode() for v in values], pa.string()
        )


def _where(image: Image) -> str:
    return f"image {image.image_id}" if image.place is None else image.place.display


class _ZipBuffer(io.RawIOBase):
    """Buffers what ZipFile writes until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        self._chunks.append(bytes(data))
        return len(data)

    def drain(self) -> Iterator[bytes]:
        chunks, self._chunks = self._chunks, []
        yield from chunks
