"""Fit the weights of imseek.duplicates.local_features.verdict to half A of bench/copies.py.

    python bench/copies_fit.py [--share 1] [--stamps DIR]

The features of each query vote for references, as in a search; the most likely are laid over each other, and a logistic
model learns which are copies. Printed are µAP and recall at 90 % precision by eight-fold cross-validation over the
series of references, the least confidence at which nine in ten pairs are right, and the weights.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import recorder
from copies import average_precision, recall_at
from copying.challenge import Challenge, make
from quality import find_stamps

from imseek.data.vectors.descriptor_index import DescriptorIndex, sample_step
from imseek.duplicates.local_features import candidates
from imseek.duplicates.local_features.alignment import align
from imseek.duplicates.local_features.features import FeatureDetector, Features, mirror_descriptors, unit_descriptors
from imseek.duplicates.local_features.verdict import copy_features
from imseek.encoders.cache import cache_dir
from imseek.media import decode

#: References that are compared with each query.
MOST = 5
FOLDS = 8
STRENGTH = 0.3


def pairs_of(challenge: Challenge) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 2) of queries and references that could be laid over each other, and the features of each pair."""
    detector, first = FeatureDetector(), challenge.references

    def found(n: int) -> Features:
        return detector.find(decode((challenge.folder / challenge.entries[n].file).read_bytes()).pixels)

    references = [found(n) for n in range(first)]
    owners = np.repeat(np.arange(first), [len(one) for one in references])
    rows_of = unit_descriptors(np.concatenate([one.descriptors for one in references]))
    index = DescriptorIndex(rows_of[:: sample_step(len(rows_of))], len(rows_of))
    index.add(rows_of)
    ends, rows = [], []
    for n in range(first, len(challenge.entries)):
        query = found(n)
        turned = (query.descriptors, mirror_descriptors(query.descriptors))
        votes = np.stack([candidates.count_votes(index, unit_descriptors(one), owners, first) for one in turned])
        best = votes.max(axis=0)
        for at in np.argsort(-best)[:MOST].tolist():
            if best[at] < candidates.LEAST:
                break
            one = query.mirrored() if votes[1, at] > votes[0, at] else query
            if (laid := align(one, references[at])) is not None:
                ends.append((n, at))
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
    ends, features = pairs_of(challenge)
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
