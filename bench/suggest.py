"""Suggestions while typing, at scale: time of the first answer, which counts the words, and of the others.

    python bench/suggest.py [--images 100000] [--words 20] [--queries 1000] [--work DIR]

Images without a picture are committed as `imseek index` does it, each with a path of five made-up words, three
keywords and a caption, of words whose frequencies follow Zipf's law (200,000 words, exponent 1). Then the queries are
the first one to six letters of random words, some after another word. Last, an image gets a tag: printed are the time
of the next answer, and the time until the tag is suggested.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import recorder
from words import COMMIT, IN_PATH, Zipf

import imseek
from imseek import overview
from imseek.data.catalog import sources
from imseek.data.catalog.changeset import Changeset, NewImage
from imseek.data.shards.shard_files import row_of
from imseek.data.user_files.file_stat import FileStat
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.types.pictures import ImageFacts

KEYWORDS = 3
SYLLABLES = [a + b for a in "bcdfghjklmnprstv" for b in "aeiou"]


def make_word(n: int) -> str:
    """Return a pronounceable word, a different one for each number."""
    word = ""
    n += len(SYLLABLES)
    while n:
        n, at = divmod(n, len(SYLLABLES))
        word += SYLLABLES[at]
    return word


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=20)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    recorder.put(images=options.images, words=options.words)
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        root = Path(work) / "collection"
        fill(root, options.images, options.words)
        measure_queries(root, options.queries)


def fill(root: Path, images: int, words: int) -> None:
    zipf, stat = Zipf(0), FileStat(1, 2, 3, 4, 5)
    imseek.create(root, encoder="fake").close()
    vector = np.full(64, 0.125, np.float16)
    with Writer(root, "bench") as writer:
        sources.add(writer, "folder", b"/photos")
        for first in range(0, images, COMMIT):
            draws = zipf.draw((min(COMMIT, images - first), words))
            new = []
            for n, numbers in enumerate(draws.tolist(), start=first):
                one = [make_word(number) for number in numbers]
                content_hash = hashlib.sha256(b"%d" % n).digest()
                facts = ImageFacts(640, 480, "JPEG", "RGB", caption=" ".join(one[IN_PATH + KEYWORDS :]))
                row = row_of(facts, content_hash, 9) | {"keywords": one[IN_PATH : IN_PATH + KEYWORDS]}
                path = "/".join(one[:IN_PATH]).encode() + b".jpg"
                new.append(NewImage(1, path, stat, content_hash, row, {0: vector}))
            commit(writer, Changeset(new=new))


def measure_queries(root: Path, queries: int) -> None:
    zipf = Zipf(1)
    numbers = zipf.draw((queries, 2)).tolist()
    lengths = np.random.default_rng(2).integers(1, 7, queries).tolist()
    texts = [
        ("" if n % 3 else f"{make_word(before)} ") + make_word(number)[:length]
        for n, ((before, number), length) in enumerate(zip(numbers, lengths, strict=True))
    ]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first = time_answer(root, texts[0])
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    milliseconds = np.array([time_answer(root, text) for text in texts]) * 1000
    p50, p95, most = (float(np.percentile(milliseconds, share)) for share in (50, 95, 100))
    print(
        f"first answer {first:.2f} s (+{growth:.0f} MiB at most); then p50 {p50:.2f}, p95 {p95:.2f}, most {most:.1f} ms"
    )
    imseek.tags.add(root, "zzz", [1])
    start = time.perf_counter()
    after = time_answer(root, "ba")
    slow = [after]
    while not overview.suggest(root, "zz", kinds=["tag"]):
        time.sleep(0.02)
        slow.append(time_answer(root, "ba"))
    fresh = time.perf_counter() - start
    print(
        f"after a commit: next answer {after * 1000:.1f} ms, at most {max(slow) * 1000:.0f} ms while counting;", end=" "
    )
    print(f"new words after {fresh:.2f} s")
    recorder.put(first_s=first, memory_mib=growth, p50_ms=p50, p95_ms=p95, most_ms=most)
    recorder.put(after_commit_ms=after * 1000, while_counting_ms=max(slow) * 1000, fresh_s=fresh)


def time_answer(root: Path, text: str) -> float:
    start = time.perf_counter()
    overview.suggest(root, text)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(recorder.run(main))
