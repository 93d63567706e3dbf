"""Images whose file has disappeared, until we know whether they moved or were deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class MissingImage:
    """A live image whose file has disappeared. If its content turns up elsewhere, the image has moved.

    ``stored`` is False if its vector was lost; ``expires`` is True if the image is removed unless it turns up;
    ``replaced`` is True if its place holds other content, so that it has changed rather than vanished.
    """

    image_id: int
    stored: bool
    expires: bool = True
    replaced: bool = False


class MissingImages:
    """The missing images of a run, by content hash.

    ``unread`` are ids of images whose file or container the run has still to read: they may turn out to be missing.
    """

    def __init__(self) -> None:
        self.unread: set[int] = set()
        self._images: dict[bytes, list[MissingImage]] = defaultdict(list)

    def __contains__(self, content_hash: bytes) -> bool:
        return content_hash in self._images

    def add(self, content_hash: bytes, image: MissingImage) -> None:
        self._images[content_hash].append(image)

    def update(self, lost: Mapping[bytes, Sequence[MissingImage]]) -> None:
        for content_hash, images in lost.items():
            self._images[content_hash] += images

    def claim(self, content_hash: bytes) -> MissingImage | None:
        """Remove and return one missing image with this content; None if there is none."""
        images = self._images.get(content_hash)
        if not images:
            return None
        image = images.pop()
        if not images:
            del self._images[content_hash]
        return image

    def mark_vanished(self, content_hash: bytes, image_id: int) -> None:
        """Count an image as vanished, not replaced, because the run does not index the content now at its place."""
        if content_hash in self._images:
            images = self._images[content_hash]
            images[:] = [replace(h, replaced=h.replaced and h.image_id != image_id) for h in images]

    def gone(self) -> list[MissingImage]:
        """Return the images to remove, since they have not turned up."""
        return [image for images in self._images.values() for image in images if image.expires]
