"""Detect the kind of source at a path by names: a folder of shards, a table, a data set, or plain pictures.

Only Parquet is opened, to see whether it names the encoder of its vectors.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Final

from imseek.data.catalog.place_paths import container_suffix, is_url
from imseek.errors import StorageError, UsageError
from imseek.indexer.sources import remote_files
from imseek.indexer.sources.filters import looks_like_picture
from imseek.types.pictures import display_path

ZIPS: Final = frozenset((b".zip", b".cbz"))
ARCHIVES: Final = ZIPS | frozenset(b".tar .tgz .tbz2 .txz".split())
COMPRESSED_TARS: Final = (b".tar.gz", b".tar.bz2", b".tar.xz")
TABLES: Final = frozenset(b".parquet .pq .arrow .feather .csv .tsv .jsonl .ndjson".split())
#: Endings of files that describe tables beside them.
_DESCRIPTION_SUFFIXES: Final = frozenset({b".json", b".txt", b".md", b".yaml", b".yml", b".py", b""})
METADATA_FILES: Final = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
#: URL prefixes whose folders cannot be listed.
_UNLISTABLE_PREFIXES: Final = (b"http://", b"https://", b"file://")
SPLITS: Final = ("train", "test", "validation", "val")


def source_kind(path: bytes) -> str:
    """Return the kind of source at an existing absolute path, or at a URL.

    Raises UsageError for a folder in an object store that holds nothing known, and StorageError where it cannot be
    listed.
    """
    if not is_url(path) and os.path.isdir(path):
        return _kind_of_folder(path)
    if is_archive(path):
        return "archive"
    suffix = container_suffix(path)
    if suffix in TABLES:
        return "vectors" if _holds_vectors(path, suffix) else "table"
    if suffix == b".npy":
        return "vectors"
    if not is_url(path):
        return "file"
    return _kind_in_store(path) if _is_listable(path) else "list"


def _is_listable(url: bytes) -> bool:
    """Tell whether a URL may name a listable folder or pattern; on the web it counts as a picture."""
    return not url.lower().startswith(_UNLISTABLE_PREFIXES) and not looks_like_picture(url)


def _kind_in_store(url: bytes) -> str:
    """Return the kind of a folder in an object store, from the names in it at any depth."""
    location = display_path(url)
    try:
        names = [name for name, _ in remote_files.list_files(url)[0]]
    except FileNotFoundError as error:
        raise UsageError(f"{location}: {error.strerror}") from error
    except OSError as error:
        raise StorageError(f"{location}: {error.strerror}") from error
    if any(map(is_archive, names)):
        return "archive"
    if any(map(is_table, names)):
        return "table"
    raise UsageError(
        f"{location} holds neither archives nor tables",
        hint="single pictures are taken from this machine and from the web",
    )


def _holds_vectors(path: bytes, suffix: bytes) -> bool:
    if suffix not in (b".parquet", b".pq") or is_url(path):
        return False
    from imseek.indexer.sources.encoder_claims import claim_of  # imports pyarrow

    return claim_of(path) is not None


def is_archive(path: bytes) -> bool:
    if is_url(path):
        path = path.partition(b"?")[0].partition(b"#")[0]
    return container_suffix(path) in ARCHIVES or path.lower().endswith(COMPRESSED_TARS)


def _kind_of_folder(path: bytes) -> str:
    try:
        with os.scandir(path) as listing:
            names = {os.fsdecode(entry.name): entry.is_dir() for entry in listing}
    except OSError:
        return "folder"
    if names.get("img_emb") and names.get("metadata"):
        return "vectors"
    folders = [os.path.join(path, os.fsencode(split)) for split in SPLITS if names.get(split)]
    if any(os.path.isfile(os.path.join(at, name.encode())) for at in (path, *folders) for name in METADATA_FILES):
        return "imagefolder"
    # Shards of img2dataset and WebDataset tools lie beside tables and statistics about them.
    files = {os.fsencode(name) for name, is_folder in names.items() if not is_folder and not name.startswith(".")}
    shards = {name for name in files if is_archive(name)}
    beside = {b".parquet", b".json", b".txt", b".md", b".idx"}
    if shards and all(os.path.splitext(name)[1].lower() in beside for name in files - shards):
        return "archive"
    return "table" if _holds_tables(path, names) else "folder"


def is_table(path: bytes) -> bool:
    """Tell whether a file name is that of a table."""
    # The library `datasets` caches its own computations beside its tables.
    cached = os.path.basename(path).startswith(b"cache-") and path.endswith(b".arrow")
    return container_suffix(path) in TABLES and not cached


def _holds_tables(path: bytes, names: Mapping[str, bool]) -> bool:
    """Tell whether a folder holds only tables and their descriptions: directly, in ``data/``, or in its splits."""
    folders = {name for name, is_folder in names.items() if is_folder and not name.startswith(".")}
    if not folders <= {"data", *SPLITS}:
        return False
    files = {os.fsencode(name) for name, is_folder in names.items() if not is_folder}
    for folder in folders:
        with contextlib.suppress(OSError), os.scandir(os.path.join(path, os.fsencode(folder))) as listing:
            entries = list(listing)
            if any(entry.is_dir() for entry in entries):
                return False
            files.update(entry.name for entry in entries)
    visible = {name for name in files if not name.startswith(b".")}
    tables = {name for name in visible if container_suffix(name) in TABLES}
    return bool(tables) and all(os.path.splitext(name)[1].lower() in _DESCRIPTION_SUFFIXES for name in visible - tables)
