"""Names of the files of a collection, relative to its root, as docs/format.md explains.

Functions such as :func:`vectors` make the names, and :func:`parse` reads them. A path that none of them makes is not a
file of a collection, whatever a catalog, ``current.json`` or an archive says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import Final, NamedTuple

FORMAT = 1
#: Format of a collection whose catalog is on a server: a reader of format 1 rejects it instead of missing the catalog.
FORMAT_SERVER_CATALOG = 2

COLLECTION = "collection.json"
CURRENT = "current.json"
CATALOG = "catalog.sqlite"
#: Address of a catalog on a server; it replaces the catalog file and ``current.json``.
ADDRESS = "catalog.json"
BACKUPS = ("catalog.bak.0", "catalog.bak.1")
CHECKSUMS = "checksums.json"
LOCK = "writer.lock"
STAGING = "staging"
CACHE = "cache"
JOBS = "jobs"
UNDO = "undo"
METADATA = "metadata"
SPACES = "spaces"
DEAD = "dead"
COLUMNS = "columns"
JUDGEMENTS = "judgements"
MODELS = "models"

#: Quarantine folder within a source, and the file that marks any such folder: its content is never scanned.
QUARANTINE = ".imseek-quarantine"
QUARANTINE_MARKER = "IMSEEK-QUARANTINE.txt"

#: Files that SQLite keeps beside an open catalog, or leaves after a crash.
CATALOG_COMPANIONS = (f"{CATALOG}-journal", f"{CATALOG}-wal", f"{CATALOG}-shm")

#: By the modality of a space, the folder of its vectors.
_KINDS = {"image": "img_emb", "text": "text_emb"}
_MODALITIES = {folder: modality for modality, folder in _KINDS.items()}

#: Name of the column set of files beside pictures (:mod:`imseek.data.shards.sidecar_annotations`).
SIDECARS = "sidecars"
#: Name of the column set of what users state about pictures. It sorts after that of sidecars, so that its values win.
EDITS = "user_edits"
#: Name of the column set of measures for images indexed without them.
MEASURED = "measured"
#: Name of the column set of values that kept duplicates inherit.
INHERITED = "inherited"

#: Folders whose files are all listed in the catalog: anything else in them is an orphan.
LISTED_FOLDERS = (METADATA, SPACES, DEAD, COLUMNS, JUDGEMENTS, MODELS)
#: Every folder at the top of a collection.
FOLDERS = (*LISTED_FOLDERS, STAGING, CACHE, JOBS, UNDO)
#: Top-level files that are written in place, not replaced: none may be hard-linked.
IN_PLACE = (CATALOG, *CATALOG_COMPANIONS, LOCK)
#: Every top-level file, except a damaged catalog that a repair set aside.
TOP_FILES = (COLLECTION, CURRENT, CATALOG, *CATALOG_COMPANIONS, ADDRESS, *BACKUPS, CHECKSUMS, LOCK)

#: Files of an approximate index (:mod:`imseek.data.vectors.index_metadata` says what is in each).
SNAPSHOT_INDEX = "faiss.index"
SNAPSHOT_COVERED = "covered.npy"
SNAPSHOT_METADATA = "index.json"
SNAPSHOT_LISTS = "faiss.lists"
SNAPSHOT_TABLE = "lists.npy"
SNAPSHOT_CENTRES = "centres.npy"
SNAPSHOT_TRUTH = "truth.npz"
_SNAPSHOT_FILES: Final = frozenset(
    {
        SNAPSHOT_INDEX,
        SNAPSHOT_COVERED,
        SNAPSHOT_METADATA,
        SNAPSHOT_LISTS,
        SNAPSHOT_TABLE,
        SNAPSHOT_CENTRES,
        SNAPSHOT_TRUTH,
    }
)

#: Names of column sets, models and undo journals.
COLUMN_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
MODEL_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
UNDO_ID: Final = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")

#: Exclusive upper bound of signed 64-bit integers, as in SQLite and NumPy.
MAX_NUMBER: Final = 2**63
#: Exclusive upper bound of ids, shard numbers and generations, which leaves numbers above each.
MAX_ID: Final = 2**62
_NUMBER: Final = re.compile(r"[0-9]{1,19}")


class ListedFile(NamedTuple):
    """What a path in one of ``LISTED_FOLDERS`` names. ``kind`` is as in the catalog's table ``files``.

    ``shard_id`` is None for files that belong to no shard; for a part it is its leased number. ``space_id`` is set for
    vectors, parts and snapshots, ``modality`` for vectors. ``generation`` is that of the file; ``name`` is that of a
    column set or model, or a snapshot's folder.
    """

    kind: str
    shard_id: int | None = None
    space_id: int | None = None
    modality: str = "image"
    generation: int | None = None
    name: str | None = None


def holds_collection(names: Collection[str]) -> bool:
    """Whether a folder with these entries is a collection, sound or not.

    ``collection.json`` alone is not enough: other programs have files of that name.
    """
    return COLLECTION in names and not {CATALOG, CURRENT, ADDRESS}.isdisjoint(names)


def is_collection(root: str | os.PathLike[str]) -> bool:
    """Whether the folder ``root`` holds a collection, intact or damaged."""
    try:
        return holds_collection(os.listdir(root))
    except OSError:
        return False


def has_server_catalog(root: str | os.PathLike[str]) -> bool:
    """Whether the catalog of the collection at ``root`` is on a database server."""
    return os.path.lexists(os.path.join(root, ADDRESS))


def is_quarantine(names: Collection[str]) -> bool:
    """Whether a folder with these entries is a quarantine."""
    return QUARANTINE_MARKER in names


def journal(undo_id: str) -> str:
    """Path of the undo journal of a file operation."""
    return f"{UNDO}/{undo_id}.jsonl"


def sidecar_journal(undo_id: str) -> str:
    """Path of the journal of files beside pictures that imseek has written to."""
    return f"{UNDO}/{undo_id}.sidecars"


def is_ours(name: str) -> bool:
    """Whether imseek uses this name at the top of a collection."""
    return name in TOP_FILES or name in FOLDERS or is_set_aside(name)


def is_set_aside(name: str) -> bool:
    """Whether a top-level name is that of a damaged catalog, or its log, that ``repair`` set aside."""
    return name.startswith(tuple(f"{CATALOG}{suffix}.damaged." for suffix in ("", "-journal", "-wal")))


def metadata(shard_id: int) -> str:
    return f"{METADATA}/{shard_id:06d}.parquet"


def ids(shard_id: int) -> str:
    return f"{METADATA}/{shard_id:06d}.ids.npy"


def vectors(space_id: int, shard_id: int, modality: str = "image") -> str:
    return f"{SPACES}/{space_id}/{_KINDS[modality]}/{shard_id:06d}.npy"


def index_folder(space_id: int) -> str:
    """Folder of a space's FAISS snapshots and their parts."""
    return f"{SPACES}/{space_id}/index"


def snapshot(space_id: int, generation: int) -> str:
    """Folder of a FAISS snapshot."""
    return f"{index_folder(space_id)}/{generation}"


def snapshot_part(space_id: int, generation: int, number: int) -> str:
    """Folder of one of several snapshot parts of one generation; numbers begin at 1."""
    return f"{snapshot(space_id, generation)}.{number}"


def part(space_id: int, number: int) -> str:
    """File of a space under construction; numbers are shard numbers, which are never reused."""
    return f"{SPACES}/{space_id}/parts/{number:06d}.npy"


def dead(shard_id: int, generation: int) -> str:
    return f"{DEAD}/{shard_id:06d}.{generation}.npy"


def column(name: str, shard_id: int, generation: int) -> str:
    return f"{COLUMNS}/{name}/{shard_id:06d}.{generation}.parquet"


def judgements(generation: int) -> str:
    """File of all judgements as of this generation."""
    return f"{JUDGEMENTS}/all.{generation}.json"


def model(name: str, generation: int) -> str:
    """File of a model learned from the collection."""
    return f"{MODELS}/{name}.{generation}.json"


def parse(path: str) -> ListedFile | None:
    """Parse a path in the listed folders; None for a path that no function of this module makes.

    So a parsed path contains no ``..``, is relative, and lies in a folder of the layout.
    """
    file = _parse(path.split("/"))
    return file if file is not None and path == _path_of(file, path) else None


def is_journal(path: str) -> bool:
    """Whether a path is that of an undo journal."""
    folder, _, name = path.partition("/")
    return folder == UNDO and name.endswith(".jsonl") and bool(UNDO_ID.fullmatch(name.removesuffix(".jsonl")))


def parse_snapshot_folder(path: str) -> ListedFile | None:
    """Parse the folder of a snapshot or snapshot part; None for any other path."""
    return parse(f"{path}/{SNAPSHOT_METADATA}")


def shard_of(path: str) -> int | None:
    """Shard of a listed file; None for a file without one, or a path outside the layout."""
    file = parse(path)
    return None if file is None else file.shard_id


def _parse(parts: list[str]) -> ListedFile | None:
    match parts:
        case [top, file] if top == METADATA:
            stem, _, ending = file.partition(".")
            kind = {"parquet": "metadata", "ids.npy": "ids"}.get(ending)
            return None if kind is None else _make_listed_file(kind, shard_id=stem)
        case [top, space, folder, file] if top == SPACES and folder in _MODALITIES:
            modality = _MODALITIES[folder]
            return _make_listed_file("vectors", shard_id=file.removesuffix(".npy"), space_id=space, modality=modality)
        case [top, space, "parts", file] if top == SPACES:
            return _make_listed_file("part", shard_id=file.removesuffix(".npy"), space_id=space)
        case [top, space, "index", folder, file] if top == SPACES and file in _SNAPSHOT_FILES:
            generation, dot, number = folder.partition(".")
            if dot and _number(number) is None:
                return None
            return _make_listed_file("snapshot", space_id=space, generation=generation, name=folder)
        case [top, file] if top == DEAD:
            shard, _, rest = file.partition(".")
            return _make_listed_file("dead", shard_id=shard, generation=rest.removesuffix(".npy"))
        case [top, name, file] if top == COLUMNS and COLUMN_NAME.fullmatch(name):
            shard, _, rest = file.partition(".")
            return _make_listed_file("column", shard_id=shard, generation=rest.removesuffix(".parquet"), name=name)
        case [top, file] if top == JUDGEMENTS:
            return _make_listed_file("judgements", generation=file.removeprefix("all.").removesuffix(".json"))
        case [top, file] if top == MODELS:
            name, _, generation = file.removesuffix(".json").rpartition(".")
            return _make_listed_file("model", generation=generation, name=name) if MODEL_NAME.fullmatch(name) else None
    return None


def _make_listed_file(
    kind: str,
    *,
    shard_id: str | None = None,
    space_id: str | None = None,
    modality: str = "image",
    generation: str | None = None,
    name: str | None = None,
) -> ListedFile | None:
    numbers = [None if text is None else _number(text) for text in (shard_id, space_id, generation)]
    texts = (shard_id, space_id, generation)
    if any(number is None and text is not None for number, text in zip(numbers, texts, strict=True)):
        return None
    return ListedFile(kind, numbers[0], numbers[1], modality, numbers[2], name)


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) and int(text) < MAX_ID else None


def _path_of(file: ListedFile, path: str) -> str:
    """Build the canonical path of a file: each number has only one spelling."""
    shard_id, space_id, generation = file.shard_id or 0, file.space_id or 0, file.generation or 0
    match file.kind:
        case "metadata":
            return metadata(shard_id)
        case "ids":
            return ids(shard_id)
        case "vectors":
            return vectors(space_id, shard_id, file.modality)
        case "part":
            return part(space_id, shard_id)
        case "dead":
            return dead(shard_id, generation)
        case "column":
            return column(file.name or "", shard_id, generation)
        case "judgements":
            return judgements(generation)
        case "model":
            return model(file.name or "", generation)
    folder, _, number = (file.name or "").partition(".")
    parent = snapshot_part(space_id, generation, int(number)) if number else snapshot(space_id, int(folder))
    return f"{parent}/{path.rpartition('/')[2]}"
