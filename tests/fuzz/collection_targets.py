"""Readers of the files of a collection, of backups and of undo journals."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from fuzz.mutations import ByteSource, json_bytes, mutate
from fuzz.target import Target, arbitrary_bytes, scratch_folder
from imseek.data import layout
from imseek.data.archive import manifest
from imseek.data.catalog.sqlite import catalog_checksums
from imseek.data.catalog.sqlite.catalog_checksums import Checksums
from imseek.data.collection_records import (
    Current,
    Identity,
    Shard,
    encode_record,
    parse_current,
    read_identity,
)
from imseek.data.current_generation import read_current
from imseek.data.files import collection_files, durable_files
from imseek.data.files.durable_files import FileDigest
from imseek.data.vectors.faiss_file_validation import check_structure
from imseek.data.vectors.index_metadata import IndexMetadata, SearchEffort, TuningResult
from imseek.duplicates.actions import journal, journal_records
from imseek.duplicates.actions.journal import Journal
from imseek.errors import BackupError, CollectionNotFoundError, CorruptCollectionError, FormatVersionError
from imseek.types.collection_info import SpaceInfo

UUID: Final = "01234567-89ab-4cde-8f01-23456789abcd"
TIME: Final = "2026-11-28T04:05:06+00:00"


@cache
def _current() -> dict[str, Any]:
    space = SpaceInfo(0, "fake", "a" * 64, 32, "image", "basic", "a note")
    words = SpaceInfo(1, "fake", "a" * 64, 32, "text", "basic", None)
    shards = (
        Shard(0, 40, (0, 1), "dead/000000.3.npy", 2, {"pets": "columns/pets/000000.4.parquet"}),
        Shard(9, 3, (0,)),
    )
    snapshots = {"0": "spaces/0/index/3", "1": "spaces/1/index/4.2"}
    current = Current(UUID, 5, TIME, 41, (space, words), shards, snapshots, next_image_id=44)
    document: dict[str, Any] = json.loads(json.dumps(asdict(current)))
    return document


def _parse_current(data: bytes) -> None:
    """The content of ``current.json``, whose every path is one of the layout."""
    try:
        current = parse_current(Path("/nowhere"), mutate(_current(), ByteSource(data)))
    except CorruptCollectionError:
        return
    for shard in current.shards:
        for path in filter(None, (shard.dead, *shard.columns.values())):
            assert layout.parse(path) is not None
    for folder in current.snapshots.values():
        assert layout.parse_snapshot_folder(folder) is not None
    assert encode_record(current)


@cache
def _records() -> dict[str, bytes]:
    """The sealed files at the top of a collection."""
    digests = {layout.CATALOG: FileDigest(4096, "0" * 64), layout.BACKUPS[0]: FileDigest(8192, "1" * 64)}
    return {
        layout.COLLECTION: encode_record(Identity(UUID, TIME, "relative")),
        layout.CURRENT: durable_files.add_checksum(_current()),
        layout.CHECKSUMS: catalog_checksums.encode_checksums(Checksums(UUID, digests)),
    }


def _read_sealed(data: bytes) -> None:
    """A sealed file with any bytes in it, or sealed anew after a change."""
    source = ByteSource(data)
    names = tuple(_records())
    name, kind = names[source.number(len(names))], source.number(3)
    content = _records()[name]
    if kind == 0:
        content = source.rest()
    else:
        document = json.loads(content)
        document.pop("sha256")
        changed = mutate(document, source)
        content = (
            durable_files.add_checksum(changed) if isinstance(changed, dict) and kind == 1 else json_bytes(changed)
        )
    root = scratch_folder()
    for other, sound in _records().items():
        (root / other).write_bytes(content if other == name else sound)
    for read in (read_identity, read_current, catalog_checksums.read):
        with suppress(CorruptCollectionError, FormatVersionError, CollectionNotFoundError):
            read(root)


def _parse_layout(data: bytes) -> None:
    """Whatever is parsed as a path of the layout is one that the layout makes, and leads nowhere else."""
    path = data.decode("utf-8", "surrogateescape")
    if (found := layout.parse(path)) is None:
        return
    parts = path.split("/")
    assert parts[0] in layout.LISTED_FOLDERS
    assert not {"", ".", ".."} & set(parts)
    assert "\0" not in path
    numbers = (found.shard_id, found.space_id, found.generation)
    assert all(number is None or 0 <= number < layout.MAX_ID for number in numbers)


def _layout_seeds() -> list[bytes]:
    paths = (
        layout.metadata(3), layout.ids(1234567), layout.vectors(0, 4), layout.vectors(2, 4, "text"),
        layout.part(3, 9), f"{layout.snapshot(1, 12)}/index.json", f"{layout.snapshot_part(1, 12, 3)}/faiss.lists",
        layout.dead(4, 55), layout.column("a_b", 3, 9), layout.judgements(7), layout.model("a-b", 9),
    )  # fmt: skip
    return [path.encode() for path in paths]


@cache
def _facts() -> dict[str, Any]:
    tuned = TuningResult(SearchEffort(16, 200, 0.25), 0.993, 200, ((0.5, 20), (0.01, 64)))
    facts = IndexMetadata(
        "IVF256,PQ16x4fs", 32, 1000, 1000, 1.2, 0.9, 1.1, 0.99, 1 << 30, TIME, 1.5, tuned, tuned, "captions",
        sizes={"faiss.index": 100, "covered.npy": 200}, parts=("3", "3.1"), layout="2",
    )  # fmt: skip
    document: dict[str, Any] = json.loads(facts.seal())
    document.pop("sha256")
    return document


def _read_facts(data: bytes) -> None:
    changed = mutate(_facts(), ByteSource(data))
    if isinstance(changed, dict):
        with suppress(ValueError):
            IndexMetadata.read(durable_files.add_checksum(changed))


def _read_arrays(data: bytes) -> None:
    """An array in a file, mapped and read, and the arrays of an archive."""
    path = scratch_folder() / "array"
    path.write_bytes(data)
    for mapped in (True, False):
        try:
            found = collection_files.load_array(scratch_folder(), "array", mapped=mapped)
        except ValueError:
            continue
        assert found.nbytes <= len(data)
        assert not found.dtype.hasobject
    with path.open("rb", buffering=0) as file:
        try:
            arrays = collection_files.read_arrays(file, ("arr_0", "rows"))
        except ValueError:
            return
    assert sum(array.nbytes for array in arrays) <= len(data)


def _array_seeds() -> list[bytes]:
    found = []
    for array in (
        np.arange(6, dtype=np.float16).reshape(2, 3),
        np.arange(3),
        np.zeros(2, [("image_id", "<i8")]),
    ):
        out = io.BytesIO()
        np.save(out, array)
        found.append(out.getvalue())
    out = io.BytesIO()
    np.savez(out, np.arange(3), rows=np.array("text"))
    return [*found, out.getvalue()]


# -- backups and journals ------------------------------------------------------------------------------------------


@cache
def _manifest() -> dict[str, Any]:
    entries = [manifest.Entry(name, 3, "0" * 64) for name in (*manifest.REQUIRED, "dead/000000.1.npy")]
    made = manifest.Manifest(UUID, 5, TIME, TIME, "0.1.0", 40, True, tuple(entries))
    document: dict[str, Any] = json.loads(made.seal())
    document.pop("sha256")
    return document


def _parse_manifest(data: bytes) -> None:
    changed = mutate(_manifest(), ByteSource(data))
    if not isinstance(changed, dict):
        return
    try:
        found = manifest.parse(durable_files.add_checksum(changed), "the archive")
    except (BackupError, FormatVersionError):
        return
    for entry in found.entries:
        assert ".." not in entry.path.split("/")
        assert not entry.path.startswith("/")


@cache
def _journal_documents() -> tuple[dict[str, Any], ...]:
    undo_id = "20261128-040506-0a1b2c"
    intent = journal_records.Intent(
        n=0, action="quarantine", image_id=3, source_id=1, path=b"a/b.png", full=b"/photos/a/b.png",
        content_hash="0" * 64, size=9, mode=0o644, mtime_ns=1, device=2, inode=3, owner=(0, 0),
        attributes={"user.note": b"x"}, keeper_id=1, keeper=b"/photos/c.png", to_base=b"/photos",
        to=b"/photos/.imseek-quarantine/a/b.png", tags=("a",), columns={"b": 1},
    )  # fmt: skip
    made = (
        journal_records.Begin(undo_id, TIME, "0" * 64, UUID),
        intent,
        journal_records.Note(0, "done"),
        journal_records.TrashLocation(0, b"/home/u/.local/share/Trash/files/b.png"),
        journal_records.CopyInode(0, 77),
        journal_records.End(),
    )
    return tuple(journal_records.to_document(record) for record in made)


def _read_journal(data: bytes) -> None:
    """Any lines, or records that have been changed and written anew."""
    source = ByteSource(data)
    lines = []
    for document in _journal_documents():
        changed = mutate(document, source) if source.number(2) else document
        if isinstance(changed, dict):
            try:
                lines.append(journal_records.encode_line(changed))
            except (ValueError, TypeError, UnicodeEncodeError):
                continue
    lines.append(source.rest())
    root = scratch_folder()
    (root / layout.UNDO).mkdir(exist_ok=True)
    (root / layout.journal("20261128-040506-0a1b2c")).write_bytes(b"".join(lines))
    (root / layout.COLLECTION).write_bytes(_records()[layout.COLLECTION])
    try:
        found: Journal = journal.find(root, "20261128-040506-0a1b2c")
    except FormatVersionError:
        return
    found.info()
    for intent in found.intents.values():
        assert b".." not in intent.path.split(b"/")
        assert b".." not in intent.to.split(b"/")


def _read_faiss(data: bytes) -> None:
    """What stands before FAISS: whatever passes, FAISS opens or refuses without a crash."""
    try:
        check_structure(io.BytesIO(data))
    except ValueError:
        return
    import faiss

    with suppress(RuntimeError):
        faiss.deserialize_index(np.frombuffer(data, np.uint8))


@cache
def _faiss_seeds() -> list[bytes]:
    import faiss

    rows = np.random.default_rng(0).normal(size=(256, 8)).astype(np.float32)
    found = []
    for kind in ("Flat", "SQ8", "HNSW4", "IVF2,Flat", "PQ2x2", "PCAR4,IVF2_HNSW4,SQ8", "IVF2,PQ2x4fs"):
        index = faiss.index_factory(8, kind, faiss.METRIC_INNER_PRODUCT)
        index.train(rows)
        index.add(rows[:4])
        found.append(faiss.serialize_index(index).tobytes())
    return found


TARGETS: Final = {
    "current": Target(_parse_current, arbitrary_bytes),
    "sealed": Target(_read_sealed, lambda: [b"\0\0{}", *arbitrary_bytes()]),
    "layout": Target(_parse_layout, _layout_seeds),
    "index_facts": Target(_read_facts, arbitrary_bytes),
    "arrays": Target(_read_arrays, _array_seeds),
    "faiss": Target(_read_faiss, _faiss_seeds),
    "manifest": Target(_parse_manifest, arbitrary_bytes),
    "journal": Target(_read_journal, arbitrary_bytes),
}
