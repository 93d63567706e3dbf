"""Calibrate ``--cutoff 10%`` by texts whose images are known, and measure on others whether the promise holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from imseek import collection as collections
from imseek.analysis.space_vectors import Vectors
from imseek.captions import caption_pairs
from imseek.data.reader import Reader
from imseek.data.trust import check_trusted
from imseek.data.vectors.base import Ids
from imseek.encoders.runtime import Runtime
from imseek.errors import QueryError
from imseek.evaluate.results import CaptionOrigin, CutoffKind, CutoffPromise, CutoffReport
from imseek.evaluate.retrieval_evaluation import no_captions_error
from imseek.progress import SILENT, Cancelled, Task
from imseek.search.conformal import MIN_QUERIES, Float64, LossCurve
from imseek.search.engine import Engine
from imseek.search.promised_cutoff import CutoffCalibration, PromisedKind, RelevanceSample
from imseek.search.query import Query, Term

PHASE: Final = "calibrating"
#: Promises that the report is about.
PROMISES: Final = (0.05, 0.1, 0.2, 0.3)
SPLITS: Final = 20
#: Most queries of each kind, drawn at random.
MAX_QUERIES: Final = 1000
#: Queries that are encoded at once.
_BATCH: Final = 32
#: The words of an image's own caption do not count where the caption is the query.
_CAPTIONS: Final = ("captions",)
_OWN_CAPTIONS: Final = (
    "words of a picture's own caption do not count where that caption is the query, so lists by words keep more than "
    "they promise; judgements (--captions FILE) make them as short as the promise allows"
)


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredQueries:
    """For each query, the ``relevance`` (m,) of its relevant images, and a sample of that of all."""

    relevance: Sequence[Float64]
    samples: Sequence[RelevanceSample]


def calibrate(
    root: Path,
    captions: caption_pairs.CaptionSource | None = None,
    column: str | None = None,
    *,
    runtime: Runtime | None = None,
    task: Task = SILENT,
    notify: Callable[[str], None] | None = None,
    seed: int = 0,
) -> tuple[CutoffCalibration | None, CutoffReport]:
    """Calibrate a collection; see :func:`imseek.evaluate.cutoff`. The calibration is None if it was interrupted."""
    check_trusted(root, "writing to it")  # before minutes of work
    with collections.open(root, runtime=runtime, notify=notify) as collection:
        engine = collection.engine
        reader = engine.reader
        space = reader.current.space
        read_captions = _load(reader, captions, column)
        origin: CaptionOrigin = "metadata" if captions is None else "given"
        if not read_captions.texts:
            raise no_captions_error(read_captions.left_out, given=captions is not None)
        pairs = _gather(read_captions, seed)
        if len(pairs) < MIN_QUERIES:
            raise QueryError(
                f"{len(pairs):,} different texts are too few to calibrate the cutoff: it takes {MIN_QUERIES}",
                hint="more captions, or --captions FILE with judgements: a text and an image a line",
            )
        ignored_fields = _CAPTIONS if captions is None else ()
        kinds = [measured for measured in _queries(pairs) if len(measured[1]) >= MIN_QUERIES]
        try:
            measurements = _measure(engine, kinds, ignored_fields, task)
        except Cancelled:
            measurements = {}
        images = reader.current.images
        curves = {kind: LossCurve.of(measured.relevance) for kind, measured in measurements.items()}
        report = CutoffReport(
            encoder=space.encoder,
            generation=reader.generation,
            images=images,
            captions_from=origin,
            kinds=tuple(_describe(kind, measured, seed) for kind, measured in measurements.items()),
            left_out=read_captions.left_out,
            interrupted=not measurements,
            notes=() if captions is not None or "auto" not in measurements else (_OWN_CAPTIONS,),
        )
        return CutoffCalibration(space.fingerprint, images, curves) if measurements else None, report


def _load(
    reader: Reader, captions: caption_pairs.CaptionSource | None, column: str | None
) -> caption_pairs.ImageCaptions:
    space = reader.current.space
    if captions is None:
        return caption_pairs.read_own_captions(reader, space, None)
    return caption_pairs.load_captions(reader, captions, column, Vectors(reader, space, None).ids)


def _gather(captions: caption_pairs.ImageCaptions, seed: int) -> Mapping[str, Ids]:
    """Return the images of each text, of at most ``MAX_QUERIES`` texts drawn at random."""
    ids_by_text: dict[str, list[int]] = {}
    for image_id, text in zip(captions.ids.tolist(), captions.texts, strict=True):
        ids_by_text.setdefault(text, []).append(image_id)
    texts = list(ids_by_text)
    if len(texts) > MAX_QUERIES:
        sample = np.random.default_rng(seed).choice(len(texts), MAX_QUERIES, replace=False)
        texts = [texts[n] for n in np.sort(sample).tolist()]
    return {text: np.unique(np.array(ids_by_text[text], np.int64)) for text in texts}


def _queries(pairs: Mapping[str, Ids]) -> list[tuple[PromisedKind, list[Query], list[Ids]]]:
    """Return the queries of each kind and their relevant images. An image asks for the others of its text."""
    texts, relevant = list(pairs), list(pairs.values())
    several = [ids for ids in relevant if len(ids) > 1]
    return [
        ("auto", [Query(Term(text=text)) for text in texts], relevant),
        ("image", [Query(Term(text=text), by="image") for text in texts], relevant),
        ("picture", [Query(Term(image_id=int(ids[0]))) for ids in several], [ids[1:] for ids in several]),
    ]


def _measure(
    engine: Engine,
    kinds: Sequence[tuple[PromisedKind, Sequence[Query], Sequence[Ids]]],
    ignored_fields: tuple[str, ...],
    task: Task,
) -> dict[PromisedKind, MeasuredQueries]:
    """Measure the relevance of the relevant images, a batch of all kinds at a time, which encodes each text once.

    Raises Cancelled.
    """
    measurements_by_kind: dict[PromisedKind, list[tuple[Float64, RelevanceSample]]] = {kind: [] for kind, _, _ in kinds}
    total = max(len(queries) for _, queries, _ in kinds)
    for start in range(0, total, _BATCH):
        task.step(PHASE, start, total)
        part = slice(start, start + _BATCH)
        queries = [query for _, items, _ in kinds for query in items[part]]
        relevant = [ids for _, _, items in kinds for ids in items[part]]
        measured = iter(engine.measure_relevance(queries, relevant, ignored_words=ignored_fields))
        for kind, items, _ in kinds:
            measurements_by_kind[kind] += islice(measured, len(items[part]))
    task.report(PHASE, total, total)
    return {kind: MeasuredQueries(*zip(*items, strict=True)) for kind, items in measurements_by_kind.items()}


def _describe(kind: PromisedKind, measured: MeasuredQueries, seed: int) -> CutoffKind:
    curve = LossCurve.of(measured.relevance)
    promises = []
    for promise in PROMISES:
        threshold = curve.threshold(promise)
        losses = split_losses(measured.relevance, promise, seed)
        if threshold is None or losses is None:
            continue
        length = np.mean([one.count(threshold) for one in measured.samples])
        promises.append(CutoffPromise(promise, float(losses.mean()), float(losses.std()), round(float(length))))
    return CutoffKind(kind, curve.queries, len(curve.relevance), tuple(promises))


def split_losses(relevance: Sequence[Float64], promise: float, seed: int, splits: int = SPLITS) -> Float64 | None:
    """Return the loss (splits,) on one half of the queries by a threshold calibrated on the other, drawn at random.

    None where half of them is too few for the promise.
    """
    rng, losses = np.random.default_rng(seed), []
    for _ in range(splits):
        order = rng.permutation(len(relevance)).tolist()
        half = len(order) // 2
        threshold = LossCurve.of([relevance[n] for n in order[:half]]).threshold(promise)
        if threshold is None:
            return None
        losses.append(LossCurve.of([relevance[n] for n in order[half:]]).loss(threshold))
    return np.array(losses)
