"""Captions matched to images: the collection's own, or those of a table; several per image are possible."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from imseek.captions.results import UnusedCaptions
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids, IdSet
from imseek.errors import MediaError, UsageError
from imseek.indexer.sources.column_roles import find_caption_column
from imseek.indexer.sources.tables import open_sheet
from imseek.indexer.sources.tables.base import Column, MalformedRow
from imseek.input_file import open_input
from imseek.tilde_expansion import expand_user
from imseek.types.collection_info import SpaceInfo

#: Columns that may identify the image; the first one present is used.
_KEY_COLUMNS: Final = (
    "image_id", "path", "image", "image_path", "img_path", "filepath", "file_path", "file_name", "filename",
    "file", "uri", "url", "image_url",
)  # fmt: skip
#: Further names of caption columns, beside those that `caption_of` knows.
_CAPTION_COLUMNS: Final = ("captions", "caption", "references", "refs", "sentences", "texts")
#: A table of captions, or captions by image id.
CaptionSource: TypeAlias = str | os.PathLike[str] | Mapping[int, Sequence[str]]

#: No caption is left out.
ALL_USED: Final = UnusedCaptions()
#: Maximum number of unmatched names to report.
MAX_NAMES: Final = 20
#: Images whose paths are looked up at once.
_PLACE_BATCH: Final = 5000


@dataclass(frozen=True, slots=True, eq=False)
class ImageCaptions:
    """n captions, none blank, with the ids (n,) int64 of their images, ascending.

    Captions of one image keep their order.
    """

    ids: Ids
    texts: tuple[str, ...]
    left_out: UnusedCaptions = ALL_USED


def read_own_captions(reader: Reader, space: SpaceInfo, allowed: IdSet | None) -> ImageCaptions:
    """Read the collection's own captions of live images. Memory: all their texts."""
    ids, texts = [np.empty(0, np.int64)], []
    for part_ids, captions in iter_own_captions(reader, space, allowed):
        ids.append(part_ids)
        texts.extend(captions)
    return _sort_by_image(np.concatenate(ids), texts)


def iter_own_captions(reader: Reader, space: SpaceInfo, allowed: IdSet | None) -> Iterator[tuple[Ids, list[str]]]:
    """Yield the collection's own captions, a few thousand at a time, in shard order."""
    for shard, segment in zip(reader.current.shards, reader.segments(space.space_id), strict=True):
        alive = segment.searchable(allowed)
        start = 0
        for column in reader.texts(shard, "caption"):
            live_rows = np.flatnonzero(alive[start : start + len(column)]).tolist()
            row_texts = [(row, text) for row in live_rows if (text := clean_caption(column[row])) is not None]
            if row_texts:
                rows = np.array([row for row, _ in row_texts], np.int64)
                yield segment.ids[start + rows], [text for _, text in row_texts]
            start += len(column)


def load_captions(reader: Reader, captions: CaptionSource, column: str | None, live: Ids) -> ImageCaptions:
    """Load captions of the ``live`` images (ids ascending) from a table or a mapping. Raises UsageError."""
    if isinstance(captions, str | os.PathLike):
        return captions_from_table(expand_user(captions), reader, live, column)
    return captions_from_mapping(captions, live)


def captions_from_mapping(captions: Mapping[int, Sequence[str]], live: Ids) -> ImageCaptions:
    """Collect captions from a mapping of image id to one or more captions, for the ``live`` ids (ascending)."""
    if not isinstance(captions, Mapping):
        raise UsageError("captions are the name of a table, or lists of texts by image id")
    rows = [(image_id, [texts] if isinstance(texts, str) else texts) for image_id, texts in captions.items()]
    return _keep_live_captions(rows, live)


def captions_from_table(path: Path, reader: Reader, live: Ids, column: str | None = None) -> ImageCaptions:
    """Read captions from a CSV, JSON Lines or Parquet file, with one caption or a list of captions per row.

    One column identifies the image: ``image_id``, or a path (absolute, relative to the table's folder, or the end of
    one), or a URI. ``column`` holds the captions (default: detected by name). Raises UsageError where the file cannot
    be read.
    """
    try:
        with open_sheet(os.fsencode(path), open_input(path)) as sheet:
            key = _find_column(sheet.columns, _KEY_COLUMNS, "which image a caption is of: image_id or path")
            caption_column = _find_caption_column(sheet.columns, key, column)
            rows = []
            for _, row in sheet.rows([key, caption_column]):
                if isinstance(row, MalformedRow):
                    raise UsageError(f"{path}: {row.message}")
                rows.append(
                    (row[key], row[caption_column] if isinstance(row[caption_column], list) else [row[caption_column]])
                )
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except MediaError as error:
        raise UsageError(f"{path} cannot be read: {error}", hint="CSV, JSON Lines or Parquet") from error
    if key == "image_id":
        return _keep_live_captions([(_parse_id(name), texts) for name, texts in rows], live)
    names = {_bytes(name) for name, _ in rows if name is not None}
    id_by_name = find_images_by_name(reader, live, names, os.fsencode(path.absolute().parent))
    return _keep_live_captions([(id_by_name.get(_bytes(name), str(name)), texts) for name, texts in rows], live)


def find_images_by_name(reader: Reader, live: Ids, names: Iterable[bytes], folder: bytes) -> dict[bytes, int]:
    """Match names to images by the whole path (relative to ``folder``), the URI, or the end of the path.

    A name with which several paths end is left out. Memory: that of the names.
    """
    name_by_path: dict[bytes, bytes] = {}
    ends: dict[bytes, list[bytes]] = {}
    for name in names:
        name_by_path[os.path.normpath(os.path.join(folder, name))] = name  # noqa: PTH118 - paths are bytes
        name_by_path[name] = name
        ends.setdefault(name.rpartition(b"/")[2], []).append(name)
    exact: dict[bytes, int] = {}
    by_end: dict[bytes, int | None] = {}
    for start in range(0, len(live), _PLACE_BATCH):
        for image_id, place in reader.places(live[start : start + _PLACE_BATCH].tolist()).items():
            for name_of_place in (place.path, place.uri.encode()):
                if (matched := name_by_path.get(name_of_place)) is not None:
                    exact[matched] = image_id
            for name in ends.get(place.path.rpartition(b"/")[2], ()):
                if place.path.endswith(b"/" + name.removeprefix(b"./")):
                    by_end[name] = None if name in by_end else image_id
    return {**{name: found for name, found in by_end.items() if found is not None}, **exact}


def clean_caption(text: Any) -> str | None:
    """Return the stripped caption; None where it is blank, not a text, or not encodable."""
    if not isinstance(text, str) or not text.strip():
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return text.strip()


def _keep_live_captions(rows: Sequence[tuple[Any, Sequence[Any]]], live: Ids) -> ImageCaptions:
    """Keep rows whose id belongs to a live image (unmatched names stand for themselves) and that have a usable text."""
    ids: list[int] = []
    texts: list[str] = []
    unmatched: list[str] = []
    missing = empty = 0
    for image_id, row_texts in rows:
        if not isinstance(image_id, int | np.integer) or not _contains(live, int(image_id)):
            missing += 1
            if len(unmatched) < MAX_NAMES:
                unmatched.append(str(image_id))
            continue
        usable = [text for one in row_texts if (text := clean_caption(one)) is not None]
        empty += not usable
        ids += [int(image_id)] * len(usable)
        texts += usable
    return _sort_by_image(np.array(ids, np.int64), texts, UnusedCaptions(missing, empty, names=tuple(unmatched)))


def _contains(live: Ids, image_id: int) -> bool:
    at = int(np.searchsorted(live, image_id)) if 0 <= image_id < 1 << 62 else len(live)
    return at < len(live) and int(live[at]) == image_id


def _sort_by_image(ids: Ids, texts: Sequence[str], left_out: UnusedCaptions = ALL_USED) -> ImageCaptions:
    order = np.argsort(ids, kind="stable")
    return ImageCaptions(ids[order], tuple(texts[n] for n in order.tolist()), left_out)


def _find_caption_column(columns: Sequence[Column], key: str, requested: str | None) -> str:
    if requested is not None:
        return _find_column(columns, (requested,), f"captions: there is no {requested!r}")
    others = [column for column in columns if column.name != key]
    return find_caption_column(others) or _find_column(others, _CAPTION_COLUMNS, "the captions: name it caption")


def _find_column(columns: Sequence[Column], names: Sequence[str], purpose: str) -> str:
    by_lower_name = {column.name.lower(): column.name for column in reversed(columns)}
    name_found = next((by_lower_name[name.lower()] for name in names if name.lower() in by_lower_name), None)
    if name_found is None:
        list_of_names = ", ".join(column.name for column in columns[:MAX_NAMES]) or "none"
        raise UsageError(f"no column says {purpose}", hint=f"columns: {list_of_names}")
    return name_found


def _parse_id(cell: Any) -> Any:
    """Parse an image id as written in CSV; other cells are returned unchanged."""
    if isinstance(cell, str) and cell.strip().isdecimal() and len(cell) <= 100:  # No id is that long.
        return int(cell)
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _bytes(name: Any) -> bytes:
    return os.fsencode(name) if isinstance(name, str | bytes) else str(name).encode()
