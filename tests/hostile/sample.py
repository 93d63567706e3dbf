"""A small sound collection with a file of every kind, which all hostile ones are made from."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from durability.stage import build_some, draw, live_ids
from probing import album

#: Name of the collection in the library.
NAME = "stranger"
#: A folder of pictures that no collection knows yet.
MORE = "more"
#: A list of the modules that it took to make the sample.
MODULES = "modules.json"


def make(root: str, photos: str, out: str) -> int:
    """Make pictures, a collection of them at ``root``, and a plan and a vector in ``out``. Runs in a child."""
    import numpy as np

    import imseek
    from imseek.data.catalog import duplicate_judgements
    from imseek.data.reader import Reader
    from imseek.data.shards import compaction
    from imseek.data.shards.derived_columns import put_columns
    from imseek.data.vectors import index_renewal, snapshot_growth, tuning
    from imseek.data.writing import job_logs
    from imseek.data.writing.writer import Writer
    from imseek.types.collection_info import IndexPolicy

    collection, pictures, files = Path(root), Path(photos), Path(out)
    _paint(pictures)
    album(files / MORE, each=1)
    compaction.FACTOR = 1000
    imseek.create(collection, encoder="fake:16", also=["fake:8"], captions=True).close()
    later = sorted((pictures / "lime").iterdir())[4:]
    for path in later:
        path.rename(path.with_suffix(".later"))
    _command("index", pictures)
    for path in later:
        path.with_suffix(".later").rename(path)
    (pictures / "blue/07.png").unlink()
    (pictures / "broken.png").write_bytes((pictures / "blue/00.png").read_bytes()[:60])
    _command("index", pictures)
    ids = sorted(live_ids(Reader(collection)))
    with Writer(collection, "test") as writer:
        put_columns(writer, "quality", {"sharpness": {i: float(i) for i in ids}})
    _command("tag", "add", "warm", *map(str, ids[:6]))
    _command("tag", "add", "cold", *map(str, ids[-6:]))
    _command("judge", str(ids[0]), str(ids[5]), "--different")
    _command("label", "--classes", "red,blue", "--save", "colour")
    _command("probe", "fit", "warmth", "--tags", "warm,cold")
    _command("map", "--method", "pca")
    _command("clusters", "-k", "2", "--save", "groups")

    plan = ["duplicates", "--kind", "exact", "--action", "quarantine", "--plan"]
    _command(*plan, files / "done.json")
    _command("apply", files / "done.json", "--yes")
    shutil.copy(pictures / "lime/00.png", pictures / "copy.png")
    _command("index", pictures)
    _command(*plan, files / "plan.json")
    _command("duplicates", "--inside")

    index_renewal.MAX_TAIL_ROWS, tuning.QUERIES, snapshot_growth.PART_ROWS = 2, 4, 9
    imseek.maintenance.build_index(collection, IndexPolicy(kind="IVF2,PQ4x4fs"))
    build_some(SimpleNamespace(root=collection), "fake:32", 6)  # type: ignore[arg-type]
    fd, log = job_logs.create_log(collection)
    os.write(fd, b'{"progress": {"phase": "encode", "done": 1}}\nimseek: it failed\n')
    os.close(fd)
    job_logs.rename_to_process(log, collection, 1 << 22, 1)
    np.save(files / "query.npy", np.ones(16, np.float32))
    reader = Reader(collection)
    assert duplicate_judgements.read(collection), "there is a judgement"
    assert reader.current.caption_space is not None
    reader.close()
    (files / MODULES).write_text(json.dumps([name for name in sys.modules if _is_importable(name)]))
    return 0


def _is_importable(name: str) -> bool:
    module = sys.modules[name]
    dotted = all(part.isidentifier() for part in name.split("."))
    return dotted and not name.startswith("__") and getattr(module, "__spec__", None) is not None


def _command(*arguments: Any) -> None:
    from imseek.ui.cli import main

    argv = [os.fspath(argument) for argument in arguments]
    code = main([*argv, "--collection", NAME])
    assert code == 0, argv


def _paint(folder: Path) -> None:
    """Pictures of three colours, two of them with captions, a copy, and one that holds another."""
    album(folder)
    for n in range(26):
        draw(folder / f"captioned {n:02}.png", n, caption=f"number {n}")
    shutil.copy(folder / "red/00.png", folder / "red/copy.png")


def kinds(paths: Sequence[str]) -> dict[str, list[str]]:
    """Files of a collection by the kind that docs/format.md gives them."""
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        found.setdefault(kind(path), []).append(path)
    return found


def kind(path: str) -> str:
    """The kind of one file: its folder and ending where there are many, else its name."""
    parts = path.split("/")
    if len(parts) == 1:
        return path
    if parts[0] == "spaces":
        return f"{parts[2]}/{parts[-1]}" if parts[2] == "index" else parts[2]
    if parts[0] == "metadata":
        return "ids" if path.endswith(".npy") else "metadata"
    if parts[0] == "cache":
        return f"cache/{parts[1]}"
    return parts[0]
