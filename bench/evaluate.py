"""Check `imseek evaluate` and `imseek captions --score` where the right answer is known.

    python bench/evaluate.py [--stamps DIR] [--half B] [--parts retrieval compare mismatch]
    python bench/evaluate.py --parts ann --collection /tmp/imseek-search/1000000/collection    # bench/search.py made it
    python bench/evaluate.py --parts scale

*retrieval*: the captioned stamps of Tux Paint with `builtin`, as a collection: R@k must be those of bench/quality.py,
which ranks without imseek's storage (the README's table). *compare*: `builtin` beside `fake`, which knows colours
only, and `builtin` beside itself with its captions shuffled: better, and no better than chance. *mismatch*: the
captions of a tenth of the stamps change places; how well CLIPScore tells them from the others (area under the ROC
curve), by prefix, and with one wrong caption in ten drawn anew --draws times. *ann*: an index of a million hard
vectors, as stated and as measured. *scale*: ranking 100,000 items, and the top share of ten million scores, in time
and memory. Half A is to choose by, half B to report.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import recorder
from quality import find_stamps, half_of, stamp_names

import imseek
from imseek import captions, evaluate
from imseek.captions import pair_filters
from imseek.encoders import load
from imseek.evaluate.results import RetrievalComparison, RetrievalMetrics
from imseek.metrics.bootstrap import interval
from imseek.metrics.estimate import Estimate
from imseek.metrics.retrieval import RelevantItems, rank_items

PARTS = ("retrieval", "compare", "mismatch", "ann", "scale")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--half", choices="AB", default="B")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS[:3]))
    parser.add_argument("--collection", type=Path, default=Path("/tmp/imseek-search/1000000/collection"))
    parser.add_argument("--draws", type=int, default=20, help="of wrong captions")
    parser.add_argument("--queries", type=int, default=400)
    options = parser.parse_args()
    steps = {**STEPS, "mismatch": lambda collection, caption_of: mismatch(collection, caption_of, options.draws)}
    sound = True
    if {*options.parts} & {"retrieval", "compare", "mismatch"}:
        with tempfile.TemporaryDirectory() as folder:
            caption_of = read_captions(options.stamps or find_stamps(), options.half)
            with create_collection(Path(folder), caption_of) as collection:
                print(f"{len(caption_of)} captioned stamps, half {options.half}; 95 % intervals in brackets")
                for part in options.parts:
                    if part in steps:
                        sound &= steps[part](collection, caption_of)
            recorder.put(half=options.half, stamps=len(caption_of), sound=sound)
    if "ann" in options.parts:
        ann(options.collection, options.queries)
    if "scale" in options.parts:
        scale()
    return 0 if sound else 1


def read_captions(folder: Path, half: str) -> dict[str, str]:
    """Captions by path, of the stamps that quality.py takes."""
    caption_of = {}
    for name in stamp_names(folder):
        text = (folder / name).with_suffix(".txt")
        if not name.startswith("symbols/") and text.exists() and half_of(name) == half:
            caption = text.read_text("utf-8", "replace").partition("\n")[0].strip()
            if caption:
                caption_of[str(folder / name)] = caption
    return caption_of


def create_collection(folder: Path, caption_of: dict[str, str]) -> imseek.Collection:
    """Index the stamps with the built-in encoder, from a table of paths and captions."""
    rows = [{"path": path, "caption": caption} for path, caption in caption_of.items()]
    (folder / "stamps.jsonl").write_text("\n".join(map(json.dumps, rows)))
    collection = imseek.create(folder / "collection", encoder="builtin", captions=True)
    report = collection.index([folder / "stamps.jsonl"])
    assert report.added + report.copied == len(caption_of), report
    return collection


def retrieval(collection: imseek.Collection, caption_of: dict[str, str]) -> bool:
    """Compare retrieval with ranks computed without a collection (float32 vectors, not float16)."""
    report = evaluate.retrieval(collection)
    assert report.text_to_image is not None
    assert report.image_to_text is not None
    print("\n| retrieval, builtin | R@1 | R@5 | R@10 | median rank | mAP |\n|---|---|---|---|---|---|")
    for direction, metrics in (
        ("words → picture", report.text_to_image),
        ("picture → words", report.image_to_text),
    ):
        print(row(direction, metrics))
        recorder.add_row(
            "retrieval",
            direction=direction,
            **{f"r_at_{k}": metrics.recall[k].value for k in (1, 5, 10)},
            median_rank=metrics.median_rank.value,
            mean_average_precision=metrics.mean_average_precision.value,
        )
    plain = rank_without_storage(caption_of)
    agrees = all(abs(report.text_to_image.recall[k].value - float((plain <= k).mean())) < 0.0031 for k in (1, 5, 10))
    figures = " ".join(f"{(plain <= k).mean():.3f}" for k in (1, 5, 10))
    recorder.put(without_storage={f"r_at_{k}": (plain <= k).mean() for k in (1, 5, 10)})
    print(f"quality.py's ranks, without storage: R@1 5 10 {figures}, median {np.median(plain):.0f}")
    return agrees


def rank_without_storage(caption_of: dict[str, str]) -> np.ndarray:
    from imseek.media import decode

    encoder = load("builtin")
    rows = [encoder.prepare(decode(Path(path).read_bytes()).pixels) for path in caption_of]
    images = np.concatenate([encoder.encode_images(np.stack(rows[i : i + 32])) for i in range(0, len(rows), 32)])
    scores = encoder.encode_texts(list(caption_of.values())) @ images.T
    ranks: np.ndarray = (scores >= np.diag(scores)[:, None]).sum(axis=1)
    return ranks


def compare(collection: imseek.Collection, caption_of: dict[str, str]) -> bool:
    """Check that a better encoder is found better, and that one that cannot be better is not."""
    report = evaluate.compare(collection, encoders=("fake", "builtin"))
    assert report.text_to_image is not None
    print("\n| compare (B − A) | A | B | mAP | R@10 | verdict |\n|---|---|---|---|---|---|")
    print(difference("fake → builtin", report.text_to_image, report.verdict))
    ids = {path: image_id for image_id, path in read_paths(collection).items()}
    order = np.random.default_rng(0).permutation(len(caption_of))
    texts = list(caption_of.values())
    shuffled_captions = {ids[path]: [texts[n]] for path, n in zip(caption_of, order.tolist(), strict=True)}
    chance = evaluate.compare(collection, encoders=("fake", "builtin"), captions=shuffled_captions)
    assert chance.text_to_image is not None
    print(difference("the same, captions shuffled", chance.text_to_image, chance.verdict))
    return report.verdict == "b" and chance.verdict is None


def mismatch(collection: imseek.Collection, caption_of: dict[str, str], draws: int) -> bool:
    """The area under the ROC curve of CLIPScore for right and wrong captions."""
    ids = {path: image_id for image_id, path in read_paths(collection).items()}
    paths, texts = list(caption_of), list(caption_of.values())
    print("\n| CLIPScore, a tenth of captions wrong | AUC | least of the draws | most |\n|---|---|---|---|")
    sound = True
    for name, prefix in (("“A photo depicts …”", captions.PREFIX), ("no prefix", "")):
        areas, positions = [], []
        for seed in range(draws):
            wrong = exchange_captions(texts, seed)
            mixed_captions = {ids[path]: [wrong.get(n, texts[n])] for n, path in enumerate(paths)}
            report = captions.clip_scores(collection, captions=mixed_captions, prefix=prefix)
            by_id = dict(zip(report.ids.tolist(), report.scores.tolist(), strict=True))
            scores = np.array([by_id[ids[path]] for path in paths])
            bad = np.isin(np.arange(len(paths)), list(wrong))
            areas.append(areas_by_caption(scores[bad], scores[~bad]))
            positions.append(np.flatnonzero(bad))
        every = np.concatenate(areas)
        _, stamp = np.unique(np.concatenate(positions), return_inverse=True)  # drawn together
        means = [float(one.mean()) for one in areas]
        print(f"| {name} | {brackets(interval(every, groups=stamp))} | {min(means):.3f} | {max(means):.3f} |")
        area = _bounds(interval(every, groups=stamp))
        recorder.add_row("mismatch", prefix=prefix, auc=area, least_auc=min(means), most_auc=max(means))
        sound &= min(means) > 0.5
    return sound


def exchange_captions(texts: list[str], seed: int) -> dict[int, str]:
    """Return wrong captions by position, for a tenth of the texts: those that differ from the right one."""
    positions = np.random.default_rng(seed).choice(len(texts), len(texts) // 10, replace=False)
    moves = zip(positions.tolist(), np.roll(positions, 1).tolist(), strict=True)
    return {n: texts[other] for n, other in moves if texts[other] != texts[n]}


def areas_by_caption(bad: np.ndarray, good: np.ndarray) -> np.ndarray:
    """For each wrong caption, the share of right ones that score higher; a tie counts half. Their mean is the area."""
    areas: np.ndarray = (good[None] > bad[:, None]).mean(axis=1) + 0.5 * (good[None] == bad[:, None]).mean(axis=1)
    return areas


def ann(collection: Path, queries: int) -> None:
    print("\n| index | queries | recall@10 | stated | median | p99 | CPU | exact |\n|---|---|---|---|---|---|---|---|")
    texts = collection.parent / "text.npy"
    variants: list[tuple[str, dict[str, object]]] = [
        ("", {}),
        (", 50 % by a filter", {"filtered": 0.5}),
        (", 5 % by a filter", {"filtered": 0.05}),
    ]
    if texts.exists():
        variants.append((", bench/vectors.py's texts", {"given": np.load(texts)[:queries]}))
    for name, more in variants:
        report = evaluate.ann(collection, queries=queries, **more)  # type: ignore[arg-type]
        for one in report.kinds:
            print(
                f"| {report.index}{name} | {one.queries} {one.kind}, {one.came} | {brackets(one.recall[10])} "
                f"| {'' if one.stated is None else one.stated} | {one.median_ms:.1f} ms | {one.p99_ms:.1f} ms "
                f"| {one.cpu_ms:.1f} ms | {one.exact_ms:.0f} ms |",
                flush=True,
            )
            recorder.add_row(
                "ann",
                index=f"{report.index}{name}",
                queries=one.queries,
                kind=one.kind,
                recall_at_10=_bounds(one.recall[10]),
                stated=one.stated,
                median_ms=one.median_ms,
                p99_ms=one.p99_ms,
                cpu_ms=one.cpu_ms,
                exact_ms=one.exact_ms,
            )


def scale() -> None:
    generator = np.random.default_rng(0)
    items = generator.standard_normal((100_000, 512), np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    queries = np.arange(5000)
    time_step(
        "5,000 questions among 100,000 items of 512",
        lambda: rank_items(items[queries], items, RelevantItems.of(queries, queries, 5000)),
    )
    scores, ids = generator.random(10_000_000, np.float32), np.arange(10_000_000)
    time_step("the best 30 % of 10,000,000 scores", lambda: pair_filters.top_share(ids, scores, 0.3))


def time_step(name: str, work: object) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    work()  # type: ignore[operator]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    wall, processor = time.perf_counter() - start, time.process_time() - cpu
    print(f"{name}: {wall:.1f} s, {processor:.1f} s CPU; peak of the process so far {peak:.2f} GB")
    recorder.add_row("scale", name=name, wall_s=wall, cpu_s=processor, peak_gb=peak)


def read_paths(collection: imseek.Collection) -> dict[int, str]:
    from imseek.analysis.space_vectors import Vectors
    from imseek.data.reader import Reader

    reader = Reader(collection.path)
    return {i: place.path.decode() for i, place in reader.places(Vectors(reader).ids.tolist()).items()}


def row(name: str, metrics: RetrievalMetrics) -> str:
    cells = [brackets(metrics.recall[k]) for k in (1, 5, 10)]
    cells += [brackets(metrics.median_rank, ".0f"), brackets(metrics.mean_average_precision)]
    return f"| {name} | {' | '.join(cells)} |"


def difference(name: str, comparison: RetrievalComparison, verdict: str | None) -> str:
    a, b = (f"{one.mean_average_precision.value:.3f}" for one in (comparison.a, comparison.b))
    recorder.add_row(
        "compare",
        name=name,
        map_a=comparison.a.mean_average_precision.value,
        map_b=comparison.b.mean_average_precision.value,
        map_difference=_bounds(comparison.mean_average_precision),
        r_at_10_difference=_bounds(comparison.recall[10]),
        verdict=verdict,
    )
    average, recall = brackets(comparison.mean_average_precision, "+.3f"), brackets(comparison.recall[10], "+.3f")
    return f"| {name} | {a} | {b} | {average} | {recall} | {verdict or 'no difference shown'} |"


def _bounds(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def brackets(estimate: Estimate, form: str = ".3f") -> str:
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


STEPS = {"retrieval": retrieval, "compare": compare}

if __name__ == "__main__":
    sys.exit(recorder.run(main))
