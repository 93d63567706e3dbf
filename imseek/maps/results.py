"""Maps: two-dimensional layouts of images by their vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from imseek.types.json_form import Count, Json, Seconds, json_member

#: Layout method: principal components, or UMAP (McInnes et al. 2018).
MapMethod: TypeAlias = Literal["umap", "pca"]


def map_columns(name: str) -> tuple[str, str, str]:
    """Return the names of a map's derived columns: x, y, and whether the layout was fitted on the image."""
    return f"{name}_x", f"{name}_y", f"{name}_fitted"


@dataclass(frozen=True, slots=True)
class MapInfo:
    """A map's parameters and state.

    A map is stored as the derived columns ``<name>_x``, ``<name>_y`` (numbers) and ``<name>_fitted`` (True for images
    the layout was fitted on, False for those placed later).
    """

    name: str
    method: MapMethod
    encoder: str
    """The encoder of the vectors."""
    fingerprint: str
    """The fingerprint of that encoder."""
    seed: Count
    neighbours: Annotated[int | None, Json(minimum=2)]
    """Number of nearest neighbours that count; null for ``pca``."""
    min_dist: Annotated[float | None, Json(minimum=0, maximum=1)]
    """How near images may come; null for ``pca``."""
    where: str | None
    """The filter of the images that were laid out."""
    fitted: Count
    """Number of images that the layout was fitted on, when the map was last stored."""
    placed: Count
    """Number of images that were placed among them, when the map was last stored."""
    trustworthiness: Annotated[float | None, Json(maximum=1)]
    """How well neighbours on the map are neighbours by their vectors (Venna & Kaski 2001); null where there are too few
    images."""
    trust_neighbours: Count
    """Number of neighbours that it was measured with."""
    trust_sample: Count
    """Number of images that it was measured on."""
    created: str
    """ISO 8601, UTC; empty where nothing is stored yet."""


@dataclass(frozen=True, slots=True)
class MapReport:
    """The result of :func:`imseek.maps.lay_out`. Where all images had positions, nothing was laid out or placed."""

    info: Annotated[MapInfo, Json(name="map")]
    """How the map was made."""
    images: Count
    """Number of images that were asked for."""
    laid_out: Count
    """Number of images that the layout was fitted on now."""
    placed: Count
    """Number of images that were added to the existing layout now."""
    missing: Count
    """Number of images without a position: the map is stale, the work was interrupted, or their vector is all zeros."""
    stale: bool
    """Whether the map is one of vectors of another encoder."""
    interrupted: bool
    notes: tuple[str, ...]
    seconds: Seconds
    generation: Count

    @property
    @json_member()
    def columns(self) -> tuple[str, str, str]:
        """Names of the derived columns: x, y, and whether the layout was fitted on the image."""
        return map_columns(self.info.name)
