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
    """Selected images of the collection ``name``; ``found`` maps ids of hits to their score and duplicates."""

    name: str
    ids: tuple[int, ...]
    found: Mapping[int, tuple[float, tuple[int, ...]]] = field(default_factory=dict)


def make_selection(
    name: str,
    ids: Sequence[int],
    hits: Sequence[Hit] = (),
    known: Mapping[int, tuple[float, tuple[int, ...]]] = MappingProxyType({}),
) -> ImageSelection:
    """Create a selection of ``ids`` without repetitions, with scores and duplicates from ``hits`` or, of others, from
    ``known``."""
    wanted = dict.fromkeys(ids)
    found = {image_id: known[image_id] for image_id in wanted if image_id in known}
    found.update({hit.image_id: (hit.score, hit.duplicates) for hit in hits if hit.image_id in wanted})
    return ImageSelection(name, tuple(wanted), found)


class SelectionStore:
    """Selections by token, up to a bound. Thread-safe."""

    def __init__(self) -> None:
        self._recent: OrderedDict[str, tuple[ImageSelection, float]] = OrderedDict()
        self._images = 0
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()

    def keep(self, made: ImageSelection) -> str:
        """Keep a selection and return its token; an equal selection has the same token."""
        token = self._token(made)
        with self._lock:
            now = time.monotonic()
            if token not in self._recent:
                self._images += _image_cost(made)
            self._recent[token] = (made, now)
            self._recent.move_to_end(token)
            while len(self._recent) > 1 and (self._images > MAX_TOTAL_IMAGES or self._oldest() < now - KEEP_SECONDS):
                _, (gone, _) = self._recent.popitem(last=False)
                self._images -= _image_cost(gone)
            return token

    def get(self, token: str) -> ImageSelection | None:
        """Return a selection, None if it has expired or never existed."""
        with self._lock:
            kept = self._recent.get(token)
            if kept is None or kept[1] < time.monotonic() - KEEP_SECONDS:
                return None
            self._recent[token] = (kept[0], time.monotonic())
            self._recent.move_to_end(token)
            return kept[0]

    def _oldest(self) -> float:
        """Return when the least recently used selection was last used."""
        return next(iter(self._recent.values()))[1]

    def _token(self, made: ImageSelection) -> str:
        """Return an unguessable token, the same for equal selections."""
        said = repr((made.name, made.ids, sorted(made.found.items())))
        digest = blake2b(said.encode(), key=self._key, digest_size=16).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _image_cost(made: ImageSelection) -> int:
    """Return the size of a selection in images; an empty one takes room too."""
    return len(made.ids) + 1
