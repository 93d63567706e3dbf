"""The grid of thumbnails: as many tiles as fit on the screen, whatever the number of hits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Center, Container
from textual.message import Message
from textual.widgets import Static

from imseek.showing import name_of
from imseek.types.search_results import Hit
from imseek.ui.terminal.image_widgets import image_widget, update_picture

#: Minimum size of a tile with its border, in characters; the picture gets all but the border and two lines.
WIDTH: Final = 26
HEIGHT: Final = 13


class Tile(Container):
    """One hit: its picture, number, score and name."""

    DEFAULT_CSS = """
    Tile { height: 100%; border: round transparent; layout: vertical; }
    Tile.-here { border: round $accent; }
    Tile.-chosen .name { color: $success; text-style: bold; }
    Tile.-empty { visibility: hidden; }
    Tile Center { height: 1fr; align: center middle; }
    Tile Image { width: auto; height: auto; }
    Tile .none { width: 100%; height: 1; text-align: center; color: $text-muted; }
    Tile .score { height: 1; color: $text-muted; }
    Tile .name { height: 1; text-overflow: ellipsis; text-wrap: nowrap; }
    """

    class Clicked(Message):
        def __init__(self, at: int, twice: bool) -> None:
            super().__init__()
            self.at = at
            self.twice = twice

    def __init__(self) -> None:
        super().__init__()
        self.at = -1
        self._picture: bytes | str | None = None
        self._image = image_widget()
        self._none = Static("", classes="none", markup=False)
        self._score = Static("", classes="score", markup=False)
        self._label = Static("", classes="name", markup=False)

    def compose(self) -> ComposeResult:
        with Center():
            yield self._image
            yield self._none
        yield self._score
        yield self._label

    def show(
        self, index: int, hit: Hit | None, picture: bytes | str | None, *, is_current: bool, is_selected: bool
    ) -> None:
        """Show a hit; ``picture`` is encoded, the reason why there is none, or None (not loaded yet)."""
        self.at = index
        self.set_class(hit is None, "-empty")
        self.set_class(is_current, "-here")
        self.set_class(is_selected, "-chosen")
        if hit is None:
            picture = ""
        else:
            same = f"  +{len(hit.duplicates)}" if hit.duplicates else ""
            self._score.update(f"{index + 1}  {hit.score:.3f}{same}{'  ✓' if is_selected else ''}")
            self._label.update(name_of(hit.place, hit.image_id))
        if picture is self._picture:
            return
        self._picture = picture
        update_picture(picture, self._image, self._none)

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Clicked(self.at, event.chain > 1))


class Tiles(Container, can_focus=True):
    """Tiles in rows, with the key bindings of the grid. The application fills each tile by ``show``."""

    DEFAULT_CSS = """
    Tiles { layout: grid; grid-gutter: 0 1; overflow: hidden; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("slash,escape", "app.words", "Words", key_display="/"),
        Binding("enter", "app.large", "Large"),
        Binding("left", "app.step(-1)", "Left", show=False),
        Binding("right", "app.step(1)", "Right", show=False),
        Binding("up", "app.row(-1)", "Up", show=False),
        Binding("down", "app.row(1)", "Down", show=False),
        Binding("pageup", "app.screenful(-1)", "Screen up", show=False),
        Binding("pagedown", "app.screenful(1)", "Screen down", show=False),
        Binding("home", "app.ends(False)", "First", show=False),
        Binding("end", "app.ends(True)", "Last", show=False),
        Binding("m", "app.like", "More"),
        Binding("l", "app.unlike", "Less"),
        Binding("r", "app.reset", "Reset", show=False),
        Binding("space", "app.choose", "Select"),
        Binding("e", "app.write", "Write"),
        Binding("y", "app.copy", "Copy"),
        Binding("o", "app.view", "Open"),
        Binding("question_mark", "app.keys", "Keys", key_display="?"),
        Binding("q", "app.end", "End"),
    ]

    class Fits(Message):
        """Reports how many columns and rows fit."""

        def __init__(self, columns: int, rows: int) -> None:
            super().__init__()
            self.columns = columns
            self.rows = rows

    def __init__(self, show: Callable[[Tile, int], None], **options: Any) -> None:
        super().__init__(**options)
        self._show = show

    @property
    def tiles(self) -> list[Tile]:
        return list(self.query(Tile))

    async def on_resize(self, event: events.Resize) -> None:
        columns, rows = max(1, event.size.width // WIDTH), max(1, event.size.height // HEIGHT)
        self.styles.grid_size_columns = columns
        self.styles.grid_size_rows = rows
        missing = columns * rows - len(self.tiles)
        if missing > 0:
            await self.mount_all(Tile() for _ in range(missing))
        for tile in self.tiles[columns * rows :]:
            await tile.remove()
        self.post_message(self.Fits(columns, rows))

    def refresh_tiles(self, first: int) -> None:
        for n, tile in enumerate(self.tiles):
            self._show(tile, first + n)
