"""Captions and ratings that users state of images, which go before those in pictures and in the files beside them.

>>> imseek.edits.put("photos.imseek", {17: ImageEdit(caption="the old harbour", rating=5)})      # doctest: +SKIP

They are stored in the collection, in a column set of their own, and survive indexing; pictures are not written to.
``imseek tag write-sidecars`` writes them into ``.xmp`` files on request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from imseek.analysis.snapshot_session import run_with_reader
from imseek.data import image_refs, layout
from imseek.data.reader import Reader
from imseek.errors import ImageNotFoundError, UsageError
from imseek.types.collection_arguments import AnyCollection, path_of

#: Ratings: -1 rejected, 0 unrated, up to 5 stars.
RATINGS: Final = range(-1, 6)
#: Maximum length of a caption in characters.
MAX_CAPTION: Final = 2000
_COLUMNS: Final = ("caption", "rating")
#: Characters that neither XML nor UTF-8 can hold.
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class ImageEdit:
    """What a user states of an image. None is what the picture and the files beside it say."""

    caption: str | None = None
    rating: int | None = None

    def __post_init__(self) -> None:
        if self.rating is not None and self.rating not in RATINGS:
            raise UsageError(f"a rating is a whole number from {RATINGS[0]} to {RATINGS[-1]}")
        if self.caption is not None and not (self.caption.strip() and len(self.caption) <= MAX_CAPTION):
            raise UsageError(f"a caption has 1 to {MAX_CAPTION:,} characters")
        if self.caption is not None and _FORBIDDEN.search(self.caption):
            raise UsageError("a caption cannot contain control characters")


def of(collection: AnyCollection, images: Iterable[int]) -> dict[int, ImageEdit]:
    """Return what users state of images, by id; for others an empty edit."""
    stored = run_with_reader(collection, read)
    return {image_id: stored.get(image_id, ImageEdit()) for image_id in images}


def read(reader: Reader) -> dict[int, ImageEdit]:
    """Return what users state in a generation, by image id, where they state something.

    Values that :class:`ImageEdit` refuses, which an imported collection may hold, count as not stated.
    """
    from imseek.data.shards import derived_columns

    stored = derived_columns.read_columns(reader, layout.EDITS)
    valid = {
        name: {i: value for i, value in stored.get(name, {}).items() if _is_valid(name, value)} for name in _COLUMNS
    }
    ids = sorted(set().union(*valid.values()))
    return {i: ImageEdit(**{name: values.get(i) for name, values in valid.items()}) for i in ids}


def _is_valid(name: str, value: Any) -> bool:
    if not isinstance(value, str if name == "caption" else int):
        return False
    edit: dict[str, Any] = {name: value}
    try:
        ImageEdit(**edit)
    except UsageError:
        return False
    return True


def put(collection: AnyCollection, edits: Mapping[int, ImageEdit]) -> int:
    """Store users' edits of images, by id, in one commit, and return how many images changed.

    Raises ImageNotFoundError, LockedError.
    """
    from imseek.data.writing import user_edits
    from imseek.data.writing.writer_wait import open_writer

    root = path_of(collection)
    if unknown := sorted(edits.keys() - image_refs.filter_live(root, set(edits))):
        raise ImageNotFoundError(f"no image {unknown[0]} in this collection")
    if not edits:
        return 0
    values = {image_id: asdict(edit) for image_id, edit in edits.items()}
    with open_writer(root, "edit") as writer:
        return user_edits.put(writer, values)
