"""Functions that run in children of the fork server: commands over a file, and what the sound files are made by."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from hostile.findings import EXIT_CODES

#: What the fork server imports, so that children need not.
MODULES: Final = (
    "duckdb",
    "faiss",
    "hostile.warm",
    "imseek.backup",
    "imseek.collection",
    "imseek.duplicates.actions.apply",
    "imseek.data.archive.restore",
    "imseek.encoders.checkpoint",
    "imseek.encoders.fake",
    "imseek.evaluate",
    "imseek.clusters.kmeans_clusters",
    "imseek.export",
    "imseek.indexer.pipeline",
    "imseek.indexer.sources.archive",
    "imseek.indexer.sources.table",
    "imseek.indexer.sources.vectors",
    "imseek.labels",
    "imseek.search.engine",
    "imseek.search.where.filter_evaluation",
    "imseek.maintenance",
    "PIL.PngImagePlugin",
    "pyarrow.parquet",
    "pyarrow.feather",
    "safetensors",
    "sklearn.cluster",
    "yaml",
)


def commands(calls: Sequence[str], folders: Mapping[str, str]) -> int:
    """Run commands one after another; the exit code is the first that is not documented, else the last."""
    from imseek.ui.cli import main

    code = 0
    for call in calls:
        arguments = [expanded(one, folders) for one in call.split()]
        is_weights = arguments[0] == "checkpoint"
        code = _checkpoint(Path(arguments[1])) if is_weights else main(arguments)
        print(f"[{code}] {call}", flush=True)
        if code not in EXIT_CODES:
            break
    return code


def expanded(argument: str, folders: Mapping[str, str]) -> str:
    """An argument with the path that it stands for: it alone, or the beginning of a path."""
    head, slash, rest = argument.partition("/")
    return folders[head] + slash + rest if head in folders else argument


def _checkpoint(path: Path) -> int:
    """All that is asked of a file of weights."""
    from imseek.encoders import checkpoint
    from imseek.errors import ImseekError

    for ask in (checkpoint.read_logit_parameters, checkpoint.read_arrays, checkpoint.read_shapes):
        try:
            print(str(ask(path))[:200])
        except ImseekError as error:
            print(error, file=sys.stderr)
            return error.exit_code  # What is refused is not asked again.
    return 0


def make(photos: str, collection: str, vectors: str, sound: str) -> int:
    """Pictures, a collection of them, an empty one for vectors, and in ``sound`` a plan and a backup."""
    from probing import album

    import imseek

    pictures = Path(photos)
    album(pictures, each=4)
    shutil.copy(pictures / "red/00.png", pictures / "copy.png")
    for path in pictures.rglob("*.png"):
        path.with_suffix(".txt").write_text(f"a picture of {path.parent.name}")
    imseek.create(vectors, encoder="fake:16").close()
    imseek.create(collection, encoder="fake:16", captions=True).close()
    calls = (
        "index PHOTOS -c C",
        "tag add warm 0 1 2 -c C",
        "duplicates --kind exact --action quarantine --plan SOUND/plan.json -c C",
        "backup SOUND/backup.tar -c C",
    )
    code = commands(calls, {"PHOTOS": photos, "C": collection, "SOUND": sound})
    assert code == 0, os.listdir(sound)
    return 0
