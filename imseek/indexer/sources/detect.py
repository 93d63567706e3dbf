"""What kind of source lies at a path, told from names: a folder of shards, a table, a data set, or just pictures."""

from __future__ import annotations

import os
from typing import Final

from imseek.data.places import container_suffix, is_url

ARCHIVES: Final = frozenset(b".zip .cbz .tar .tgz .tbz2 .txz".split())
COMPRESSED_TARS: Final = (b".tar.gz", b".tar.bz2", b".tar.xz", b".tar.zst")
TABLES: Final = frozenset(b".parquet .pq .arrow .feather .csv .tsv .jsonl .ndjson".split())
_LABELS: Final = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SPLITS: Final = ("train", "test", "validation", "val")


def kind_of(path: bytes) -> str:
    """The kind of the source at an absolute path that is there, or at a URL."""
    if not is_url(path) and os.path.isdir(path):
        return _kind_of_folder(path)
    if is_archive(path):
        return "archive"
    suffix = container_suffix(path)
    if suffix in TABLES:
        return "table"
    if suffix == b".npy":
        return "vectors"
    return "list" if is_url(path) else "file"


def is_archive(path: bytes) -> bool:
    return container_suffix(path) in ARCHIVES or path.lower().endswith(COMPRESSED_TARS)


def _kind_of_folder(path: bytes) -> str:
    try:
        with os.scandir(path) as listing:
            names = {os.fsdecode(entry.name): entry.is_dir() for entry in listing}
    except OSError:
        return "folder"
    if names.get("img_emb") and names.get("metadata"):
        return "vectors"
    folders = [os.path.join(path, os.fsencode(split)) for split in _SPLITS if names.get(split)]
    if any(os.path.isfile(os.path.join(at, name.encode())) for at in (path, *folders) for name in _LABELS):
        return "imagefolder"
    # Shards, as img2dataset and WebDataset's tools write them, lie beside tables and statistics of themselves.
    files = {
        os.fsencode(name) for name, is_folder in names.items() if not is_folder and not name.startswith(".")
    }
    shards = {name for name in files if is_archive(name)}
    beside = {b".parquet", b".json", b".txt", b".md", b".idx"}
    if shards and all(os.path.splitext(name)[1].lower() in beside for name in files - shards):
        return "archive"
    return "folder"
