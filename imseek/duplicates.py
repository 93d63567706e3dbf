"""Pictures that are there more than once: ``imseek.duplicates.find(collection)``, and what can be done with them.

>>> report = imseek.duplicates.find("photos.imseek")      # doctest: +SKIP
>>> for group in report.groups:
...     print(group.keeper.place, [other.place for other in group.others], group.reason)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, get_args

from imseek.curate import small
from imseek.data.contents import HashLookup
from imseek.data.current import read_current
from imseek.data.durable import digest_of
from imseek.data.reader import Reader
from imseek.errors import StaleGenerationError, UsageError
from imseek.types import (
    Duplicate,
    DuplicateGroup,
    DuplicateKind,
    DuplicatePair,
    DuplicateReport,
    KeepRule,
    ProgressCallback,
)

KINDS: Final[tuple[DuplicateKind, ...]] = get_args(DuplicateKind)
RULES: Final[tuple[KeepRule, ...]] = get_args(KeepRule)

_COLUMNS: Final = (
    *(
        "content_hash",
        "width",
        "height",
        "bytes",
        "format",
        "taken_at",
        "camera",
        "lens",
        "latitude",
        "caption",
    ),
)


class HasPath(Protocol):
    """A :class:`imseek.Collection`."""

    @property
    def path(self) -> Path: ...


AnyCollection: TypeAlias = str | os.PathLike[str] | HasPath
AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def find(
    collection: AnyCollection,
    *,
    kinds: Iterable[DuplicateKind] = ("exact", "same"),
    keep: KeepRule = "best",
    prefer: Sequence[AnyPath] = (),
    protect: Sequence[AnyPath] = (),
    against: AnyCollection | None = None,
    where: str | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> DuplicateReport:
    """Groups of images that are duplicates of each other, each with the one that is proposed to stay.

    ``kinds`` are those of pairs that count; ``keep`` is the rule by which one of a group is to stay, among those below
    a folder of ``protect`` where there are any; with ``path-priority`` the first folder of ``prefer`` that holds one
    decides. ``where`` leaves out images that do not meet a condition (docs/where.md). Changes nothing.

    Raises UsageError, QueryError (``where``), CollectionNotFoundError, CorruptCollectionError.
    """
    wanted = tuple(dict.fromkeys(kinds))
    if unknown := [kind for kind in wanted if kind not in KINDS]:
        raise UsageError(f"{unknown[0]!r} is no kind of duplicate", hint=f"one of {', '.join(KINDS)}")
    if not wanted:
        raise UsageError("no kind of duplicate to look for", hint=f"one of {', '.join(KINDS)}")
    if keep not in RULES:
        raise UsageError(f"{keep!r} is no rule for what to keep", hint=f"one of {', '.join(RULES)}")
    if "inside" in wanted:
        raise UsageError("pictures inside pictures cannot be looked for yet")
    if against is not None:
        raise UsageError("two collections cannot be compared yet")
    root = _path(collection)
    while True:
        reader = Reader(root)
        try:
            return _find(reader, wanted, keep, _folders(prefer), _folders(protect), where, progress, stop)
        except StaleGenerationError:  # A writer has taken its files away meanwhile.
            if read_current(root).generation == reader.generation:
                raise


def _find(
    reader: Reader,
    kinds: Sequence[DuplicateKind],
    keep: KeepRule,
    prefer: Sequence[bytes],
    protect: Sequence[bytes],
    where: str | None,
    progress: ProgressCallback | None,
    stop: threading.Event | None,
) -> DuplicateReport:
    allowed = None
    if where is not None:
        from imseek.search.where import Filters

        allowed = Filters().ids(reader, where)
    found = small.contents(reader, allowed)
    pairs = list(small.pairs(reader, found, kinds, progress, stop))
    counted: dict[str, int] = {kind: sum(pair.kind == kind for pair in pairs) for kind in kinds}
    if "exact" in counted:
        counted["exact"] = sum(len(ids) * (len(ids) - 1) // 2 for ids in found.copies.values())
    sets = small.grouped(pairs)
    if "exact" in kinds:
        taken = {i for group in sets for i in group}
        sets = [sorted(j for i in group for j in found.copies.get(i, [i])) for group in sets]
        sets += [list(ids) for first, ids in found.copies.items() if first not in taken]
    known = {(pair.a, pair.b): pair for pair in pairs}
    first_of = {i: first for first, ids in found.copies.items() for i in ids}
    members, facts = _members(reader, [i for group in sets for i in group])

    def pair_of(a: int, b: int) -> DuplicatePair:
        one, other = sorted((first_of.get(a, a), first_of.get(b, b)))
        if one == other:
            return small.exact(a, b)
        pair = known[one, other]
        values = pair.kind, pair.confidence, pair.cosine, pair.distance
        return DuplicatePair(min(a, b), max(a, b), *values)

    keeping = small.Keeping(keep, prefer, protect)
    groups = []
    for group in sets:
        ordered, reason = keeping.ordered([members[i] for i in group], facts)
        keeper, *others = ordered
        rest = [replace(one, pair=pair_of(keeper.image_id, one.image_id)) for one in others]
        loosest = max(KINDS.index(pair_of(a, b).kind) for a, b in combinations(group, 2))
        groups.append(DuplicateGroup(KINDS[loosest], (keeper, *rest), reason))
    groups.sort(key=lambda g: (KINDS.index(g.kind), -sum(m.bytes for m in g.others), g.keeper.image_id))
    return DuplicateReport(
        collection=reader.identity.uuid,
        generation=reader.generation,
        searched=found.images,
        groups=tuple(groups),
        pairs=counted,
        interrupted=stop is not None and stop.is_set(),
    )


def _members(reader: Reader, ids: Sequence[int]) -> tuple[dict[int, Duplicate], dict[int, dict[str, Any]]]:
    """Images by id, and what is stored of them."""
    facts = reader.intrinsics(ids, _COLUMNS)
    places = reader.places(ids)
    found = {}
    for image_id in ids:
        row = facts[image_id]
        taken = row.get("taken_at")
        found[image_id] = Duplicate(
            collection=reader.identity.uuid,
            image_id=image_id,
            place=places.get(image_id),
            content_hash=row["content_hash"].hex(),
            width=row["width"],
            height=row["height"],
            bytes=row["bytes"],
            format=row["format"],
            taken_at=None if taken is None else taken.isoformat(timespec="seconds"),
        )
    return found, facts


def judge(
    collection: AnyCollection, images: Sequence[int | AnyPath], verdict: Verdict
) -> tuple[Judgement, ...]:
    """Say of pictures that each is the ``"same"`` as each other one, or ``"different"``; remembered for good.

    Images are ids, or files that need not be indexed: a judgement is about contents. It takes the place of an earlier
    one about the same two. Raises UsageError (fewer than two contents, no such file), ImageNotFoundError, LockedError.
    """
    from imseek.data import judgements as stored
    from imseek.data.writer import Writer

    if verdict not in get_args(Verdict):
        raise UsageError(f"{verdict!r} is no verdict", hint=f"one of {', '.join(get_args(Verdict))}")
    root = _path(collection)
    pairs = list(combinations(_contents_of(root, images), 2))
    with Writer(root, "judge") as writer:
        return stored.put(writer, pairs, verdict)


def forget(collection: AnyCollection, images: Sequence[int | AnyPath]) -> tuple[Judgement, ...]:
    """Take back what was said of pictures, each with each other one; returns that. Raises as :func:`judge`."""
    from imseek.data import judgements as stored
    from imseek.data.writer import Writer

    root = _path(collection)
    pairs = list(combinations(_contents_of(root, images), 2))
    with Writer(root, "judge --forget") as writer:
        return stored.remove(writer, pairs)


def judgements(collection: AnyCollection) -> tuple[Judgement, ...]:
    """All that was said, the latest first."""
    from imseek.data import judgements as stored

    return stored.read(_path(collection))


def images_of(collection: AnyCollection, contents: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """By content (hexadecimal sha256) the ids, ascending, of the live images that have it now."""
    lookup = HashLookup(_path(collection))
    try:
        return {content: tuple(lookup.find_all(bytes.fromhex(content))) for content in contents}
    finally:
        lookup.close()


def plan(
    collection: AnyCollection,
    report: DuplicateReport,
    action: Action,
    *,
    to: AnyPath | None = None,
    tag: str = TAG,
    protect: Sequence[AnyPath] = (),
) -> Plan:
    """What is to be done to all images of a report but the keepers. Nothing is touched; :func:`apply` does it.

    ``action`` is ``"tag"`` (with ``tag``), ``"quarantine"`` (moved to the folder ``to``, else to one on the same file
    system), ``"trash"``, ``"hard-link"`` or ``"reflink"``. Nothing below a folder of ``protect`` is to be touched.
    Raises UsageError.
    """
    from imseek.curate import plans

    return plans.make(_path(collection), report, action, to=to, tag=tag, protect=_folders(protect))


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """What ``plan(…).save(path)`` has written, perhaps edited since. Raises PlanError, which names the entry."""
    from imseek.curate.plans import Plan

    return Plan.load(path)


def _contents_of(root: Path, images: Sequence[int | AnyPath]) -> list[str]:
    """Hexadecimal sha256 of two or more different contents, ascending."""
    if isinstance(images, str | bytes | os.PathLike):
        raise UsageError(f"images are a list, not {images!r}")
    reader = Reader(root)
    found = set()
    for image in images:
        if isinstance(image, int):
            found.add(reader.image(image).content_hash)
            continue
        path = Path(os.fsdecode(image)).expanduser()
        try:
            found.add(digest_of(path).sha256)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    if len(found) < 2:
        raise UsageError(
            "a judgement is of two contents, and these are the same file",
            hint="images of the same bytes need none",
        )
    return sorted(found)


def _folders(paths: Sequence[AnyPath]) -> tuple[bytes, ...]:
    if isinstance(paths, str | bytes | os.PathLike):
        raise UsageError(f"folders are a list, not {paths!r}")
    # Bytes, which pathlib does not take.
    return tuple(os.path.abspath(os.path.expanduser(os.fsencode(path))) for path in paths)  # noqa: PTH100, PTH111


def _path(collection: AnyCollection) -> Path:
    if isinstance(collection, str | os.PathLike):
        return Path(collection).expanduser().absolute()
    return collection.path
