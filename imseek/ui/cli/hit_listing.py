"""Print hits for people: as a table, or as paths."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from imseek.ui.cli import notice_history
from imseek.ui.cli.output import say
from imseek.ui.render.text import format_place, table
from imseek.ui.render.words import format_count, printable, shorten

if TYPE_CHECKING:
    from imseek.search import By
    from imseek.types.search_results import Hit, SearchResult

_CAPTION_WIDTH = 60
#: Styles of ECMA-48, which terminals know.
_BOLD: Final = "1"
_DIM: Final = "2"


def print_table(
    result: SearchResult, by: By, names: Mapping[str, str], *, colour: bool = False, empty: str = "no hits"
) -> None:
    """Print hits as a table, or ``empty`` without hits, then notes. ``names`` maps collection UUIDs to names."""
    if result.nothing:
        empty = "nothing here shows that"
    print(_grouped_table(result, by, names, _in_colour if colour else _plain) if result.hits else empty)
    if result.cut:
        more = "more " if result.hits else ""
        lost = "" if result.lost is None else f", with about {result.lost:.0%} of what is relevant"
        print(f"… {result.cut:,} {more}below the cutoff{lost}; --cutoff none shows them")
    if len(result.spaces) > 1:
        shares = (f"{share.weight:.0%} {printable(share.encoder)}" for share in result.spaces)
        print(f"score: the mean of the cosines in {len(result.spaces)} spaces ({', '.join(shares)})")
    for note in notice_history.due_notes(result.notes):
        print(printable(note))


def print_paths(result: SearchResult, *, exact: bool) -> None:
    """Print paths as :func:`print_places`, and notes on stderr."""
    print_places(result.hits, exact=exact)
    say_notes(result)


def print_places(hits: Iterable[Hit], *, exact: bool) -> int:
    """Print paths, one escaped path a line; with ``exact`` as raw bytes, each followed by NUL. Returns their number."""
    places = [hit.place for hit in hits if hit.place is not None]
    if exact:
        sys.stdout.buffer.write(b"".join(place.path + b"\0" for place in places))
    else:
        for place in places:
            print(place.display)
    return len(places)


def say_notes(result: SearchResult) -> None:
    """Print the notes of a result on stderr, for output that programs read."""
    for note in notice_history.due_notes(result.notes):
        say(printable(note))


def _plain(text: str, style: str) -> str:
    return text


def _in_colour(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m"


def _grouped_table(result: SearchResult, by: By, names: Mapping[str, str], style: Callable[[str, str], str]) -> str:
    from imseek.types.search_results import describe_matches  # NumPy, which `--help` does without.

    head, *rows = _table(result.hits, by, names).split("\n")
    for n, hit in enumerate(result.hits):
        if matches := describe_matches(hit.matches):
            rows[n] += f"\n   {style(f'matched: {printable(matches)}', _DIM)}"
    lines = [style(head, _BOLD)]
    for group in result.groups:
        name = "unknown" if group.name is None else printable(group.name)
        lines.append(style(f"{name} ({format_count(group.size, 'hit')})", _BOLD))
        lines += rows[: len(group.hits)]
        del rows[: len(group.hits)]
    return "\n".join(lines + rows)


def _table(hits: Sequence[Hit], by: By, names: Mapping[str, str]) -> str:
    """Format one line per hit, without uninformative columns."""
    columns = {
        "#": [str(n) for n in range(1, len(hits) + 1)],
        "score": [f"{hit.score:.3f}" for hit in hits],
        "id": [str(hit.image_id) for hit in hits],
        "same": [f"+{len(hit.duplicates)}" if hit.duplicates else "" for hit in hits],
        "caption": [shorten(str(hit.metadata.get("caption", "")), _CAPTION_WIDTH) for hit in hits],
        "collection": [printable(names.get(hit.collection, hit.collection)) for hit in hits],
        "image": [format_place(hit.place, hit.image_id) for hit in hits],
    }
    names_shown = {"#", "score", "id", "image"}
    if any(columns["same"]):
        names_shown.add("same")
    if by == "caption":
        names_shown.add("caption")
    if len(names) > 1:
        names_shown.add("collection")
    informative = {name: column for name, column in columns.items() if name in names_shown}
    right = [n for n, name in enumerate(informative) if name in ("#", "score", "id", "same")]
    return table(tuple(informative), zip(*informative.values(), strict=True), right=right)
