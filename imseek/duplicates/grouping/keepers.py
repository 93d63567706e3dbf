"""Choose which image of a group to keep, by rule, with a reason in words.

Three criteria precede every rule: images of unknown place cannot be inspected, a symbolic link leads nowhere without
its file, and images in a protected folder must not be touched. A rule is a list of criteria; the first that
distinguishes the best two decides and becomes the reason. So a reason states what the keeper has over the second best,
not everything in its favour.

An enlarged copy has more pixels but no more detail, and a PNG made from a JPEG is larger but no better: both are
measured (:mod:`imseek.duplicates.picture_quality`).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, cmp_to_key, partial
from typing import Any, Final, Protocol, TypeAlias, get_args

from imseek.duplicates.picture_quality import MEASURED_FORMATS, Compression
from imseek.duplicates.results import Duplicate, KeepRule
from imseek.errors import UsageError
from imseek.media.compression_traces import LEAST_FACTOR
from imseek.tilde_expansion import expand_user
from imseek.types.pictures import display_path

RULES: Final[tuple[KeepRule, ...]] = get_args(KeepRule)

#: Columns that do not count as metadata: every picture has them, or another column implies them; nor do measures of the
#: pixels (luma_…). The others are what editors and messengers tend to lose.
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
    names = (name for name, value in metadata.items() if value is not None and value != "")
    return sum(name not in _BASIC_COLUMNS and not name.startswith("luma_") for name in names) + len(tags)


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
        absolute_paths = [_absolute(folder) for folder in folders]
        return cls(tuple((path, _real_path(path)) for path in absolute_paths))

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
    return path if b"://" in path else os.path.abspath(os.fsencode(expand_user(path)))


def _real_path(path: bytes) -> bytes:
    """Resolve links; for a picture in an archive, those of the archive's path, as the rest is not a file."""
    return path if b"://" in path else os.path.realpath(path)


def _is_below(path: bytes, folder: bytes) -> bool:
    """Return whether a path is in a folder, archive or table."""
    stem = folder.rstrip(b"/")
    return path == stem or path.startswith((stem + b"/", stem + b"!/", stem + b"#"))


class Quality(Protocol):
    """Measures pictures (:class:`imseek.duplicates.picture_quality.QualityReader`)."""

    def compression(self, image: Duplicate) -> Compression:
        """Measure what compression has taken from an image of one of the ``MEASURED_FORMATS``."""

    def stated_compression(self, image: Duplicate) -> Compression:
        """Return the compression that an image's file states, at once: an upper bound of what is measured."""

    def is_enlarged(self, image: Duplicate, factor: float) -> bool:
        """Return whether an image has no more detail than a copy smaller by ``factor``."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """``members`` from the one to keep to the most dispensable; ``reason`` says why the first is kept.

    From the third on, compression counts as the files state it.
    """

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
    quality: Quality | None = None,
) -> Keeper:
    """Choose the image to keep, and say why: ``"4000 × 3000 pixels, the next has 1600 × 1200"``.

    - ``best``: the most pixels, where enlarged copies count as what they were enlarged from and lose against it; then
      the least loss by compression, then the most metadata, then the largest file;
    - ``largest``: the largest file, then as ``best``;
    - ``oldest``, ``newest``: by capture time on the camera's clock, then as ``best``; undated images come last;
    - ``path-priority``: in the earliest folder of ``prefer``, then as ``best``.

    With the other rules, ``prefer`` breaks ties. If images are in a folder of ``protect``, one of those is kept. Where
    nothing else differs, a name such as "beach (1).jpg" or "beach copy.jpg" loses. The last resort is the lowest id,
    the image indexed first. ``richness`` returns how much is known of an image (:func:`richness`). ``quality`` measures
    pictures, only where that decides; without it none counts as enlarged, or as better compressed. The order of
    ``members`` does not matter.

    Raises UsageError for an unknown rule, and ValueError if there are no members.
    """
    if rule not in RULES:
        raise UsageError(f"{rule!r} is not a rule for what to keep", hint=f"one of {', '.join(RULES)}")
    preferred = prefer if isinstance(prefer, Folders) else Folders.of(prefer)
    protected = protect if isinstance(protect, Folders) else Folders.of(protect)
    criteria = [_HAS_PLACE, _IS_FILE, *([_protected_criterion(protected)] if protected.paths else [])]
    ranked = sorted(members, key=lambda member: (member.collection, member.image_id))
    if not ranked:
        raise ValueError("a group has members")
    rich = _Criterion(richness, partial(_compare_richness, richness))
    pixels = _Resolution(ranked, richness, quality)
    compression = _CompressionBounds(ranked, quality)
    measured = [*pixels.criteria, *compression.criteria, rich, _BYTES]
    criteria += _criteria_of(rule, preferred, measured)

    def compare(a: Duplicate, b: Duplicate) -> int:
        for criterion in criteria:
            if (value := criterion.value(a)) != (other_value := criterion.value(b)):
                return -1 if value > other_value else 1
        return 0

    # A stable sort keeps the order by id. Values are computed where those before them are equal.
    by_id = ranked
    ranked = sorted(by_id, key=cmp_to_key(compare))
    while compression.measure(ranked[:2]):
        ranked = sorted(by_id, key=cmp_to_key(compare))
    if len(ranked) == 1:
        return Keeper(tuple(ranked), "it is the only one")
    best, following = ranked[:2]
    reason = next(
        (one.says(best, following) for one in criteria if one.value(best) != one.value(following)),
        "it was indexed first; they differ in nothing else",
    )
    if _is_in_folders(protected, following) and not all(_is_in_folders(protected, member) for member in ranked):
        reason = f"{_in_protected(protected, best)}; of those protected, {reason}"
    return Keeper(tuple(ranked), reason)


class _Resolution:
    """How many pixels of the images of a group are more than an enlargement."""

    def __init__(
        self, members: Sequence[Duplicate], richness: Callable[[Duplicate], int], quality: Quality | None
    ) -> None:
        self._members, self._richness, self._quality = members, richness, quality
        self.criteria = (
            _Criterion(self._pixels, self._compare_pixels),
            _Criterion(
                lambda member: member.content_hash not in self._enlarged,
                lambda a, b: f"{_size(a)} pixels, the next, {_size(b)}, was enlarged and has no more detail",
            ),
        )

    @cached_property
    def _enlarged(self) -> Mapping[str, int]:
        """The number of pixels that contents were enlarged from; the largest contents are measured until one was not.

        One that more is known about than about the smaller ones counts as the original, whatever it looks like.
        """
        if self._quality is None:
            return {}
        originals: dict[str, Duplicate] = {}
        contents = {member.content_hash: member for member in reversed(self._members)}
        for pixels in sorted({_count_pixels(member) for member in contents.values()}, reverse=True):
            large = [member for member in contents.values() if _count_pixels(member) == pixels]
            small = [member for member in contents.values() if _count_pixels(member) * LEAST_FACTOR**2 <= pixels]
            if not small:
                break
            original = max(small, key=_count_pixels)
            factor = math.sqrt(pixels / _count_pixels(original))
            for member in large:
                is_richer = self._richness(member) > self._richness(original)
                if not is_richer and self._quality.is_enlarged(member, factor):
                    originals[member.content_hash] = original
            if any(member.content_hash not in originals for member in large):
                break
        # From the smallest on, as an original may have been enlarged itself.
        counts: dict[str, int] = {}
        for content, original in reversed(originals.items()):
            counts[content] = counts.get(original.content_hash, _count_pixels(original))
        return counts

    def _pixels(self, member: Duplicate) -> int:
        return self._enlarged.get(member.content_hash, _count_pixels(member))

    def _compare_pixels(self, best: Duplicate, following: Duplicate) -> str:
        enlarged = following.content_hash in self._enlarged
        was = "was enlarged and has less detail" if enlarged else ""
        return f"{_size(best)} pixels, the next " + (f"{_size(following)}, {was}" if was else f"has {_size(following)}")


def _count_pixels(member: Duplicate) -> int:
    return member.width * member.height


def _size(member: Duplicate) -> str:
    return f"{member.width} × {member.height}"


class _CompressionBounds:
    """How images of a group are compressed: by what their files state, and once measured, by their pixels. So only the
    best are decoded, and the others rank by an upper bound."""

    def __init__(self, members: Sequence[Duplicate], quality: Quality | None) -> None:
        """There is a criterion if there is more than one content and that of all can be measured."""
        self._quality = quality
        self._stated: dict[str, Compression] = {}
        self._measured: dict[str, Compression] = {}
        contents = {member.content_hash for member in members}
        is_measurable = all(member.format in MEASURED_FORMATS for member in members)
        self.criteria: Sequence[_Criterion] = ()
        if quality is not None and len(contents) > 1 and is_measurable:
            criterion = _Criterion(
                lambda one: self._compression_of(one).step,
                lambda a, b: f"{self._compression_of(a)}, the next {self._compression_of(b)}",
            )
            self.criteria = (criterion,)

    def measure(self, members: Sequence[Duplicate]) -> bool:
        """Measure those of a few members whose compression counted; return whether that tells anything new."""
        unmeasured = [one for one in members if one.content_hash in self._stated.keys() - self._measured.keys()]
        for member in unmeasured:
            assert self._quality is not None
            self._measured[member.content_hash] = self._quality.compression(member)
        return any(self._measured[one.content_hash] != self._stated[one.content_hash] for one in unmeasured)

    def _compression_of(self, member: Duplicate) -> Compression:
        content = member.content_hash
        if content not in self._stated:
            assert self._quality is not None
            self._stated[content] = self._quality.stated_compression(member)
        return self._measured.get(content, self._stated[content])


def _criteria_of(rule: KeepRule, preferred: Folders, best: Sequence[_Criterion]) -> Sequence[_Criterion]:
    preference = (_preferred_criterion(preferred),) if preferred.paths else ()
    if rule == "path-priority":
        return (*preference, *best, _NAME)
    first = {"best": (), "largest": (_BYTES,), "oldest": (_OLDEST,), "newest": (_NEWEST,)}[rule]
    return (*first, *best, *preference, _NAME)


def _preferred_criterion(folders: Folders) -> _Criterion:
    def says(best: Duplicate, following: Duplicate) -> str:
        n, other_rank = _folder_rank(folders, best), _folder_rank(folders, following)
        location = "in no preferred folder" if other_rank == len(folders.paths) else f"in {folders.display(other_rank)}"
        return f"in {folders.display(n)}, the next is {location}"

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
        date = _taken_at(member)
        return date is not None, 0.0 if date is None else sign * (date - datetime.min).total_seconds()

    def says(best: Duplicate, following: Duplicate) -> str:
        other_date = _taken_at(following)
        return f"taken {_taken_at(best)}, the next " + ("has no date" if other_date is None else f"{other_date}")

    return _Criterion(value, says)


_HAS_PLACE: Final = _Criterion(
    lambda member: member.place is not None, lambda *_: "its place is known, that of the next is not"
)
_IS_FILE: Final = _Criterion(lambda member: member.link != "symbolic", lambda *_: "the next is a symbolic link")
_BYTES: Final = _Criterion(lambda member: member.bytes, lambda a, b: f"{a.bytes:,} bytes, the next has {b.bytes:,}")
_OLDEST, _NEWEST = _date_criterion(-1), _date_criterion(1)
_NAME: Final = _Criterion(lambda member: not _is_named_copy(member), lambda *_: "the next has the name of a copy")
