"""Which pictures imseek calls the same, beside imagededup and ImageHash, over known alterations and hard negatives.

    python bench/duplicates.py [--stamps DIR] [--cache DIR] [--peer PYTHON]

A set is made of Tux Paint stamps, the photographs of scikit-image and scikit-learn, pages of text and charts: 21 known
ways of altering each (`duplicating/ways.py`), other shots of the same scene, and pictures that are much alike but not
the same: siblings of a class, pages of one layout, charts on the same axes, blank pictures. It is split into halves by
a hash of the name. Every pair that contains an original is judged. A pair is *same* if one was made of the other by one
of the ways; other shots and other pictures are not, nor is a copy with a line of text, which is *edited*. Every
threshold was chosen on half A, ours in imseek.duplicates.pixels.classify, and each peer's here for the greatest F1;
half B is for reporting.

Peers run in an environment of their own: `python3.11 -m venv pid && pid/bin/pip install imagededup imagehash`.
imagededup's CNN needs weights from the web; where they cannot be had, "cosine alone" stands for it: the
same method (the cosine of a network's features against a threshold) with the network that imseek ships.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import recorder
from duplicating.file_set import FileSet, make
from duplicating.ways import BEYOND, EDITS, WAYS
from quality import find_stamps

from imseek.duplicates.candidates.phash_pairs import distances
from imseek.duplicates.pixels.classify import ClassifiedPairs, classify
from imseek.duplicates.pixels.luminance_cache import LuminanceCache
from imseek.duplicates.pixels.orientations import ORIENTATIONS, turn_hashes
from imseek.duplicates.pixels.verdict import EDITED, INSIDE, SAME, SCENE, UNKNOWN, Thresholds
from imseek.encoders.cache import cache_dir
from imseek.search.near_duplicates import hamming

PEERS = Path(__file__).parent / "duplicating" / "peers.py"
OURS = "**imseek**"
#: The way of a pair of stamps where one mirrors the other.
MIRRORED = "mirrored stamp"
#: As shipped, but with lower thresholds for scenes; *same* does not depend on them.
LOOSE = replace(Thresholds(), scene_cosine=0.8, scene_agreement=0.5)


@dataclass(frozen=True)
class LabelledPairs:
    """The m pairs to judge: positions ``i``, ``j``; ``way`` is how one was made of the other, "other" where they show
    different pictures; ``family`` is that of the original."""

    i: np.ndarray
    j: np.ndarray
    way: np.ndarray
    family: np.ndarray
    copy: np.ndarray

    @property
    def true(self) -> np.ndarray:
        return np.isin(self.way, [way for way in WAYS if way not in EDITS])

    @property
    def edited(self) -> np.ndarray:
        """One was made of the other by adding something: right as *edited*, wrong as *same*."""
        return np.isin(self.way, EDITS)

    @property
    def beyond(self) -> np.ndarray:
        """Pairs that count neither as right nor as wrong."""
        return np.isin(self.way, [*BEYOND, MIRRORED])


@dataclass(frozen=True)
class Result:
    """Which pairs a method calls the same, (m,) bool, and the threshold chosen for it."""

    name: str
    same: np.ndarray
    threshold: str


def label_pairs(files: FileSet) -> LabelledPairs:
    way = np.array([one.way for one in files.entries])
    source = np.array([one.source for one in files.entries])
    family = np.array([one.family for one in files.entries])
    i, j = np.triu_indices(len(way), 1)
    has_original = (way[i] == "") | (way[j] == "")
    i, j = i[has_original], j[has_original]
    # Put the original first.
    i, j = np.where(way[i] == "", i, j), np.where(way[i] == "", j, i)
    pair_way = np.where(source[i] == source[j], way[j], "other")
    # A stamp whose name ends in _mirror is a mirrored copy of another one.
    plain = np.array([name.removesuffix("_mirror") for name in source])
    pair_way[(plain[i] == plain[j]) & (source[i] != source[j])] = MIRRORED
    return LabelledPairs(i, j, pair_way, family[i], way[j])


def scores(right: np.ndarray, positive: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1; precision is 1 where nothing is found."""
    hits = int((right & positive).sum())
    precision = hits / max(1, int(positive.sum())) if positive.any() else 1.0
    recall = hits / max(1, int(right.sum()))
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def peers(files: FileSet, python: Path) -> dict[str, np.ndarray]:
    """(n,) uint64 hashes by method, computed once."""
    out = files.folder / "peers.npz"
    if not out.exists():
        subprocess.run([str(python), str(PEERS), str(files.folder), str(out)], check=True)
    archive = np.load(out)
    print(", ".join(archive["versions"].tolist()), file=sys.stderr)
    return {name: archive[name] for name in archive.files if name != "versions"}


def by_threshold(
    a: np.ndarray, b: np.ndarray, labels_a: LabelledPairs, choices: np.ndarray, text: Callable[[float], str], name: str
) -> Result:
    """The threshold of the greatest F1 on half A (distances ``a``), applied to half B (``b``)."""
    decided = ~labels_a.beyond
    right = labels_a.true[decided]
    best = max(choices, key=lambda most: scores(right, (a <= most)[decided])[2])
    return Result(name, b <= best, text(float(best)))


def measure_pairs(files: FileSet, labels: LabelledPairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(m,) distance (64: unknown), orientation and cosine of all pairs."""
    cosine = (files.vectors @ files.vectors.T)[labels.i, labels.j]
    hashes = files.hashes[labels.i], files.hashes[labels.j]
    distance, orientation = distances(*hashes, turn_hashes, len(ORIENTATIONS))
    return np.minimum(distance, np.uint8(UNKNOWN)), orientation, cosine


def run_imseek(files: FileSet, labels: LabelledPairs, thresholds: Thresholds) -> tuple[np.ndarray, ClassifiedPairs]:
    """Return (m,) kinds of all pairs, and the pairs found; print how long that took."""
    distance, orientation, cosine = measure_pairs(files, labels)
    near = np.flatnonzero((distance <= thresholds.near_bits) | (cosine >= thresholds.near_cosine))
    looks = LuminanceCache(lambda position: (files.folder / files.entries[position].file).read_bytes())
    start = time.process_time()
    pairs = classify(
        labels.i[near],
        labels.j[near],
        distance[near],
        orientation[near],
        cosine[near],
        looks,
        thresholds=thresholds,
    )
    seconds = time.process_time() - start
    share = labels.true[near].sum() / labels.true.sum()
    print(
        f"{len(near):,} candidates of {len(labels.i):,} pairs, {share:.4f} of those that are the same; "
        f"{1000 * seconds / len(near):.1f} ms of CPU each, decoding included",
        file=sys.stderr,
    )
    kinds = np.zeros(len(labels.i), np.uint8)
    place = {pair: n for n, pair in zip(near.tolist(), zip(labels.i[near], labels.j[near], strict=True), strict=True)}
    order = [place[pair] for pair in zip(pairs.a, pairs.b, strict=True)]
    kinds[order] = pairs.kind
    return kinds, pairs


def table(labels: LabelledPairs, results: list[Result]) -> None:
    """Print precision, recall and F1 by way and method; copies made that way of other pictures are the wrong pairs."""
    print("\n| | " + " | ".join(result.name for result in results) + " |")
    print("|---|" + "---|" * len(results))
    print("| threshold | " + " | ".join(result.threshold for result in results) + " |")

    def row(name: str, mask: np.ndarray) -> None:
        cells = []
        for result in results:
            decided = mask & ~labels.beyond
            p, r, f = scores(labels.true[decided], result.same[decided])
            cells.append(f"{p:.3f} / {r:.3f} / {f:.3f}")
            recorder.add_row("ways", way=name, method=result.name, precision=p, recall=r, f1=f)
        print(f"| {name} | " + " | ".join(cells) + " |")

    for way in WAYS:
        row(way, labels.copy == way)
    decided = ~labels.beyond & ~np.isin(labels.copy, list(BEYOND))
    for family in ("photo", "stamp", "page", "chart"):
        row(f"all ways, {family}s", decided & (labels.family == family))
    row("**all**, other shots apart", decided & (labels.way != "shot"))
    row("**all**", decided)
    shots = labels.way == "shot"
    cells = [f"{int(result.same[shots].sum())} of {int(shots.sum())}" for result in results]
    print("| other shots called the same | " + " | ".join(cells) + " |")
    other = labels.way == "other"
    print(
        "| other pictures called the same | "
        + " | ".join(f"{int(result.same[other].sum())}" for result in results)
        + " |"
    )
    cells = [f"{int(result.same[labels.edited].sum())} of {int(labels.edited.sum())}" for result in results]
    print("| copies with text called the same | " + " | ".join(cells) + " |")
    cut = np.isin(labels.way, list(BEYOND))
    for result in results:
        recorder.add_row(
            "wrong",
            method=result.name,
            threshold=result.threshold,
            shots=int(result.same[shots].sum()),
            of_shots=int(shots.sum()),
            other=int(result.same[other].sum()),
            crop_60_share=result.same[cut].mean(),
        )
    cells = [f"{result.same[cut].mean():.3f}" for result in results]
    print("| crop 60 %, called the same | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--cache", type=Path, default=cache_dir() / "bench")
    parser.add_argument("--peer", type=Path, default=Path("/tmp/peers/pid/bin/python"))
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="leave the peers out")
    parser.add_argument("--most", type=int, help="originals of a half (default: all)")
    parser.add_argument("--only-b", action="store_true", help="judge half B alone, which leaves out the calibration")
    parser.add_argument("--show", type=int, default=0, help="name this many pairs that are wrongly called the same")
    options = parser.parse_args()
    stamps = options.stamps or find_stamps()
    halves = {half: make(half, stamps, options.cache, options.most) for half in "AB"}
    labels = {half: label_pairs(data) for half, data in halves.items()}
    hashes = {half: peers(data, options.peer) if options.peers else {} for half, data in halves.items()}
    results = []
    kinds, pairs = {}, {}
    judged_halves = "B" if options.only_b else "AB"
    with ProcessPoolExecutor(len(judged_halves)) as pool:
        arguments = [[values[half] for half in judged_halves] for values in (halves, labels)]
        outcomes = pool.map(run_imseek, *arguments, [LOOSE] * len(judged_halves))
        for half, outcome in zip(judged_halves, outcomes, strict=True):
            kinds[half], pairs[half] = outcome
    results.append(Result(OURS, kinds["B"] == SAME, ""))
    for name in hashes["A"]:
        bits = {half: hamming(hashes[half][name][labels[half].i], hashes[half][name][labels[half].j]) for half in "AB"}
        results.append(
            by_threshold(bits["A"], bits["B"], labels["A"], np.arange(33), lambda most: f"{most:.0f} bits", name)
        )
    cosine_distances = {
        half: 1 - (data.vectors @ data.vectors.T)[labels[half].i, labels[half].j] for half, data in halves.items()
    }
    results.append(
        by_threshold(
            cosine_distances["A"],
            cosine_distances["B"],
            labels["A"],
            np.arange(0.005, 0.4, 0.005),
            lambda most: f"{1 - most:.3f}",
            "cosine alone",
        )
    )
    for half in "AB":
        files, originals = len(halves[half].entries), len({one.source for one in halves[half].entries})
        same = int(labels[half].true.sum())
        recorder.add_row("halves", half=half, files=files, originals=originals, same=same)
        print(f"half {half}: {files} files of {originals} pictures, {same} pairs that are the same")
    print("\nprecision / recall / F1 on half B")
    table(labels["B"], results)
    for half in judged_halves:
        show_edited(half, labels[half], kinds[half])
    if not options.only_b:
        calibration(labels, pairs, halves)
    if options.show:
        show(halves["B"], labels["B"], kinds["B"], options.show)


def show_edited(half: str, labels: LabelledPairs, kinds: np.ndarray) -> None:
    """Print how copies with text are classified, and what else is called *edited*."""
    as_kind = {name: int((kinds[labels.edited] == kind).sum()) for name, kind in (("edited", EDITED), ("same", SAME))}
    edited_ways = labels.way[kinds == EDITED]
    groups = {
        "copies with text": EDITS,
        "other copies": set(WAYS) - set(EDITS),
        "other shots": ["shot"],
        "other pictures": ["other"],
    }
    counts = {name: int(np.isin(edited_ways, list(ways)).sum()) for name, ways in groups.items()}
    print(f"half {half}: of {int(labels.edited.sum())} copies with text {as_kind}; called edited: {counts}")
    recorder.add_row("edited", half=half, copies_with_text=int(labels.edited.sum()), **as_kind, called_edited=counts)


def calibration(labels: dict[str, LabelledPairs], pairs: dict[str, ClassifiedPairs], files: dict[str, FileSet]) -> None:
    """Print, by kind and evidence, the number of pairs and the share that is right: on half A, where the confidences
    in imseek.duplicates.pixels.classify come from, and on half B."""
    print("\n| kind | | A | right | B | right |\n|---|---|---|---|---|---|")
    truth = {half: _truth(labels[half], pairs[half]) for half in "AB"}

    def row(kind: int, name: str, select: Callable[[ClassifiedPairs], np.ndarray]) -> None:
        cells = []
        for half in "AB":
            bin_ = (pairs[half].kind == kind) & select(pairs[half])
            right = {
                SAME: [*WAYS, MIRRORED],
                INSIDE: [*WAYS, *BEYOND, MIRRORED],
                SCENE: [*WAYS, *BEYOND, MIRRORED, "shot"],
            }[kind]
            share = np.isin(truth[half][bin_], right).mean() if bin_.any() else float("nan")
            cells.append(f"{int(bin_.sum())} | {share:.3f}")
            recorder.add_row("calibration", bin=name, half=half, pairs=int(bin_.sum()), share_right=share)
        print(f"| {name} | " + " | ".join(cells) + " |")

    for least, most in pairwise((0, 0.7, 0.8, 0.9, 0.95, 1.01)):
        for part, low, high in (("whole", 0.85, 1.01), ("part", 0, 0.85)):
            row(
                SAME,
                f"same | {part}, agreement {least:.2f}–{most:.2f}",
                lambda p, a=least, b=most, c=low, d=high: (
                    (p.agreement >= a) & (p.agreement < b) & (p.overlap >= c) & (p.overlap < d)
                ),
            )
    for least, most in pairwise((0, 0.8, 0.9, 1.01)):
        row(
            INSIDE,
            f"inside | agreement {least:.2f}–{most:.2f}",
            lambda p, a=least, b=most: (p.agreement >= a) & (p.agreement < b),
        )
    for least, most in pairwise((0.5, 0.6, 0.7, 0.8, 1.01)):
        for low, high in pairwise((-1, 0.9, 1.01)):
            row(
                SCENE,
                f"scene | agreement {least:.2f}–{most:.2f}, cosine {low:.2f}–{high:.2f}",
                lambda p, a=least, b=most, c=low, d=high: (
                    (p.cosine >= c) & (p.cosine < d) & (p.agreement >= a) & (p.agreement < b)
                ),
            )
    print("\nwithout pixels: | bits | cosine | A | right | B | right |\n|---|---|---|---|---|---|")
    for bits in (0, 2, 4, 6, 8):
        for cosine in (0.8, 0.9, 0.95, 0.98):
            cells = []
            for half in "AB":
                distance, _, near = measure_pairs(files[half], labels[half])
                close = (distance <= bits) & (near >= cosine) & ~labels[half].beyond
                cells.append(f"{int(close.sum())} | {labels[half].true[close].mean():.3f}")
            print(f"| {bits} | {cosine} | " + " | ".join(cells) + " |")


def _truth(labels: LabelledPairs, pairs: ClassifiedPairs) -> np.ndarray:
    way = dict(zip(zip(labels.i.tolist(), labels.j.tolist(), strict=True), labels.way.tolist(), strict=True))
    return np.array([way[pair] for pair in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)])


def show(files: FileSet, labels: LabelledPairs, kinds: np.ndarray, count: int) -> None:
    wrong = np.flatnonzero((kinds == SAME) & ~labels.true & ~labels.beyond)
    missed = np.flatnonzero((kinds != SAME) & labels.true)
    for label, rows in (("wrong", wrong), ("missed", missed)):
        for n in rows[:: max(1, len(rows) // count)][:count].tolist():
            a, b = files.entries[labels.i[n]], files.entries[labels.j[n]]
            print(f"{label}: {a.source} ({a.file}) | {b.source} {b.way} ({b.file}) | {kinds[n]}")


if __name__ == "__main__":
    sys.exit(recorder.run(main))
