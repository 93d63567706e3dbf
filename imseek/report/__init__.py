"""Gather a full report on a collection: ``imseek.report.gather(collection)``. `imseek report` renders it as a page.

>>> found = imseek.report.gather("photos.imseek")      # doctest: +SKIP
>>> found.contents.formats, found.quality.unknown      # doctest: +SKIP
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import Final, Literal, TypeAlias, TypeVar, get_args

from imseek import clusters, dataset, duplicates
from imseek.analysis.snapshot_session import run_with_reader
from imseek.data.reader import Reader
from imseek.data.summary import summarise
from imseek.errors import ImseekError, UsageError
from imseek.progress import ProgressCallback
from imseek.report.collection_statistics import collect_statistics
from imseek.report.results import CollectionReport, CollectionStatistics
from imseek.types.collection_arguments import AnyCollection
from imseek.types.collection_info import CollectionInfo

T = TypeVar("T")

#: Parts of a report that are slow and may be skipped.
Part: TypeAlias = Literal["quality", "clusters", "outliers", "duplicates"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)
#: Default number of picture pairs to compare for duplicates.
LOOKS: Final = 1000
#: Images per quality list, and outliers.
_WORST: Final = 12
_OUTLIERS: Final = 24


def gather(
    collection: AnyCollection,
    *,
    skip: Collection[Part] = (),
    looks: int = LOOKS,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> CollectionReport:
    """Count, rate, cluster and compare the images of a collection from stored values; changes nothing.

    At most ``looks`` pairs of pictures are opened, to confirm duplicates. A part that fails (such as for a missing
    extra) is None, and a note says why. Raises UsageError for an unknown part, CollectionNotFoundError,
    CorruptCollectionError.
    """
    if unknown := sorted(set(skip) - set(PARTS)):
        raise UsageError(f"{unknown[0]!r} is not part of a report", hint=f"one of {', '.join(PARTS)}")
    if looks < 0:
        raise UsageError(f"the number of pairs to compare cannot be {looks}")
    stop = stop or threading.Event()
    notes: list[str] = []

    def counting(reader: Reader) -> tuple[CollectionInfo, CollectionStatistics, int | None]:
        space = reader.current.caption_space
        missing = 0 if space is None else reader.count_without_caption(space.space_id)
        embedded = None if space is None else reader.current.images - missing
        return summarise(reader), collect_statistics(reader), embedded

    info, statistics, embedded = run_with_reader(collection, counting)

    def part(name: Part, work: Callable[[], T], least: int = 1) -> T | None:
        if name in skip or stop.is_set() or statistics.images < least:
            return None
        try:
            return work()
        except InterruptedError:
            return None
        except UsageError:
            raise
        except ImseekError as error:
            notes.append(f"{name}: {error}" + (f" ({error.hint})" if error.hint else ""))
            return None

    make_report = partial(CollectionReport, info=info, contents=statistics, captions_embedded=embedded)
    return make_report(
        quality=part("quality", lambda: dataset.quality(collection, limit=_WORST)),
        clusters=part("clusters", lambda: clusters.find(collection, progress=progress, stop=stop), 3),
        outliers=part(
            "outliers",
            lambda: clusters.outliers(collection, limit=_OUTLIERS, progress=progress, stop=stop),
            3,
        ),
        duplicates=part("duplicates", lambda: duplicates.find(collection, looks=looks, progress=progress, stop=stop)),
        notes=tuple(notes),
        interrupted=stop.is_set(),
    )
