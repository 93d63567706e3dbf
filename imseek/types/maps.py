"""Maps: two-dimensional layouts of images by their vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: Layout method: principal components, or UMAP (McInnes et al. 2018).
MapMethod: TypeAlias = Literal["pca", "umap"]


@dataclass(frozen=True, slots=True)
class MapInfo:
    """A map's parameters and state.

    A map is stored as the derived columns ``<name>_x``, ``<name>_y`` (numbers) and ``<name>_fitted`` (True for images
    the layout was fitted on, False for those placed later). ``fitted`` and ``placed`` count images when it was last
    stored. ``neighbours`` and ``min_dist`` are None for ``"pca"``. ``trustworthiness`` (Venna & Kaski 2001) is measured
    with ``trust_neighbours`` neighbours on a sample of ``trust_sample`` images; None where there are too few.
    ``created`` is ISO 8601, UTC.
    """

    name: str
    method: MapMethod
    encoder: str
    fingerprint: str
    seed: int
    neighbours: int | None
    min_dist: float | None
    where: str | None
    fitted: int
    placed: int
    trustworthiness: float | None
    trust_neighbours: int
    trust_sample: int
    created: str


@dataclass(frozen=True, slots=True)
class MapReport:
    """The result of :func:`imseek.maps.lay_out`.

    Of ``images`` images, ``laid_out`` were fitted and ``placed`` were added to the existing layout; both are 0 where
    all had positions. ``missing`` images have none: the map is ``stale`` (vectors of another encoder), the work was
    ``interrupted``, or their vector is all zeros.
    """

    info: MapInfo
    images: int
    laid_out: int
    placed: int
    missing: int
    stale: bool
    interrupted: bool
    notes: tuple[str, ...]
    seconds: float
    generation: int
