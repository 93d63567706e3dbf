"""All lies about a collection: each kind of file × each kind of lie that makes sense for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from hostile.arrays import archive_lies, array_lies
from hostile.catalog_places import place_lies
from hostile.catalog_rows import row_lies
from hostile.catalog_schema import schema_lies
from hostile.documents import document_lies, large_lies
from hostile.entries import content_lies, file_lies, folder_lies
from hostile.forge import Forge
from hostile.indexes import index_lies
from hostile.lies import Lie, Tell
from hostile.records import address_lies, journal_lies, log_lies, name_lies
from hostile.sample import kinds
from hostile.tables import table_lies
from imseek.data import layout
from imseek.data.files import durable_files

#: Files that a sound collection need not have, by their kinds; lies put something there.
ABSENT: Final = {
    **{name: name for name in layout.CATALOG_COMPANIONS},
    layout.ADDRESS: layout.ADDRESS,
    layout.STAGING: f"{layout.STAGING}/metadata_000003.parquet",
    "catalog.sqlite.damaged": "catalog.sqlite.damaged.20250101T000000",
}
#: Members that tell people something, and nothing depends on.
_FREE: Final = {
    layout.COLLECTION: frozenset({"created"}),
    layout.CURRENT: frozenset({"next_image_id"}),
    layout.CHECKSUMS: frozenset({"format"}),
}
#: Lies about documents that may be true, or that say the same.
_PLAUSIBLE_DOCUMENT: Final = frozenset({"later format", "null", "zero", "unknown member"})


#: Parts of the corpus.
PARTS: Final = (
    "files",
    "contents",
    "folders",
    "documents",
    "documents alone",
    "large documents",
    "arrays",
    "tables",
    "indexes",
    "catalog",
    "backups",
    "records",
)


def corpus(root: Path) -> dict[str, list[Lie]]:
    """The lies about the sound collection at ``root``, of which each is told in a copy, by :data:`PARTS`."""
    paths = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    by_kind = kinds(paths)
    live = {kind: _live(root, found) for kind, found in by_kind.items()}
    journal = live[layout.UNDO]
    part = str(Path(live["index/faiss.index"]).parent)
    whole = str(Path(live["index/truth.npz"]).parent / "index.json")
    sealed = {
        **{name: [name] for name in (layout.COLLECTION, layout.CURRENT, layout.CHECKSUMS)},
        layout.JUDGEMENTS: [live[layout.JUDGEMENTS]],
        layout.MODELS: by_kind[layout.MODELS],
        "index/index.json": [whole, f"{part}/index.json"],
    }
    npy = {kind: live[kind] for kind in ("ids", "img_emb", "text_emb", layout.DEAD, "parts")}
    npy |= {kind: live[kind] for kind in ("index/covered.npy", "index/lists.npy")}
    lines = [json.loads(line) for line in (root / journal).read_bytes().splitlines()]
    catalog = root / layout.CATALOG
    in_catalog = [*schema_lies(catalog), *row_lies(catalog), *place_lies()]
    files = {**live, **ABSENT}
    return {
        "files": file_lies(files),
        "contents": content_lies(files),
        "folders": folder_lies(folders(root)),
        "documents": [one for kind, names in sealed.items() for one in _documents(root, kind, names)],
        "documents alone": _alone(root),
        "large documents": [
            *large_lies({kind: names[0] for kind, names in sealed.items()}),
            *large_lies({layout.ADDRESS: layout.ADDRESS, layout.UNDO: journal}),
        ],
        "arrays": [
            *array_lies(npy),
            *archive_lies({kind: live[kind] for kind in ("index/truth.npz", "cache/duplicates", "cache/tiles")}),
        ],
        "tables": table_lies({"metadata": live["metadata"], "columns": live["columns"]}),
        "indexes": index_lies(part),
        "catalog": in_catalog,
        "backups": [_in_backups(one) for one in in_catalog if one.kind in _IN_BACKUPS],
        "records": [
            *address_lies(),
            *journal_lies(journal, [{k: v for k, v in line.items() if k != "sum"} for line in lines]),
            *log_lies(live[layout.JOBS]),
            *name_lies(),
        ],
    }


def _documents(root: Path, kind: str, names: list[str]) -> list[Lie]:
    documents = {name: durable_files.strip_checksum((root / name).read_bytes()) for name in names}
    # What a model or an index is said to be is for who reads it; judgements are those of the catalog.
    top = "/" not in names[0]
    lies = document_lies(kind, documents, free=_FREE.get(kind, frozenset()), family=kind if top else "listed documents")
    if kind == layout.JUDGEMENTS:
        return lies
    return [replace(lie, verify=top and lie.name not in _PLAUSIBLE_DOCUMENT) for lie in lies]


def _alone(root: Path) -> list[Lie]:
    """Lies in ``current.json`` where the catalog is lost, and ``repair`` goes by what it says."""

    def lose(forge: Forge) -> None:
        for name in (layout.CATALOG, *layout.BACKUPS):
            forge.clear(name)
        forge.seal()

    documents = {layout.CURRENT: durable_files.strip_checksum((root / layout.CURRENT).read_bytes())}
    return document_lies("current.json alone", documents, before=lose)


#: Kinds of lies that are told in backups too: of tables that every writer writes, and of files that are unlinked.
_IN_BACKUPS: Final = frozenset(
    {"table runs", "table meta", "files: retired long ago", "files: live", "snapshots.folder"}
)


def _in_backups(lie: Lie) -> Lie:
    """The same lie in both backups of a catalog that is damaged, so that ``repair`` takes it from there."""

    def moved(tell: Tell) -> Tell:
        def both(forge: Forge) -> None:
            tell(forge)
            for name in layout.BACKUPS:
                shutil.copy(forge.path(layout.CATALOG), forge.path(name))
            forge.replace(layout.CATALOG, bytes(4096))

        return both

    variants = {label: moved(tell) for label, tell in lie.variants.items()}
    return Lie(f"backups: {lie.kind}", lie.name, variants, family="backups of the catalog")


def folders(root: Path) -> list[str]:
    """Folders of the layout, also those that are there at times only; of those that are alike, one."""
    found = {layout.STAGING, layout.CACHE, layout.JOBS, layout.UNDO}
    for path in sorted(root.rglob("*")):
        inner = str(path.relative_to(root))
        top, *below = inner.split("/")
        if not path.is_dir():
            continue
        if (top == layout.SPACES and below and below[0] not in ("0", "3")) or (
            top == layout.COLUMNS and below and below[0] != "quality"
        ):
            continue
        if top == layout.CACHE and len(below) == 2:
            inner = str(min(one for one in path.parent.iterdir() if one.is_dir()).relative_to(root))
        found.add(inner)
    return sorted(found)


def _live(root: Path, paths: list[str]) -> str:
    """Of files of one kind, one that the newest generation uses: else a lie about it may never be met."""
    text = json.dumps(json.loads((root / layout.CURRENT).read_bytes()))
    named = [path for path in paths if path in text]
    quality = [path for path in named if "quality" in path]
    return (quality or named or paths)[0]
