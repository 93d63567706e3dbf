"""Stored maps: three derived columns, and a model with their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.pca import Axes
from imseek.data.catalog import models
from imseek.data.catalog.models import Model
from imseek.data.reader import Reader
from imseek.data.shards import derived_results, metadata_columns
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.maps.results import MapInfo, map_columns
from imseek.types.arrays import Float32

KIND: Final = "map"
NAME: Final = "map"


@dataclass(frozen=True, slots=True, eq=False)
class MapPositions:
    """Positions on a map: ``ids`` (n,) int64, ascending; ``coordinates`` (n, 2) float32; ``fitted`` (n,) bool."""

    ids: Ids
    coordinates: Float32
    fitted: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def has(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Return which ``ids`` have a position."""
        return np.isin(ids, self.ids, assume_unique=True)

    def only(self, mask: npt.NDArray[np.bool_]) -> MapPositions:
        """Select positions by a mask."""
        return MapPositions(self.ids[mask], self.coordinates[mask], self.fitted[mask])

    def union(self, other: MapPositions) -> MapPositions:
        """Merge with a disjoint set of positions."""
        ids = np.concatenate([self.ids, other.ids])
        order = np.argsort(ids, kind="stable")
        coordinates = np.concatenate([self.coordinates, other.coordinates])
        return MapPositions(ids[order], coordinates[order], np.concatenate([self.fitted, other.fitted])[order])


def no_positions() -> MapPositions:
    """Return an empty set of positions."""
    return MapPositions(np.empty(0, np.int64), np.empty((0, 2), np.float32), np.empty(0, np.bool_))


def check_name(reader: Reader, name: str) -> Model | None:
    """Return the model of a map, None where there is none yet. Raises UsageError where no map can have that name."""
    models.check_name(name)
    if "-" in name:
        raise UsageError(f"{name!r} cannot name columns", hint="lower-case letters, digits and _, a letter first")
    model = models.find(reader.root, name)
    if model is not None and model.kind != KIND:
        raise UsageError(f"{name} is the name of something else ({model.kind})", hint="choose another with --name")
    if model is None:
        names = set(map_columns(name))
        for shard in reader.current.shards:
            for file in metadata_columns.files_of(shard):
                if clashes := sorted(names & set(metadata_columns.schema_of(reader, file))):
                    raise UsageError(f"there is a column {clashes[0]} already", hint="choose another name with --name")
    return model


def read(reader: Reader, name: str) -> MapPositions:
    """Read all positions, including those of images not live now, which may return."""
    x, y, fitted = map_columns(name)
    parts: list[tuple[Ids, Float32, npt.NDArray[np.bool_]]] = []
    for shard in reader.current.shards:
        if (file := shard.columns.get(name)) is None:
            continue
        table = metadata_columns.columns_of(reader, file, ["image_id", x, y, fitted])
        table = table.filter(table.column(x).is_valid())
        ids, across, down, was_fitted = (table.column(n).to_numpy() for n in ("image_id", x, y, fitted))
        parts.append((ids, np.stack([across, down], axis=1).astype(np.float32), was_fitted.astype(np.bool_)))
    if not parts:
        return no_positions()
    ids = np.concatenate([part[0] for part in parts])
    # An image moved to a later shard may be in two, with the same position.
    ids, first = np.unique(ids, return_index=True)
    coordinates = np.concatenate([part[1] for part in parts])[first]
    return MapPositions(ids, coordinates, np.concatenate([part[2] for part in parts])[first])


def info_of(model: Model) -> MapInfo:
    facts = {field.name: model.facts.get(field.name) for field in fields(MapInfo)}
    return MapInfo(**{**facts, "name": model.name, "created": model.created})  # type: ignore[arg-type]


def axes_of(model: Model) -> Axes | None:
    """Return the axes that later images are projected onto; None where they are placed by neighbours."""
    if "axes" not in model.arrays:
        return None
    return Axes(model.arrays["mean"].astype(np.float32), model.arrays["axes"].astype(np.float32))


def store(root: Path, info: MapInfo, places: MapPositions, axes: Axes | None) -> int:
    """Store a map and return the generation. Raises LockedError, ReadOnlyError, StorageError."""
    ids = places.ids.tolist()
    x, y = (dict(zip(ids, places.coordinates[:, n].tolist(), strict=True)) for n in (0, 1))
    values: dict[str, Mapping[int, Any]] = dict(
        zip(map_columns(info.name), (x, y, dict(zip(ids, places.fitted.tolist(), strict=True))), strict=True)
    )
    facts = {key: value for key, value in asdict(info).items() if key not in ("name", "created")}
    arrays = {} if axes is None else {"mean": axes.mean, "axes": axes.axes}
    return derived_results.store(root, values, Model(info.name, KIND, facts, arrays))


def drop(root: Path, name: str) -> None:
    """Delete a map and its columns in one commit. Raises like :func:`store`."""
    derived_results.forget(root, name, KIND)
