"""Lay out a map, or place new images on an existing one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from imseek.analysis.pca import Axes, nonzero_rows
from imseek.analysis.snapshot_session import filter_ids
from imseek.analysis.space_vectors import Vectors
from imseek.data.catalog.models import Model
from imseek.data.reader import Reader
from imseek.errors import UsageError
from imseek.maps import fit, map_store
from imseek.maps.map_store import MapPositions
from imseek.maps.results import MapInfo, MapMethod, MapReport
from imseek.maps.trustworthiness import NEIGHBOURS, SAMPLE, trustworthiness
from imseek.progress import Cancelled, Task
from imseek.types.spaces import name_beside

#: Defaults for a new map.
METHOD: Final[MapMethod] = "umap"
DEFAULT_NEIGHBOURS: Final = 15
MIN_DIST: Final = 0.1
SEED: Final = 0
#: Maximum number of images for UMAP; larger sets are sampled, and the rest are placed.
MAX_FITTED: Final = 100_000
#: Share of images placed since the layout at which a new layout is recommended.
_REFIT_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class MapRequest:
    """The caller's request; None stands for the map's present value, or for the default."""

    name: str
    method: MapMethod | None
    refit: bool
    neighbours: int | None
    min_dist: float | None
    seed: int | None
    where: str | None
    sample: int


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The map as it is now, and what to store: nothing where ``places`` is None."""

    report: MapReport
    places: MapPositions | None = None
    axes: Axes | None = None


def lay_out(reader: Reader, request: MapRequest, task: Task) -> Outcome:
    """Compute a map without storing it. Raises UsageError, QueryError, MissingExtraError, StaleGenerationError."""
    model = map_store.check_name(reader, request.name)
    if model is not None and request.where is None:
        request = replace(request, where=map_store.info_of(model).where)
    vectors = Vectors(reader, allowed=filter_ids(reader, request.where))
    if not len(vectors):
        if request.where is not None and reader.current.images:
            raise UsageError("no image meets the condition", hint="docs/where.md says what it can be made of")
        raise UsageError("there are no images to lay out", hint="imseek index FOLDER")
    positions = map_store.no_positions() if model is None else map_store.read(reader, request.name)
    builder = _ReportBuilder(reader, vectors, task)
    if model is None or request.refit:
        return _lay_out_anew(reader, vectors, request, model, positions, builder)
    return _place_new_images(reader, vectors, request, model, positions, builder)


@dataclass(frozen=True, slots=True)
class _ReportBuilder:
    """Builds reports."""

    reader: Reader
    vectors: Vectors
    task: Task

    def report(
        self,
        info: MapInfo,
        places: MapPositions,
        *notes: str,
        laid_out: int = 0,
        placed: int = 0,
        stale: bool = False,
        interrupted: bool = False,
    ) -> MapReport:
        return MapReport(
            info=info,
            images=len(self.vectors),
            laid_out=laid_out,
            placed=placed,
            missing=int((~places.has(self.vectors.ids)).sum()),
            stale=stale,
            interrupted=interrupted,
            notes=notes,
            seconds=self.task.seconds,
            generation=self.reader.generation,
        )


def _lay_out_anew(
    reader: Reader,
    vectors: Vectors,
    request: MapRequest,
    model: Model | None,
    positions: MapPositions,
    builder: _ReportBuilder,
) -> Outcome:
    before = None if model is None else map_store.info_of(model)
    info = _plan_map(vectors, request, before)
    try:
        if info.neighbours is None or info.min_dist is None:
            layout = fit.fit_pca(vectors, builder.task)
        else:
            settings = info.neighbours, info.min_dist, info.seed, request.sample
            layout = fit.fit_umap(reader, vectors, *settings, builder.task)
    except Cancelled:
        return Outcome(builder.report(before or info, positions, interrupted=True))
    info = _measure_map(info, reader, layout.places)
    fitted, placed, interrupted = info.fitted, info.placed, layout.interrupted
    report = builder.report(info, layout.places, *layout.notes, laid_out=fitted, placed=placed, interrupted=interrupted)
    return Outcome(report, layout.places, layout.axes)


def _plan_map(vectors: Vectors, request: MapRequest, before: MapInfo | None) -> MapInfo:
    """Return the intended parameters: requested values, else those of the existing map, else defaults."""

    def choose(name: str, default: object) -> object:
        value = getattr(request, name)
        existing = None if before is None else getattr(before, name)
        return next((one for one in (value, existing) if one is not None), default)

    is_umap = choose("method", METHOD) == "umap"
    known_facts = {
        "method": choose("method", METHOD),
        "seed": choose("seed", SEED),
        "neighbours": choose("neighbours", DEFAULT_NEIGHBOURS) if is_umap else None,
        "min_dist": choose("min_dist", MIN_DIST) if is_umap else None,
    }
    return MapInfo(
        name=request.name,
        encoder=vectors.space.encoder,
        fingerprint=vectors.space.fingerprint,
        where=request.where,
        fitted=0,
        placed=0,
        trustworthiness=None,
        trust_neighbours=NEIGHBOURS,
        trust_sample=0,
        created="",
        **known_facts,  # type: ignore[arg-type]
    )


def _place_new_images(
    reader: Reader,
    vectors: Vectors,
    request: MapRequest,
    model: Model,
    positions: MapPositions,
    builder: _ReportBuilder,
) -> Outcome:
    info = map_store.info_of(model)
    _check_same(request, info)
    if info.fingerprint != vectors.space.fingerprint:
        note = f"it is stale: made of vectors of {info.encoder}, where the collection has those of "
        note += f"{name_beside(vectors.space.encoder, info.encoder)}; --refit lays it out anew"
        return Outcome(builder.report(info, positions, note, stale=True))
    missing = vectors.ids[~positions.has(vectors.ids)]
    if not len(missing):
        return Outcome(builder.report(info, positions))
    axes = map_store.axes_of(model)
    interrupted = False
    if axes is not None:
        try:
            placed = fit.project_images(vectors, missing, axes, builder.task, fitted=False)
        except Cancelled:
            return Outcome(builder.report(info, positions, interrupted=True))
    else:
        live = Vectors(reader)
        anchors = positions.only(positions.fitted & (live.positions(positions.ids) >= 0))
        if not len(anchors):
            raise UsageError(
                f"all images that map {info.name!r} was computed from have been removed",
                hint="--refit computes it anew",
            )
        neighbour_count = info.neighbours or DEFAULT_NEIGHBOURS
        placed, interrupted = fit.place_among(reader, vectors, missing, anchors, neighbour_count, builder.task)
    if not len(placed):
        return Outcome(builder.report(info, positions, interrupted=interrupted))
    places = positions.union(placed)
    info = _measure_map(info, reader, places)
    notes = []
    if info.placed > _REFIT_SHARE * (info.placed + info.fitted) and info.fitted < request.sample:
        notes.append(f"{info.placed:,} images were placed among {info.fitted:,}: --refit lays out all of them")
    report = builder.report(info, places, *notes, placed=len(placed), interrupted=interrupted)
    return Outcome(report, places, axes)


def _check_same(request: MapRequest, info: MapInfo) -> None:
    """Raise UsageError where the request contradicts the existing map."""
    for option in ("method", "neighbours", "min_dist", "seed"):
        value, existing = getattr(request, option), getattr(info, option)
        if value is not None and value != existing and (existing is not None or option == "method"):
            raise UsageError(
                f"map {info.name!r} was computed with {option.replace('_', '-')} {existing}, not {value}",
                hint="--refit computes it anew; --name makes another map",
            )


def _measure_map(info: MapInfo, reader: Reader, places: MapPositions) -> MapInfo:
    """Update the counts and the trustworthiness, over live images."""
    live = Vectors(reader)
    live_places = places.only(live.positions(places.ids) >= 0)
    fitted = int(live_places.fitted.sum())
    size = min(SAMPLE, len(live_places))
    sampled = np.sort(np.random.default_rng(info.seed).choice(len(live_places), size, replace=False))
    sample = live_places.only(np.isin(np.arange(len(live_places)), sampled))
    neighbour_count = min(NEIGHBOURS, (size - 1) // 2)
    trust = None
    if neighbour_count > 0:
        rows = live.of(sample.ids)
        assert nonzero_rows(rows).all()
        trust = round(trustworthiness(rows, sample.coordinates, neighbour_count), 6)
    return replace(
        info,
        fitted=fitted,
        placed=len(live_places) - fitted,
        trustworthiness=trust,
        trust_neighbours=neighbour_count,
        trust_sample=size,
    )
