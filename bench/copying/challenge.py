"""The challenge of a half as files: references, and queries, one in five of them made of a reference."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from copying.edits import edit
from copying.pictures import Original, originals
from duplicating.originals import encode_picture
from duplicating.ways import another_shot
from PIL import Image, ImageChops, ImageFilter

#: Changes whenever the set does.
VERSION = 8
#: Queries made of references, and queries that match nothing, for each of these.
COPIES, MISSES = 200, 800
#: Levels by which the mean of 3 × 3 pixels may differ without anything being visible.
UNSEEN = 8


@dataclass(frozen=True)
class Entry:
    """One file. ``kind`` is that of its original: photo, stamp or drawn. ``source`` is the name of a reference, or of
    the reference that a query is a copy of, empty if it matches nothing; ``edits`` say how it was made. ``near`` says
    what makes a query without a match hard. ``name`` is that of its original, and ``holds`` names the pictures that the
    original was put together from. ``alike`` names other references that the same edits turn into the same query:
    siblings that differ in one place, when a crop leaves that place out."""

    file: str
    query: bool
    kind: str
    series: str
    source: str = ""
    edits: tuple[str, ...] = ()
    near: str = ""
    name: str = ""
    holds: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()


@dataclass(frozen=True)
class Challenge:
    """``folder`` holds the files of ``entries``, references first."""

    folder: Path
    entries: tuple[Entry, ...]

    @property
    def references(self) -> int:
        return sum(not one.query for one in self.entries)

    @property
    def collection_path(self) -> Path:
        """The folder for what is computed from the files."""
        return self.folder.with_name(f"{self.folder.name}.imseek")

    def is_open(self, query: int, reference: int) -> bool:
        """Whether a pair is neither right nor wrong: one was put together from the other and something else, or the
        query might as well have been made of the reference."""
        one, other = self.entries[query], self.entries[reference]
        return one.name in other.holds or other.name in one.holds or other.name in one.alike


def make(half: str, stamps: Path, cache: Path, share: float = 1.0, seed: int = 0) -> Challenge:
    """Write the challenge of a half, or find it in the cache; ``share`` makes a smaller one. Another
    ``seed`` chooses other references and draws the edits anew."""
    more = ("" if share == 1 else f"-{share:g}") + (f"-seed{seed}" if seed else "")
    folder = cache / f"copies-{VERSION}-{half}{more}"
    listing = folder / "entries.json"
    if not listing.exists():
        folder.mkdir(parents=True, exist_ok=True)
        listing.write_text(json.dumps([asdict(one) for one in _write(half, stamps, folder, share, seed)]))
    rows = json.loads(listing.read_text())
    lists = ("edits", "holds", "alike")
    return Challenge(folder, tuple(Entry(**one | {name: tuple(one[name]) for name in lists}) for one in rows))


def _write(half: str, stamps: Path, folder: Path, share: float, seed: int) -> list[Entry]:
    entries: list[Entry] = []
    rng = np.random.default_rng([seed, 77 + "AB".index(half)] if seed else "AB".index(half))
    pictures = list(originals(half, stamps))
    order = [pictures[n] for n in rng.permutation(len(pictures)).tolist()]
    # Every second picture of a series is a reference; the others become queries.
    indexed: list[Original] = []
    unindexed: list[Original] = []
    for kind in ("photo", "stamp", "drawn"):
        of_kind = [one for one in order if one.kind == kind]
        of_kind = of_kind[: max(4, round(share * len(of_kind)))]
        indexed += of_kind[::2]
        unindexed += of_kind[1::2]
    # Pictures that lie under or beside another must match nothing either.
    grounds = [one.picture for one in unindexed if one.kind == "photo"]

    payloads: set[bytes] = set()

    def add(picture: Image.Image, one: Original, query: bool, **facts: Any) -> None:
        form = ("png", "jpeg")[len(entries) % 2]
        data = encode_picture(picture.convert("RGB"), form, 88)
        if data not in payloads:
            payloads.add(data)
            name = f"{'q' if query else 'r'}{len(entries):04d}.{'jpg' if form == 'jpeg' else form}"
            (folder / name).write_bytes(data)
            entries.append(Entry(name, query, one.kind, one.series, name=one.name, holds=one.holds, **facts))

    for one in indexed:
        add(one.picture, one, False, source=one.name)

    def make_query(one: Original) -> tuple[Image.Image, dict[str, Any]]:
        state = copy.deepcopy(rng)
        altered, names = edit(one.picture, half, rng, grounds)
        siblings = [
            other
            for other in indexed
            if other.series == one.series and other is not one and other.picture.size == one.picture.size
        ]
        others = {other.name: edit(other.picture, half, copy.deepcopy(state), grounds)[0] for other in siblings}
        alike = tuple(name for name, picture in others.items() if _looks_equal(altered, picture))
        return altered, {"edits": names, "alike": alike}

    copies, misses = round(COPIES * share), round(MISSES * share)
    for n in range(copies):
        one = _pick(indexed, n, rng)
        altered, facts = make_query(one)
        add(altered, one, True, source=one.name, **facts)
    for n in range(misses):
        if n % 8 == 0:  # The next frame of a burst is another picture.
            one = _pick(indexed, 0, rng)
            add(another_shot(one.picture, rng), one, True, near="burst")
            continue
        one = _pick(unindexed, n, rng)
        # A third of the siblings come as they are.
        altered, facts = (one.picture, {}) if n % 3 == 0 else make_query(one)
        add(altered, one, True, near="sibling", **facts)
    return entries


def _looks_equal(one: Image.Image, other: Image.Image) -> bool:
    """Return whether no place of 3 × 3 pixels differs."""
    if one.size != other.size:
        return False
    difference = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).filter(ImageFilter.BoxBlur(1))
    return max(high for _, high in difference.getextrema()) <= UNSEEN


def _pick(pictures: list[Original], n: int, rng: np.random.Generator) -> Original:
    """Return one of the pictures, kinds in turn."""
    kind = ("photo", "stamp", "drawn")[n % 3]
    of_kind = [one for one in pictures if one.kind == kind]
    return of_kind[int(rng.integers(len(of_kind)))]
