"""Which image of a group is to stay, by rule, and why, in words.

Two things come before every rule: images whose place is not known cannot be looked at, and images in a protected
folder are not to be touched. A rule is then a list of criteria; the first one that tells images apart decides, and is
the reason. So a reason is what the keeper has beyond the second best, not everything that speaks for it.

What a rule cannot see: an enlarged copy has more pixels and no more picture; a file that was saved as PNG after it had
been a JPEG is larger and no better; dates are those of the camera, which an edited copy may have lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias, get_args

from imseek.errors import UsageError
from imseek.types import Duplicate, KeepRule, display_path

RULES: Final[tuple[KeepRule, ...]] = get_args(KeepRule)

#: Columns that say nothing of how much is known: every picture has them, or another one says it. What is left is what
#: an edit or a messenger tends to lose.
_PLAIN: Final = frozenset(
    {
        "image_id",
        "content_hash",
        "width",
        "height",
        "format",
        "mode",
        "frames",
        "bytes",
        "phash",
        "orientation",
        "longitude",
    }
)

AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def richness(metadata: Mapping[str, Any], tags: Collection[str] = ()) -> int:
    """How many facts are known of an image beyond its pixels: camera, where and when, caption, what its source has said
    of it, and tags. 0 and up.

    ``metadata`` is the row that the collection stores (docs/format.md), with or without derived columns.
    """
    known = (name for name, value in metadata.items() if value is not None and value != "")
    return sum(name not in _PLAIN for name in known) + len(tags)


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders in the order in which they were named, and whether images lie in them.

    ``paths`` are absolute, each as it was named and, where links lead elsewhere, as it really is. Of an image both
    forms are looked at too, so that no link leads around protection.
    """

    paths: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def of(cls, folders: Sequence[AnyPath]) -> Folders:
        """Raises UsageError for one path where a list of them is meant."""
        if isinstance(folders, str | bytes | os.PathLike):
            raise UsageError(f"folders are a list, not {folders!r}")
        named = [_absolute(folder) for folder in folders]
        return cls(tuple((path, _real(path)) for path in named))

    def first(self, path: bytes) -> int:
        """Which of them is the first that holds ``path``, from 0; how many there are, where none does."""
        forms: list[bytes] | None = None
        for n, folder in enumerate(self.paths):
            if forms is None:
                forms = [path] if b"://" in path else [path, _real(path)]
            if any(_below(form, one) for form in forms for one in folder):
                return n
        return len(self.paths)

    def hold(self, path: bytes) -> bool:
        return self.first(path) < len(self.paths)

    def named(self, n: int) -> str:
        return display_path(self.paths[n][0])


def _absolute(folder: AnyPath) -> bytes:
    path = os.fsencode(folder)
    # Bytes, which pathlib does not take.
    return path if b"://" in path else os.path.abspath(os.path.expanduser(path))


def _real(path: bytes) -> bytes:
    """Of a picture in an archive, its archive's: what follows is no file, so nothing of it is changed."""
    return path if b"://" in path else os.path.realpath(path)


def _below(path: bytes, folder: bytes) -> bool:
    """An archive or a table holds what is in it."""
    stem = folder.rstrip(b"/")
    return path == stem or path.startswith((stem + b"/", stem + b"!/", stem + b"#"))


@dataclass(frozen=True, slots=True)
class Keeper:
    """``members`` from the one that is to stay to the one that is missed least; ``reason`` is why the first stays."""

    members: tuple[Duplicate, ...]
    reason: str

    @property
    def image_id(self) -> int:
        return self.members[0].image_id


@dataclass(frozen=True, slots=True)
class _Criterion:
    """``value``: of an image, the higher the better. ``says``: of the best and the next, why it is better."""

    value: Callable[[Duplicate], Any]
    says: Callable[[Duplicate, Duplicate], str]


def keeper(
    members: Iterable[Duplicate],
    rule: KeepRule = "best",
    prefer: Sequence[AnyPath] | Folders = (),
    protect: Sequence[AnyPath] | Folders = (),
    *,
    richness: Callable[[Duplicate], int] = lambda member: 0,
) -> Keeper:
    """Which image is to stay, and why: ``"4000 × 3000 pixels, the next has 1600 × 1200"``.

    - ``best``: the most pixels, then the most metadata, then the largest file;
    - ``largest``: the largest file, then as ``best``;
    - ``oldest``, ``newest``: by when it was taken, as its camera's clock said, then as ``best``; without a date comes
      last;
    - ``path-priority``: in the folder of ``prefer`` that was named first, then as ``best``.

    With the other rules ``prefer`` decides where the rule finds no difference. Where images lie in a folder of
    ``protect``, one of those stays. The last resort is the lowest id, the image that was indexed first. ``richness``
    tells how much is known of an image (:func:`richness`). The order of ``members`` is of no consequence.

    Raises UsageError for an unknown rule, and ValueError where there are no members.
    """
    if rule not in RULES:
        raise UsageError(f"{rule!r} is no rule for what to keep", hint=f"one of {', '.join(RULES)}")
    preferred = prefer if isinstance(prefer, Folders) else Folders.of(prefer)
    protected = protect if isinstance(protect, Folders) else Folders.of(protect)
    criteria = [_PLACED, *([_protected(protected)] if protected.paths else [])]
    criteria += _by_rule(rule, preferred, _Criterion(richness, partial(_richer, richness)))
    # By id first: sorting is stable, in reverse too.
    ranked = sorted(members, key=lambda member: (member.collection, member.image_id))
    ranked.sort(key=lambda member: tuple(one.value(member) for one in criteria), reverse=True)
    if not ranked:
        raise ValueError("a group has members")
    if len(ranked) == 1:
        return Keeper(tuple(ranked), "it is the only one")
    best, following = ranked[:2]
    reason = next(
        (one.says(best, following) for one in criteria if one.value(best) != one.value(following)),
        "it was indexed first; nothing else tells it from the next",
    )
    if _held(protected, following) and not all(_held(protected, member) for member in ranked):
        reason = f"{_in_protected(protected, best)}; of those protected, {reason}"
    return Keeper(tuple(ranked), reason)


def _by_rule(rule: KeepRule, preferred: Folders, rich: _Criterion) -> Sequence[_Criterion]:
    named = (_preferred(preferred),) if preferred.paths else ()
    best = (_PIXELS, rich, _BYTES)
    if rule == "path-priority":
        return (*named, *best)
    first = {"best": (), "largest": (_BYTES,), "oldest": (_OLDEST,), "newest": (_NEWEST,)}[rule]
    return (*first, *best, *named)


def _preferred(folders: Folders) -> _Criterion:
    def says(best: Duplicate, following: Duplicate) -> str:
        n, other = _first(folders, best), _first(folders, following)
        where = "in no preferred folder" if other == len(folders.paths) else f"in {folders.named(other)}"
        return f"in {folders.named(n)}, the next is {where}"

    return _Criterion(lambda member: -_first(folders, member), says)


def _protected(folders: Folders) -> _Criterion:
    return _Criterion(
        lambda member: _held(folders, member),
        lambda best, _: f"{_in_protected(folders, best)}, the next is in none",
    )


def _in_protected(folders: Folders, member: Duplicate) -> str:
    return f"in the protected folder {folders.named(_first(folders, member))}"


def _held(folders: Folders, member: Duplicate) -> bool:
    return _first(folders, member) < len(folders.paths)


def _first(folders: Folders, member: Duplicate) -> int:
    return len(folders.paths) if member.place is None else folders.first(member.place.path)


def _richer(richness: Callable[[Duplicate], int], best: Duplicate, following: Duplicate) -> str:
    count = richness(best)
    return f"{count} {'fact' if count == 1 else 'facts'} of metadata, the next has {richness(following)}"


def _taken(member: Duplicate) -> datetime | None:
    """As the camera's clock showed it: where a zone is known, of one copy perhaps, it makes no difference."""
    try:
        return datetime.fromisoformat(member.taken_at or "").replace(tzinfo=None)
    except ValueError:
        return None


def _dated(sign: int) -> _Criterion:
    def value(member: Duplicate) -> tuple[bool, float]:
        taken = _taken(member)
        return taken is not None, 0.0 if taken is None else sign * (taken - datetime.min).total_seconds()

    def says(best: Duplicate, following: Duplicate) -> str:
        other = _taken(following)
        return f"taken {_taken(best)}, the next " + ("has no date" if other is None else f"{other}")

    return _Criterion(value, says)


_PLACED: Final = _Criterion(
    lambda member: member.place is not None, lambda *_: "its place is known, that of the next is not"
)
_PIXELS: Final = _Criterion(
    lambda member: member.width * member.height,
    lambda a, b: f"{a.width} × {a.height} pixels, the next has {b.width} × {b.height}",
)
_BYTES: Final = _Criterion(
    lambda member: member.bytes, lambda a, b: f"{a.bytes:,} bytes, the next has {b.bytes:,}"
)
_OLDEST, _NEWEST = _dated(-1), _dated(1)
