"""Fit the weights of imseek.duplicates.local_features.verdict to half A of bench/copies.py.

    python bench/copies_fit.py [--share 1] [--stamps DIR]

All files of the half are searched as `imseek duplicates --inside` searches them: local features propose pairs, and
those that the comparison of whole pictures has not decided are laid over each other. A logistic model learns which of a
query and a reference are copies. Printed are µAP and recall at 90 % precision of these pairs by eight-fold
cross-validation over the series of references, the least confidence at which nine in ten are right, and the weights.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import recorder
from copies import average_precision, comparing, recall_at
from copying.challenge import Challenge, make
from quality import find_stamps

from imseek.duplicates.local_features.alignment import align
from imseek.duplicates.local_features.candidates import find_candidates
from imseek.duplicates.local_features.features import SIDE, FeatureDetector
from imseek.duplicates.local_features.verdict import copy_features
from imseek.encoders.cache import cache_dir
from imseek.media import decode

FOLDS = 8
STRENGTH = 0.3


def pairs_of(challenge: Challenge, keep: Path) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 2) of queries and references that could be laid over each other, and the features of each pair."""
    with comparing(challenge, keep, ("same", "edited", "inside", "scene")) as (comparer, at):
        known = {tuple(sorted((at[pair.a], at[pair.b]))) for pair in comparer.find().pairs}
    detector = FeatureDetector()
    pictures = [
        detector.find(decode((challenge.folder / one.file).read_bytes(), min_side=SIDE, measured=False).pixels).pack()
        for one in challenge.entries
    ]
    proposed: dict[tuple[int, int], bool] = {}
    for n, candidates in enumerate(find_candidates([one.descriptors for one in pictures])):
        for other, mirrored in candidates:
            a, b = min(n, other), max(n, other)
            if a < challenge.references <= b and (a, b) not in known:
                proposed.setdefault((a, b), mirrored)
    ends, rows = [], []
    for (a, b), mirrored in proposed.items():
        one = pictures[a].unpack()
        if (laid := align(one.mirrored() if mirrored else one, pictures[b].unpack())) is not None:
            ends.append((b, a))
            rows.append(copy_features(laid))
    return np.array(ends), np.array(rows)


def main() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--cache", type=Path, default=cache_dir() / "bench")
    options = parser.parse_args()
    challenge = make("A", options.stamps or find_stamps(), options.cache, options.share)
    began = time.process_time()
    ends, features = pairs_of(challenge, challenge.folder.with_suffix(".imseek"))
    entries = challenge.entries
    known = np.array([not challenge.is_open(*pair) for pair in ends.tolist()])
    ends, features = ends[known], features[known]
    right = np.array([entries[q].source == entries[r].source for q, r in ends.tolist()])
    copies = sum(one.query and one.source != "" for one in entries)
    print(f"{len(right)} pairs, {right.sum()} of {copies} copies, {time.process_time() - began:.0f} s of CPU")
    series = {one.series: n for n, one in enumerate(entries)}
    groups = np.array([series[entries[r].series] for _, r in ends.tolist()])

    def fitted(rows: np.ndarray) -> tuple[np.ndarray, float]:
        mean, spread = features[rows].mean(axis=0), features[rows].std(axis=0) + 1e-9
        model = LogisticRegression(C=STRENGTH, max_iter=500).fit((features[rows] - mean) / spread, right[rows])
        weights = model.coef_[0] / spread
        return weights, float(model.intercept_[0] - weights @ mean)

    said = np.zeros(len(right))
    for rows, rest in GroupKFold(min(FOLDS, len(set(groups.tolist())))).split(features, right, groups):
        weights, constant = fitted(rows)
        said[rest] = 1 / (1 + np.exp(-(features[rest] @ weights + constant)))
    mean, recall = (of(right, said, float(copies)) for of in (average_precision, recall_at))
    order = np.argsort(-said)
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    least = float(said[order][np.flatnonzero(precision >= 0.9).max(initial=0)])
    print(f"cross-validation: µAP {mean:.3f}, recall at 90 % {recall:.3f}, from a confidence of {least:.2f} on")
    weights, constant = fitted(np.arange(len(right)))
    print("WEIGHTS", np.round(weights, 3).tolist(), "CONSTANT", round(constant, 3))
    recorder.put(pairs=len(right), copies=copies, map=mean, recall=recall, least=least)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
