"""Choose which image of a group to keep, by rule, with a reason in words.

Three criteria precede every rule: images of unknown place cannot be inspected, a symbolic link leads nowhere without
its file, and images in a protected folder must not be touched. A rule is a list of criteria; the first that
distinguishes the best two decides and becomes the reason. So a reason states what the keeper has over the second best,
not everything in its favour.

Rules cannot see that an enlarged copy has more pixels but no more detail, that a PNG made from a JPEG is larger but no
better, or that an edited copy has lost the camera's date.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias, get_args

from imseek.duplicates.results import Duplicate, KeepRule
from imseek.errors import UsageError
from imseek.types.pictures import display_path

RULES: Final[tuple[KeepRule, ...]] = get_args(KeepRule)

#: Columns that do not count as metadata: every picture has them, or another column implies them. The others are what
#: editors and messengers tend to lose.
_BASIC_COLUMNS: Final = frozenset(
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

#: How systems and browsers name copies: "a (1)", "a copy 2", "a - Copy", "Copy of a", and the same in some languages.
_COPY_NAME: Final = re.compile(
    rb"""(?ix)
      \( \d{1,3} \) $
    | [\ _-] (copy|kopie|copie|copia) ( [\ _]? \(? \d{1,3} \)? )? $
    | ^ (copy|kopie|copie|copia) \  ( \( \d+ \) \  )? (of|von|de|di) [ ]
    """
)

AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def richness(metadata: Mapping[str, Any], tags: Collection[str] = ()) -> int:
    """Count the facts known about an image beyond its pixels, from 0: camera, place, time, caption, source columns and
    tags.

    ``metadata`` is the stored row (docs/format.md), with or without derived columns.
    """
    known = (name for name, value in metadata.items() if value is not None and value != "")
    return sum(name not in _BASIC_COLUMNS for name in known) + len(tags)


@dataclass(frozen=True, slots=True)
class Folders:
    """An ordered list of folders, and whether images are in them.

    ``paths`` are absolute, each as given and with links resolved. Both forms of an image's path are checked too, so
    that links cannot bypass protection.
    """

    paths: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def of(cls, folders: Sequence[AnyPath]) -> Folders:
        """Make a list of folders. Raises UsageError for a single path instead of a list."""
        if isinstance(folders, str | bytes | os.PathLike):
            raise UsageError(f"folders are a list, not {folders!r}")
        named = [_absolute(folder) for folder in folders]
        return cls(tuple((path, _real_path(path)) for path in named))

    def first(self, path: bytes) -> int:
        """Return the index of the first folder that contains ``path``; the number of folders if none does."""
        forms: list[bytes] | None = None
        for n, folder in enumerate(self.paths):
            if forms is None:
                forms = [path] if b"://" in path else [path, _real_path(path)]
            if any(_is_below(form, one) for form in forms for one in folder):
                return n
        return len(self.paths)

    def hold(self, path: bytes) -> bool:
        return self.first(path) < len(self.paths)

    def display(self, n: int) -> str:
        return display_path(self.paths[n][0])


def _absolute(folder: AnyPath) -> bytes:
    path = os.fsencode(folder)
    # pathlib does not accept bytes.
    return path if b"://" in path else os.path.abspath(os.path.expanduser(path))


def _real_path(path: bytes) -> bytes:
    """Resolve links; for a picture in an archive, those of the archive's path, as the rest is not a file."""
    return path if b"://" in path else os.path.realpath(path)


def _is_below(path: bytes, folder: bytes) -> bool:
    """Return whether a path is in a folder, archive or table."""
    stem = folder.rstrip(b"/")
    return path == stem or path.startswith((stem + b"/", stem + b"!/", stem + b"#"))


@dataclass(frozen=True, slots=True)
class Keeper:
    """``members`` from the one to keep to the most dispensable; ``reason`` says why the first is kept."""

    members: tuple[Duplicate, ...]
    reason: str

    @property
    def image_id(self) -> int:
        return self.members[0].image_id


@dataclass(frozen=True, slots=True)
class _Criterion:
    """``value`` scores an image, higher is better; ``says`` explains why the best beats the next."""

    value: Callable[[Duplicate], Any]
    says: Callable[[Duplicate, Duplicate], str]


def choose_keeper(
    members: Iterable[Duplicate],
    rule: KeepRule = "best",
    prefer: Sequence[AnyPath] | Folders = (),
    protect: Sequence[AnyPath] | Folders = (),
    *,
    richness: Callable[[Duplicate], int] = lambda member: 0,
) -> Keeper:
    """Choose the image to keep, and say why: ``"4000 × 3000 pixels, the next has 1600 × 1200"``.

    - ``best``: the most pixels, then the most metadata, then the largest file;
    - ``largest``: the largest file, then as ``best``;
    - ``oldest``, ``newest``: by capture time on the camera's clock, then as ``best``; undated images come last;
    - ``path-priority``: in the earliest folder of ``prefer``, then as ``best``.

    With the other rules, ``prefer`` breaks ties. If images are in a folder of ``protect``, one of those is kept. Where
    nothing else differs, a name such as "beach (1).jpg" or "beach copy.jpg" loses. The last resort is the lowest id,
    the image indexed first. ``richness`` returns how much is known of an image
    (:func:`richness`). The order of ``members`` does not matter.

    Raises UsageError for an unknown rule, and ValueError if there are no members.
    """
    if rule not in RULES:
        raise UsageError(f"{rule!r} is no rule for what to keep", hint=f"one of {', '.join(RULES)}")
    preferred = prefer if isinstance(prefer, Folders) else Folders.of(prefer)
    protected = protect if isinstance(protect, Folders) else Folders.of(protect)
    criteria = [_HAS_PLACE, _IS_FILE, *([_protected_criterion(protected)] if protected.paths else [])]
    criteria += _criteria_of(rule, preferred, _Criterion(richness, partial(_compare_richness, richness)))
    # By id first: sorting is stable, even in reverse.
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
    if _is_in_folders(protected, following) and not all(_is_in_folders(protected, member) for member in ranked):
        reason = f"{_in_protected(protected, best)}; of those protected, {reason}"
    return Keeper(tuple(ranked), reason)


def _criteria_of(rule: KeepRule, preferred: Folders, rich: _Criterion) -> Sequence[_Criterion]:
    named = (_preferred_criterion(preferred),) if preferred.paths else ()
    best = (_PIXELS, rich, _BYTES)
    if rule == "path-priority":
        return (*named, *best, _NAME)
    first = {"best": (), "largest": (_BYTES,), "oldest": (_OLDEST,), "newest": (_NEWEST,)}[rule]
    return (*first, *best, *named, _NAME)


def _preferred_criterion(folders: Folders) -> _Criterion:
    def says(best: Duplicate, following: Duplicate) -> str:
        n, other = _folder_rank(folders, best), _folder_rank(folders, following)
        where = "in no preferred folder" if other == len(folders.paths) else f"in {folders.display(other)}"
        return f"in {folders.display(n)}, the next is {where}"

    return _Criterion(lambda member: -_folder_rank(folders, member), says)


def _protected_criterion(folders: Folders) -> _Criterion:
    return _Criterion(
        lambda member: _is_in_folders(folders, member),
        lambda best, _: f"{_in_protected(folders, best)}, the next is in none",
    )


def _in_protected(folders: Folders, member: Duplicate) -> str:
    return f"in the protected folder {folders.display(_folder_rank(folders, member))}"


def _is_in_folders(folders: Folders, member: Duplicate) -> bool:
    return _folder_rank(folders, member) < len(folders.paths)


def _folder_rank(folders: Folders, member: Duplicate) -> int:
    return len(folders.paths) if member.place is None else folders.first(member.place.path)


def _compare_richness(richness: Callable[[Duplicate], int], best: Duplicate, following: Duplicate) -> str:
    count = richness(best)
    return f"{count} metadata {'field' if count == 1 else 'fields'}, the next has {richness(following)}"


def _taken_at(member: Duplicate) -> datetime | None:
    """Return the capture time on the camera's clock; zones are ignored, as perhaps only one copy has one."""
    try:
        return datetime.fromisoformat(member.taken_at or "").replace(tzinfo=None)
    except ValueError:
        return None


def _is_named_copy(member: Duplicate) -> bool:
    """Return whether the file name says that this is a copy."""
    if member.place is None:
        return False
    name, _ = os.path.splitext(member.place.path.rpartition(b"/")[2])
    return _COPY_NAME.search(name) is not None


def _date_criterion(sign: int) -> _Criterion:
    def value(member: Duplicate) -> tuple[bool, float]:
        taken = _taken_at(member)
        return taken is not None, 0.0 if taken is None else sign * (taken - datetime.min).total_seconds()

    def says(best: Duplicate, following: Duplicate) -> str:
        other = _taken_at(following)
        return f"taken {_taken_at(best)}, the next " + ("has no date" if other is None else f"{other}")

    return _Criterion(value, says)


_HAS_PLACE: Final = _Criterion(
    lambda member: member.place is not None, lambda *_: "its place is known, that of the next is not"
)
_IS_FILE: Final = _Criterion(lambda member: member.link != "symbolic", lambda *_: "the next is a symbolic link")
_PIXELS: Final = _Criterion(
    lambda member: member.width * member.height,
    lambda a, b: f"{a.width} × {a.height} pixels, the next has {b.width} × {b.height}",
)
_BYTES: Final = _Criterion(lambda member: member.bytes, lambda a, b: f"{a.bytes:,} bytes, the next has {b.bytes:,}")
_OLDEST, _NEWEST = _date_criterion(-1), _date_criterion(1)
_NAME: Final = _Criterion(lambda member: not _is_named_copy(member), lambda *_: "the next has the name of a copy")
