"""Lexical search at scale: time of queries, and the cost of documents in indexing, in seconds and bytes.

    python bench/words.py [--images 1000000] [--words 20] [--queries 100] [--photos 1000] [--runs 3] [--work DIR]

Images without a picture are committed as `imseek index` does it, 4,096 at a time, each with the document of a path and
a caption of made-up words whose frequencies follow Zipf's law (200,000 words, exponent 1). Each kind of query is then
asked through a warm reader, words drawn anew each time: frequent, middling and rare ones, several, phrases, starts of
words, and with the commonest. Then tiny photographs are indexed with the fake encoder, the cheapest there is, in turns
with documents and without.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import recorder
from photos import make_photos

import imseek
from imseek.data.catalog import sources
from imseek.data.catalog.changeset import Changeset, NewImage
from imseek.data.catalog.sql import Connection
from imseek.data.catalog.sqlite.catalog_file import open_catalog
from imseek.data.reader import Reader
from imseek.data.shards.shard_files import row_of
from imseek.data.user_files.file_stat import FileStat
from imseek.data.words import analysis, documents
from imseek.data.words.analysis import parse_words
from imseek.data.words.values import Document, WordQuery
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.types.pictures import ImageFacts

COMMIT = 4096
VOCABULARY = 200_000
#: Words of a path; the others are in the caption.
IN_PATH = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, default=20)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--photos", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--collection", type=Path, help="ask one that an earlier run made there, or make it there")
    options = parser.parse_args()
    recorder.put(images=options.images, words=options.words)
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        root = options.collection or Path(work) / "collection"
        if not root.exists():
            fill(root, options.images, options.words)
        measure_sizes(root, options.images)
        measure_queries(root, options.queries)
        measure_indexing(Path(work), options.photos, options.runs)


class Zipf:
    """Draws words: the first is the commonest."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        shares = 1 / np.arange(1, VOCABULARY + 1)
        self._bounds = np.cumsum(shares / shares.sum())

    def draw(self, shape: tuple[int, int]) -> npt.NDArray[np.int64]:
        return np.minimum(np.searchsorted(self._bounds, self._rng.random(shape)), VOCABULARY - 1)

    def between(self, low: int, high: int, count: int) -> list[int]:
        return [int(n) for n in self._rng.integers(low, min(high, VOCABULARY), count)]


def fill(root: Path, images: int, words: int) -> None:
    zipf, stat, vector = Zipf(0), FileStat(1, 2, 3, 4, 5), np.full(64, 0.125, np.float16)
    tokens = [" ".join(analysis.document_tokens(f"w{n}")) for n in range(VOCABULARY)]
    names = [" ".join(analysis.name_tokens(b"w%d" % n)) for n in range(VOCABULARY)]
    row = row_of(ImageFacts(width=640, height=480, format="JPEG", mode="RGB"), bytes(32), 9)
    draws: list[list[int]] = []
    cpu = 0.0

    def add(connection: Connection, generation: int, placed: Iterable[tuple[int, int, bytes, object]]) -> None:
        """Insert the documents that `documents.add` would, from the prepared tokens."""
        nonlocal cpu
        start_cpu = time.process_time()
        new_documents = {}
        for image_id, _, path, _ in placed:
            one = draws[int(path[:-4]) % COMMIT]
            new_documents[image_id] = Document(
                names=" ".join([names[word] for word in one[:IN_PATH]]),
                captions=" ".join([tokens[word] for word in one[IN_PATH:]]),
            )
        documents._insert(connection, generation, new_documents)
        cpu += time.process_time() - start_cpu

    imseek.create(root, encoder="fake").close()
    start, original = time.perf_counter(), documents.add
    documents.add = add
    try:
        with Writer(root, "bench") as writer:
            sources.add(writer, "folder", b"/photos")
            for first in range(0, images, COMMIT):
                draws = zipf.draw((min(COMMIT, images - first), words)).tolist()
                new = []
                for n in range(first, first + len(draws)):
                    content_hash = n.to_bytes(32, "little")
                    facts = {**row, "content_hash": content_hash}
                    new.append(NewImage(1, b"%d.jpg" % n, stat, content_hash, facts, {0: vector}))
                commit(writer, Changeset(new=new))
    finally:
        documents.add = original
    seconds = time.perf_counter() - start
    print(f"{images:,} images in {seconds:.0f} s, documents {cpu / images * 1e6:.0f} µs of CPU each", flush=True)
    recorder.put(fill_s=seconds, document_us=cpu / images * 1e6)
    check(words, names, tokens)


def check(words: int, names: list[str], tokens: list[str]) -> None:
    """Exit if the documents differ from those that indexing makes; print the time that making them takes."""
    start, sample = time.process_time(), Zipf(2).draw((1000, words)).tolist()
    for one in sample:
        path = "/".join(f"w{word}" for word in one[:IN_PATH]).encode()
        document = documents.make_document(b"", path, {"caption": " ".join(f"w{word}" for word in one[IN_PATH:])})
        expected = (" ".join(names[word] for word in one[:IN_PATH]), " ".join(tokens[word] for word in one[IN_PATH:]))
        if (document.names, document.captions) != expected:
            raise SystemExit(f"{document} is not {expected}")
    microseconds = (time.process_time() - start) / len(sample) * 1e6
    print(f"analysis of a path and a caption {microseconds:.0f} µs of CPU")
    recorder.put(analysis_us=microseconds)


def measure_sizes(root: Path, images: int) -> None:
    """Bytes per image of the documents, of the index, and of the rest of the catalog."""
    with closing(open_catalog(root / "catalog.sqlite")) as connection:
        rows = connection.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name").fetchall()
    index = sum(size for name, size in rows if name.startswith("document_words"))
    own = sum(size for name, size in rows if name.startswith("documents"))
    rest = sum(size for _, size in rows) - index - own
    print(f"bytes per image: documents {own / images:.0f}, index {index / images:.0f}, other rows {rest / images:.0f}")
    recorder.put(
        document_bytes_per_image=own / images, index_bytes_per_image=index / images, rest_bytes_per_image=rest / images
    )


def measure_queries(root: Path, queries: int) -> None:
    zipf = Zipf(1)

    def words(*ranges: tuple[int, int]) -> WordQuery:
        return parse_words(" ".join(f"w{zipf.between(low, high, 1)[0]}" for low, high in ranges))

    common, middling, rare = (0, 10), (100, 1_000), (2_000, 50_000)
    kinds: dict[str, Callable[[], WordQuery]] = {
        "rare word": lambda: words(rare),
        "middling word": lambda: words(middling),
        "common word": lambda: words(common),
        "rare and common": lambda: words(rare, common),
        "middling and common": lambda: words(middling, common),
        "two middling": lambda: words(middling, middling),
        "three common": lambda: words(common, common, common),
        "five of all kinds": lambda: words(rare, middling, middling, common, common),
        "start of words": lambda: parse_words(f"w{zipf.between(100, 1_000, 1)[0]}*"),
        "short start of words": lambda: parse_words(f"w{zipf.between(1, 10, 1)[0]}*"),
        "short start and word": lambda: parse_words(f"w{zipf.between(1, 10, 1)[0]}* w{zipf.between(*middling, 1)[0]}"),
        "unknown word": lambda: parse_words("nowhere"),
        "as images have them": lambda: parse_words(" ".join(f"w{n}" for n in zipf.draw((1, 4))[0])),
        "middling phrase": lambda: parse_words('"w{} w{}"'.format(*zipf.between(*middling, 2))),
        "common phrase": lambda: parse_words('"w{} w{}"'.format(*zipf.between(*common, 2))),
    }
    reader = Reader(root)
    start = time.perf_counter()
    reader.match_words(parse_words("w1 w1000"), 100)
    first = (time.perf_counter() - start) * 1e3
    print(f"first query of a reader {first:.1f} ms")
    recorder.put(first_ms=first)
    for kind, make in kinds.items():
        wall, cpu_times, totals, exact = [], [], [], 0
        for _ in range(queries):
            query = make()
            start, start_cpu = time.perf_counter(), time.thread_time()
            matches = reader.match_words(query, 100)
            cpu_times.append((time.thread_time() - start_cpu) * 1e3)
            wall.append((time.perf_counter() - start) * 1e3)
            totals.append(matches.total)
            exact += matches.is_exact
        (p50, p95), (cpu, cpu95) = (np.percentile(times, [50, 95]) for times in (wall, cpu_times))
        line = f"{kind:22} p50 {p50:6.2f} ms  p95 {p95:6.2f} ms  CPU {cpu:6.2f} ms  p95 {cpu95:6.2f} ms"
        print(f"{line}  exact {exact / queries:4.0%}", flush=True)
        recorder.add_row(
            "queries",
            kind=kind,
            p50_ms=p50,
            p95_ms=p95,
            cpu_ms=cpu,
            cpu_p95_ms=cpu95,
            exact=exact / queries,
            total=statistics.median(totals),
        )


def measure_indexing(work: Path, photos: int, runs: int) -> None:
    """Index photographs with documents and without, in turns, by processor time."""
    folder = work / "photos"
    for number, picture in enumerate(make_photos(photos, (160, 120), 0)):
        place = folder / f"Some Folder {number % 7}" / f"IMG_{number:05}-brownHorse.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture.save(place, quality=80)
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    for turn in range(runs):
        for side in ("with", "without")[:: 1 if turn % 2 else -1]:
            original = documents.add
            if side == "without":
                documents.add = lambda *_: None
            try:
                with imseek.create(work / f"{side}-{turn}", encoder="fake") as collection:
                    start = time.process_time()
                    collection.index([folder])
                    seconds[side].append(time.process_time() - start)
            finally:
                documents.add = original
    growth = statistics.median(a / b for a, b in zip(seconds["with"], seconds["without"], strict=True)) - 1
    each = statistics.median(seconds["with"]) / photos * 1e3
    print(f"indexing {photos:,} photographs of 160 x 120: CPU {each:.2f} ms each, documents add {growth:+.1%}")
    recorder.put(indexing_cpu_ms=each, indexing_growth=growth)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
