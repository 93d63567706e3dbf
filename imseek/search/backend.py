"""Protocols that a search needs from a collection, whether it is kept in a folder or in Milvus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from imseek.data.collection_records import Current, Identity
from imseek.data.reader import SourceRow
from imseek.data.user_files.image_places import IndexedPlace
from imseek.data.vectors import Matches, scores
from imseek.data.vectors.base import Ids
from imseek.data.words.values import Document
from imseek.types.arrays import Float32
from imseek.types.pictures import Image, Place
from imseek.types.spaces import SpaceInfo


class GenerationReader(Protocol):
    """Read access to one generation of a collection. For a folder, :class:`imseek.data.reader.Reader` implements it."""

    @property
    def identity(self) -> Identity: ...

    @property
    def current(self) -> Current: ...

    @property
    def generation(self) -> int: ...

    def vector(self, image_id: int, space_id: int) -> npt.NDArray[np.float16]:
        """Return the stored vector (dim,) of an image. Raises ImageNotFoundError."""
        ...

    def vectors(self, image_ids: Sequence[int], space_id: int) -> npt.NDArray[np.float16]:
        """Return the vectors (m, dim) of images, in the order of ``image_ids``. Raises ImageNotFoundError."""
        ...

    def places(self, image_ids: Sequence[int]) -> dict[int, Place]: ...

    def catalog_places(self, image_ids: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        """Return, by image id, the source id and the path within the source."""
        ...

    def indexed_place(self, image_id: int) -> IndexedPlace:
        """Return the place of an image's file.

        Raises ImageNotFoundError if the image is not live or its place is unknown.
        """
        ...

    def sources(self) -> dict[int, SourceRow]: ...

    def metadata(self, image_ids: Sequence[int]) -> dict[int, dict[str, Any]]: ...

    def intrinsics(
        self, image_ids: Sequence[int], columns: Sequence[str] | None = None
    ) -> dict[int, dict[str, Any]]: ...

    def documents(self, image_ids: Sequence[int]) -> Mapping[int, Document]:
        """Return the tokens of live images, by id."""
        ...

    def written_texts(self, image_ids: Sequence[int]) -> Mapping[int, str]:
        """Return the texts in the pictures of live images, as they are written there, by id."""
        ...

    def image(self, image_id: int) -> Image: ...


def unit_rows(reader: GenerationReader, ids: Ids, space: SpaceInfo) -> Float32:
    """Return the vectors of images as (m, dim) float32 with norm 1. Zero rows stay zero."""
    return scores.unit_rows(reader.vectors(ids.tolist(), space.space_id))


StoredT = TypeVar("StoredT", bound=GenerationReader)
StoredT_co = TypeVar("StoredT_co", bound=GenerationReader, covariant=True)

#: Returns the original bytes of a stored image by its id. Raises ImseekError, OSError.
ReadOriginal: TypeAlias = Callable[[int], bytes]
#: Opens the original pictures of one generation.
OpenOriginals: TypeAlias = Callable[[GenerationReader], AbstractContextManager[ReadOriginal]]


class AllowedImages(Protocol):
    """The images that satisfy a condition, in the form that the indexes of the same backend understand."""

    def __len__(self) -> int: ...


class Index(Protocol):
    """Finds the nearest rows of a space: a :class:`imseek.data.vectors.VectorIndex`, or Milvus.

    ``allowed`` is the result of a condition on the same collection, or (m,) int64 ids.
    """

    @property
    def exact(self) -> bool: ...

    def __len__(self) -> int: ...

    def count(self, allowed: Any) -> int: ...

    def search(
        self, queries: Float32, k: int, *, allowed: Any = None, text: bool = False, exact: bool = False
    ) -> list[Matches]: ...


def max_search_depth(index: Index) -> int | None:
    """Return the maximum number of rows that one search can return, or None if there is no limit."""
    depth: int | None = getattr(index, "deepest", None)
    return depth


class Generation(Protocol[StoredT_co]):
    """One generation that is open for searches. For a folder, :class:`imseek.search.generations.Generation` implements
    it.

    ``allowed`` caches the images that satisfy each condition. ``notes`` are messages by space id. ``paged`` is True
    once a page token has been issued for this generation.
    """

    allowed: dict[str, Any]
    notes: dict[int, str]
    paged: bool

    @property
    def reader(self) -> StoredT_co: ...

    def sample(self, space: SpaceInfo, most: int = ...) -> Float32:
        """Return at most ``most`` vectors (n, dim) of live images.

        The images are the same for every space and on every call.
        """
        ...


class GenerationCache(Protocol[StoredT_co]):
    """Opens and caches the generations that can be searched. Thread-safe."""

    def newest(self) -> Generation[StoredT_co]: ...

    def of(self, generation: int) -> Generation[StoredT_co]:
        """Return a cached generation by its number. Raises ExpiredPageError if it is no longer kept."""
        ...

    def index(self, generation: Any, space: SpaceInfo) -> Index: ...

    def renew(self) -> int:
        """Drop everything that is open, reopen the collection and return the number of its newest generation."""
        ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def close(self) -> None: ...
