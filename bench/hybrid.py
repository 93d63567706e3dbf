"""Search by pictures and words fused, beside either alone, on the captioned stamps of Tux Paint.

    python bench/hybrid.py [--stamps DIR] [--half B] [--weights 1 2 4] [--settings captions "no words"]

A collection holds the stamps of one half, indexed by the built-in encoder. Its words are, in turn: names of folders and
files; names, and captions (the first lines of the text files of the stamps), whose vectors are compared, too; captions
alone; those of a third of the stamps; captions of other stamps; names that belong to other stamps; none (files are
numbered). Queries are the captions, whose own picture is the only right answer (R@k), and the nouns of the captions as
"a horse", where the stamps of that noun are right (of k, or of as many as there are, those among the first k). Where
there are captions, words of the same meaning are queries, too (``SYNONYMS``).

The built-in encoder answers by ``Collection.search``. Strong ones are simulated: the vector of a picture is that of its
caption by MiniLM, plus noise of some length in a random direction. These are ranked by the engine's functions, and so
are the captions: by MiniLM, and beside the built-in encoder by itself. *rrf* is reciprocal rank fusion (Cormack, Clarke
and Büttcher 2009, k = 60). Weights and the form of evidence were chosen on half A; half B is for reporting.

The last column is the smallest difference, over the figures of a row, between the fused ranking and the best one of
image, text and captions. Exit code 1 if it is below −.005 for names, with or without captions, or if a collection
without words answers otherwise than by image.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import recorder
from nouns import noun
from quality import find_stamps, half_of, stamp_names

import imseek
from imseek import maps
from imseek.data.reader import Reader
from imseek.data.vectors import Matches
from imseek.encoders.builtin import BuiltinEncoder
from imseek.encoders.builtin.onnx_cache import text_network
from imseek.encoders.builtin.text import TextTower
from imseek.encoders.input_checks import available_cpus
from imseek.search.query import Query, Term
from imseek.search.query_words import words_of
from imseek.search.score_fusion import (
    MAX_WORD_MATCHES,
    Calibration,
    CaptionHits,
    WordHits,
    calibrate,
    caption_agreement,
    fuse_rankings,
)
from imseek.types.arrays import Float32

NOISE = (0.75, 1.5, 2.5, 3.75, 5.25)
DEPTH = 10
RRF = 60
ALLOWED_LOSS = 0.005
#: Words that occur in no caption, with the noun that they mean.
SYNONYMS = {
    "automobile": "car", "bunny": "rabbit", "aircraft": "airplane", "motorbike": "motorcycle", "vessel": "boat",
    "feline": "cat", "puppy": "dog", "hog": "pig", "cattle": "cow", "spectacles": "glasses", "trousers": "pants",
    "footwear": "shoe", "blossom": "flower", "cranium": "skull", "tombstone": "grave", "lorry": "truck",
    "headgear": "hat", "fowl": "chicken", "present": "gift", "residence": "house", "rodent": "rat",
    "aubergine": "eggplant", "spanner": "wrench", "fungus": "mushroom", "jumper": "jacket", "chopper": "helicopter",
    "pushbike": "bicycle", "fiddle": "violin", "notebook computer": "laptop", "stag": "deer", "ewe": "sheep",
    "lavatory": "toilet", "drinking vessel": "cup", "banner": "flag", "insect that makes honey": "bee",
    "citrus fruit": "lemon", "arachnid": "spider", "brass instrument": "trumpet", "ladybird": "ladybug",
    "firearm": "gun", "bird of prey": "vulture", "celestial body": "planet", "spacecraft": "rocket",
    "spirit of the dead": "ghost", "writing tool": "pen", "percussion": "drum", "sweets": "sweet", "railway": "train",
}  # fmt: skip
Ranking = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Setting:
    """A collection of n stamps, with their ``ids`` (n,) in the order of the captions, and the stored captions, None
    for stamps without one."""

    name: str
    collection: imseek.Collection
    ids: npt.NDArray[np.int64]
    captions: tuple[str | None, ...]


@dataclass(frozen=True)
class Task:
    """Queries and their right answers: ``relevant`` (q, n) bool."""

    name: str
    queries: tuple[str, ...]
    relevant: npt.NDArray[np.bool_]

    def figures(self, rankings: Sequence[Ranking]) -> npt.NDArray[np.float64]:
        """(3,) shares of right stamps among the first 1, 5, 10, of those possible; rankings hold at most ten each."""
        shares = []
        for relevant, ranking in zip(self.relevant, rankings, strict=True):
            right = np.zeros(DEPTH)
            right[: len(ranking)] = relevant[ranking[:DEPTH]]
            shares.append([right[:k].sum() / min(k, relevant.sum()) for k in (1, 5, 10)])
        figures: npt.NDArray[np.float64] = np.mean(shares, axis=0)
        return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    parser.add_argument("--weights", type=float, nargs="*", default=[], help="weights of words to compare")
    parser.add_argument("--settings", nargs="*", default=[], help="only these, by their names")
    options = parser.parse_args()
    stamps = options.stamps or find_stamps()
    captions = read_captions(stamps, options.half)
    tasks = make_tasks(list(captions.values()))
    worst = 0.0
    with tempfile.TemporaryDirectory() as work:
        for setting in make_settings(stamps, captions, Path(work), options.settings):
            for task in tasks[: 3 if any(setting.captions) else 2]:
                worst = min(worst, compare(setting, task, list(captions.values()), options.weights))
            setting.collection.close()
    return int(worst < -ALLOWED_LOSS)


def read_captions(stamps: Path, half: str) -> dict[str, str]:
    """Captions by name: the first lines of the text files of a half, as stamps.py takes them."""
    captions = {}
    for name in stamp_names(stamps):
        text = (stamps / name).with_suffix(".txt")
        if not name.startswith("symbols/") and text.exists() and half_of(name) == half:
            captions[name] = text.read_text("utf-8", "replace").partition("\n")[0].strip()
    return {name: caption for name, caption in captions.items() if caption}


def make_tasks(captions: Sequence[str]) -> tuple[Task, Task, Task]:
    nouns = np.array([noun(caption) for caption in captions])
    words = sorted({one for one in nouns.tolist() if one})
    pairs = [(synonym, one) for synonym, one in SYNONYMS.items() if one in words]
    return (
        Task("captions", tuple(captions), np.eye(len(captions), dtype=np.bool_)),
        Task("nouns", tuple(f"a {one}" for one in words), np.array(words)[:, None] == nouns[None]),
        Task("synonyms", tuple(synonym for synonym, _ in pairs), np.array([nouns == one for _, one in pairs])),
    )


def make_settings(stamps: Path, captions: Mapping[str, str], work: Path, only: Sequence[str] = ()) -> Iterator[Setting]:
    """Yield the collections; each is indexed when its turn comes."""
    names, all_captions = list(captions), list(captions.values())
    order = np.random.default_rng(5).permutation(len(names)).tolist()
    numbers = [f"{n:05}{Path(name).suffix}" for n, name in enumerate(names)]
    draws = np.random.default_rng(9).random(len(all_captions))
    third = [one if share < 1 / 3 else None for one, share in zip(all_captions, draws, strict=True)]
    variants: dict[str, tuple[Sequence[str], Sequence[str | None]]] = {
        "names": (names, ()),
        "names and captions": (names, all_captions),
        "captions": (numbers, all_captions),
        "captions of a third": (numbers, third),
        "wrong captions": (numbers, [all_captions[n] for n in order]),
        "wrong names": ([f"{n}/{names[o]}" for n, o in enumerate(order)], ()),
        "no words": (numbers, ()),
    }
    for name, (targets, texts) in variants.items():
        if not only or name in only:
            yield make_setting(name, stamps, names, targets, work, texts)


def make_setting(
    name: str,
    stamps: Path,
    files: Sequence[str],
    names: Sequence[str],
    work: Path,
    captions: Sequence[str | None],
) -> Setting:
    """Index copies of stamps under other names, with captions beside them."""
    folder = work / name / "pictures"
    for file, target in zip(files, names, strict=True):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stamps / file, folder / target)
    for target, caption in zip(names, captions, strict=False):
        if caption is not None:
            (folder / target).with_suffix(".txt").write_text(caption, "utf-8")
    collection = imseek.create(work / name / "collection", encoder="builtin", captions=bool(captions))
    collection.index([folder])
    reader = Reader(collection.path)
    by_path = {place.path: image_id for image_id, place in reader.places(range(2 * len(files))).items()}
    ids = np.array([by_path[bytes(folder / shown)] for shown in names], np.int64)
    return Setting(name, collection, ids, tuple(captions) or (None,) * len(ids))


def compare(setting: Setting, task: Task, captions: Sequence[str], weights: Sequence[float]) -> float:
    """Print the table of one setting and task; return its worst loss that counts as a failure."""
    print(f"\n{setting.name}, {task.name} as queries ({len(task.queries)}); R@1 / R@5 / R@10\n")
    print("| encoder | image | text | captions | rrf | fused | least gain |\n|---|---|---|---|---|---|---|", flush=True)
    position = {image_id: n for n, image_id in enumerate(setting.ids.tolist())}
    reader = Reader(setting.collection.path)
    words = [find_words(reader, query) for query in task.queries]
    text = [np.array([position[i] for i in one.ids.tolist()], np.int64) for one in words]
    own_texts, minilm = BuiltinEncoder(modalities=("text",)).encode_texts, text_tower()
    worst = 0.0

    def fuse_all(
        scores: Sequence[Float32], matches: Sequence[WordHits], calibrations: Sequence[Calibration]
    ) -> list[Ranking]:
        return [fuse(*one, setting.ids, position) for one in zip(scores, matches, calibrations, strict=True)]

    for encoder, scores, agreement in encoders(setting, task, captions):
        quality = "basic" if encoder == "builtin" else "full"
        hits = caption_hits(setting, task, own_texts if encoder == "builtin" else minilm, agreement)
        by_caption = [[] if one is None else [position[i] for i in one.ids.tolist()] for one in hits]
        with_captions = [one.with_captions(its) if its else one for one, its in zip(words, hits, strict=True)]
        image = [np.lexsort((setting.ids, -one)) for one in scores]
        matches = [
            replace(both, cosines=one[[position[i] for i in both.ids.tolist()]])
            for one, both in zip(scores, with_captions, strict=True)
        ]
        calibrations = [
            calibrate(one, quality, captions=[its] if its else [], words=[both])
            for one, its, both in zip(scores, hits, matches, strict=True)
        ]
        fused = fuse_all(scores, matches, calibrations)
        if encoder == "builtin":
            engine_rankings = search_engine(setting, task, position)
            agree = np.mean([a.tolist() == b.tolist() for a, b in zip(engine_rankings, fused, strict=True)])
            recorder.add_row("engine", setting=setting.name, task=task.name, share_of_equal_answers=agree)
            fused = engine_rankings
        ways = {
            "image": task.figures(image),
            "text": task.figures(text),
            "captions": task.figures([np.array(one, np.int64) for one in by_caption]),
            "rrf": task.figures([reciprocal_ranks(*both) for both in zip(image, text, strict=True)]),
            "fused": task.figures(fused),
        }
        better = np.maximum.reduce([ways["image"], ways["text"], ways["captions"]])
        gain = float((ways["fused"] - better).min())
        print(f"| {encoder} | {' | '.join(map(cell, ways.values()))} | {gain:+.3f} |", flush=True)
        figures = {way: values.tolist() for way, values in ways.items()}
        recorder.add_row("rankings", setting=setting.name, task=task.name, encoder=encoder, gain=gain, **figures)
        if setting.name == "no words" and [one[:DEPTH].tolist() for one in image] != [one.tolist() for one in fused]:
            worst = -1.0
        if setting.name.startswith("names"):
            worst = min(worst, gain)
        for weight in weights:
            weighted = task.figures(fuse_all(scores, matches, [replace(one, weight=weight) for one in calibrations]))
            print(f"| … weight {weight:g} | | | | | {cell(weighted)} | {(weighted - better).min():+.3f} |", flush=True)
    return worst


def cell(figures: npt.NDArray[np.float64]) -> str:
    return " / ".join(f"{figure:.3f}" for figure in figures)


def find_words(reader: Reader, query: str) -> WordHits:
    return WordHits.of(reader.match_words(words_of(Query((Term(text=query),))), MAX_WORD_MATCHES))


def text_tower() -> TextTower:
    return TextTower(text_network()[0], threads=available_cpus())


def caption_hits(
    setting: Setting, task: Task, encode: Callable[[Sequence[str]], Float32], agreement: float
) -> list[CaptionHits | None]:
    """Compare each query with the stored captions, as the engine does with those of an encoder."""
    captioned = [n for n, caption in enumerate(setting.captions) if caption]
    if not captioned:
        return [None] * len(task.queries)
    captions, ids = encode([setting.captions[n] or "" for n in captioned]), setting.ids[captioned]
    hits: list[CaptionHits | None] = []
    for cosines in (encode(list(task.queries)) @ captions.T).astype(np.float32):
        best = np.lexsort((ids, -cosines))[:MAX_WORD_MATCHES]
        hits.append(CaptionHits(ids[best], cosines[best], cosines, len(captioned), agreement=agreement))
    return hits


def fuse(
    scores: Float32,
    words: WordHits,
    calibration: Calibration,
    ids: npt.NDArray[np.int64],
    position: Mapping[int, int],
) -> Ranking:
    """(m,): the first stamps by both, as the engine ranks them. ``scores`` (n,) are those of the stamps ``ids``."""
    best = np.lexsort((ids, -scores))
    ranking = fuse_rankings(Matches(ids[best], scores[best]), words, calibration, DEPTH)
    return np.array([position[i] for i in ranking.ids.tolist()], np.int64)


def reciprocal_ranks(image: Ranking, text: Ranking) -> Ranking:
    scores = np.zeros(len(image))
    for ranking in (image, text):
        scores[ranking] += 1 / (RRF + 1 + np.arange(len(ranking)))
    return np.argsort(-scores, kind="stable")[:DEPTH]


def search_engine(setting: Setting, task: Task, position: dict[int, int]) -> list[Ranking]:
    """Rank by the search that users call."""
    results = setting.collection.search_many(list(task.queries), limit=DEPTH, metadata=False)
    return [np.array([position[hit.image_id] for hit in one], np.int64) for one in results]


def encoders(setting: Setting, task: Task, captions: Sequence[str]) -> list[tuple[str, list[Float32], float]]:
    """Scores (n,) of all stamps for each query, and the agreement of the stored captions with them, by encoder."""
    captioned = [n for n, caption in enumerate(setting.captions) if caption]
    stored = [setting.captions[n] or "" for n in captioned]
    reader, own = Reader(setting.collection.path), BuiltinEncoder(modalities=("text",))
    (space, *_) = reader.current.spaces
    vectors = reader.vectors(setting.ids.tolist(), space.space_id).astype(np.float32)
    scores = [maps.scores(setting.collection, query, setting.ids) for query in task.queries]
    agreement = caption_agreement(own.encode_texts(stored), vectors[captioned], vectors) if captioned else 0.0
    encodings = [("builtin", scores, agreement)]
    tower = text_tower()
    pictures, queries, texts = (
        tower(list(captions)),
        tower(list(task.queries)),
        tower(stored) if captioned else vectors[:0],
    )
    rng = np.random.default_rng(0)
    for length in NOISE:
        noise = rng.standard_normal(pictures.shape)
        noise *= length / np.linalg.norm(noise, axis=1, keepdims=True)
        rows = pictures + noise
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        agreement = caption_agreement(texts, rows[captioned], rows) if captioned else 0.0
        encodings.append((f"noise {length:g}", list((queries @ rows.T).astype(np.float32)), agreement))
    return encodings


if __name__ == "__main__":
    sys.exit(recorder.run(main))
