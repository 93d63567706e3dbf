"""Changes that people make on the pages, each with its inverse: what *Undo* and Ctrl+Z run.

Whatever changes a collection on behalf of a page does it here, so that every change can be undone, and is described in
the same words. They are kept in memory: a restart of the server forgets them, not what they changed.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import streamlit as st

from imseek import albums, edits, tags
from imseek.collection import Collection
from imseek.edits import ImageEdit
from imseek.errors import UsageError
from imseek.types.albums import AlbumReport
from imseek.types.tags import TagReport
from imseek.ui.render.words import format_count
from imseek.ui.web.plain_text import one_line

#: Ways to change an album by images.
AlbumAct: TypeAlias = Literal["add", "create", "remove", "front", "cover"]
#: Maximum number of changes that can be undone, of all pages together.
_KEPT: Final = 500
#: Meaning of the ratings without stars.
_RATINGS: Final = {0: "Marked as unrated", -1: "Marked as rejected"}
#: Changes that a page's Python made, until the browser knows them.
_ANNOUNCEMENTS: Final = "changes-announcements"
#: Held while values of an image are read and written: a caption and a rating may be changed at the same time.
_EDITING: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Change:
    """A change, in words, and the call that reverses it."""

    text: str
    undo: Callable[[], object]


class ChangeLog:
    """Changes by token, up to a bound. Thread-safe."""

    def __init__(self) -> None:
        self._changes: OrderedDict[str, Change] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, change: Change) -> dict[str, str]:
        """Keep a change, and return what the browser needs to offer its undoing: ``token`` and ``text``."""
        token = secrets.token_urlsafe(12)
        with self._lock:
            self._changes[token] = change
            while len(self._changes) > _KEPT:
                self._changes.popitem(last=False)
        return {"token": token, "text": change.text}

    def undo(self, token: str) -> str:
        """Undo a change, once, and return its words. Raises UsageError for an unknown one, and what undoing raises.

        If undoing fails, for example because another program is writing, it can be tried again.
        """
        with self._lock:
            change = self._changes.pop(token, None)
        if change is None:
            raise UsageError("this can no longer be undone", hint="imseek was started again, or it was undone before")
        try:
            change.undo()
        except BaseException:
            with self._lock:
                self._changes[token] = change
            raise
        return change.text


#: The changes of this process.
change_log: Final = ChangeLog()


def announce(change: Change, *, is_of_session: bool = False) -> None:
    """Record a change that a page's Python has made; the next run of the page tells the browser.

    One ``is_of_session`` changes the page, not the collection: only a run of the page can undo it.
    """
    recorded = {**change_log.record(change), "is_of_session": is_of_session}
    st.session_state.setdefault(_ANNOUNCEMENTS, []).append(recorded)


def announcements() -> list[dict[str, Any]]:
    """Return the latest changes that were announced in this session, the oldest first."""
    announced_changes: list[dict[str, Any]] = st.session_state.get(_ANNOUNCEMENTS, [])
    return announced_changes[-20:]


# -- tags ------------------------------------------------------------------------------------------------------


def tag_images(collection: Collection, tag: str, ids: Sequence[int], *, add: bool) -> tuple[TagReport, Change | None]:
    """Add a tag to images or remove it; returns no change if nothing changed. Raises as :func:`imseek.tags.add`."""
    tag = tag.strip() if add else tag
    before = _tag_state(collection, tag, ids)
    report = (tags.add if add else tags.remove)(collection, tag, ids)
    if not report.changed:
        return report, None
    count = format_count(report.changed, "picture")
    if tag == tags.FAVOURITE:
        text = f"{count} added to favourites" if add else f"{count} removed from favourites"
    else:
        text = f"{count} tagged “{one_line(tag)}”" if add else f"“{one_line(tag)}” removed from {count}"
    return report, Change(text, lambda: albums.restore(collection, before))


def rename_tag(collection: Collection, tag: str, to: str) -> tuple[TagReport, Change]:
    """Rename a tag. Raises as :func:`imseek.tags.rename`."""
    before = albums.state(collection, [tag, to])
    report = tags.rename(collection, tag, to)
    return report, Change(f"“{one_line(tag)}” renamed to “{one_line(to)}”", lambda: albums.restore(collection, before))


def remove_tag(collection: Collection, tag: str) -> tuple[TagReport, Change]:
    """Remove a tag from all images. Raises as :func:`imseek.tags.remove`."""
    before = _tag_state(collection, tag)
    report = tags.remove(collection, tag, everywhere=True)
    count = format_count(report.changed, "picture")
    return report, Change(f"“{one_line(tag)}” removed from {count}", lambda: albums.restore(collection, before))


# -- albums ----------------------------------------------------------------------------------------------------


def change_album(
    collection: Collection, name: str, ids: Sequence[int], act: AlbumAct
) -> tuple[AlbumReport, Change | None]:
    """Change an album: add, remove or reorder images, or choose its cover; ``create`` also makes a new album.

    Returns no change if nothing changed. Raises as :func:`imseek.albums.add`.
    """
    name = name.strip()
    quoted_name = f"“{one_line(name)}”"
    new = act == "create" and all(one.name != name for one in albums.every(collection))
    before = albums.state(collection, [name], ids)
    if act == "cover":
        report = albums.set_cover(collection, name, ids[0] if ids else None)
        text = f"Cover of {quoted_name} chosen"
    elif act == "front":
        report = albums.arrange(collection, name, ids)
        text = f"{format_count(len(ids), 'picture')} moved to the front of {quoted_name}"
    else:
        report = (albums.create if new else albums.remove if act == "remove" else albums.add)(collection, name, ids)
        count = format_count(report.changed, "picture")
        text = f"{count} removed from {quoted_name}" if act == "remove" else f"{count} added to {quoted_name}"
        if new:
            text = f"Album {quoted_name} created" + (f" with {count}" if report.changed else "")
        elif not report.changed:
            return report, None
    return report, Change(text, lambda: albums.restore(collection, before))


def edit_albums(collection: Collection, names: Sequence[str], text: str, act: Callable[[], object]) -> Change:
    """Do what concerns the albums ``names`` as a whole, such as renaming one, and return it with its inverse."""
    before = albums.state(collection, names)
    act()
    return Change(text, lambda: albums.restore(collection, before))


# -- captions and ratings ---------------------------------------------------------------------------------------


def edit_image(collection: Collection, image_id: int, **values: Any) -> Change | None:
    """State the ``caption`` or ``rating`` of an image; None is what the picture itself says.

    Returns no change if nothing changed. Raises as :func:`imseek.edits.put`, and UsageError for a wrong value.
    """
    if (before := _put_values(collection, image_id, values)) is None:
        return None
    if "rating" in values:
        rated = values["rating"]
        text = "Rating removed" if rated is None else f"Rated {rated} of 5" if rated > 0 else _RATINGS[rated]
    else:
        text = "Caption removed" if values["caption"] is None else "Caption changed"
    previous = {name: getattr(before, name) for name in values}
    return Change(text, lambda: _put_values(collection, image_id, previous))


def _put_values(collection: Collection, image_id: int, values: Mapping[str, Any]) -> ImageEdit | None:
    """Store edited values of an image, and return its former edit; None if nothing changed."""
    with _EDITING:
        before = edits.of(collection, [image_id])[image_id]
        changed = edits.put(collection, {image_id: replace(before, **values)})
    return before if changed else None


def _tag_state(collection: Collection, tag: str, ids: Sequence[int] | None = None) -> albums.AlbumState:
    """Return who gave a tag to each image, or to those of ``ids``, and the order of the album of that name, if any."""
    state = albums.state(collection, [tag], ids or ())
    among = None if ids is None else set(ids)
    return albums.AlbumState(
        {name: row for name, row in state.rows.items() if row is not None},
        {pair: by for pair, by in state.tags.items() if among is None or pair[0] in among},
    )
