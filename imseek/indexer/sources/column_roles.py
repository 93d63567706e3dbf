"""Infer which column of a table holds the pictures and which the captions, by type and usual names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from imseek.errors import UsageError
from imseek.indexer.sources.tables.base import Column, Kind
from imseek.types.indexing_runs import SourceOptions

#: Usual names of text columns that name pictures, in order of precedence.
_PICTURES: Final = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes")
_NAMES: Final = (
    frozenset({*_PICTURES, "image_path", "img_path", "image_file", "image_name"}),
    frozenset({"path", "filepath", "file_path", "file_name", "filename", "file"}),
)
_URLS: Final = (frozenset({"image_url", "img_url", "image_link"}), frozenset({"url", "uri", "link"}))
_CAPTIONS: Final = ("caption", "captions", "text", "description", "alt_text", "alt", "title", "prompt")
#: Most further columns to keep: they are not for wide tables of measurements.
MAX_EXTRA: Final = 64


@dataclass(frozen=True, slots=True)
class ColumnRoles:
    """The columns for pictures and captions, further columns to keep, and notes on those left out.

    ``names_files`` is whether the rows (also) name files, which may change while the table does not.
    """

    image: Column
    names_files: bool
    caption: str | None
    extra: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.image.name, *([] if self.caption is None else [self.caption]), *self.extra)


def infer_roles(columns: Sequence[Column], options: SourceOptions) -> ColumnRoles:
    """Infer the roles of a table's columns. Raises UsageError, listing the columns, where they are ambiguous."""
    if options.image_column is not None:
        image = _find_column(columns, options.image_column)
        if image.kind in (Kind.PLAIN, Kind.NESTED, Kind.TEXTS):
            raise _ambiguous_error(columns, f"the column {image.name!r} holds no pictures, paths or URLs")
    else:
        image = _find_image_column(columns)
    if options.caption_column is not None:
        caption: str | None = _find_column(columns, options.caption_column).name
    else:
        caption = find_caption_column(columns, image.name)
    used = {image.name, caption}
    extra, notes = select_extra_columns([column for column in columns if column.name not in used])
    names_files = image.kind is Kind.TEXT and not any(image.name.lower() in tier for tier in _URLS)
    return ColumnRoles(image, names_files, caption, extra, notes)


def find_caption_column(columns: Sequence[Column], image: str | None = None) -> str | None:
    """Return the text column that is most likely the caption, or None."""
    texts = {
        column.name.lower(): column.name
        for column in reversed(columns)
        if column.kind in (Kind.TEXT, Kind.TEXTS) and column.name != image
    }
    return next((texts[name] for name in _CAPTIONS if name in texts), None)


def select_extra_columns(columns: Sequence[Column]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns with single values, and notes on those left out."""
    single = [column.name for column in columns if column.kind in (Kind.PLAIN, Kind.TEXT)]
    other = [f"{c.name} ({c.kind.value})" for c in columns if c.kind not in (Kind.PLAIN, Kind.TEXT)]
    notes = []
    if other:
        notes.append(f"columns left out: {', '.join(other)}")
    if len(single) > MAX_EXTRA:
        notes.append(f"the first {MAX_EXTRA} of {len(single)} further columns are kept")
    return tuple(single[:MAX_EXTRA]), tuple(notes)


def _find_image_column(columns: Sequence[Column]) -> Column:
    """Find the image column: embedded pictures take precedence over files, and files over URLs."""
    embedded = [column for column in columns if column.kind in (Kind.BYTES, Kind.PICTURE)]
    text = [column for column in columns if column.kind is Kind.TEXT]
    tiers = [
        [column for column in columns if column.is_image],
        [column for column in embedded if column.name.lower() in _PICTURES],
        *([c for c in text if c.name.lower() in names] for names in _NAMES),
        *([c for c in text if c.name.lower() in names] for names in _URLS),
        embedded,
    ]
    for tier in tiers:
        if len(tier) > 1:
            # For example a mask beside the picture: the most usual name wins, if there is one.
            tier = [c for c in tier if c.name.lower() == _PICTURES[0]] or tier
        if len(tier) == 1:
            return tier[0]
        if tier:
            names = " or ".join(repr(column.name) for column in tier)
            raise _ambiguous_error(columns, f"pictures may be in the column {names}")
    raise _ambiguous_error(columns, "no column of pictures, paths or URLs is told by its name")


def _find_column(columns: Sequence[Column], name: str) -> Column:
    """Return the column called ``name``. Raises UsageError where there is none."""
    for column in columns:
        if column.name == name:
            return column
    raise _ambiguous_error(columns, f"there is no column {name!r}")


def _ambiguous_error(columns: Sequence[Column], message: str) -> UsageError:
    names = ", ".join(column.name for column in columns[:MAX_EXTRA])
    names += ", …" if len(columns) > MAX_EXTRA else ""
    hint = "name it: --image-column NAME, --caption-column NAME"
    return UsageError(f"{message}; columns: {names or 'none'}", hint=hint)
