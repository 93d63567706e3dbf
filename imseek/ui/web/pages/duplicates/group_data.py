"""Data to show a group: facts of its images and their differences, and which one is suggested to stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from imseek.duplicates.results import Duplicate, DuplicateGroup, DuplicatePair
from imseek.types.pictures import display_path
from imseek.ui.render.duplicates_page import DIFFERENCE_COLOUR, KIND_LABELS, describe_boxes, percent
from imseek.ui.render.words import format_count, format_size
from imseek.ui.web import app_state
from imseek.ui.web.image_details import BROWSER_FORMATS
from imseek.ui.web.pages.duplicates.decisions import State, is_foreign, token

#: Maximum number of images of a group that are drawn; a decision covers all of them.
MAX_SHOWN: Final = 60
#: Sides of thumbnails, by maximum size of the group.
_SIDES: Final = ((4, 640), (12, 384), (MAX_SHOWN, 256))

#: CSS matrices (a, b, c, d), y down, that turn the first picture into the second, by names of
#: :data:`imseek.duplicates.pixels.orientations.ORIENTATIONS`.
_TURNS: Final[dict[str, tuple[int, int, int, int]]] = {
    "": (1, 0, 0, 1),
    "mirrored": (-1, 0, 0, 1),
    "rotated 180": (-1, 0, 0, -1),
    "mirrored, rotated 180": (1, 0, 0, -1),
    "mirrored, rotated 270": (0, 1, 1, 0),
    "rotated 90": (0, 1, -1, 0),
    "mirrored, rotated 90": (0, -1, -1, 0),
    "rotated 270": (0, -1, 1, 0),
}


def group_data(names: Callable[[str], str | None], group: DuplicateGroup, state: State) -> list[dict[str, Any]]:
    """Return the data of the images, the suggested one first. ``names`` maps the UUID of a collection to its name."""
    side = next((side for most, side in _SIDES if len(group.members) <= most), _SIDES[-1][1])
    facts = [_facts(member) for member in group.members]
    if is_foreign(group):
        for fact, member in zip(facts, group.members, strict=True):
            fact["collection"] = names(member.collection) or member.collection
    is_here = len({member.collection for member in group.members}) == 1
    return [
        {
            "id": n,
            "image": member.image_id if is_here else None,
            **_picture(names, member, side),
            "said": _reason_text(group, member),
            "facts": [
                {"name": name, "value": value, "differs": value != facts[0][name]} for name, value in facts[n].items()
            ],
            "suggested": member is group.keeper and group.has_suggestion,
            "mark": _mark(group, state, member),
            "turn": _turn_back(group.keeper, member),
            "boxes": [[box.left, box.top, box.width, box.height] for box in group.boxes_in(member)],
            "outline": DIFFERENCE_COLOUR,
        }
        for n, member in enumerate(group.members[:MAX_SHOWN])
    ]


def heading(group: DuplicateGroup) -> str:
    freed = format_size(group.surplus_bytes)
    text = f"{KIND_LABELS[group.kind].capitalize()}: {format_count(len(group.members), 'picture')}"
    return f"{text}, {freed} could be freed" if group.surplus else text


def describe_decision(group: DuplicateGroup, state: State) -> str:
    """Describe the decision; "" if there is none."""
    match state.act:
        case "keep":
            names = [name(member) for member in group.members if token(member) in state.keep]
            return f"Keep {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
        case "different":
            return "All stay" if len({one.content_hash for one in group.members}) == 1 else "No duplicates"
        case "later":
            return "Later"
    return ""


def thumbnails(names: Callable[[str], str | None], group: DuplicateGroup) -> list[str]:
    """Return the URLs of thumbnails to prefetch."""
    side = next((side for most, side in _SIDES if len(group.members) <= most), _SIDES[-1][1])
    return [_picture(names, member, side)["src"] for member in group.members[:6]]


def name(member: Duplicate) -> str:
    return "place unknown" if member.place is None else _split(member)[1]


def _picture(names: Callable[[str], str | None], member: Duplicate, side: int) -> dict[str, Any]:
    collection = names(member.collection) or ""
    large = app_state.thumbnail_url(collection, member.image_id, app_state.LARGE)
    whole = member.format.upper() in BROWSER_FORMATS  # Then the browser can show every pixel.
    return {
        "name": name(member),
        "src": app_state.thumbnail_url(collection, member.image_id, side),
        "large": large,
        "whole": app_state.picture_url(collection, member.image_id) if whole else large,
        "width": member.width,
        "height": member.height,
    }


def _facts(member: Duplicate) -> dict[str, str]:
    folder, _ = _split(member)
    return {
        "pixels": f"{member.width:,} × {member.height:,}",
        "size": f"a {member.link} link" if member.link else format_size(member.bytes),
        "format": member.format,
        "taken": (member.taken_at or "not known").replace("T", " "),
        "name": name(member),
        "folder": folder,
    }


def _split(member: Duplicate) -> tuple[str, str]:
    if member.place is None:
        return "place unknown", ""
    folder, _, last = member.place.path.rpartition(b"/")
    return display_path(folder), display_path(last)


def _reason_text(group: DuplicateGroup, member: Duplicate) -> str:
    if member is group.keeper:
        return group.reason
    if member.protected:
        return "in a protected folder"
    return ", ".join(text for text in (describe_relation(member.pair), describe_boxes(group.boxes_in(member))) if text)


def describe_relation(pair: DuplicatePair | None) -> str:
    """Describe how an image is related to the suggested one."""
    if pair is None:
        return ""
    parts = ["the same bytes" if pair.kind == "exact" else KIND_LABELS[pair.kind]]
    if pair.kind != "exact":
        parts.append("as judged" if pair.judged else f"{percent(pair.confidence)} sure")
    if pair.orientation:
        parts.append(pair.orientation)
    return ", ".join(parts)


def _mark(group: DuplicateGroup, state: State, member: Duplicate) -> str:
    """Return the word over the corner of a picture."""
    if member.protected:
        return "protected"
    if state.is_settled:
        theirs = member is group.keeper and is_foreign(group)
        return "stays" if theirs or state.act == "different" or token(member) in state.keep else ""
    return "suggested" if member is group.keeper and group.has_suggestion else ""


def _turn_back(keeper: Duplicate, member: Duplicate) -> Sequence[int] | None:
    """Return the matrix that lays a picture over the keeper, None if both are oriented alike."""
    pair = member.pair
    if pair is None or not pair.orientation or pair.orientation not in _TURNS:
        return None
    a, b, c, d = _TURNS[pair.orientation]
    # The matrix maps the image with the lower id to the other, or an image of this collection to one of another
    # collection. Its inverse is its transpose.
    first = keeper.collection == member.collection and keeper.image_id < member.image_id
    return (a, c, b, d) if first else (a, b, c, d)
