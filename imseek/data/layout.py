"""Names of the files of a collection, relative to its root. docs/format.md explains each."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import Final

FORMAT = 1
#: Of a collection whose catalog lies elsewhere: who knows format 1 only refuses it instead of missing the catalog.
FORMAT_ELSEWHERE = 2

COLLECTION = "collection.json"
CURRENT = "current.json"
CATALOG = "catalog.sqlite"
#: Where the catalog is, in place of the catalog itself and of ``current.json``.
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

#: A folder that pictures are put away in, beside others of a source, and the file that marks any such folder: what
#: lies in it is never scanned.
QUARANTINE = ".imseek-quarantine"
QUARANTINE_MARKER = "IMSEEK-QUARANTINE.txt"

#: Files that SQLite keeps beside the catalog while it is open, or leaves there after a crash.
CATALOG_COMPANIONS = (f"{CATALOG}-journal", f"{CATALOG}-wal", f"{CATALOG}-shm")

#: By the modality of a space, the folder of its vectors.
_KINDS = {"image": "img_emb", "text": "text_emb"}

#: Folders whose files are all listed in the catalog: anything else in them is an orphan.
LISTED_FOLDERS = (METADATA, SPACES, DEAD, COLUMNS, JUDGEMENTS, MODELS)

#: Numbers in files and in the catalog are below it.
MAX_NUMBER: Final = 2**63
#: When it was done (UTC), and six hexadecimal digits.
UNDO_ID: Final = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")

_TOP_LEVEL = frozenset(
    {
        COLLECTION,
        CURRENT,
        CATALOG,
        *CATALOG_COMPANIONS,
        ADDRESS,
        *BACKUPS,
        CHECKSUMS,
        LOCK,
        STAGING,
        CACHE,
        JOBS,
        UNDO,
    }
    | {*LISTED_FOLDERS}
)


def holds_collection(names: Collection[str]) -> bool:
    """Whether a folder with these names in it is a collection, sound or not.

    ``collection.json`` alone does not tell: other programs have files of that name.
    """
    return COLLECTION in names and not {CATALOG, CURRENT, ADDRESS}.isdisjoint(names)


def is_elsewhere(root: str | os.PathLike[str]) -> bool:
    """Whether the catalog of the collection at ``root`` lies in a database server."""
    return os.path.exists(os.path.join(root, ADDRESS))


def is_quarantine(names: Collection[str]) -> bool:
    """Whether a folder with these names in it holds pictures that were put away."""
    return QUARANTINE_MARKER in names


def journal(undo_id: str) -> str:
    """What was done to files, so that it can be undone."""
    return f"{UNDO}/{undo_id}.jsonl"


def is_journal(path: str) -> bool:
    """Whether a path is that of an undo journal."""
    folder, _, name = path.partition("/")
    return folder == UNDO and name.endswith(".jsonl") and bool(UNDO_ID.fullmatch(name.removesuffix(".jsonl")))


def is_ours(name: str) -> bool:
    """Whether a name at the top of a collection is one that imseek gives."""
    return name in _TOP_LEVEL or is_set_aside(name)


def is_set_aside(name: str) -> bool:
    """Whether a name at the top of a collection is that of a damaged catalog, or its log, that `repair` kept."""
    return name.startswith(tuple(f"{CATALOG}{end}.damaged." for end in ("", "-journal", "-wal")))


def metadata(shard_id: int) -> str:
    return f"{METADATA}/{shard_id:06d}.parquet"


def ids(shard_id: int) -> str:
    return f"{METADATA}/{shard_id:06d}.ids.npy"


def vectors(space_id: int, shard_id: int, modality: str = "image") -> str:
    return f"{SPACES}/{space_id}/{_KINDS[modality]}/{shard_id:06d}.npy"


def index_folder(space_id: int) -> str:
    """Where the FAISS snapshots of a space lie, and their parts."""
    return f"{SPACES}/{space_id}/index"


def snapshot(space_id: int, generation: int) -> str:
    """The folder of a FAISS snapshot."""
    return f"{index_folder(space_id)}/{generation}"


def snapshot_part(space_id: int, generation: int, number: int) -> str:
    """The folder of one of several parts that were made in one generation; numbers begin at 1."""
    return f"{snapshot(space_id, generation)}.{number}"


def is_snapshot(path: str) -> bool:
    """Whether a path in the listed folders is that of a file of a snapshot."""
    parts = path.split("/")
    return len(parts) == 5 and parts[0] == SPACES and parts[2] == "index"


def part(space_id: int, number: int) -> str:
    """Of a space that is being built; numbers are those of shards, of which none is given twice."""
    return f"{SPACES}/{space_id}/parts/{number:06d}.npy"


def dead(shard_id: int, generation: int) -> str:
    return f"{DEAD}/{shard_id:06d}.{generation}.npy"


def column(name: str, shard_id: int, generation: int) -> str:
    return f"{COLUMNS}/{name}/{shard_id:06d}.{generation}.parquet"


def judgements(generation: int) -> str:
    """All judgements, as they were from this generation on."""
    return f"{JUDGEMENTS}/all.{generation}.json"


def judgements_of(path: str) -> int | None:
    """The generation of a file of :func:`judgements`, from its name; None for other files."""
    generation = path.removeprefix(f"{JUDGEMENTS}/all.").removesuffix(".json")
    return int(generation) if generation.isdecimal() and path == judgements(int(generation)) else None


def model(name: str, generation: int) -> str:
    """What was learned from a collection under a name."""
    return f"{MODELS}/{name}.{generation}.json"


def model_of(path: str) -> tuple[str, int] | None:
    """Name and generation of a file of :func:`model`, from its path; None for other files."""
    name, _, generation = path.removeprefix(f"{MODELS}/").removesuffix(".json").rpartition(".")
    return (
        (name, int(generation)) if generation.isdecimal() and path == model(name, int(generation)) else None
    )


def space_of(path: str) -> int | None:
    """The space whose vectors a listed file holds; None for files of other kinds."""
    top, _, rest = path.partition("/")
    number = rest.partition("/")[0]
    return int(number) if top == SPACES and number.isdecimal() else None


def shard_of(path: str) -> int | None:
    """The shard that a listed file belongs to, from its name; None for names we never write."""
    stem = path.rpartition("/")[2].partition(".")[0]
    return int(stem) if stem.isdecimal() else None
