"""What is asked on the page of searches, as values, as the query of an address, and as a :class:`imseek.Query`.

    ?c=photos&q=a+dog&q=2:beach&not=snow&like=id:5&like=upload:HASH&unlike=0.5:id:9&more=5&less=9&where=year+%3E+2020

``q`` and ``not`` hold words, with a weight or without (``2:beach``), ``like`` and ``unlike`` pictures, all as often as
they are wanted, as are ``where`` (conditions, all of which must hold), ``more`` and ``less``. Anything may stand in an
address: what cannot be read is left out and named. An address never names a file or a URL, so a link that somebody
sends makes this machine open nothing: pictures are those of the collection, or those that were dropped here before
(:mod:`imseek.ui.web.uploads`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import urlencode

from imseek.errors import QueryError
from imseek.search.query import NOT, By, GroupBy, Query, Sort, Term
from imseek.search.term_parser import split_weight

#: Words; an image of the collection, by its id; a picture that was dropped on the page, by its SHA-256.
Kind: TypeAlias = Literal["words", "image", "upload"]

#: Hits on a page of them, and how many there may be.
LIMIT: Final = 60
MOST: Final = 500
#: Bounds of what is read from an address: parts, conditions, ids of feedback, characters of a text.
_PARTS: Final = 16
_FEEDBACK: Final = 200
_TEXT: Final = 4000
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ID: Final = re.compile(r"\d{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the things that a query is made of. ``what`` is words, the digits of an id, or a SHA-256 in hex.

    ``weight`` is above 0, also of what is ``unwanted``.
    """

    kind: Kind
    what: str
    weight: float = 1.0
    unwanted: bool = False

    def term(self, upload: Callable[[str], bytes]) -> Term:
        """``upload`` gives the bytes of a picture by its SHA-256. Raises QueryError, and what ``upload`` does."""
        weight = -NOT * self.weight if self.unwanted else self.weight
        if self.kind == "words":
            return Term(text=self.what, weight=weight)
        if self.kind == "image":
            return Term(image_id=int(self.what), weight=weight)
        return Term(picture=upload(self.what), weight=weight)

    def written(self) -> tuple[str, str]:
        """The name and the value that this is in an address."""
        if self.kind == "words":
            # Words that begin like a weight get one of their own.
            plain = self.weight == 1 and _split(self.what) == (1.0, self.what)
            value = self.what if plain else f"{_plain(self.weight)}:{self.what}"
            return ("not" if self.unwanted else "q"), value
        value = f"{'id' if self.kind == 'image' else 'upload'}:{self.what}"
        value = value if self.weight == 1 else f"{_plain(self.weight)}:{value}"
        return ("unlike" if self.unwanted else "like"), value


@dataclass(frozen=True, slots=True)
class Asked:
    """All that the page of searches is asked for. ``where`` are conditions that must all hold (docs/where.md)."""

    parts: tuple[Part, ...] = ()
    where: tuple[str, ...] = ()
    more: tuple[int, ...] = ()
    less: tuple[int, ...] = ()
    by: By = "image"
    sort: Sort = "score"
    group: GroupBy | None = None
    cutoff: bool = True
    collapse: bool = False
    diversity: float = 0.0
    hubness: bool = False
    exact: bool = False
    limit: int = LIMIT
    page: str | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to look for, so that ``where`` alone says what is shown."""
        return not self.parts and not self.more

    @property
    def condition(self) -> str | None:
        """``where`` as one condition."""
        if len(self.where) < 2:
            return self.where[0] if self.where else None
        return " AND ".join(f"({one})" for one in self.where)

    def query(self, upload: Callable[[str], bytes]) -> Query:
        """``upload`` gives the bytes of a picture by its SHA-256. Where nothing else is asked for, it is pictures like
        those that were found right. Raises QueryError, and what ``upload`` does."""
        parts = self.parts or tuple(Part("image", str(one)) for one in self.more)
        return Query(
            tuple(part.term(upload) for part in parts),
            limit=self.limit,
            by=self.by,
            where=self.condition,
            cutoff="auto" if self.cutoff else None,
            sort=self.sort,
            group_by=self.group,
            per_group=6,
            # Marginal relevance has an order of its own.
            diversity=0.0 if self.sort == "date" else self.diversity,
            collapse=self.collapse,
            page=self.page,
            more=self.more if self.parts else (),
            less=self.less,
            hubness=self.hubness,
            exact=self.exact,
        )

    def parameters(self, collection: str | None = None) -> dict[str, list[str]]:
        """The query of an address, without what is as it is by default."""
        made: dict[str, list[str]] = {} if collection is None else {"c": [collection]}
        for part in self.parts:
            name, value = part.written()
            made.setdefault(name, []).append(value)
        several = {"where": self.where, "more": self.more, "less": self.less}
        made.update({name: [str(one) for one in values] for name, values in several.items() if values})
        made.update(
            {
                name: [text]
                for name, text in (
                    ("by", self.by if self.by != "image" else ""),
                    ("sort", self.sort if self.sort != "score" else ""),
                    ("group", self.group or ""),
                    ("cutoff", "" if self.cutoff else "off"),
                    ("collapse", "on" if self.collapse else ""),
                    ("diversity", _plain(self.diversity) if self.diversity else ""),
                    ("hubness", "on" if self.hubness else ""),
                    ("exact", "on" if self.exact else ""),
                    ("n", str(self.limit) if self.limit != LIMIT else ""),
                    ("page", self.page or ""),
                )
                if text
            }
        )
        return made

    def but(self, **changes: Any) -> Asked:
        """This with fields as given, on its first page."""
        return replace(self, **{"page": None, **changes})

    def with_part(self, part: Part) -> Asked:
        """One part more, unless it is there (its weight is then the new one)."""
        for n, one in enumerate(self.parts):
            if (one.kind, one.what, one.unwanted) == (part.kind, part.what, part.unwanted):
                return self.but(parts=(*self.parts[:n], part, *self.parts[n + 1 :]))
        return self.but(parts=(*self.parts, part))

    def without_part(self, n: int) -> Asked:
        return self.but(parts=self.parts[:n] + self.parts[n + 1 :])

    def judged(self, image_id: int, *, right: bool) -> Asked:
        """An image that was found is right or wrong; said again, it is neither."""
        mine, other = (self.more, self.less) if right else (self.less, self.more)
        mine = tuple(one for one in mine if one != image_id) if image_id in mine else (*mine, image_id)
        other = tuple(one for one in other if one != image_id)
        return self.but(more=mine, less=other) if right else self.but(more=other, less=mine)


@dataclass(frozen=True, slots=True)
class Read:
    """What an address asks for, and what of it (``name=value``) could not be read."""

    asked: Asked
    unread: tuple[str, ...] = ()


def read(parameters: Mapping[str, Sequence[str]]) -> Read:
    """Of the query of an address; names that are not of searches are passed over."""
    unread: list[str] = []
    parts: list[Part] = []
    for name, pictures, unwanted in (
        ("q", False, False),
        ("like", True, False),
        ("not", False, True),
        ("unlike", True, True),
    ):
        for value in parameters.get(name, ()):
            part = _part(value, pictures, unwanted)
            if part is not None and len(parts) < _PARTS:
                parts.append(part)
            elif value.strip():  # `q=` alone is a form sent empty
                unread.append(f"{name}={value}")

    where: list[str] = []
    for value in parameters.get("where", ()):
        if value.strip() and len(value) <= _TEXT and len(where) < _PARTS:
            where.append(value.strip())
        elif value.strip():
            unread.append(f"where={value}")
    more = _ids(parameters, "more", (), unread)
    less = _ids(parameters, "less", more, unread)

    def one_of(name: str, allowed: Sequence[str], default: str) -> Any:
        value = _last(parameters, name)
        if value in (None, "", *allowed):
            return value or default
        unread.append(f"{name}={value}")
        return default

    return Read(
        Asked(
            tuple(parts),
            tuple(where),
            more,
            less,
            by=one_of("by", get_args(By), "image"),
            sort=one_of("sort", get_args(Sort), "score"),
            group=one_of("group", get_args(GroupBy), "") or None,
            cutoff=one_of("cutoff", ("on", "off"), "on") == "on",
            collapse=one_of("collapse", ("on", "off"), "off") == "on",
            diversity=_number(parameters, "diversity", 0.0, 0.0, 1.0, unread),
            hubness=one_of("hubness", ("on", "off"), "off") == "on",
            exact=one_of("exact", ("on", "off"), "off") == "on",
            limit=int(_number(parameters, "n", LIMIT, 1, MOST, unread)),
            page=_page(parameters, unread),
        ),
        tuple(text if len(text) <= 80 else text[:80] + "…" for text in unread),
    )


#: Names in an address that belong to a search.
NAMES: Final = (
    *("q", "not", "like", "unlike", "where", "more", "less", "by", "sort", "group"),
    *("cutoff", "collapse", "diversity", "hubness", "exact", "n", "page"),
)
#: Those of them that say how an answer is shaped: they make no entry in the history of a browser.
SMALL: Final = ("by", "sort", "group", "cutoff", "collapse", "diversity", "hubness", "exact", "n")


def words(text: str, *, weight: float = 1.0) -> Asked:
    """A search for words."""
    return Asked((Part("words", text.strip(), weight),))


def more_like(image_id: int) -> Asked:
    """A search for what looks like a stored image."""
    return Asked((Part("image", str(image_id)),))


def only(*where: str) -> Asked:
    """All pictures for which these conditions hold (docs/where.md), the newest first."""
    return Asked(where=where)


def literal(text: str) -> str:
    """A text as it stands in a condition."""
    return "'" + text.replace("'", "''") + "'"


def link(collection: str, asked: Asked) -> str:
    """The address of a search, from the root of the pages. Pages lead there without a reload by
    ``st.switch_page(shell.page("search"), query_params=asked.parameters(collection))``."""
    return "/?" + urlencode(asked.parameters(collection), doseq=True)


def typed(text: str) -> Part | None:
    """What is typed into the box, where it is words (``2:beach``) or a stored image (``id:17``); a minus before it
    (``-snow``) says that it is not wanted. None for nothing. Raises QueryError for a weight that is none.

    Paths and URLs are told apart by the page, since only what is typed, not what is linked to, may open them.
    """
    said = text.strip()
    unwanted = len(said) > 1 and said[0] == "-" and not said[1].isspace()
    weight, what = split_weight(said[1:].strip() if unwanted else said)
    what = what.strip()
    if found := re.fullmatch(r"id:(\d{1,19})", what, re.ASCII):
        if int(found[1]) >= 1 << 63:
            raise QueryError(f"there is no image {found[1]}", hint="ids are shown beside each picture")
        return Part("image", str(int(found[1])), weight, unwanted)
    what = what.removeprefix("text:").strip()
    if len(what) > _TEXT:
        raise QueryError(f"these words are longer than {_TEXT:,} characters", hint="ask for less at once")
    return Part("words", what, weight, unwanted) if what else None


def _split(text: str) -> tuple[float, str] | None:
    """The weight that a text begins with, and the rest; None for one that is no weight (0, infinity)."""
    try:
        return split_weight(text)
    except QueryError:
        return None


def _part(value: str, pictures: bool, unwanted: bool) -> Part | None:
    found = _split(value)
    if found is None or len(value) > _TEXT or "\0" in value:
        return None
    weight, what = found[0], found[1].strip()
    if not pictures:
        return Part("words", what, weight, unwanted) if what else None
    kind, _, name = what.partition(":")
    if kind == "id" and _ID.fullmatch(name) and int(name) < 1 << 63:
        return Part("image", str(int(name)), weight, unwanted)
    if kind == "upload" and _HASH.fullmatch(name):
        return Part("upload", name, weight, unwanted)
    return None


def _ids(
    parameters: Mapping[str, Sequence[str]], name: str, taken: Sequence[int], unread: list[str]
) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for value in parameters.get(name, ()):
        for one in value.split(","):
            text = one.strip()
            fits = _ID.fullmatch(text) and int(text) < 1 << 63 and int(text) not in taken
            if fits and len(found) < _FEEDBACK:
                found[int(text)] = None
            elif text:
                unread.append(f"{name}={text}")
    return tuple(found)


def _last(parameters: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = parameters.get(name, ())
    return values[-1] if values else None


def _number(
    parameters: Mapping[str, Sequence[str]],
    name: str,
    default: float,
    low: float,
    high: float,
    unread: list[str],
) -> float:
    value = _last(parameters, name)
    if not value:
        return default
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if low <= number <= high:
        return number
    unread.append(f"{name}={value}")
    return default


def _page(parameters: Mapping[str, Sequence[str]], unread: list[str]) -> str | None:
    value = _last(parameters, "page")
    if not value:
        return None
    if re.fullmatch(r"[\w-]{1,200}", value, re.ASCII):
        return value
    unread.append(f"page={value}")
    return None


def _plain(number: float) -> str:
    """A number as weights are written: no exponent, no needless zeros."""
    text = f"{Decimal(repr(float(number))):f}"
    return text.removesuffix(".0")
