"""A folder of pictures that never rests, and the writer that keeps a collection in line with it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import time
from collections import Counter
from functools import partial
from itertools import cycle
from pathlib import Path

from durability.reference import Recorder, digest
from durability.stage import draw


class Keeper:
    """Two folders of pictures, and what is in them: contents by path. ``album`` comes and goes as a source."""

    def __init__(self, home: Path, seed: int) -> None:
        self.home = home
        self.folders = (home / "photos", home / "album")
        self.chance = random.Random(seed)
        self.there: dict[Path, int] = {}
        self._drawn = 0
        for folder in self.folders:
            folder.mkdir()

    def add(self, count: int, folder: int = 0) -> None:
        for _ in range(count):
            self._draw(self.folders[folder] / f"{self._drawn:06}.png")

    def stir(self, count: int) -> None:
        """Some pictures come, as many go, and some move, are copied, change, or swap their names."""
        self.add(2 * count)
        some = self.chance.sample(sorted(self.there), 9 * count)
        for n in range(count):
            gone, moved, original, changed, one, other, *more = some[9 * n : 9 * (n + 1)]
            for path in (gone, *more[:2]):
                path.unlink()
                del self.there[path]
            self._rename(moved, moved.with_name(f"moved {self._drawn}.png"))
            copy = original.with_name(f"copy {self._drawn}.png")
            shutil.copy(original, copy)
            self.there[copy] = self.there[original]
            self._draw(changed)
            aside = one.with_suffix(".aside")
            self._rename(one, aside)
            self._rename(other, one)
            self._rename(aside, other)

    def _draw(self, path: Path) -> None:
        self._drawn += 1
        draw(path, self._drawn)
        self.there[path] = content(path)

    def _rename(self, path: Path, target: Path) -> None:
        path.rename(target)
        self.there[target] = self.there.pop(path)


def content(path: Path) -> int:
    return digest(hashlib.sha256(path.read_bytes()).hexdigest())


def write(home: Path, seconds: float, pictures: int, seed: int) -> None:
    """Index, stir, remove, merge, purge: every turn at least once, until there is a file ``enough`` in ``home``.

    After ``seconds`` it ends anyway.
    """
    import imseek
    from imseek.data.shards import compaction
    from imseek.data.writing import writer
    from imseek.indexer import encode_stage, pipeline

    pipeline.COMMIT_IMAGES, encode_stage.ENCODE_BATCH, compaction.FACTOR = 64, 32, 4
    writer.GRACE_SECONDS = 0.5  # Readers must get along with less than they are granted.
    root = home / "collection"
    keeper = Keeper(home, seed)
    keeper.add(pictures)
    keeper.add(pictures // 10, folder=1)
    imseek.create(root, encoder="fake").close()
    recorder = Recorder(root, home / "reference")
    recorder.record()
    recorder.install()
    done: Counter[str] = Counter()

    def index() -> None:
        with imseek.open(root) as collection:
            collection.index(keeper.folders)
        check()

    def stir() -> None:
        keeper.stir(max(1, pictures // 200))
        index()

    def remove() -> None:
        with imseek.open(root) as collection:
            (album,) = (s for s in collection.info().sources if s.path == os.fsencode(keeper.folders[1]))
            collection.remove_source(album.source_id)

    def check() -> None:
        """The reference itself agrees with the folders."""
        truth = recorder.read()
        wanted = sorted((digest(str(path)), content) for path, content in keeper.there.items())
        assert sorted(zip(truth.places.tolist(), truth.contents.tolist(), strict=True)) == wanted

    purge, tidy = partial(imseek.maintenance.purge, root), partial(imseek.maintenance.merge, root)
    named = {"stir": stir, "remove": remove, "index": index, "purge": purge, "merge": tidy}
    turns = ("stir", "stir", "remove", "purge", "index", "stir", "merge", "stir", "purge")
    index()
    (home / "ready").touch()
    end = time.monotonic() + seconds
    for n, name in enumerate(cycle(turns)):
        if n >= len(turns) and ((home / "enough").exists() or time.monotonic() > end):
            break
        named[name]()
        done[name] += 1
    (home / "done").write_text(json.dumps({**done, "generations": recorder.generations}))
