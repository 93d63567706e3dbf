"""What a search asks of a generation of a collection, wherever that is kept: in a folder, or in Milvus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from imseek.data.current_file import Current, Identity
from imseek.data.image_places import IndexedPlace
from imseek.data.reader import SourceRow
from imseek.data.vectors import Matches
from imseek.types import Float32, Image, Place, SpaceInfo


class Stored(Protocol):
    """One generation. :class:`imseek.data.reader.Reader` is that of a folder."""

    @property
    def identity(self) -> Identity: ...

    @property
    def current(self) -> Current: ...

    @property
    def generation(self) -> int: ...

    def vector(self, image_id: int, space_id: int) -> npt.NDArray[np.float16]:
        """The stored (dim,) row of an image. Raises ImageNotFoundError."""
        ...

    def vectors(self, image_ids: Sequence[int], space_id: int) -> npt.NDArray[np.float16]:
        """(m, dim), in the order asked for. Raises ImageNotFoundError."""
        ...

    def places(self, image_ids: Sequence[int]) -> dict[int, Place]: ...

    def catalog_places(self, image_ids: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        """Source and path within it."""
        ...

    def indexed_place(self, image_id: int) -> IndexedPlace:
        """Raises ImageNotFoundError for an image that is not live, or of which it is not known where it lies."""
        ...

    def sources(self) -> dict[int, SourceRow]: ...

    def metadata(self, image_ids: Sequence[int]) -> dict[int, dict[str, Any]]: ...

    def intrinsics(
        self, image_ids: Sequence[int], columns: Sequence[str] | None = None
    ) -> dict[int, dict[str, Any]]: ...

    def image(self, image_id: int) -> Image: ...


StoredT = TypeVar("StoredT", bound=Stored)
StoredT_co = TypeVar("StoredT_co", bound=Stored, covariant=True)


class Allowed(Protocol):
    """The images for which a condition holds: made by what evaluates conditions, for indexes that know it."""

    def __len__(self) -> int: ...


class Index(Protocol):
    """What finds the nearest rows of a space: a :class:`imseek.data.vectors.VectorIndex`, or Milvus.

    ``allowed`` is what the same collection's conditions give, or (m,) int64 ids.
    """

    @property
    def exact(self) -> bool: ...

    def __len__(self) -> int: ...

    def count(self, allowed: Any) -> int: ...

    def search(
        self, queries: Float32, k: int, *, allowed: Any = None, text: bool = False, exact: bool = False
    ) -> list[Matches]: ...


def deepest(index: Index) -> int | None:
    """How many rows one search gives at most, where that is bounded; None: all."""
    found: int | None = getattr(index, "deepest", None)
    return found


class Edition(Protocol[StoredT_co]):
    """One generation while it is searched: :class:`imseek.search.generations.Edition` is that of a folder.

    ``allowed`` holds what conditions gave; ``notes`` are on spaces; ``paged`` tells that somebody holds a token for
    more of it.
    """

    allowed: dict[str, Any]
    notes: dict[int, str]
    paged: bool

    @property
    def reader(self) -> StoredT_co: ...

    def sample(self, space: SpaceInfo, most: int = ...) -> Float32:
        """(n, dim) rows of live images, the same in all spaces and whenever they are asked for."""
        ...


class Editions(Protocol[StoredT_co]):
    """The generations that can be searched. Safe to use from several threads."""

    def newest(self) -> Edition[StoredT_co]: ...

    def of(self, generation: int) -> Edition[StoredT_co]:
        """Raises ExpiredPageError for one that is not kept."""
        ...

    def index(self, edition: Any, space: SpaceInfo) -> Index: ...

    def renew(self) -> int:
        """Forget what is open; returns the newest generation."""
        ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def close(self) -> None: ...
