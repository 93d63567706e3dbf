"""Do lists keep their promise? What ``--cutoff 10%`` loses, and which lists ``--cutoff auto`` leaves empty.

    python bench/promises.py [--stamps DIR] [--half B] [--picture docs/pictures/cutoff-promises.svg]

A collection holds the captioned stamps of one half, indexed by the built-in encoder, in three settings: files are
numbered (no words), under their own names, and with captions. Queries are the captions, and their nouns; right answers
are the stamps of the same folder or of the same noun (nouns.py).

*Promises*: of 20 random halves of the captions, one calibrates and the other is searched; *lost* is the mean share of
right answers that lists lack, with its least and most over the halves. *Nouns* are searched by what all captions
calibrate, which promises nothing for them. *Own captions* calibrate where the collection's captions do, as by
`imseek evaluate cutoff` without a table, and captions are searched: words of the captions count then. Strong encoders
are simulated, as in hybrid.py.

*Auto*: F1 and *empty*, the share of texts that no stamp answers whose list is empty; captions and 100 texts of the
half, nouns and 100 texts that are the same for both.

Exit code 1 if a promise to the captions is missed by more than two points in the mean.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import recorder
from hybrid import NOISE, make_setting, text_tower
from nouns import FRESH, NOTHING
from quality import find_stamps
from stamps import Half, read_half

from imseek.evaluate.cutoff_calibration import PROMISES, split_losses
from imseek.search.conformal import LossCurve
from imseek.search.promised_cutoff import RelevanceSample
from imseek.search.query import Query, Term
from imseek.search.score_fusion import calibrate

ALLOWED = 0.02
COLOURS = {"image": "#0b6e99", "auto": "#b3541e", "picture": "#4a7a2c", "simulated": "#888888"}
SIDE, MARGIN, MOST = 380, 60, 0.35


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    parser.add_argument("--picture", type=Path, help="draw promise against outcome as SVG")
    arguments = parser.parse_args()
    stamps = arguments.stamps or find_stamps()
    half = read_half(arguments.half, stamps)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        numbered = [f"{n:03}{Path(name).suffix}" for n, name in enumerate(half.names)]
        for name, names, captions in (
            ("no words", numbered, ()),
            ("names", half.names, ()),
            ("captions", numbered, half.captions),
        ):
            setting = make_setting(name, stamps, half.names, names, Path(folder), captions)
            rows += list(promises(setting, half))
            auto(setting, half, arguments.half)
            setting.collection.close()
    rows += list(simulate_encoders(half))
    if arguments.picture is not None:
        arguments.picture.write_text(draw(rows, arguments.half), "utf-8")
    missed = [row for row in rows if row[0] == "captions asked" and abs(row[4] - row[3]) > ALLOWED]
    recorder.put(half=arguments.half, stamps=len(half.images), missed=len(missed))
    return 1 if missed else 0


def promises(setting, half: Half) -> Iterator[tuple[str, str, str, float, float]]:
    """Print and yield queries searched, setting, kind, promise and loss."""
    engine, ids = setting.collection.engine, setting.ids
    texts = [Term(text=caption) for caption in half.captions]
    of_nouns = [half.relevant[half.nouns.index(word)] for word in sorted(set(half.nouns))]
    of_captions = [ids[row] for row in half.relevant]
    others = [(n, ids[row & (np.arange(len(row)) != n)]) for n, row in enumerate(half.relevant) if row.sum() > 1]
    queries = {
        "image": ([Query(text, by="image") for text in texts], of_captions),
        "auto": ([Query(text) for text in texts], of_captions),
        "picture": ([Query(Term(image_id=int(ids[n]))) for n, _ in others], [rest for _, rest in others]),
    }
    print(
        f"\n{setting.name}\n\n| searched | kind | promise | lost | least … most | images in a list |\n"
        "|---|---|---|---|---|---|"
    )
    for kind, (requests, relevant) in queries.items():
        if kind == "picture" and setting.name != "no words":
            continue
        samples = engine.measure_relevance(requests, relevant)
        relevance = [one for one, _ in samples]
        curve = LossCurve.of(relevance)
        for promise in PROMISES:
            losses = split_losses(relevance, promise, 0)
            threshold = curve.threshold(promise)
            if losses is not None and threshold is not None:
                length = np.mean([sample.count(threshold) for _, sample in samples])
                yield add_row("captions asked", setting.name, kind, promise, losses, float(length))
        if kind == "picture":
            continue
        words = [Query(Term(text=word), by=kind) for word in sorted(set(half.nouns))]
        nouns = engine.measure_relevance(words, [ids[one] for one in of_nouns])
        yield from measure_transfer("nouns", setting.name, kind, curve, nouns)
        if setting.name == "captions" and kind == "auto":
            own = engine.measure_relevance(
                requests, [ids[n : n + 1] for n in range(len(ids))], ignored_words=("captions",)
            )
            yield from measure_transfer(
                "own captions", setting.name, kind, LossCurve.of([one for one, _ in own]), samples
            )


def measure_transfer(
    searched: str, setting: str, kind: str, curve: LossCurve, samples: Sequence[tuple[np.ndarray, RelevanceSample]]
) -> Iterator[tuple[str, str, str, float, float]]:
    """Yield the losses of lists for other queries than those that calibrated."""
    losses = LossCurve.of([one for one, _ in samples])
    for promise in PROMISES:
        threshold = curve.threshold(promise)
        if threshold is not None:
            length = np.mean([sample.count(threshold) for _, sample in samples])
            yield add_row(searched, setting, kind, promise, np.array([losses.loss(threshold)]), float(length))


def simulate_encoders(half: Half) -> Iterator[tuple[str, str, str, float, float]]:
    print("\nsimulated encoders, words compared with pictures\n")
    print("| searched | kind | promise | lost | least … most | images in a list |\n|---|---|---|---|---|---|")
    rows = text_tower()(list(half.captions))
    rng = np.random.default_rng(0)
    for length in NOISE:
        noise = rng.standard_normal(rows.shape)
        noise *= length / np.linalg.norm(noise, axis=1, keepdims=True)
        pictures = rows + noise
        pictures = (pictures / np.linalg.norm(pictures, axis=1, keepdims=True)).astype(np.float32)
        relevances = [calibrate(one, "full").relevance(one, np.zeros(len(one))) for one in (rows @ pictures.T)]
        relevance = [one[relevant] for one, relevant in zip(relevances, half.relevant, strict=True)]
        for promise in PROMISES:
            losses, threshold = split_losses(relevance, promise, 0), LossCurve.of(relevance).threshold(promise)
            if losses is not None and threshold is not None:
                size = float(np.mean([(one >= threshold).sum() for one in relevances]))
                yield add_row("captions asked", f"noise {length:g}", "simulated", promise, losses, size)


def add_row(
    searched: str, setting: str, kind: str, promise: float, losses: np.ndarray, length: float
) -> tuple[str, str, str, float, float]:
    lost = float(losses.mean())
    name = f"{kind}, {setting}" if kind == "simulated" else kind
    print(
        f"| {searched} | {name} | {promise:.0%} | {lost:.1%} | {losses.min():.1%} … {losses.max():.1%} | {length:.0f} |"
    )
    recorder.add_row(
        "promises", searched=searched, setting=setting, kind=kind, promise=promise, lost=lost,
        deviation=losses.std(), length=length,
    )  # fmt: skip
    return searched, setting, kind, promise, lost


def auto(setting, half: Half, letter: str) -> None:
    """Print the figures of ``auto``, by pictures alone and fused."""
    place = {image_id: n for n, image_id in enumerate(setting.ids.tolist())}
    nouns = sorted(set(half.nouns))
    of_nouns = np.array([half.relevant[half.nouns.index(word)] for word in nouns])
    print("\n| --cutoff auto | F1 | precision | recall | empty |\n|---|---|---|---|---|")
    for by in ("image", "auto"):
        for name, texts, relevant, nothing in (
            ("captions", half.captions, half.relevant, NOTHING["AB".index(letter) :: 2]),
            ("nouns", nouns, of_nouns, FRESH),
        ):
            lists = setting.collection.search_many(list(texts), by=by, limit=len(place), cutoff="auto", metadata=False)
            mask = np.zeros(relevant.shape, bool)
            for n, result in enumerate(lists):
                mask[n, [place[hit.image_id] for hit in result]] = True
            right, count, relevant_count = (mask & relevant).sum(axis=1), mask.sum(axis=1), relevant.sum(axis=1)
            nowhere = setting.collection.search_many(list(nothing), by=by, limit=1, cutoff="auto", metadata=False)
            empty = float(np.mean([result.nothing for result in nowhere]))
            f1, recall = float((2 * right / (count + relevant_count)).mean()), float((right / relevant_count).mean())
            precision = float((right / np.maximum(count, 1))[count > 0].mean()) if count.any() else None
            print(f"| {name}, by {by} | {f1:.3f} | {precision or 0:.3f} | {recall:.3f} | {empty:.2f} |", flush=True)
            recorder.add_row(
                "auto",
                setting=setting.name,
                by=by,
                queries=name,
                f1=f1,
                precision=precision,
                recall=recall,
                empty=empty,
            )


def draw(rows: Sequence[tuple[str, str, str, float, float]], half: str) -> str:
    """Draw promises against losses as SVG; the grey band is two points wide on either side."""

    def place(x: float, y: float) -> tuple[float, float]:
        return MARGIN + SIDE * x / MOST, MARGIN + SIDE * (1 - y / MOST)

    whole = SIDE + 2 * MARGIN
    corners = [place(0, ALLOWED), place(MOST - ALLOWED, MOST), place(MOST, MOST), place(MOST, MOST - ALLOWED)]
    corners += [place(ALLOWED, 0), place(0, 0)]
    parts = [
        f'<text x="{MARGIN}" y="24" font-size="15">What lists lose, stamps of half {half}</text>',
        f'<path d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in corners)}Z" fill="#eee"/>',
        f'<path d="M{MARGIN} {MARGIN + SIDE}L{MARGIN + SIDE} {MARGIN}" stroke="#888"/>',
        f'<text x="{whole / 2}" y="{whole - 16}" text-anchor="middle">promise (--cutoff)</text>',
        f'<text transform="translate(16 {whole / 2}) rotate(-90)" text-anchor="middle">share lost</text>',
    ]
    for n in range(int(MOST * 20) + 1):
        (x, bottom), (left, y) = place(n / 20, 0), place(0, n / 20)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{n * 5}%</text>')
        parts.append(f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{n * 5}%</text>')
    for at, (kind, colour) in enumerate(COLOURS.items()):
        label = {"image": "words, by pictures", "auto": "words, fused", "picture": "pictures"}.get(
            kind, "simulated encoders"
        )
        parts.append(f'<text x="{MARGIN + 12}" y="{MARGIN + 20 + 18 * at}" fill="{colour}">{label}</text>')
        for searched, _, row_kind, promise, lost in rows:
            if row_kind == kind and searched != "own captions":
                x, y = place(promise, lost)
                fill = colour if searched == "captions asked" else "none"
                parts.append(f'<circle cx="{x + 3 * at - 4:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}"/>')
    parts.append(
        f'<text x="{MARGIN + 12}" y="{MARGIN + 20 + 18 * len(COLOURS)}">filled: queries like those that calibrated; '
        "rings: nouns</text>"
    )
    style = 'font-family="sans-serif" font-size="12"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    size = f'viewBox="0 0 {whole} {whole}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{ground}{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    sys.exit(recorder.run(main))
