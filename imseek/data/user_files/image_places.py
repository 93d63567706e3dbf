"""Places of images with the stat and hash recorded there, so that a reader can tell whether the file is unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from imseek.data.catalog.place_paths import MEMBER_SEPARATOR, is_url, join, locate, split
from imseek.data.catalog.sql import ReadConnection, select_in
from imseek.data.user_files.file_stat import FileStat
from imseek.errors import CorruptCollectionError, ImageNotFoundError

if TYPE_CHECKING:
    from imseek.data.reader import SourceRow


@dataclass(frozen=True, slots=True)
class IndexedPlace:
    """A place in the catalog: its source, its path within that, and what was indexed there.

    ``stat`` is that of the file, or of the container that holds the picture. ``content_hash`` is the sha256 of the
    indexed content. URLs of an untrusted collection are never fetched, since it may record any address.
    """

    source: SourceRow
    path: bytes
    stat: FileStat
    content_hash: bytes
    is_trusted: bool = True

    @property
    def may_be_fetched(self) -> bool:
        """Whether the file is on this machine, or the collection is trusted."""
        return self.is_trusted or not is_url(self.file)

    @property
    def has_picture_hash(self) -> bool:
        """Whether ``content_hash`` is that of the picture. For imported vectors, the picture was never seen."""
        return self.source.kind != "vectors"

    @property
    def is_whole_file(self) -> bool:
        """Whether a local file holds the picture and nothing else."""
        return (MEMBER_SEPARATOR not in self.path or split(self.path)[2] != b"") and not is_url(self.shown)

    @property
    def shown(self) -> bytes:
        """The path or URL shown to users."""
        return locate(self.source.root, self.path)

    @property
    def file(self) -> bytes:
        """The path or URL of the file to open: the picture's own, or that of its container."""
        container, _, location = split(self.path)
        return self.shown if location else join(self.source.root, container)


def unknown_place_error(image_id: int) -> ImageNotFoundError:
    """Build the error for an image without a place."""
    return ImageNotFoundError(f"the location of image {image_id} is unknown")


class PlaceRow(NamedTuple):
    """A row of the catalog's places, with the content hash of its image."""

    image_id: int
    source_id: int
    path: bytes
    content_hash: bytes
    stat: FileStat


def read_place_rows(connection: ReadConnection, generation: int, image_ids: Sequence[int]) -> Iterator[PlaceRow]:
    """Read the places of images in a generation.

    Raises CorruptCollectionError for a value whose type imseek does not write.
    """
    query = (
        "SELECT places.image_id, source_id, path, content_hash, size, mtime_ns, ctime_ns, inode, checked_ns "
        "FROM places JOIN images ON images.image_id = places.image_id "
        "WHERE places.born <= ? AND places.died > ? AND places.image_id IN (??)"
    )
    rows = select_in(connection, query, generation, generation, [int(i) for i in image_ids])
    for image_id, source_id, path, content_hash, *stat in rows:
        texts = isinstance(path, bytes) and isinstance(content_hash, bytes) and path.count(MEMBER_SEPARATOR) <= 2
        if not texts or not all(isinstance(number, int) for number in (source_id, *stat)):
            raise CorruptCollectionError(f"the catalog's place of image {image_id} is damaged")
        yield PlaceRow(image_id, source_id, path, content_hash, FileStat(*stat))
