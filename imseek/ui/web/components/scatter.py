"""A map of pictures that can be moved, zoomed, pointed at, and selected from with a lasso."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from imseek.ui.render.map_page.colouring import Colouring
from imseek.ui.render.map_page.document import drawing_script
from imseek.ui.web import blobs
from imseek.ui.web.blobs import Blob

_HERE = Path(__file__).parent
_FILES = ("scatter.css", "mounting.js", "picture_address.js", "scatter_overlay.js", "scatter.js")
#: Maximum number of corners of a lasso.
_CORNERS = 20_000


@dataclass(frozen=True, slots=True)
class PointData:
    """Data of ``count`` points, from :func:`store_points`."""

    data: Blob
    pictured: Blob
    count: int


@dataclass(frozen=True, slots=True)
class ColourData:
    """Colours of points. ``data`` is None if all have one colour.

    ``pictured`` is None if the same pictures are shown as without colours.
    """

    data: Blob | None
    colouring: Colouring
    pictured: Blob | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Lasso:
    """A closed line around points, with ``corners`` (k, 2) float64 in their coordinates.

    If ``shades`` is not None, only points of those of the colouring at the address ``colours`` are meant. With ``add``,
    they are added to the selection.
    """

    corners: npt.NDArray[np.float64]
    shades: tuple[int, ...] | None
    colours: str | None
    add: bool


def store_points(ids: npt.NDArray[np.int64], places: npt.NDArray[np.float32], pictured: npt.ArrayLike) -> PointData:
    """Store images ``ids`` (n,) at ``places`` (n, 2), from -1 to 1, for the browser.

    ``pictured`` are rows whose pictures are drawn where there is room, most important first.
    """
    columns = (ids.astype("<i8"), places[:, 0].astype("<f4"), places[:, 1].astype("<f4"))
    return PointData(blobs.store_blob(b"".join(column.tobytes() for column in columns)), _rows(pictured), len(ids))


def store_colours(colouring: Colouring, pictured: npt.ArrayLike | None = None) -> ColourData:
    """Store the colours of points, in their order. ``pictured`` as for :func:`store_points`, if others are to be
    shown."""
    if colouring.values is None:
        return ColourData(None, colouring)
    values = colouring.values
    data = values.astype(f"<{values.dtype.kind}4").tobytes() + colouring.shades.tobytes()
    return ColourData(blobs.store_blob(data), colouring, None if pictured is None else _rows(pictured))


def _rows(rows: npt.ArrayLike) -> Blob:
    return blobs.store_blob(np.asarray(rows, "<u4").tobytes())


def scatter(
    points: PointData,
    colours: ColourData,
    *,
    images: str,
    names: str,
    selected: npt.NDArray[np.bool_] | None = None,
    regions: ColourData | None = None,
    key: str,
    on_lasso: Callable[[Lasso], None],
    on_toggle: Callable[[int], None],
    on_clear: Callable[[], None],
    on_gone: Callable[[], None],
    on_drawn: Callable[[], None],
) -> int | None:
    """Draw a map; returns the id of the picture that was clicked in this run.

    ``images`` and ``names`` are base URLs of pictures and of names. ``selected`` (n,) marks the selected points.
    ``regions`` has the values that name parts of the map. The callbacks run before the page does and change the
    selection; ``on_gone`` is called if stored data has been dropped and must be made anew, ``on_drawn`` when a map
    without ``regions`` has been drawn, so that what takes longer can be made then.
    """

    def listen(name: str, act: Callable[[Any], None]) -> Callable[[], None]:
        def callback() -> None:
            value = getattr(st.session_state.get(key), name, None)
            if value is not None:
                act(value)

        return callback

    def select(value: Any) -> None:
        if (lasso := read_lasso(value)) is not None:
            on_lasso(lasso)

    marks = None if selected is None else blobs.store_blob(np.packbits(selected, bitorder="little").tobytes())
    events = _mount()(
        key=key,
        data={
            "points": {"address": points.data.address, "count": points.count},
            "pictured": {"address": (colours.pictured or points.pictured).address},
            "colours": {
                "address": None if colours.data is None else colours.data.address,
                "colours": list(colours.colouring.colours),
                "told": colours.colouring.legend,
            },
            "selection": None
            if marks is None or selected is None
            else {"address": marks.address, "count": int(selected.sum())},
            "regions": None
            if regions is None or regions.data is None or regions.colouring.legend is None
            else {"address": regions.data.address, "labels": regions.colouring.legend.get("labels", [])},
            "images": images,
            "names": names,
        },
        on_lassoed_change=listen("lassoed", select),
        on_toggled_change=listen("toggled", lambda value: on_toggle(int(value))),
        on_cleared_change=listen("cleared", lambda _: on_clear()),
        on_drawn_change=listen("drawn", lambda _: on_drawn()),
        on_gone_change=listen("gone", lambda _: on_gone()),
        on_opened_change=lambda: None,
    )
    opened_id = getattr(events, "opened", None)
    return opened_id if isinstance(opened_id, int) else None


def read_lasso(value: Any) -> Lasso | None:
    """Validate a lasso from the browser, None if it is invalid: a logged-in client can send anything."""
    if not isinstance(value, Mapping):
        return None
    corners, only, colours = value.get("corners"), value.get("only"), value.get("colours")
    if not isinstance(corners, list) or not 6 <= len(corners) <= 2 * _CORNERS or len(corners) % 2:
        return None
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in corners):
        return None
    at = np.array(corners, np.float64).reshape(-1, 2)
    if not np.isfinite(at).all():
        return None
    shades = only if isinstance(only, list) and all(type(one) is int and 0 <= one <= 255 for one in only) else None
    return Lasso(
        at,
        None if shades is None else tuple(shades),
        colours if isinstance(colours, str) else None,
        value.get("add") is True,
    )


@cache
def _mount() -> Any:
    css, *js = ((_HERE / name).read_text("utf-8") + "\n" for name in _FILES)
    return st.components.v2.component("imseek_scatter", css=css, js=drawing_script() + "".join(js))
