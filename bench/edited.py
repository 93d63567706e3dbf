"""Tell *same* pairs from *edited* ones: precision, recall and calibration over pairs whose kind is known.

    python bench/edited.py --half B [--stamps DIR] [--every 4] [--fit]

Pairs of a half are made of every fourth original of bench/duplicates.py: its 21 ways of altering a picture and the
global edits of bench/copies.py leave it the *same*; a line of text, more texts and stickers, and a text that is then
made smaller and saved again make it *edited*. Siblings of the drawn series of bench/copies.py (clocks that show another
time, signs with another symbol, cards of another suit, words with another accent, photographs with another object
pasted in) differ in places; so may other pictures with like hashes, and other shots are scenes. The cosine of all pairs
is taken to be .93, so that pixels alone decide. Half A is for choosing, half B for reporting. ``--fit`` prints the
weights of imseek.duplicates.pixels.confidence, and their calibration by five-fold cross-validation. *Edited* is right
unless the pictures are the same or two shots.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import recorder
from copying.edits import EDITS
from copying.pictures import originals as challenge_originals
from duplicating.originals import originals
from duplicating.ways import EDITS as EDITING_WAYS
from duplicating.ways import WAYS, another_shot
from PIL import Image
from quality import find_stamps

from imseek.duplicates.candidates.phash_pairs import distances
from imseek.duplicates.pixels.confidence import edited_features, plain_share, same_features
from imseek.duplicates.pixels.luminance_cache import SmallLuminance, to_luminance
from imseek.duplicates.pixels.orientations import ORIENTATIONS, turn_hashes
from imseek.duplicates.pixels.pair_judge import judge_pairs
from imseek.duplicates.pixels.verdict import DEFAULTS, EDITED, SAME, UNKNOWN, Verdict, most_drift
from imseek.media import decode, perceptual_hash

COSINE = 0.93
#: Edits of bench/copies.py that leave a picture the same, and those that add something.
GLOBAL = ("blur", "strong JPEG", "colour", "noise", "smaller")
ADDING = ("text over it", "emoji over it")
#: Pairs of other pictures whose hashes differ in at most this many bits are judged.
BITS = 10
#: Pairs that are compared together.
TOGETHER = 256
#: Bounds of confidence for calibration.
BINS = (0.0, 0.8, 0.93, 0.97, 0.99, 1.01)


@dataclass(frozen=True)
class Pair:
    """Two pictures; ``truth`` is same, edited, series (siblings), other or shot."""

    a: int
    b: int
    truth: str
    way: str
    source: str
    name: str


class Pictures:
    """Small pictures and hashes by position."""

    def __init__(self) -> None:
        self.small: list[SmallLuminance] = []
        self.hashes: list[int] = []

    def add(self, pixels: np.ndarray) -> int:
        whole = np.ascontiguousarray(pixels)
        self.small.append(to_luminance(whole))
        self.hashes.append(perceptual_hash(whole) or 0)
        return len(self.small) - 1


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _resave(picture: Image.Image, quality: int = 60) -> np.ndarray:
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=quality)
    return decode(file.getvalue()).pixels


def make_pairs(half: str, stamps: Path, every: int, pictures: Pictures) -> Iterator[Pair]:
    sources = list(originals(half, stamps))
    to_copy = [one for one in sources if one.copied]
    photos = [one for one in to_copy if one.family == "photo"][:: max(1, every // 2)]
    edits = {one.name: one.change for one in EDITS}
    for one in (*photos, *[other for other in to_copy if other.family != "photo"][::every]):
        picture = one.picture.convert("RGB")
        picture.thumbnail((700, 700))
        rng, source = _rng(one.name), "photo" if one.family == "photo" else "drawing"
        at = pictures.add(np.asarray(picture))

        def pair(pixels: np.ndarray, truth: str, way: str, name: str = one.name, a: int = at, s: str = source) -> Pair:
            return Pair(a, pictures.add(pixels), truth, way, s, name)

        for way, alter in WAYS.items():
            truth = "edited" if way in EDITING_WAYS else "same"
            yield pair(decode(alter(picture, rng)[0]).pixels, truth, way)
        for _ in range(2 if one.family == "photo" else 1):
            yield pair(np.asarray(another_shot(picture, rng)), "shot", "shot")
        for way in (*GLOBAL, *ADDING, *ADDING):
            changed = edits[way](picture.copy(), rng, []).convert("RGB")
            yield pair(np.asarray(changed), "edited" if way in ADDING else "same", way)
        with_text = edits["text over it"](picture.copy(), rng, []).convert("RGB")
        smaller = with_text.resize((max(16, picture.width * 2 // 3), max(16, picture.height * 2 // 3)))
        yield pair(_resave(smaller), "edited", "text, then smaller")
    yield from _others(sources, pictures)
    series = defaultdict(list)
    for drawing in challenge_originals(half, stamps):
        if drawing.kind == "drawn":
            series[drawing.series].append(drawing)
    for name, members in series.items():
        plain = [pictures.add(np.asarray(one.picture.convert("RGB"))) for one in members]
        resaved = [pictures.add(_resave(one.picture)) for one in members]
        for a, b in zip(plain, resaved, strict=True):
            yield Pair(a, b, "same", "jpeg 60 of a series", "drawing", name)
        for n, m in combinations(range(len(members)), 2):
            yield Pair(plain[n], resaved[m] if (n + m) % 2 else plain[m], "series", name.split()[0], "drawing", name)


def _others(sources: Sequence[object], pictures: Pictures) -> Iterator[Pair]:
    """Other pictures with like hashes; mirrored copies among stamps are no others."""
    names, at = [], []
    for one in sources:
        names.append((one.name, "photo" if one.family == "photo" else "drawing"))
        at.append(pictures.add(np.asarray(one.picture.convert("RGB"))))
    i, j = np.triu_indices(len(at), 1)
    hashes = np.array([pictures.hashes[n] for n in at], np.uint64)
    near, _ = distances(hashes[i], hashes[j], turn_hashes, len(ORIENTATIONS))
    for n in np.flatnonzero(near <= BITS).tolist():
        (first, source), (second, _) = names[i[n]], names[j[n]]
        related = first.removesuffix("_mirror") == second.removesuffix("_mirror")
        if not related and not ("motorcycle" in first and "motorcycle" in second):
            yield Pair(at[i[n]], at[j[n]], "other", "other", source, f"{first}, {second}")


def judge_all(pairs: Sequence[Pair], pictures: Pictures) -> tuple[list[Verdict], float]:
    """Return the verdicts, and the CPU seconds that they took."""
    hashes = np.array(pictures.hashes, np.uint64)
    ends = np.array([(one.a, one.b) for one in pairs])
    near, _ = distances(hashes[ends[:, 0]], hashes[ends[:, 1]], turn_hashes, len(ORIENTATIONS))
    start_time = time.process_time()
    verdicts: list[Verdict] = []
    for start in range(0, len(pairs), TOGETHER):
        rows = slice(start, start + TOGETHER)
        a, b = ends[rows].T
        small = {position: pictures.small[position] for position in ends[rows].reshape(-1).tolist()}
        cosine = np.full(len(a), COSINE, np.float32)
        verdicts += judge_pairs(small, a, b, np.minimum(near[rows], np.uint8(UNKNOWN)), cosine, DEFAULTS)
    return verdicts, time.process_time() - start_time


def show_calibration(confidence: np.ndarray, right: np.ndarray, source: np.ndarray, name: str) -> None:
    print(f"\n{name} | source | said | pairs | mean | right |")
    for kind in ("photo", "drawing"):
        for least, most in pairwise(BINS):
            in_bin = (source == kind) & (confidence >= least) & (confidence < most)
            if in_bin.any():
                mean, share = float(confidence[in_bin].mean()), float(right[in_bin].mean())
                print(f"| {kind} | {least:.2f}–{min(1, most):.2f} | {int(in_bin.sum())} | {mean:.3f} | {share:.3f} |")
                recorder.add_row(
                    "calibration", name=name, source=kind, least=least, pairs=int(in_bin.sum()), mean=mean, right=share
                )


def fit(
    name: str, features: np.ndarray, right: np.ndarray, source: np.ndarray, groups: np.ndarray, penalty: float
) -> None:
    """Print the weights, and their calibration by cross-validation over originals; ``penalty`` keeps weights small."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    def fit_rows(rows: np.ndarray) -> tuple[np.ndarray, float]:
        mean, spread = features[rows].mean(axis=0), features[rows].std(axis=0) + 1e-9
        model = LogisticRegression(C=1 / penalty).fit((features[rows] - mean) / spread, right[rows])
        weights = model.coef_[0] / spread
        return weights, float(model.intercept_[0] - weights @ mean)

    confidence = np.zeros(len(right))
    for train, test in GroupKFold(5).split(features, right, groups):
        weights, constant = fit_rows(train)
        confidence[test] = 1 / (1 + np.exp(-(features[test] @ weights + constant)))
    show_calibration(confidence, right, source, f"{name}, cross-validation")
    weights, constant = fit_rows(np.arange(len(right)))
    print(f"{name.upper()}_WEIGHTS {np.round(weights, 3).tolist()}, {name.upper()}_CONSTANT {constant:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices="AB", default="B")
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--every", type=int, default=4, help="make copies of every N-th original")
    parser.add_argument("--fit", action="store_true", help="fit the weights of the confidence")
    options = parser.parse_args()
    pictures = Pictures()
    pairs = list(make_pairs(options.half, options.stamps or find_stamps(), options.every, pictures))
    verdicts, seconds = judge_all(pairs, pictures)
    names = {0: "none", SAME: "same", EDITED: "edited"}
    kinds = np.array([names.get(one.kind, "other kind") for one in verdicts])
    truth = np.array([one.truth for one in pairs])
    print(f"half {options.half}: {len(pairs):,} pairs, {1000 * seconds / len(pairs):.1f} ms of CPU each")
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one, kind in zip(pairs, kinds, strict=True):
        table[one.truth, one.way][str(kind)] += 1
    for (true_kind, way), counts in sorted(table.items()):
        print(f"| {true_kind} | {way} | " + ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts)) + " |")
        recorder.add_row("kinds", truth=true_kind, way=way, **counts)
    before = np.isin(kinds, ("same", "edited"))
    for name, positive in (("before (same and edited are one)", before), ("same", kinds == "same")):
        hits = int((positive & (truth == "same")).sum())
        precision, recall = hits / max(1, int(positive.sum())), hits / max(1, int((truth == "same").sum()))
        f1 = 2 * precision * recall / (precision + recall)
        print(f"{name}: precision {precision:.4f}, recall {recall:.4f}, F1 {f1:.4f}")
        recorder.add_row("same", name=name, precision=precision, recall=recall)
    source = np.array([one.source for one in pairs])
    confidence = np.array([one.confidence for one in verdicts])
    is_edit = ~np.isin(truth, ("same", "shot"))
    features_of: Callable[[int], tuple[float, ...]]
    for name, right, penalty, features_of in (
        ("same", truth == "same", 10, lambda n: _same_features(pairs[n], verdicts[n], pictures)),
        ("edited", is_edit, 1, lambda n: _edited_features(verdicts[n])),
    ):
        of_kind = kinds == name
        show_calibration(confidence[of_kind], right[of_kind], source[of_kind], name)
        if options.fit:
            rows = np.flatnonzero(of_kind).tolist()
            features = np.array([features_of(n) for n in rows])
            groups = np.array([zlib.crc32(pairs[n].name.split(",")[0].encode()) % 997 for n in rows])
            fit(name, features, right[of_kind], source[of_kind], groups, penalty)


def _same_features(pair: Pair, verdict: Verdict, pictures: Pictures) -> tuple[float, ...]:
    assert verdict.registration is not None, "it was compared"
    plain = (plain_share(pictures.small[pair.a]) + plain_share(pictures.small[pair.b])) / 2
    return same_features(verdict.registration, most_drift(verdict.registration, DEFAULTS), plain)


def _edited_features(verdict: Verdict) -> tuple[float, ...]:
    assert verdict.registration is not None, "it was compared"
    return edited_features(verdict.registration, most_drift(verdict.registration, DEFAULTS))


if __name__ == "__main__":
    sys.exit(recorder.run(main))
