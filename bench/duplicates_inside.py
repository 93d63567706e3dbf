"""Pictures inside pictures: which of them are found, and which findings are wrong.

    python bench/duplicates_inside.py [--stamps DIR] [--half B] [--calls 2] [--names]

Collages of two to nine cells, screenshots with bars, lists and words around a picture, and crops of 60 to 15 % of the
area, made of Tux Paint stamps and photographs of scikit-image and scikit-learn (inside_set.py), beside 80 stamps that
nothing is made of. They are indexed as files with the built-in encoder, and searched by imseek.duplicates.crops.

Recall is the share of pairs (a picture, one that lies in it) that are found, by kind; a crop of a picture in a collage
or screenshot lies in that too. A picture that a collage has cut to the shape of its cell counts if at least 55 % of it
is visible. A pair that is found counts as wrong where the two have nothing in common; pairs that share a part, without
one being in the other, are counted separately. Tiles, rules and thresholds were chosen on half A.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import recorder
from inside_set import Item, make_items, relation
from quality import find_stamps

import imseek
from imseek.data.reader import Reader
from imseek.data.vectors import open_index
from imseek.duplicates import unique_contents
from imseek.duplicates.crops import crop_search
from imseek.duplicates.crops.tile_vectors import TILES, TileEncoder, TileStore
from imseek.encoders import load
from imseek.search.backend import unit_rows


def search(
    items: list[Item], folder: Path, calls: int, keep: Path | None
) -> tuple[crop_search.CropResult, list[int], list[float]]:
    """Return the last call's result, the item of each position, and the seconds of each call."""
    files = folder / "pictures"
    files.mkdir()
    for n, item in enumerate(items):
        (files / f"{n:04d}").with_suffix(".jpg" if item.data[:2] == b"\xff\xd8" else ".png").write_bytes(item.data)
    with imseek.create(folder / "c", encoder="builtin") as collection:
        report = collection.index([files])
        assert report.live == len(items), report.failures
        reader = Reader(collection.path)
        contents = unique_contents.load_contents(reader)
        places = reader.places(contents.ids.tolist())
        numbers = [int(Path(places[int(i)].display).stem) for i in contents.ids]
        space = reader.current.image_spaces[0]
        index = open_index("faiss", reader.segments(space.space_id), space.dim)
        encoder = load("builtin")
        seconds = []
        for _ in range(calls):
            store = TileStore(keep or collection.path, space.fingerprint, space.dim)
            tiler = TileEncoder(store, encoder, lambda n: collection.read(int(contents.ids[n])))
            start = time.monotonic()
            result = crop_search.find(
                contents.ids,
                contents.hashes,
                lambda ids: unit_rows(reader, ids, space),
                index,
                tiler,
                lambda n: collection.read(int(contents.ids[n])),
                keep=collection.path,
            )
            seconds.append(time.monotonic() - start)
        reader.close()
    return result, numbers, seconds


def kind_of(whole: Item, part: Item) -> str:
    if whole.kind == "original":
        return part.kind
    return whole.kind if part.kind == "original" else f"crop, {whole.kind}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--half", choices="AB", default="B")
    parser.add_argument("--calls", type=int, default=1, help="2: once more, with the cache of the first call")
    parser.add_argument("--most", type=int, help="originals, collages and screenshots, of each (default: all)")
    parser.add_argument("--keep", type=Path, help="keep vectors of tiles in this folder for the next time")
    parser.add_argument("--names", action="store_true", help="name what is missed and what is wrong")
    options = parser.parse_args()
    all_items = make_items(options.half, options.stamps or find_stamps(), options.most)
    items = list({item.data: item for item in all_items}.values())
    with tempfile.TemporaryDirectory() as folder:
        result, numbers, seconds = search(items, Path(folder), options.calls, options.keep)
    pairs = {(numbers[one.whole], numbers[one.part]): one for one in result.pairs}
    hits_by_kind: dict[str, list[bool]] = defaultdict(list)
    verdicts: Counter[str] = Counter()
    for a, whole in enumerate(items):
        for b, part in enumerate(items):
            verdict = relation(whole, part)
            if verdict in ("inside", "cut"):
                kind = kind_of(whole, part) + (", cut" if verdict == "cut" else "")
                hits_by_kind[kind].append((a, b) in pairs)
                if options.names and (a, b) not in pairs:
                    print(f"missed  {whole.name} <- {part.name}")
            if (a, b) in pairs:
                verdicts[verdict] += 1
                if options.names and verdict in ("", "near"):
                    one = pairs[a, b]
                    facts = f"{one.cosine:.3f} {one.agreement:.3f} {one.correlation:.3f} {one.visible:.2f}"
                    print(f"{verdict or 'wrong':7s} {whole.name} <- {part.name} {facts}")
    right, wrong = verdicts["inside"] + verdicts["cut"], verdicts[""]
    print(f"half {options.half}: {len(items)} pictures ({dict(Counter(item.kind for item in items))})")
    print(f"{len(TILES)} tiles each, {result.encoded} encoded by the last call, {result.looked_at} pairs looked at")
    print(f"seconds: {', '.join(f'{one:.0f}' for one in seconds)}")
    print("| lies in it | pairs | recall |\n|---|---|---|")
    for kind, hits in sorted(hits_by_kind.items()):
        print(f"| {kind} | {len(hits)} | {np.mean(hits):.3f} |")
        recorder.add_row("kinds", kind=kind, pairs=len(hits), recall=np.mean(hits))
    hits_of_all = [hit for hits in hits_by_kind.values() for hit in hits]
    print(f"| all | {len(hits_of_all)} | {np.mean(hits_of_all):.3f} |")
    print(f"found {len(pairs)}: right {right}, share a part {verdicts['near']}, wrong {wrong}")
    recorder.put(
        half=options.half,
        pictures=len(items),
        call_s=seconds,
        pairs=len(hits_of_all),
        recall=np.mean(hits_of_all),
        found=len(pairs),
        right=right,
        near=verdicts["near"],
        wrong=wrong,
        precision=right / max(1, right + wrong),
    )
    print(f"precision {right / max(1, right + wrong):.3f}; {right / max(1, len(pairs)):.3f} of all that was found")


if __name__ == "__main__":
    sys.exit(recorder.run(main))
