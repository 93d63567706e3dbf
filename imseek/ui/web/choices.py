"""Images that somebody has chosen, kept by this process for a while under a name that fits into an address."""

from __future__ import annotations

import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from imseek.types import Hit

#: Seconds that a choice is kept after it was last asked for.
KEPT: Final = 3600.0
#: Images of one choice, and of all that are kept: a page of results is a small choice, and no reason to forget others.
LARGEST: Final = 100_000
MOST: Final = 300_000


@dataclass(frozen=True, slots=True)
class Choice:
    """Images of the collection ``name``; ``found`` has, by id, the score and the duplicates of those that are hits."""

    name: str
    ids: tuple[int, ...]
    found: Mapping[int, tuple[float, tuple[int, ...]]] = field(default_factory=dict)


def choice(name: str, ids: Sequence[int], hits: Sequence[Hit] = ()) -> Choice:
    """Of ``ids``, each once, with what ``hits`` tell of them."""
    wanted = dict.fromkeys(ids)
    found = {hit.image_id: (hit.score, hit.duplicates) for hit in hits if hit.image_id in wanted}
    return Choice(name, tuple(wanted), found)


class Choices:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Choice, float]] = OrderedDict()
        self._images = 0
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()

    def keep(self, made: Choice) -> str:
        """The name of a choice from now on; the same for one that is kept already."""
        token = self._token(made)
        with self._lock:
            now = time.monotonic()
            if token not in self._kept:
                self._images += _held(made)
            self._kept[token] = (made, now)
            self._kept.move_to_end(token)
            while len(self._kept) > 1 and (self._images > MOST or self._oldest() < now - KEPT):
                _, (gone, _) = self._kept.popitem(last=False)
                self._images -= _held(gone)
            return token

    def get(self, token: str) -> Choice | None:
        """None for one that is not kept any more, or never was."""
        with self._lock:
            kept = self._kept.get(token)
            if kept is None or kept[1] < time.monotonic() - KEPT:
                return None
            self._kept[token] = (kept[0], time.monotonic())
            self._kept.move_to_end(token)
            return kept[0]

    def _oldest(self) -> float:
        """When that was asked for last which nobody has asked for since the longest time."""
        return next(iter(self._kept.values()))[1]

    def _token(self, made: Choice) -> str:
        """One that nobody can guess, and the same for an equal choice."""
        said = repr((made.name, made.ids, sorted(made.found.items())))
        digest = blake2b(said.encode(), key=self._key, digest_size=16).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _held(made: Choice) -> int:
    """In images; one of none takes room too."""
    return len(made.ids) + 1
