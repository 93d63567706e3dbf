"""Opening the containers that a scan found to be new or changed, one by one, while the run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from imseek.data.catalog import UNKNOWN_STAT, Catalog, FileStat
from imseek.errors import MediaError
from imseek.indexer.scan import RETRIED, Candidate, Homeless, Opening, Settings, Skipped, compare, skipped
from imseek.indexer.sources.base import Unreachable
from imseek.types import SkipReason


@dataclass(slots=True)
class Passed:
    """Pictures of a container that are not read: images that are as before, and what has failed before.

    ``seen`` counts those among them that look like a picture.
    """

    settled: list[int] = field(default_factory=list)
    known_failures: int = 0
    seen: int = 0

    def __bool__(self) -> bool:
        return bool(self.settled or self.known_failures)


@dataclass(slots=True)
class Ended:
    """What opening a container came to; it follows the last of its pictures.

    ``stat`` is that of a container that was read to its end, else ``UNKNOWN_STAT``: the next run opens it again.
    ``lost`` are the images that it does not hold any more, by content hash; ``kept`` those that it did not come to.
    """

    source_id: int
    path: bytes
    stat: FileStat = UNKNOWN_STAT
    lost: dict[bytes, list[Homeless]] = field(default_factory=dict)
    kept: tuple[int, ...] = ()
    cleared: list[tuple[int, bytes]] = field(default_factory=list)


#: What is done about a place, in the order in which a run comes to it.
Item: TypeAlias = Candidate | Skipped | Passed | Ended


def expand(catalog: Catalog, opening: Opening, settings: Settings) -> Iterator[Item]:
    """The pictures of a container that must be read, between them those that need not, then how it ended."""
    target, source, container = opening.target, opening.source, opening.container
    source_id = target.source.source_id
    known = catalog.known_places(source_id, container.path)
    failures = catalog.known_failures(source_id, container.path)
    ended = Ended(source_id, container.path)
    seen: set[bytes] = set()
    failing: set[bytes] = set()
    passed = Passed()
    whole = True
    try:
        for entry in source.expand(container):
            before = known.get(entry.path)
            if isinstance(entry, Unreachable):
                if before is not None and entry.reason is SkipReason.VANISHED and source.is_gone(entry.path):
                    continue
                if before is not None and entry.reason is not SkipReason.EMPTY_FILE:
                    seen.add(entry.path)
                    passed.settled.append(before.image_id)
                    passed.seen += 1
                failing.add(entry.path)
                if entry.path in failures and failures[entry.path].reason == entry.reason:
                    passed.known_failures += 1
                    whole = whole and entry.reason not in RETRIED
                else:
                    yield skipped(target, entry)
                continue
            seen.add(entry.path)
            sorted_out = compare(target, source, entry, known, failures, settings)
            if isinstance(sorted_out, Candidate):
                if passed:
                    yield passed
                    passed = Passed()
                failing.add(entry.path)  # Whether it still is will be known when it has been read.
                yield sorted_out
                continue
            passed.seen += 1
            if sorted_out:
                passed.settled.append(known[entry.path].image_id)
            else:
                passed.known_failures += 1
                failing.add(entry.path)
    except (MediaError, OSError) as error:
        # What it held before is kept: it may be whole again the next time.
        reason = error.reason if isinstance(error, MediaError) else SkipReason.UNREADABLE
        message = str(error) if isinstance(error, MediaError) else str(error.strerror or error)
        yield passed
        yield skipped(target, Unreachable(container.path, SkipReason(reason), message, container.stat))
        ended.kept = tuple(place.image_id for path, place in known.items() if path not in seen)
        yield ended
        return
    yield passed
    ended.stat = container.stat if whole else UNKNOWN_STAT
    ended.cleared = [(source_id, path) for path in failures if path not in failing]
    if opening.failed:
        ended.cleared.append((source_id, container.path))
    for path, place in known.items():
        if path not in seen:
            ended.lost.setdefault(place.content_hash, []).append(Homeless(place.image_id, place.stored))
    yield ended
