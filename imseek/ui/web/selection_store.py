"""Selections of images, which this process keeps for a while under a token that fits into a URL."""

from __future__ import annotations

import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from imseek.types.search_results import Hit

#: Seconds that a selection is kept after its last use.
KEEP_SECONDS: Final = 3600.0
#: Maximum number of images of one selection, and of all together: a page of results is small and evicts no others.
MAX_IMAGES: Final = 100_000
MAX_TOTAL_IMAGES: Final = 300_000


@dataclass(frozen=True, slots=True)
class ImageSelection:
    """Selected images of the collection ``name``; ``hit_data`` maps ids of hits to their score and duplicates."""

    name: str
    ids: tuple[int, ...]
    hit_data: Mapping[int, tuple[float, tuple[int, ...]]] = field(default_factory=dict)


def make_selection(
    name: str,
    ids: Sequence[int],
    hits: Sequence[Hit] = (),
    known: Mapping[int, tuple[float, tuple[int, ...]]] = MappingProxyType({}),
) -> ImageSelection:
    """Create a selection of ``ids`` without repetitions, with scores and duplicates from ``hits`` or, of others, from
    ``known``."""
    unique_ids = dict.fromkeys(ids)
    hit_data = {image_id: known[image_id] for image_id in unique_ids if image_id in known}
    hit_data.update({hit.image_id: (hit.score, hit.duplicates) for hit in hits if hit.image_id in unique_ids})
    return ImageSelection(name, tuple(unique_ids), hit_data)


class SelectionStore:
    """Selections by token, up to a bound. Thread-safe."""

    def __init__(self) -> None:
        self._recent: OrderedDict[str, tuple[ImageSelection, float]] = OrderedDict()
        self._images = 0
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()

    def keep(self, selection: ImageSelection) -> str:
        """Keep a selection and return its token; an equal selection has the same token."""
        token = self._token(selection)
        with self._lock:
            now = time.monotonic()
            if token not in self._recent:
                self._images += _image_cost(selection)
            self._recent[token] = (selection, now)
            self._recent.move_to_end(token)
            while len(self._recent) > 1 and (self._images > MAX_TOTAL_IMAGES or self._oldest() < now - KEEP_SECONDS):
                _, (oldest, _) = self._recent.popitem(last=False)
                self._images -= _image_cost(oldest)
            return token

    def get(self, token: str) -> ImageSelection | None:
        """Return a selection, None if it has expired or never existed."""
        with self._lock:
            entry = self._recent.get(token)
            if entry is None or entry[1] < time.monotonic() - KEEP_SECONDS:
                return None
            self._recent[token] = (entry[0], time.monotonic())
            self._recent.move_to_end(token)
            return entry[0]

    def _oldest(self) -> float:
        """Return when the least recently used selection was last used."""
        return next(iter(self._recent.values()))[1]

    def _token(self, selection: ImageSelection) -> str:
        """Return an unguessable token, the same for equal selections."""
        identity = repr((selection.name, selection.ids, sorted(selection.hit_data.items())))
        digest = blake2b(identity.encode(), key=self._key, digest_size=16).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _image_cost(selection: ImageSelection) -> int:
    """Return the size of a selection in images; an empty one takes room too."""
    return len(selection.ids) + 1
