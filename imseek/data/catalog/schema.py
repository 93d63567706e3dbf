"""The catalog's tables for queries. ``migrations.py`` creates them; a test compares the two."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Float, LargeBinary, MetaData, Table, Text
from sqlalchemy.types import TypeEngine

from imseek.data.collection_records import FOREVER

__all__ = [
    "FOREVER",
    "albums",
    "containers",
    "documents",
    "failures",
    "files",
    "images",
    "judgements",
    "meta",
    "metadata",
    "places",
    "runs",
    "shards",
    "snapshots",
    "sources",
    "spaces",
    "tags",
]

metadata = MetaData()

_TYPES: dict[str, type[TypeEngine[Any]]] = {
    "int": BigInteger,
    "text": Text,
    "blob": LargeBinary,
    "float": Float,
}


def _table(name: str, columns: str) -> Table:
    """Define a table from ``"column:kind …"``; ``!`` marks the primary key, ``?`` a nullable column."""
    made = []
    for item in columns.split():
        column, _, kind = item.partition(":")
        made.append(
            Column(column, _TYPES[kind.strip("!?")], primary_key=kind.endswith("!"), nullable=kind.endswith("?"))
        )
    return Table(name, metadata, *made)


meta = _table("meta", "name:text! value:text")
sources = _table("sources", "source_id:int! kind:text root:blob relative:int options:text born:int died:int")
spaces = _table(
    "spaces",
    "space_id:int! encoder:text revision:text? fingerprint:text dim:int modality:text adapter:text? quality:text "
    "note:text? logit_scale:float? preprocessing:text facts:text is_current:int born:int died:int position:int",
)
shards = _table("shards", "shard_id:int! row_count:int born:int died:int")
files = _table(
    "files",
    "path:text! kind:text shard_id:int? space_id:int? name:text? row_count:int size:int sha256:text "
    "born:int died:int retired_at:float?",
)
snapshots = _table("snapshots", "snapshot_id:int! space_id:int folder:text factory:text facts:text born:int died:int")
images = _table("images", "image_id:int! content_hash:blob shard_id:int? state:text born:int died:int")
places = _table(
    "places",
    "place_id:int! image_id:int source_id:int path:blob size:int mtime_ns:int ctime_ns:int inode:int "
    "checked_ns:int born:int died:int sidecar_stat:text",
)
failures = _table(
    "failures",
    "source_id:int! path:blob! reason:text message:text size:int mtime_ns:int ctime_ns:int inode:int "
    "checked_ns:int run_id:int",
)
containers = _table(
    "containers",
    "source_id:int! path:blob! size:int mtime_ns:int ctime_ns:int inode:int checked_ns:int",
)
runs = _table(
    "runs",
    "run_id:int! kind:text pid:int host:text boot_id:text started_at:text ended_at:text? state:text detail:text "
    "ids_from:int ids_to:int shards_from:int shards_to:int pid_started:int? progress:text exit_code:int?",
)
tags = _table("tags", "image_id:int! tag:text! provenance:text born:int! died:int")
albums = _table("albums", "tag:text! cover:int? positions:text born:int! died:int")
judgements = _table("judgements", "hash_a:blob! hash_b:blob! verdict:text provenance:text decided_at:text")
documents = _table(
    "documents",
    "document_id:int! image_id:int names:text captions:text keywords:text text:text born:int died:int written:text",
)
