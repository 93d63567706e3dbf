"""Map layouts: by UMAP, by principal components, or among images already laid out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.analysis import umap_layout
from imseek.analysis.pca import Axes, nonzero_rows, principal_axes
from imseek.analysis.space_vectors import BLOCK, Vectors
from imseek.data.reader import Reader
from imseek.data.vectors import IdSet
from imseek.data.vectors.base import Ids
from imseek.maps import neighbours
from imseek.maps.map_store import MapPositions, no_positions
from imseek.maps.transform import place_images
from imseek.progress import Task
from imseek.types.arrays import Float32

#: With fewer images, UMAP has too few neighbours.
_MIN_UMAP_IMAGES: Final = 4
#: Up to so many images, neighbours are exact, or those of the collection's index.
_MAX_EXACT: Final = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class MapLayout:
    """A map layout. ``axes`` are set where later images are projected. ``interrupted``: some images were not yet
    placed."""

    places: MapPositions
    axes: Axes | None
    notes: tuple[str, ...] = ()
    interrupted: bool = False


def fit_pca(vectors: Vectors, task: Task) -> MapLayout:
    """Lay out images by principal components. Raises Cancelled."""
    axes = principal_axes(_iter_rows(vectors, vectors.ids, task), vectors.dim)
    return MapLayout(project_images(vectors, vectors.ids, axes, task, fitted=True), axes)


def project_images(vectors: Vectors, ids: Ids, axes: Axes, task: Task, *, fitted: bool) -> MapPositions:
    """Project images onto axes. Raises Cancelled."""
    placed_ids, coordinates = [np.empty(0, np.int64)], [np.empty((0, 2), np.float32)]
    for start in range(0, len(ids), BLOCK):
        part = ids[start : start + BLOCK]
        rows = vectors.of(part)
        has = nonzero_rows(rows)
        placed_ids.append(part[has])
        coordinates.append(axes.project(rows[has]))
        task.step("placing", start + len(part), len(ids))
    all_ids = np.concatenate(placed_ids)
    return MapPositions(all_ids, np.concatenate(coordinates), np.full(len(all_ids), fitted))


def fit_umap(
    reader: Reader,
    vectors: Vectors,
    neighbour_count: int,
    min_dist: float,
    seed: int,
    sample: int,
    task: Task,
) -> MapLayout:
    """Lay out images by UMAP; beyond ``sample``, a sample is laid out and the rest are placed among it.

    Raises Cancelled, MissingExtraError.
    """
    umap_layout.check_installed()  # Report a missing package before the work starts.
    fitted_ids, notes = vectors.ids, []
    if len(fitted_ids) > sample:
        sampled = np.random.default_rng(seed).choice(len(fitted_ids), sample, replace=False)
        fitted_ids = fitted_ids[np.sort(sampled)]
        notes.append(f"{sample:,} of {len(vectors):,} images were laid out, and the others placed among them")
    axes = principal_axes(_iter_rows(vectors, fitted_ids, task), vectors.dim)
    first = project_images(vectors, fitted_ids, axes, task, fitted=True)
    n = len(first)
    if n < _MIN_UMAP_IMAGES:
        notes.append(f"so few images ({n}) lie by their principal components")
        return MapLayout(first, None, tuple(notes))
    k = min(neighbour_count, n - 1) - 1  # An image counts among its own neighbours, as in umap-learn.
    if n <= neighbour_count:
        notes.append(f"{n - 1} neighbours instead of {neighbour_count}: there are only {n} images")
    positions, distances = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    count = 0
    for rows, at, apart in _neighbours(reader, vectors, first.ids, k, seed):
        positions[rows], distances[rows] = at, apart
        count += len(at)
        task.step("finding neighbours", count, n)
    coordinates = umap_layout.fit_layout(positions, distances, first.coordinates, min_dist, seed, task)
    places = MapPositions(first.ids, coordinates, first.fitted)
    rest = np.setdiff1d(vectors.ids, fitted_ids, assume_unique=True)
    placed, interrupted = place_among(reader, vectors, rest, places, neighbour_count, task)
    return MapLayout(places.union(placed), None, tuple(notes), interrupted)


def _neighbours(
    reader: Reader, vectors: Vectors, ids: Ids, k: int, seed: int
) -> Iterator[tuple[Ids, neighbours.Int32, Float32]]:
    """Yield the k nearest of ``ids`` for each of them, in blocks: rows (m,), positions (m, k), distances (m, k)."""
    if len(ids) > _MAX_EXACT:
        yield from neighbours.find_approximate(vectors, ids, k, seed)
        return
    id_set = IdSet(ids)
    for part, at, apart in neighbours.find_nearest(
        neighbours.index_of(reader, vectors, id_set), vectors, ids, id_set, k
    ):
        yield np.searchsorted(ids, part), at, apart


def place_among(
    reader: Reader, vectors: Vectors, ids: Ids, anchors: MapPositions, neighbour_count: int, task: Task
) -> tuple[MapPositions, bool]:
    """Place images among fixed ``anchors``; return those placed, and whether the work was stopped early.

    An image's position does not depend on the others placed with it.
    """
    if not len(ids):
        return no_positions(), False
    placed_ids, coordinates = [np.empty(0, np.int64)], [np.empty((0, 2), np.float32)]
    anchor_ids = IdSet(anchors.ids)
    index = neighbours.index_of(reader, vectors, anchor_ids)
    k = min(neighbour_count, len(anchors))
    count, is_cancelled = 0, False
    for part, at, apart in neighbours.find_nearest(index, vectors, ids, anchor_ids, k):
        placed_ids.append(part)
        coordinates.append(place_images(at, apart, anchors.coordinates))
        count += len(part)
        task.report("placing", count, len(ids))
        if is_cancelled := task.is_cancelled:
            break
    all_ids = np.concatenate(placed_ids)
    placed = MapPositions(all_ids, np.concatenate(coordinates), np.zeros(len(all_ids), np.bool_))
    return placed, is_cancelled and count < len(ids)


def _iter_rows(vectors: Vectors, ids: Ids, task: Task) -> Iterator[Float32]:
    """Yield rows in blocks and report progress. Raises Cancelled."""
    for start in range(0, len(ids), BLOCK):
        yield vectors.of(ids[start : start + BLOCK])
        task.step("reading vectors", min(start + BLOCK, len(ids)), len(ids))
