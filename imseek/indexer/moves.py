"""Images whose place is gone, while it is not known yet what has become of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Homeless:
    """A live image whose place is gone: if its content turns up elsewhere, that is a move.

    ``stored`` is False where its vector was lost; ``expires``, whether it dies if it does not turn up;
    ``replaced``, whether other content lies at its place, so that it has changed rather than vanished.
    """

    image_id: int
    stored: bool
    expires: bool = True
    replaced: bool = False


class Waiting:
    """Those of a run, by content hash."""

    def __init__(self) -> None:
        self._images: dict[bytes, list[Homeless]] = defaultdict(list)

    def __contains__(self, content_hash: bytes) -> bool:
        return content_hash in self._images

    def add(self, content_hash: bytes, image: Homeless) -> None:
        self._images[content_hash].append(image)

    def update(self, lost: Mapping[bytes, Sequence[Homeless]]) -> None:
        for content_hash, images in lost.items():
            self._images[content_hash] += images

    def claim(self, content_hash: bytes) -> Homeless | None:
        """One with this content, which waits no more."""
        images = self._images.get(content_hash)
        if not images:
            return None
        found = images.pop()
        if not images:
            del self._images[content_hash]
        return found

    def not_replaced(self, content_hash: bytes, image_id: int) -> None:
        """What lies at the place of an image is not taken up: if the image waits, it has vanished."""
        if content_hash in self._images:
            images = self._images[content_hash]
            images[:] = [replace(h, replaced=h.replaced and h.image_id != image_id) for h in images]

    def gone(self) -> list[Homeless]:
        """Those that die, if they have not turned up by now."""
        return [image for images in self._images.values() for image in images if image.expires]
