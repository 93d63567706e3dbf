"""Maps: where images lie on a plane by what their vectors say, and how that was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: How a map is laid out: by principal components, or by UMAP (McInnes et al. 2018).
MapMethod: TypeAlias = Literal["pca", "umap"]


@dataclass(frozen=True, slots=True)
class MapInfo:
    """How a map was made. It is kept with the collection as the derived columns ``<name>_x``, ``<name>_y`` (numbers)
    and ``<name>_fitted`` (whether an image was there when the map was laid out, or was placed among the others).

    ``fitted`` and ``placed`` are how many images had a place when it was stored last. ``neighbours`` and ``min_dist``
    are None for ``"pca"``. ``trustworthiness`` (Venna & Kaski 2001) is that of ``trust_neighbours`` neighbours among
    ``trust_sample`` images drawn from all of them; None where there are too few. ``created`` is ISO 8601, UTC.
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
    """What :func:`imseek.maps.lay_out` did, and the map as it is now.

    ``laid_out`` images were laid out anew and ``placed`` ones were placed among those that were there already; both 0
    where all asked for had a place. ``missing`` ones have none: the map is ``stale`` (of vectors of another encoder),
    the work was ``interrupted``, or their vector is all zeros. ``images`` were asked for.
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
