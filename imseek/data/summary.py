"""Summarise a collection for people: counts, sources, failures, disk use. Read-only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from imseek.data.catalog.backend import backend_of
from imseek.data.catalog.index_policy import policy_of
from imseek.data.catalog.place_paths import base_folder, is_url, join_root, locate
from imseek.data.catalog.run_reader import parse_json_object
from imseek.data.catalog.running_writer import describe_writer
from imseek.data.catalog.space_modalities import KEPT_SINCE, modalities_of
from imseek.data.collection_records import Current
from imseek.data.files.checked_json import JsonObject
from imseek.data.files.disk_usage import sizes_of
from imseek.data.reader import Reader
from imseek.data.vectors.index_info import index_infos
from imseek.types.collection_info import (
    CollectionInfo,
    IndexInfo,
    IndexPolicy,
    OtherSpace,
    SourceInfo,
    SpaceInfo,
    SpaceSummary,
)
from imseek.types.indexing_runs import Failure
from imseek.types.token_spaces import are_tokens

#: Maximum characters of a run's ``detail``.
_LONGEST_DETAIL: Final = 1 << 16

#: How a collection without an approximate index is searched.
SCAN: Final = "exact scan of float16 rows (recall 1)"


def summarise(reader: Reader) -> CollectionInfo:
    """Summarise the collection at the reader's generation; failures, which have no history, as of now.

    Raises StaleGenerationError where a purge has removed that generation's history.
    """
    root, current = reader.root, reader.current
    backend = backend_of(root)
    base = base_folder(root)
    with backend.connect() as connection:
        sources = connection.execute(
            "SELECT source_id, kind, root, relative, "
            "(SELECT COUNT(*) FROM places p "
            " WHERE p.source_id = s.source_id AND p.born <= :generation AND p.died > :generation), "
            "(SELECT COUNT(*) FROM failures f WHERE f.source_id = s.source_id) "
            "FROM sources s WHERE s.born <= :generation AND s.died > :generation ORDER BY source_id",
            {"generation": current.generation},
        ).fetchall()
        failures = connection.execute(
            "SELECT f.source_id, s.root, s.relative, f.path, f.reason, f.message "
            "FROM failures f JOIN sources s USING (source_id) ORDER BY f.source_id, f.path"
        ).fetchall()
        facts = dict(connection.execute("SELECT space_id, facts FROM spaces").fetchall())
        other_rows = connection.execute(
            "SELECT space_id, encoder, fingerprint, dim, modality, quality, note, facts, "
            "(SELECT COALESCE(SUM(f.row_count), 0) FROM files f WHERE f.space_id = s.space_id "
            " AND f.kind = 'part' AND f.died > :generation), "
            "(SELECT COALESCE(SUM(f.size), 0) FROM files f WHERE f.space_id = s.space_id AND f.died > :generation) "
            "FROM spaces s WHERE is_current = 0 AND born <= :generation AND died > :generation ORDER BY space_id",
            {"generation": current.generation},
        ).fetchall()
        details = connection.execute(
            "SELECT detail FROM runs WHERE length(detail) <= ? ORDER BY run_id", (_LONGEST_DETAIL,)
        ).fetchall()
        reader.check_history(connection)
    precisions = _precisions(details)
    infos, policy = index_infos(reader), policy_of(root)
    return CollectionInfo(
        path=str(root),
        uuid=reader.identity.uuid,
        format=reader.identity.format,
        created=reader.identity.created,
        generation=current.generation,
        images=current.images,
        dead_rows=sum(shard.dead_rows for shard in current.shards),
        shards=len(current.shards),
        bytes_on_disk=sum(size for _, size in sizes_of(root)),
        encoder=current.space,
        sources=tuple(
            SourceInfo(i, kind, place := join_root(base, location, relative), images, failed, _is_present(place))
            for i, kind, location, relative, images, failed in sources
        ),
        failures=tuple(
            Failure(i, locate(join_root(base, location, relative), path), reason, message)
            for i, location, relative, path, reason, message in failures
        ),
        index=", ".join([*(_describe_index(info) for info in infos), *_damaged_indexes(reader, infos, policy)]) or SCAN,
        writer=describe_writer(backend.connect()) if backend.is_locked() else None,
        spaces=tuple(_space_summary(space, facts.get(space.space_id, ""), precisions) for space in current.spaces),
        # `is_current` has no history: the catalog may have switched spaces since this generation.
        other_spaces=tuple(
            _other_space(current, SpaceInfo(*columns), space_facts, parts, size)
            for *columns, space_facts, parts, size in other_rows
            if columns[0] not in {space.space_id for space in current.spaces}
        ),
        indexes=infos,
        policy=policy,
        catalog=backend.address,
    )


def _damaged_indexes(reader: Reader, infos: Sequence[IndexInfo], policy: IndexPolicy) -> list[str]:
    """Describe spaces whose index cannot be used, by its metadata alone."""
    indexed = {info.space_id for info in infos}
    unindexed = [space for space in reader.current.spaces if space.space_id not in indexed]
    broken = [space for space in unindexed if reader.snapshot_folder(space.space_id) is not None]
    remedy = f"`imseek maintain --index {policy.kind}` builds it again"
    return [f"damaged ({space.encoder}): all vectors are read; {remedy}" for space in broken]


def _describe_index(info: IndexInfo) -> str:
    return f"{info.kind}: recall@10 {info.image_recall:.3f} of pictures, {info.text_recall:.3f} of text-like queries"


def _is_present(place: bytes) -> bool:
    """Whether a source is still at its location; True for URLs and sources without a folder."""
    return not place or is_url(place) or os.path.exists(place)


def _precisions(details: Iterable[tuple[str]]) -> dict[int, dict[str, None]]:
    """Return, by space, the precisions with which runs have encoded, in the order of the runs."""
    precisions: dict[int, dict[str, None]] = {}
    for (detail,) in details:
        with suppress(ValueError):
            run = JsonObject(parse_json_object(detail))
            for space in map(JsonObject, run.items("spaces") if "spaces" in run else ()):
                precisions.setdefault(space.whole("space_id"), {})[space.text("precision")] = None
    return precisions


def _space_summary(space: SpaceInfo, facts: str, precisions: Mapping[int, Iterable[str]]) -> SpaceSummary:
    return SpaceSummary(space, modalities_of(facts), tuple(precisions.get(space.space_id, ())))


def _other_space(current: Current, space: SpaceInfo, facts: str, parts: int, size: int) -> OtherSpace:
    members = JsonObject(parse_json_object(facts))
    kept_since = None
    with suppress(ValueError):
        kept_since = members.time(KEPT_SINCE)
    shards = [shard for shard in current.shards if space.space_id in shard.spaces]
    return OtherSpace(
        space,
        state="tokens" if are_tokens(space.encoder) else "kept" if KEPT_SINCE in members else "building",
        images=sum(shard.rows - shard.dead_rows for shard in shards) + parts,
        bytes=size,
        since=kept_since,
    )
