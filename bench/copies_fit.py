"""Fit the weights of imseek.duplicates.local_features.verdict to half A of bench/copies.py.

    python bench/copies_fit.py [--share 1] [--seed 0 …] [--stamps DIR]

All files of the half are searched as `imseek duplicates --inside` searches them: local features propose pairs, and
those that the comparison of whole pictures has not decided are laid over each other. A logistic model learns which
pairs of a query and a reference are copies. A second model learns from the places that differ, in pairs that the first
does not believe and in those that whole pictures call *edited*. Printed are µAP and recall at 90 % precision of these
pairs by eight-fold cross-validation over the series of references, without and with the second model, the least
confidences at which nine in ten pairs are right, and the weights. Each further `--seed` adds half A with other edits:
as many copies again to learn from.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import recorder
from copies import average_precision, open_comparer, recall_at
from copying.challenge import Challenge, make
from quality import find_stamps
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from imseek.duplicates.local_features.alignment import align
from imseek.duplicates.local_features.candidates import find_candidates
from imseek.duplicates.local_features.features import SIDE, FeatureDetector
from imseek.duplicates.local_features.overlay import measure_overlay
from imseek.duplicates.local_features.verdict import (
    LEAST_WORTH,
    OVERLAY_WEIGHTS,
    copy_confidence,
    copy_features,
    overlay_features,
)
from imseek.encoders.cache import cache_dir
from imseek.media import decode

FOLDS = 8
STRENGTH = 0.3


@dataclass(frozen=True)
class Pairs:
    """Pairs (n, 2) of a query and a reference, by their positions, that could be laid over each other."""

    ends: np.ndarray
    edited: np.ndarray
    """Whether whole pictures decide that they differ in places."""
    features: np.ndarray
    what_differs: np.ndarray
    """Features of the places that differ, NaN where the second model is not used."""
    right: np.ndarray
    series: tuple[str, ...]
    """Series of the reference."""


def collect_pairs(challenge: Challenge, path: Path) -> Pairs:
    with open_comparer(challenge, path, ("same", "edited", "inside", "scene")) as (comparer, entry_of):
        kinds = {tuple(sorted((entry_of[pair.a], entry_of[pair.b]))): pair.kind for pair in comparer.find().pairs}
    detector = FeatureDetector()
    pictures = [
        detector.find(decode((challenge.folder / one.file).read_bytes(), min_side=SIDE, measured=False).pixels).pack()
        for one in challenge.entries
    ]
    proposals = {pair: False for pair, kind in kinds.items() if kind == "edited"}
    for n, candidates in enumerate(find_candidates([one.descriptors for one in pictures])):
        for other, mirrored in candidates:
            pair = min(n, other), max(n, other)
            if pair not in kinds or pair in proposals:
                proposals[pair] = proposals.get(pair, False) or mirrored
    rows = []
    entries = challenge.entries
    for (a, b), mirrored in proposals.items():
        if not a < challenge.references <= b or challenge.is_open(b, a):
            continue
        one = pictures[a].unpack()
        if (alignment := align(one.mirrored() if mirrored else one, pictures[b].unpack())) is not None:
            edited = (a, b) in kinds
            uses_second = edited or copy_confidence(alignment) >= LEAST_WORTH
            second = (
                overlay_features(alignment, measure_overlay(alignment))
                if uses_second
                else (np.nan,) * len(OVERLAY_WEIGHTS)
            )
            right = entries[a].source == entries[b].source
            rows.append(((b, a), edited, copy_features(alignment), second, right, entries[a].series))
    *columns, series = zip(*rows, strict=True)
    return Pairs(*(np.array(column) for column in columns), series)


def cross_validate(rows: np.ndarray, right: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the confidence of each row by a model of the other groups."""
    confidence = np.zeros(len(right))
    for train, test in GroupKFold(min(FOLDS, len(np.unique(groups)))).split(rows, right, groups):
        weights, constant = fit_logistic(rows[train], right[train])
        confidence[test] = 1 / (1 + np.exp(-(rows[test] @ weights + constant)))
    return confidence


def fit_logistic(rows: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    model = LogisticRegression(C=STRENGTH, max_iter=2000).fit((rows - mean) / spread, right)
    weights = model.coef_[0] / spread
    return weights, float(model.intercept_[0] - weights @ mean)


def find_threshold(right: np.ndarray, confidence: np.ndarray) -> float:
    """Return the least confidence above which nine in ten pairs are right."""
    order = np.argsort(-confidence)
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    return float(confidence[order][np.flatnonzero(precision >= 0.9).max(initial=0)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument(
        "--seed", type=int, action="append", help="seed of the edits; may be given several times (default: 0)"
    )
    parser.add_argument("--cache", type=Path, default=cache_dir() / "bench")
    options = parser.parse_args()
    start = time.process_time()
    parts, copies = [], 0
    for seed in options.seed or [0]:
        challenge = make("A", options.stamps or find_stamps(), options.cache, options.share, seed)
        parts.append(collect_pairs(challenge, challenge.collection_path))
        copies += sum(one.query and one.source != "" for one in challenge.entries)
    edited, features, what_differs, right = (
        np.concatenate([getattr(one, name) for one in parts])
        for name in ("edited", "features", "what_differs", "right")
    )
    names = [name for one in parts for name in one.series]
    groups = np.unique(names, return_inverse=True)[1]
    first = np.flatnonzero(~edited)
    print(f"{len(first)} pairs, {right[first].sum()} of {copies} copies, {time.process_time() - start:.0f} s of CPU")
    confidence = np.zeros(len(right))
    confidence[first] = cross_validate(features[first], right[first], groups[first])
    least = find_threshold(right[first], confidence[first])

    def report(name: str, scores: np.ndarray) -> tuple[float, float]:
        figures = [metric(right[first], scores, float(copies)) for metric in (average_precision, recall_at)]
        print(f"{name}: µAP {figures[0]:.3f}, recall at 90 % {figures[1]:.3f}, {int((scores > 0).sum())} pairs")
        return figures[0], figures[1]

    print(f"cross-validation, from a confidence of {least:.2f} on")
    report("the first", np.where(confidence[first] >= least, confidence[first], 0))
    hard = np.flatnonzero(np.isfinite(what_differs[:, 0]) & (edited | (confidence < least)))
    print(f"the second is asked about {len(hard)} pairs, {right[hard].sum()} copies, {edited[hard].sum()} edited")
    second = np.zeros(len(right))
    second[hard] = cross_validate(what_differs[hard], right[hard], groups[hard])
    both = np.where(confidence >= least, confidence, second)
    least_second = find_threshold(right[first], both[first])
    mean, recall = report(
        f"with the second, from {least_second:.2f} on", np.where(both[first] >= least_second, both[first], 0)
    )
    for low, high in pairwise((0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.01)):
        in_bin = hard[(second[hard] >= low) & (second[hard] < high)]
        share = right[in_bin].mean() if len(in_bin) else np.nan
        print(f"  said {low} to {min(1, high)}: {len(in_bin)}, {share:.2f} right")
    for name, rows, columns in (("", first, features), ("OVERLAY_", hard, what_differs)):
        weights, constant = fit_logistic(columns[rows], right[rows])
        print(f"{name}WEIGHTS", np.round(weights, 3).tolist(), f"{name}CONSTANT", round(constant, 3))
    recorder.put(pairs=len(right), copies=copies, map=mean, recall=recall, least=[least, least_second])


if __name__ == "__main__":
    sys.exit(recorder.run(main))
