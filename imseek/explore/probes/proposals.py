"""Propose images to label next (:mod:`imseek.explore.probes.active_learning`), without copies of labelled ones."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from imseek.data import tag_reader
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.explore.probes import active_learning, calibration, holdout_groups, model_selection
from imseek.explore.probes.labels import Labelled, Labels, Unlabelled, read
from imseek.explore.probes.probe_store import Probe
from imseek.explore.probes.training import taught, thinned
from imseek.explore.space_vectors import Vectors
from imseek.types import Float32, Progress, ProgressCallback
from imseek.types.probes import Proposal, Proposals

PHASE: Final = "looking"
#: Maximum number of images to cluster, evenly spaced.
_MOST: Final = 20_000
#: Spare candidates per requested image, because copies are dropped.
_SPARE: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class _Classes:
    """A classifier of unit rows."""

    names: tuple[str, ...]
    several: bool
    centre: Float32
    scorer: model_selection.Scorer
    temperature: float

    def chances(self, rows: Float32) -> Float32:
        """Probabilities (m, classes)."""
        logits = self.scorer.logits(model_selection.prepared(rows, self.centre))
        return calibration.probabilities(logits, self.temperature, self.several)


def propose(
    reader: Reader,
    vectors: Vectors,
    labels: Labels,
    probe: Probe | None,
    n: int,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> Proposals:
    """Propose up to n images to label next. Raises UsageError, MissingExtraError, InterruptedError."""
    labelled, notes = _known(reader, labels, vectors)
    asked = _probe(reader, vectors, labels, labelled, probe)
    known = np.empty(0, np.int64) if labelled is None else labelled.ids
    free = np.flatnonzero(~np.isin(vectors.ids, known))
    if asked is None:
        if labelled is not None:
            notes += (f"only {labelled.classes[0]} is labelled: what is like no labelled image comes first",)
    elif len(free):
        margin = np.empty(len(vectors), np.float32)
        began = time.monotonic()
        for part, rows in vectors.blocks():
            if stop is not None and stop.is_set():
                raise InterruptedError
            margin[part] = active_learning.margins(asked.chances(rows), asked.several)
            if progress is not None:
                progress(Progress(PHASE, part.stop, len(vectors), 0, time.monotonic() - began))
        free = free[active_learning.unsure(margin[free], n)]
    fresh, copies = _fresh(reader, vectors, known, vectors.ids[_typical(vectors, known, free, n)])
    return replace(
        _told(reader, vectors, fresh[:n], asked),
        labelled=len(known),
        looked=len(vectors) - len(known),
        copies=copies,
        notes=notes,
    )


def _known(reader: Reader, labels: Labels, vectors: Vectors) -> tuple[Labelled | None, tuple[str, ...]]:
    """Read the present labels; a tag without images is not an error here."""
    notes: tuple[str, ...] = ()
    if labels.kind == "tags" and labels.names:
        there = {tag for tag, _, _ in tag_reader.counts(reader.root)}
        missing = tuple(name for name in labels.names if name not in there)
        if missing:
            notes = (f"no image has the tag {', '.join(missing)} yet",)
            labels = replace(labels, names=tuple(name for name in labels.names if name in there))
            if not labels.names:
                return None, notes
    try:
        found = read(reader, labels, vectors.ids)
    except Unlabelled:
        return None, (*notes, "nothing is labelled yet: what stands for many images comes first")
    return found, (*notes, *found.notes)


def _probe(
    reader: Reader, vectors: Vectors, labels: Labels, labelled: Labelled | None, probe: Probe | None
) -> _Classes | None:
    """Return the given probe, or one trained now; None where the labels cannot distinguish classes."""
    if probe is not None:
        info = probe.info
        return _Classes(info.classes, info.several, probe.centre, probe.scorer, info.temperature)
    if labelled is None or not _tells_apart(labelled):
        return None
    found = taught(reader, vectors, thinned(labelled), even=labels.even)
    return _Classes(
        labelled.classes, labelled.several, found.centre, found.learned.scorer, found.learned.best.temperature
    )


def _tells_apart(labelled: Labelled) -> bool:
    """Tell whether the labels suffice for training: two classes, or, with several per image, examples for and against
    each."""
    if labelled.several:
        return all(0 < count < len(labelled) for count in labelled.counts())
    return len(labelled.classes) > 1


def _typical(vectors: Vectors, known: Ids, free: Ids, n: int) -> Ids:
    """Choose n of the positions ``free``, and some to spare."""
    if not len(free):
        return free
    even = np.unique(np.linspace(0, len(free) - 1, min(len(free), _MOST)).astype(np.int64))
    here = vectors.positions(known)
    here = here[here >= 0][:_MOST]
    at = np.concatenate([here, free[even]])
    rows = model_selection.prepared(vectors.at(at), model_selection.centre_of(vectors))
    found: Ids = at[active_learning.typical(rows, np.arange(len(here)), n, spare=_SPARE * n)]
    return found


def _fresh(reader: Reader, vectors: Vectors, known: Ids, ids: Ids) -> tuple[Ids, int]:
    """Drop copies and near-duplicates of labelled images and of earlier candidates; also return how many were
    dropped."""
    if not len(ids):
        return ids, 0
    contents, hashes = holdout_groups.facts_of(reader, ids)
    rows = vectors.of(ids)
    old = np.zeros(len(ids), np.bool_)
    if len(known):
        old = holdout_groups.copies(
            (*holdout_groups.facts_of(reader, known), vectors.of(known)), (contents, hashes, rows)
        )
    _, first = np.unique(holdout_groups.groups(contents, hashes, rows), return_index=True)
    once = np.isin(np.arange(len(ids)), first)
    return ids[once & ~old], int((~once | old).sum())


def _told(reader: Reader, vectors: Vectors, ids: Ids, asked: _Classes | None) -> Proposals:
    """Build the proposals, with the predicted class of each."""
    places = reader.places(ids.tolist())
    chances = None if asked is None or not len(ids) else asked.chances(vectors.of(ids))
    found = []
    for row, image_id in enumerate(ids.tolist()):
        if asked is None or chances is None:
            found.append(Proposal(image_id, "typical", None, None, places.get(image_id)))
            continue
        at = int(chances[row].argmax())
        if asked.several:
            at = int(np.abs(chances[row] - 0.5).argmin())
        found.append(
            Proposal(image_id, "unsure", asked.names[at], float(chances[row, at]), places.get(image_id))
        )
    return Proposals(tuple(found), 0, 0, 0, () if asked is None else asked.names)


def check_count(n: int) -> None:
    """Raise UsageError unless 1 to 1,000 images are requested."""
    if not 0 < n <= 1000:
        raise UsageError(f"so many images cannot be proposed: {n}", hint="from 1 to 1,000")
