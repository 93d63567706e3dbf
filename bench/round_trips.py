"""A collection of real pictures to other tools and back: the same ids in the same order, the same stored bits.

    python bench/round_trips.py /tmp/peers/tux

``make test`` installs the clip-retrieval that this uses into ``.venv/clip-retrieval``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import recorder

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from clip_retrieving import serving

import imseek
from imseek import export
from imseek.data.reader import Reader


def stored_rows(root: Path) -> dict[int, bytes]:
    """Stored bytes of each image's row, by its id."""
    segments = Reader(root).segments(0)
    return {int(i): row.tobytes() for one in segments for i, row in zip(one.ids, one.rows, strict=True)}


def compare_clip_retrieval(root: Path, work: Path) -> None:
    """Compare the ten nearest of every image: by exact search here, by the index that clip-retrieval makes there."""
    export.write(root, work / "out", format="clip-retrieval")
    same = swapped = other = 0
    with imseek.open(root) as collection, serving(work / "out", work) as service:
        for row in stored_rows(root).values():
            vector = np.frombuffer(row, np.float16).astype(np.float32)
            query = imseek.Query((imseek.Term(vector=vector),), limit=10, exact=True)
            hits = collection.search(query, metadata=False).hits
            neighbours = service.knn("image", vector, 10)
            scores = {hit.image_id: hit.score for hit in hits}
            for ours, theirs in zip(hits, neighbours, strict=True):
                if theirs["image_id"] == ours.image_id:
                    same += 1
                elif abs(scores.get(theirs["image_id"], theirs["similarity"]) - ours.score) < 1e-3:
                    swapped += 1  # It treats stored rows as unit rows: scores closer than that change places.
                else:
                    other += 1
    print(f"clip-retrieval: {same + swapped + other} hits: {same} the same, {swapped} ties, {other} others")
    recorder.put(clip_retrieval={"same": same, "ties": swapped, "others": other})


def compare_parquet(root: Path, work: Path) -> None:
    """Compare rows and their order to the bit after a round trip; ids are those of the new collection."""
    export.write(root, work / "images.parquet")
    with imseek.create(work / "again", encoder="builtin") as copy:
        report = copy.index([work / "images.parquet"])
    before, after = stored_rows(root), stored_rows(work / "again")
    equal = sum(one == two for one, two in zip(before.values(), after.values(), strict=True))
    print(f"Parquet: {report.added} images taken in, {equal} of {len(before)} rows the same to the bit")
    recorder.put(parquet={"added": report.added, "rows": len(before), "equal": equal})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="a folder of pictures")
    most = "how many of them; beyond 1,000 clip-retrieval makes an index that is not exact"
    parser.add_argument("--limit", type=int, default=960, help=most)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        start = time.monotonic()
        link = work / "pictures"
        link.symlink_to(arguments.pictures.absolute())
        with imseek.create(work / "made", encoder="builtin") as collection:
            added = collection.index([link], limit=arguments.limit).added
        print(f"{added:,} pictures in {time.monotonic() - start:.0f} s")
        recorder.put(pictures=added)
        compare_parquet(work / "made", work)
        link.unlink()  # clip-retrieval sends the pictures that it finds, and fails at transparent ones.
        compare_clip_retrieval(work / "made", work)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
