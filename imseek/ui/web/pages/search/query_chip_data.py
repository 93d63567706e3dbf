"""A search as the text of the search box and chips. Plain functions, without Streamlit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from imseek.search import Region, is_shares
from imseek.ui.web import search_state as asking
from imseek.ui.web.components.chips import Chip
from imseek.ui.web.pages.search import where_conditions
from imseek.ui.web.pages.search.where_conditions import FOLDER, TAG, Filter
from imseek.ui.web.search_state import QueryPart, SearchState

#: Descriptions of what is compared, and of options that differ from the defaults, for lists of searches.
_BY: Final = {"auto": "by pictures and words", "image": "by pictures", "caption": "by captions", "text": "by words"}
_KNOBS: Final = {
    "sort": "by date",
    "group_by": "in groups",
    "cutoff": "less relevant too",
    "collapse": "near-duplicates too",
    "diversity": "varied",
    "rerank": "by a reranker",
    "hubness": "without pictures that match everything",
    "exact": "exact search",
}
#: Precede a tag and a folder in the search box.
_TAG: Final = "tag:"
_FOLDER: Final = "folder:"
#: A token after the words: a tag, a folder, or unwanted words, in quotes if there are several.
_TOKEN: Final = re.compile(r'(?:^|(?<=\s))(tag:|folder:|-)(?:"([^"]+)"|([^\s"-][^\s"]*))(?=\s|$)')


@dataclass(frozen=True, slots=True)
class Picture:
    """A stored image as a chip shows it: its name, the URL of a small picture, and its size in pixels, 0 if unknown."""

    name: str
    src: str
    size: tuple[int, int] = (0, 0)

    def part(self, region: Region | None) -> Picture:
        """Return the picture as the chip of a region of it names it."""
        return self if region is None else replace(self, name=f"part of {self.name}")

    def shares(self, region: Region | None) -> tuple[float, ...]:
        """Return the region in shares of the picture; empty without a region, or if the picture's size is unknown."""
        if region is None or is_shares(region):
            return region or ()
        width, height = self.size
        x, y, wide, high = region
        return (x / width, y / height, wide / width, high / height) if width and height else ()


def box_part_index(state: SearchState) -> int | None:
    """Return the index of the part shown in the search box, the first wanted words."""
    return next((n for n, part in enumerate(state.parts) if part.kind == "words" and not part.unwanted), None)


def box_text(state: SearchState) -> str:
    """Return the text of the search box, as it would be typed."""
    n = box_part_index(state)
    return "" if n is None else state.parts[n].written()[1]


def submit_text(state: SearchState, text: str) -> SearchState:
    """Apply the submitted text of the search box. Raises QueryError.

    Words replace those that were there; a picture (``id:17``), a tag or folder as a filter (``tag:beach``,
    ``folder:2019``) and what is unwanted (``-snow``) are added, each alone, or after words.
    """
    text = text.strip()
    tokens = list(_TOKEN.finditer(text))
    is_quoted = bool(tokens and not tokens[0].start() and tokens[0][1] != "-" and tokens[0][2])
    if len(tokens) < 2 and not is_quoted:  # Without quotes, the whole text is the name.
        for prefix in (_TAG, _FOLDER):
            if text.startswith(prefix) and (name := text[len(prefix) :].strip()):
                return _add_filter(state, prefix, name.strip('"'))
    # A text that begins with a minus is unwanted as a whole, unless it has several parts.
    if is_quoted or len(tokens) > 1 or (tokens and tokens[0].start()):
        for token in tokens:
            prefix, value = token[1], token[2] or token[3]
            state = add_words(state, value, unwanted=True) if prefix == "-" else _add_filter(state, prefix, value)
        words = " ".join(_TOKEN.sub("", text).split())
        return submit_text(state, words) if words else state
    part = asking.parse_typed(text)
    n = box_part_index(state)
    if part is not None and (part.kind != "words" or part.unwanted):
        return state.with_part(part)
    if part is None:
        return state if n is None else state.without_part(n)
    if n is None:
        return state.with_changes(parts=(part, *state.parts))
    others = (one for i, one in enumerate(state.parts) if i != n)
    if any(replace(one, weight=part.weight) == part for one in others):
        return state.without_part(n).with_part(part)
    return state.with_changes(parts=(*state.parts[:n], part, *state.parts[n + 1 :]))


def _add_filter(state: SearchState, prefix: str, name: str) -> SearchState:
    """Limit a search to a tag, or to a folder: a whole path, or what its path contains."""
    if prefix == _TAG:
        new = Filter(TAG, (name,))
    elif name.startswith("/"):
        new = Filter(FOLDER, below=(name.rstrip("/") or "/",))
    else:
        new = Filter(FOLDER, holds=name)
    return state.with_changes(where=where_conditions.replace_filter(state.where, new))


def add_words(state: SearchState, text: str, *, unwanted: bool) -> SearchState:
    """Add words, wanted or not. Raises QueryError."""
    part = asking.parse_typed(text)
    return state if part is None else state.with_part(replace(part, unwanted=unwanted or part.unwanted))


def chips(state: SearchState, stored: Mapping[int, Picture], uploaded: Callable[[str], str]) -> tuple[Chip, ...]:
    """Return a chip for each part and condition; a search for plain words alone needs none.

    ``stored`` holds the existing images by id; ``uploaded`` returns the URL of a small picture by its hash, or "".
    """

    def picture(image_id: int) -> Picture:
        return stored.get(image_id, Picture(f"picture {image_id} (not in this collection)", ""))

    items = []
    alone = len(state.parts) == 1 and state.parts[0] == QueryPart("words", state.parts[0].what)
    for n, part in enumerate(() if alone else state.parts):
        if part.kind == "words":
            icon = Picture(part.what, "")
        elif part.kind == "image":
            icon = picture(int(part.what)).part(part.region)
        else:
            icon = Picture("your picture", uploaded(part.what)).part(part.region)
        items.append(
            Chip(
                f"part-{n}",
                icon.name,
                says="not" if part.unwanted else "like" if part.kind != "words" else "also" if n else "find",
                flips="Include this instead" if part.unwanted else "Exclude this instead",
                src=icon.src,
                region=icon.shares(part.region),
                tone="unwanted" if part.unwanted else "",
                weight=part.weight if len(state.parts) > 1 else None,
            )
        )
    for name, ids, tone in (("more", state.more, ""), ("less", state.less, "unwanted")):
        items += [
            Chip(
                f"{name}-{one}",
                picture(one).name,
                says=f"{name} like",
                flips="Less like this instead" if name == "more" else "More like this instead",
                src=picture(one).src,
                tone=tone,
            )
            for one in ids
        ]
    items += [
        Chip(f"where-{n}", where_conditions.describe_condition(condition), says="only", title=condition)
        for n, condition in enumerate(state.where)
    ]
    return tuple(items)


def apply_chip_change(state: SearchState, chip: str, change: str, value: object) -> SearchState:
    """Apply a change of a chip; chips that no longer exist change nothing."""
    kind, _, name = chip.partition("-")
    if not name.isascii() or not name.isdigit():
        return state
    n = int(name)
    if kind == "where" and change == "remove" and n < len(state.where):
        return state.with_changes(where=state.where[:n] + state.where[n + 1 :])
    if kind in ("more", "less") and n in (state.more if kind == "more" else state.less):
        return state.mark(n, right=(kind == "more") == (change == "remove"))
    if kind != "part" or n >= len(state.parts):
        return state
    part = state.parts[n]
    if change == "remove":
        return state.without_part(n)
    if change == "flip":
        return state.without_part(n).with_part(replace(part, unwanted=not part.unwanted))
    if change == "weight" and isinstance(value, int | float) and 0 < value <= 1e6:
        return state.with_changes(parts=(*state.parts[:n], replace(part, weight=float(value)), *state.parts[n + 1 :]))
    return state


def summarise_search(state: SearchState) -> str:
    """Describe a search in a few words, for lists of searches."""
    phrases = []
    for part in state.parts:
        a_part = "" if part.region is None else "part of "
        by_kind = {
            "words": part.what,
            "image": f"like {a_part}picture {part.what}",
            "upload": f"like {a_part}a picture of yours",
        }
        phrases.append(f"not {by_kind[part.kind]}" if part.unwanted else by_kind[part.kind])
    phrases += [where_conditions.describe_condition(condition) for condition in state.where]
    count = len(state.more) + len(state.less)
    if count:
        phrases.append(f"{count} judged")
    usual = SearchState()
    phrases += [_BY[state.by]] if state.by != usual.by else []
    phrases += [words for name, words in _KNOBS.items() if getattr(state, name) != getattr(usual, name)]
    if isinstance(state.cutoff, str):
        phrases[phrases.index(_KNOBS["cutoff"])] = f"at most {state.cutoff} lost"
    return " · ".join(phrases) or "everything"
