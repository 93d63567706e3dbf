"""Images that somebody has chosen, kept by this process for a while under a name that fits into an address."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from imseek.types import Hit

#: Seconds that a choice is kept after it was last asked for, and how many are.
KEPT: Final = 3600.0
MOST: Final = 200
#: Images of one choice.
LARGEST: Final = 100_000


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
        self._lock = threading.Lock()

    def keep(self, made: Choice) -> str:
        """The name of a choice from now on; the same for one that is kept already."""
        with self._lock:
            now = time.monotonic()
            for token, (kept, _) in reversed(self._kept.items()):
                if kept == made:
                    self._kept[token] = (kept, now)
                    self._kept.move_to_end(token)
                    return token
            token = secrets.token_urlsafe(16)
            self._kept[token] = (made, now)
            while len(self._kept) > MOST or (self._kept and next(iter(self._kept.values()))[1] < now - KEPT):
                self._kept.popitem(last=False)
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
