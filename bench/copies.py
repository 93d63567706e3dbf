"""A copy-detection challenge in the manner of DISC21: imseek and its peers find edited copies of pictures.

    python bench/copies.py [--half B] [--share 1] [--peer PYTHON | --no-peers] [--wrong FOLDER]

A half has some 245 references and 1,000 queries. One query in five was made of a reference by a chain of one to three
edits (`copying/edits.py`); four in five match nothing: the next frame of a burst, siblings of a series (clocks that
show another time, road signs with another symbol, cards of another suit, words with another accent, photographs with
another object pasted in), as they are and edited. Sources are halved by a hash of their names, and five of the edits
are made in half B only. Half A is for choosing, half B for reporting.

Every method returns a list of (query, reference, confidence). Reported are, as in DISC21 (Douze et al. 2021,
arXiv:2106.09672, section 4): **µAP**, the average precision of the one list of all queries' pairs, and **recall at 90 %
precision**, the greatest recall of a head of that list whose precision is at least .9. imseek's confidence is that of
`imseek duplicates` for the kinds *same* and *inside*, then *edited*, equal ones by the correlation of pixels; peers'
are distances of hashes, and "cosine alone" is the cosine of the built-in encoder. Intervals are 95 % bootstrap
intervals over queries.
"""

from __future__ import annotations

import argparse
import html
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import recorder
from copying.challenge import Challenge, make
from copying.edits import EDITS
from PIL import Image
from quality import find_stamps

import imseek
from imseek.analysis.originals import Originals
from imseek.data.reader import Reader
from imseek.data.vectors import open_index
from imseek.duplicates import unique_contents
from imseek.duplicates.collection_pairs import PairComparer
from imseek.duplicates.results import DuplicateKind
from imseek.encoders import load
from imseek.encoders.cache import cache_dir
from imseek.search.backend import unit_rows
from imseek.search.near_duplicates import hamming

PEERS = Path(__file__).parent / "duplicating" / "peers.py"
OURS = "**imseek**"
#: Precision at which recall is reported.
PRECISION = 0.9
SAMPLES = 500
#: Distracting vectors that are made at a time.
TOGETHER = 20_000
#: Pairs ranked by hashes and by the cosine: ranking all 250,000 would change nothing at the head of the list.
LONGEST = 20_000


@dataclass(frozen=True)
class Ranking:
    """A method's pairs in any order: (m,) arrays of queries and references, as positions in the entries, and scores."""

    name: str
    query: np.ndarray
    reference: np.ndarray
    score: np.ndarray
    kind: np.ndarray | None = None


def average_precision(right: np.ndarray, score: np.ndarray, positives: float) -> float:
    """µAP of (m,) pairs, where ``right`` marks the right ones, of ``positives`` in all. Equal scores count together."""
    precision, recall = curve(right, score, positives)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def recall_at(right: np.ndarray, score: np.ndarray, positives: float, least: float = PRECISION) -> float:
    """Greatest recall of a head of the list whose precision is at least ``least``."""
    precision, recall = curve(right, score, positives)
    return float(recall[precision >= least].max(initial=0.0))


def curve(right: np.ndarray, score: np.ndarray, positives: float) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall after each distinct score, from the greatest down. ``right`` is bool, or the weight of a
    pair, negative where it is wrong."""
    right = np.where(right, 1.0, -1.0) if right.dtype == bool else right
    weight = np.abs(right)
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1) if len(order) else np.empty(0, int)
    hits = np.cumsum(right[order].clip(0))[last]
    total = np.cumsum(weight[order])[last]
    return hits / np.maximum(total, 1e-9), hits / max(1e-9, positives)


def truth(challenge: Challenge, ranking: Ranking) -> np.ndarray:
    """(m,) bool: whether the query was made of the reference."""
    sources = np.array([one.source for one in challenge.entries])
    return (sources[ranking.query] == sources[ranking.reference]) & (sources[ranking.query] != "")


def drop_open(challenge: Challenge, ranking: Ranking) -> Ranking:
    """Leave out pairs that are neither right nor wrong."""
    ends = zip(ranking.query.tolist(), ranking.reference.tolist(), strict=True)
    decided = np.array([not challenge.is_open(query, reference) for query, reference in ends], bool)
    kind = None if ranking.kind is None else ranking.kind[decided]
    return Ranking(ranking.name, ranking.query[decided], ranking.reference[decided], ranking.score[decided], kind)


def distract(rows: np.ndarray, queries: np.ndarray, originals: np.ndarray, count: int) -> np.ndarray:
    """How many of ``count`` synthetic vectors are nearer to each query (m,) than its original (m,).

    Each lies between two of the pictures' own vectors, with noise of the size of the distance between a picture and
    its nearest neighbour.
    """
    rng = np.random.default_rng(7)
    scores = (rows[queries] * rows[originals]).sum(axis=1)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -1)
    spread = np.float32(np.median(np.sqrt(2 - 2 * cosines.max(axis=1))) / np.sqrt(rows.shape[1]))
    nearer = np.zeros(len(queries), np.int64)
    for start in range(0, count, TOGETHER):
        size = min(TOGETHER, count - start)
        one, other = (rows[rng.integers(len(rows), size=size)] for _ in range(2))
        share = rng.random((size, 1), np.float32)
        vectors = share * one + (1 - share) * other + spread * rng.standard_normal((size, rows.shape[1]), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        nearer += (vectors @ rows[queries].T > scores).sum(axis=0)
    return nearer


@contextmanager
def open_comparer(
    challenge: Challenge, path: Path, kinds: Sequence[DuplicateKind]
) -> Iterator[tuple[PairComparer, dict[int, int]]]:
    """Index all files in a collection at ``path``; yield their comparer, and the position of each image's entry."""
    shutil.rmtree(path, ignore_errors=True)
    with imseek.create(path, encoder="builtin") as collection:
        report = collection.index([challenge.folder])
        positions = {one.file: n for n, one in enumerate(challenge.entries)}
        reader = Reader(collection.path)
        contents = unique_contents.load_contents(reader)
        assert report.live == len(challenge.entries), report.failures
        places = reader.places(contents.ids.tolist())
        entry_of = {int(i): positions[Path(places[int(i)].display).name] for i in contents.ids}
        space = reader.current.image_spaces[0]
        index = open_index("faiss", reader.segments(space.space_id), space.dim)
        with Originals(reader) as originals:
            yield PairComparer(reader, originals.read, contents, space, index, kinds), entry_of
        reader.close()


def run_imseek(challenge: Challenge, path: Path, *, tiles: bool) -> tuple[Ranking, dict[str, float]]:
    """Search one collection of all files for duplicates, and rank the pairs of a query and a reference."""
    seconds = {}
    with open_comparer(challenge, path, ("same", "edited", "inside")) as (comparer, entry_of):
        start = time.process_time()
        comparison = comparer.find()
        seconds["whole"] = time.process_time() - start
        start = time.process_time()
        pairs = comparison.pairs
        inside = comparer.find_inside(load("builtin"), pairs) if tiles else comparer.find_by_features(pairs)
        seconds["inside"] = time.process_time() - start
    query, reference, score, kind = [], [], [], []
    for pair in (*comparison.pairs, *inside.pairs):
        a, b = sorted((entry_of[pair.a], entry_of[pair.b]))
        if a < challenge.references <= b:
            query.append(b)
            reference.append(a)
            # Pairs that differ in places are less certain to be copies than any others.
            sure = pair.confidence - (pair.kind == "edited")
            score.append(sure + 1e-3 * (pair.correlation or 0.0))
            kind.append(pair.kind)
    return Ranking(OURS, np.array(query, int), np.array(reference, int), np.array(score), np.array(kind)), seconds


def read_vectors(challenge: Challenge, path: Path) -> np.ndarray:
    """(n, dim) unit rows, in the order of the entries."""
    numbers = {one.file: n for n, one in enumerate(challenge.entries)}
    reader = Reader(path)
    contents = unique_contents.load_contents(reader)
    places = reader.places(contents.ids.tolist())
    space = reader.current.image_spaces[0]
    rows = unit_rows(reader, contents.ids, space)
    reader.close()
    ordered = np.empty_like(rows)
    ordered[[numbers[Path(places[int(i)].display).name] for i in contents.ids]] = rows
    return ordered


def peers(challenge: Challenge, python: Path) -> list[Ranking]:
    """Rank all pairs by each peer's hash, in the peers' own environment."""
    out = challenge.folder / "peers.npz"
    if not out.exists():
        subprocess.run([str(python), str(PEERS), str(challenge.folder), str(out)], check=True)
    archive = np.load(out)
    print(", ".join(archive["versions"].tolist()), file=sys.stderr)
    first = challenge.references
    rankings = []
    for name in archive.files:
        if name != "versions":
            hashes = archive[name]
            distance = np.stack([hamming(hashes[:first], hashes[n]) for n in range(first, len(hashes))])
            rankings.append(_rank(name, -distance.astype(float)))
    return rankings


def _rank(name: str, scores: np.ndarray) -> Ranking:
    """Rank the LONGEST best pairs of (queries, references) scores."""
    best = np.argsort(-scores, axis=None, kind="stable")[:LONGEST]
    # Include all pairs with the last score.
    best = np.flatnonzero(scores.ravel() >= scores.ravel()[best[-1]])
    query, reference = np.unravel_index(best, scores.shape)
    return Ranking(name, query + scores.shape[1], reference, scores.ravel()[best])


def figures(challenge: Challenge, ranking: Ranking, queries: np.ndarray) -> tuple[float, float, int]:
    """µAP, recall at 90 % precision, and the number of copies, for these queries (positions)."""
    mask = np.isin(ranking.query, queries)
    copies = sum(challenge.entries[n].source != "" for n in queries.tolist())
    right = truth(challenge, ranking)[mask]
    return (*(metric(right, ranking.score[mask], copies) for metric in (average_precision, recall_at)), copies)


def intervals(challenge: Challenge, ranking: Ranking) -> tuple[tuple[float, float], tuple[float, float]]:
    """95 % bootstrap intervals of µAP and recall, queries drawn with replacement."""
    first, total = challenge.references, len(challenge.entries)
    copy = np.array([one.source != "" for one in challenge.entries])
    right = truth(challenge, ranking)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(SAMPLES):
        times = np.bincount(rng.integers(first, total, total - first), minlength=total)
        weight = times[ranking.query].astype(float)
        mask = weight > 0
        signed = np.where(right, weight, -weight)[mask]
        positives = float(times[copy].sum())
        draws.append([metric(signed, ranking.score[mask], positives) for metric in (average_precision, recall_at)])
    low, high = np.percentile(np.array(draws), (2.5, 97.5), axis=0)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def report(challenge: Challenge, rankings: Sequence[Ranking]) -> None:
    queries = np.arange(challenge.references, len(challenge.entries))
    copy = np.array([one.source != "" for one in challenge.entries])
    print("\n| µAP / recall at 90 % | " + " | ".join(one.name for one in rankings) + " |")
    print("|---|" + "---|" * len(rankings))

    def row(name: str, subset: np.ndarray) -> None:
        cells = []
        for ranking in rankings:
            mean, recall, copies = figures(challenge, ranking, subset)
            cells.append(f"{mean:.3f} / {recall:.3f}")
            recorder.add_row("copies", queries=name, method=ranking.name, copies=copies, map=mean, recall=recall)
        print(f"| {name} ({copies} copies) | " + " | ".join(cells) + " |")

    entries = challenge.entries
    for kind in ("photo", "stamp", "drawn"):
        row(kind, np.array([n for n in queries if entries[n].kind == kind]))
    # An edit's copies are ranked among all queries without a match.
    for one in EDITS:
        with_edit = [n for n in queries if not copy[n] or one.name in entries[n].edits]
        if any(copy[n] for n in with_edit):
            row(f"with: {one.name}{' (B only)' if one.held_out else ''}", np.array(with_edit))
    for length in (1, 2, 3):
        row(f"{length} edits", np.array([n for n in queries if not copy[n] or len(entries[n].edits) == length]))
    row("**all**", queries)
    cells = []
    for ranking in rankings:
        (low, high), (least, most) = intervals(challenge, ranking)
        recorder.add_row("intervals", method=ranking.name, map=[low, high], recall=[least, most])
        cells.append(f"{low:.3f}–{high:.3f} / {least:.3f}–{most:.3f}")
    print("| 95 % interval | " + " | ".join(cells) + " |")


def calibration(challenge: Challenge, ranking: Ranking) -> None:
    """Print the share of right pairs by confidence and by kind of source."""
    right = truth(challenge, ranking)
    kinds = np.array([one.kind for one in challenge.entries])[ranking.query]
    print("\n| confidence | pairs | right | photo | stamp | drawn |\n|---|---|---|---|---|---|")
    for least, most in pairwise((0.0, 0.5, 0.8, 0.88, 0.93, 0.97, 1.01)):
        in_bin = (ranking.score >= least) & (ranking.score < most)
        cells = []
        for kind in ("photo", "stamp", "drawn"):
            of_kind = in_bin & (kinds == kind)
            cells.append(f"{right[of_kind].mean():.3f} of {of_kind.sum()}" if of_kind.any() else "")
        share = right[in_bin].mean() if in_bin.any() else float("nan")
        recorder.add_row("calibration", least=least, most=most, pairs=int(in_bin.sum()), share_right=share)
        print(f"| {least:.2f}–{min(1, most):.2f} | {int(in_bin.sum())} | {share:.3f} | " + " | ".join(cells) + " |")


def write_wrong(challenge: Challenge, ranking: Ranking, folder: Path, count: int = 20) -> None:
    """Write the most confident wrong pairs as pictures, query beside reference, with a page of all; and print them."""
    folder.mkdir(parents=True, exist_ok=True)
    wrong = np.flatnonzero(~truth(challenge, ranking))
    items = []
    for place, n in enumerate(wrong[np.argsort(-ranking.score[wrong], kind="stable")][:count].tolist(), 1):
        ends = challenge.entries[ranking.query[n]], challenge.entries[ranking.reference[n]]
        query, reference = ends
        sheet = Image.new("RGB", (820, 410), "grey")
        for column, one in enumerate(ends):
            picture = Image.open(challenge.folder / one.file).convert("RGB")
            picture.thumbnail((400, 400))
            sheet.paste(picture, (5 + 410 * column, 5))
        sheet.save(folder / f"{place:02d}.png")
        kind = "" if ranking.kind is None else ranking.kind[n]
        caption = (
            f"{ranking.score[n]:.3f} {kind}: {query.file} ({query.series}, {query.near or query.source}, "
            f"{', '.join(query.edits) or 'as it is'}) for {reference.file} ({reference.source})"
        )
        print(f"{place:2d}. {caption}")
        items.append(f'<li>{html.escape(caption)}<br><img src="{place:02d}.png" alt=""></li>')
    page = f'<!doctype html><meta charset="utf-8"><title>Wrong answers</title><ol>{"".join(items)}</ol>\n'
    (folder / "index.html").write_text(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--half", choices="AB", default="B")
    parser.add_argument("--share", type=float, default=1.0, help="a smaller challenge: this share of it")
    parser.add_argument("--cache", type=Path, default=cache_dir() / "bench")
    parser.add_argument("--peer", type=Path, default=Path("/tmp/peers/pid/bin/python"))
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="leave the peers out")
    parser.add_argument(
        "--distractors", type=int, default=0, metavar="N", help="vectors that only serve as distractors"
    )
    parser.add_argument(
        "--no-tiles", dest="tiles", action="store_false", help="leave out tiles, which take the longest"
    )
    parser.add_argument("--wrong", type=Path, metavar="FOLDER", help="write the most confident wrong pairs there")
    options = parser.parse_args()
    challenge = make(options.half, options.stamps or find_stamps(), options.cache, options.share)
    path = challenge.collection_path
    own, seconds = run_imseek(challenge, path, tiles=options.tiles)
    rows = read_vectors(challenge, path)
    first = challenge.references
    rankings = [own, *(peers(challenge, options.peer) if options.peers else [])]
    rankings.append(_rank("cosine alone", rows[first:] @ rows[:first].T))
    rankings = [drop_open(challenge, one) for one in rankings]
    own = rankings[0]
    copies = sum(one.query and one.source != "" for one in challenge.entries)
    print(f"half {options.half}: {first} references, {len(challenge.entries) - first} queries, {copies} of them copies")
    print(f"CPU seconds: {seconds['whole']:.0f} for whole pictures and parts, {seconds['inside']:.0f} for tiles")
    recorder.put(half=options.half, references=first, queries=len(challenge.entries) - first, cpu_s=seconds)
    report(challenge, rankings)
    if options.distractors:
        numbers = {one.source: n for n, one in enumerate(challenge.entries[:first])}
        pairs = [(n, numbers[one.source]) for n, one in enumerate(challenge.entries) if one.query and one.source]
        queries, originals = np.array(pairs).T
        others = (rows[queries] @ rows[:first].T > (rows[queries] * rows[originals]).sum(axis=1)[:, None]).sum(axis=1)
        nearer = others + distract(rows, queries, originals, options.distractors)
        for most in (1, 8, 32, 128):
            share = float((nearer < most).mean())
            print(f"of copies, {share:.3f} have their original among the {most} nearest of {options.distractors:,}")
            recorder.add_row("distractors", count=options.distractors, nearest=most, share=share)
    calibration(challenge, own)
    if options.wrong:
        write_wrong(challenge, own, options.wrong)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
