"""`imseek browse`: a search box, and a grid of thumbnails that keys move over.

Searches and pictures load in threads. Results of an outdated query are dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Footer, Input, Static
from textual.worker import Worker, get_current_worker

from imseek.errors import ImseekError, MediaError
from imseek.search import Query, Searchable
from imseek.showing import load_small, short_reason
from imseek.tilde_expansion import expand_user
from imseek.types.search_results import Hit, Pictures, SearchResult, describe_matches
from imseek.ui.render.words import printable
from imseek.ui.terminal.browse_state import (
    BrowseQuery,
    BrowseResults,
    ImageKey,
    Window,
    facts_of,
    key_of,
    paths_of,
)
from imseek.ui.terminal.overlays import Keys, Large, WriteTo
from imseek.ui.terminal.tiles import Tile, Tiles

#: Sides of a thumbnail and of a large picture, in pixels.
_SIDE: Final = 320
_LARGE: Final = 1024
#: Seconds until a screen that was covered has been redrawn.
_REDRAW_SECONDS: Final = 0.1
#: Maximum number of cached thumbnails.
_MAX_THUMBNAILS: Final = 400

#: Callbacks that open a hit in a viewer, and write lines to a new file. Both raise ImseekError and OSError.
View = Callable[[Hit], None]
Write = Callable[[Path, Sequence[str]], None]


class Browse(App[list[Hit]]):
    """The application; it returns the selected hits."""

    TITLE = "imseek"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #words { margin: 0; }
    #status { height: 1; padding: 0 1; color: $text-muted; text-overflow: ellipsis; text-wrap: nowrap; }
    #status.-error { color: $text-error; }
    #where { height: 1; padding: 0 1; text-overflow: ellipsis; text-wrap: nowrap; }
    #tiles { height: 1fr; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("ctrl+c", "end", "End", show=False, priority=True),
    ]

    def __init__(self, searchable: Searchable, wish: BrowseQuery, *, view: View, write: Write) -> None:
        super().__init__()
        self._searchable = searchable
        self._wish = wish
        self._view = view
        self._write = write
        self.results = BrowseResults()
        self.window = Window(1, 1)
        #: Encoded thumbnails, or the reasons why there is none, by image. The oldest are dropped first.
        self._thumbs: OrderedDict[ImageKey, bytes | str] = OrderedDict()
        self._pictures: Pictures | None = None
        #: Number of the current query, by which late results are recognised.
        self._search_number = 0
        self._searching = False

    def compose(self) -> ComposeResult:
        self._search_box = Input(self._wish.line, placeholder="what the picture shows, in words", id="words")
        self._status = Static("", id="status", markup=False)
        self._tiles = Tiles(self._show_tile, id="tiles")
        self._where = Static("", id="where", markup=False)
        yield self._search_box
        yield self._status
        yield self._tiles
        yield self._where
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._say("type what you look for, and press Enter; ? in the grid tells the keys")
        if self._wish.line.strip():
            self.ask(self._wish)
            self._tiles.focus()

    # -- asking ------------------------------------------------------------------------------------------

    def ask(self, wish: BrowseQuery) -> None:
        """Start a new search. An error is shown in the status line, and the hits stay."""
        try:
            query = wish.query()
        except ImseekError as error:
            self._fail(error)
            return
        if query is None:
            self._say("nothing is asked: type what you look for")
            return
        self._search(query, wish, further=False)

    def _search(self, query: Query, wish: BrowseQuery, *, further: bool) -> None:
        if not further:
            self._search_number += 1
            self._say("searching …")
        self._searching = True
        find = partial(self._find, query, wish, self._search_number, further)
        self.run_worker(find, thread=True, group="search", exit_on_error=False)

    def _find(self, query: Query, wish: BrowseQuery, number: int, further: bool) -> None:
        try:
            result: SearchResult | Exception = self._searchable.search(query)
        except Exception as error:  # Shown in the status line: the application goes on.
            result = error
        self.call_from_thread(self._take, result, wish, number, further)

    def _take(self, result: SearchResult | Exception, wish: BrowseQuery, number: int, further: bool) -> None:
        if number != self._search_number:
            return
        self._searching = False
        if isinstance(result, Exception):
            if further:
                self.results.next_page = None
            self._fail(result)
            return
        self._wish = wish  # Only now, so that a query that failed is not refined.
        self._pictures = result.pictures
        self.results.take(result, further=further)
        if not further:
            self.window = Window(self.window.columns, self.window.rows)
        self._tell()
        self._refresh()

    # -- showing -----------------------------------------------------------------------------------------

    @property
    def here(self) -> Hit | None:
        return self.results.hits[self.window.cursor] if self.window.cursor < len(self.results.hits) else None

    def on_tiles_fits(self, event: Tiles.Fits) -> None:
        self.window = self.window.with_size(event.columns, event.rows, len(self.results.hits))
        self._refresh()

    def on_tile_clicked(self, event: Tile.Clicked) -> None:
        self._tiles.focus()
        self._move_cursor(event.at)
        if event.twice:
            self.action_large()

    def _show_tile(self, tile: Tile, index: int) -> None:
        hit = self.results.hits[index] if index < len(self.results.hits) else None
        covered = len(self.screen_stack) > 1
        picture = None if hit is None or covered else self._thumbs.get(key_of(hit))
        is_selected = hit is not None and key_of(hit) in self.results.selection
        tile.show(index, hit, picture, is_current=index == self.window.cursor, is_selected=is_selected)

    def _refresh(self) -> None:
        """Draw the visible hits, and load missing thumbnails and the next page."""
        visible = self.window.shown
        self._draw()
        ahead = self.results.hits[visible.start : visible.stop + len(visible)]
        missing = [hit for hit in ahead if key_of(hit) not in self._thumbs]
        if missing and self._pictures is not None:
            self.run_worker(
                partial(self._load, self._pictures, missing, _SIDE, self._store_thumbnail),
                thread=True,
                group="thumbs",
                exclusive=True,
                exit_on_error=False,
            )
        if not self._searching and self.results.needs_next_page(visible.stop):
            query = self._wish.query(self.results.next_page)
            if query is not None:
                self._search(query, self._wish, further=True)

    def _push_overlay(self, panel: Screen[Any], back: Callable[[Any], None] | None = None) -> None:
        """Put a screen over the grid.

        Sixels lie on the terminal's screen, not in its cells. So the grid is drawn without pictures while it is
        covered, and again as text when it comes back, before the pictures.
        """

        def uncovered(result: Any) -> None:
            if back is not None:
                back(result)
            self.set_timer(_REDRAW_SECONDS, self._refresh)

        self.push_screen(panel, uncovered)
        self._draw()

    def _draw(self) -> None:
        self._tiles.refresh_tiles(self.window.shown.start)
        hit = self.here
        place = "" if hit is None or hit.place is None else hit.place.display
        self._where.update(place)

    def _load(
        self,
        pictures: Pictures,
        hits: Sequence[Hit],
        side: int,
        take: Callable[[ImageKey, bytes | str], None],
    ) -> None:
        """Load pictures one after the other, in a thread, until the worker is cancelled."""
        from imseek.media import fit, png

        worker: Worker[Any] = get_current_worker()
        try:
            with pictures.opened() as read_picture:
                for hit in hits:
                    if worker.is_cancelled:
                        return
                    try:
                        picture: bytes | str = png(fit(load_small(read_picture, *key_of(hit), side), side))
                    except MediaError as error:
                        picture = short_reason(error)
                    self.call_from_thread(take, key_of(hit), picture)
        except (ImseekError, OSError) as error:
            if not worker.is_cancelled:
                self.call_from_thread(self._fail, error)

    def _store_thumbnail(self, key: ImageKey, picture: bytes | str) -> None:
        self._thumbs[key] = picture
        while len(self._thumbs) > _MAX_THUMBNAILS:
            self._thumbs.popitem(last=False)
        for tile in self._tiles.tiles:
            if tile.at < len(self.results.hits) and key_of(self.results.hits[tile.at]) == key:
                self._show_tile(tile, tile.at)

    def _say(self, text: str, *, error: bool = False) -> None:
        self._status.set_class(error, "-error")
        self._status.update(text)

    def _fail(self, error: Exception) -> None:
        hint = f" ({error.hint})" if isinstance(error, ImseekError) and error.hint else ""
        self._say(f"{str(error) or type(error).__name__}{hint}", error=True)

    def _tell(self) -> None:
        """Show position, feedback and selection in the status line."""
        if not self.results.hits:
            self._say("nothing found" if self._search_number else "")
            return
        parts = [f"{self.window.cursor + 1:,} of {len(self.results.hits):,}{'+' if self.results.next_page else ''}"]
        for name, ids in (("more like", self._wish.more), ("less like", self._wish.less)):
            if ids:
                parts.append(f"{name} {len(ids)}")
        if self.results.selection:
            parts.append(f"{len(self.results.selection):,} selected")
        if (hit := self.here) is not None and (matches := describe_matches(hit.matches)):
            parts.append(f"matched: {printable(matches)}")
        self._say(" · ".join([*parts, *self.results.notes]))

    # -- keys --------------------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.ask(BrowseQuery(event.value, where=self._wish.where, by=self._wish.by))
        self._tiles.focus()

    def _move_cursor(self, cursor: int) -> None:
        self.window = self.window.at(cursor, len(self.results.hits))
        self._tell()
        self._refresh()
        if isinstance(self.screen, Large):
            self._show_large(self.screen)

    def action_step(self, by: int) -> None:
        self._move_cursor(self.window.cursor + by)

    def action_row(self, by: int) -> None:
        """Move by rows. At the end of the list, the cursor stays in its column."""
        cursor = self.window.cursor + by * self.window.columns
        if 0 <= cursor < len(self.results.hits) or by > 0:
            self._move_cursor(cursor)
        elif abs(by) > 1:
            self._move_cursor(self.window.cursor % self.window.columns)

    def action_screenful(self, by: int) -> None:
        self.action_row(by * self.window.rows)

    def action_ends(self, last: bool) -> None:
        self._move_cursor(len(self.results.hits) - 1 if last else 0)

    def action_words(self) -> None:
        self._search_box.focus()

    def action_grid(self) -> None:
        self._tiles.focus()

    def action_large(self) -> None:
        if self.here is not None:
            large = Large()
            self._push_overlay(large)
            self.call_after_refresh(self._show_large, large)

    def _show_large(self, large: Large) -> None:
        if (hit := self.here) is None or not large.is_mounted:
            return
        mark = "  ✓ selected" if key_of(hit) in self.results.selection else ""
        large.show_facts(f"{self.window.cursor + 1} of {len(self.results.hits)}{mark}", facts_of(hit))
        large.show_picture(self._thumbs.get(key_of(hit)))
        if self._pictures is not None:
            self.run_worker(
                partial(self._load, self._pictures, [hit], _LARGE, self._show_loaded_large),
                thread=True,
                group="large",
                exclusive=True,
                exit_on_error=False,
            )

    def _show_loaded_large(self, key: ImageKey, picture: bytes | str) -> None:
        if isinstance(self.screen, Large) and self.here is not None and key_of(self.here) == key:
            self.screen.show_picture(picture)

    def action_like(self) -> None:
        self._judge(wrong=False)

    def action_unlike(self) -> None:
        self._judge(wrong=True)

    def _judge(self, *, wrong: bool) -> None:
        if (hit := self.here) is None:
            return
        try:
            wish = self._wish.toggle_feedback(hit.image_id, wrong=wrong)
        except ImseekError as error:
            self._fail(error)
            return
        if isinstance(self.screen, Large):
            self.screen.dismiss()
        self.ask(wish)

    def action_reset(self) -> None:
        if self._wish.more or self._wish.less:
            self.ask(BrowseQuery(self._wish.line, where=self._wish.where, by=self._wish.by))

    def action_choose(self) -> None:
        if (hit := self.here) is not None:
            self.results.toggle(hit)
            self._tell()
            self._draw()
            if isinstance(self.screen, Large):
                self._show_large(self.screen)

    def action_copy(self) -> None:
        hit = self.here
        if hit is None or hit.place is None:
            self._say("it is not known where this picture lies", error=True)
            return
        self.copy_to_clipboard(hit.place.display)
        self._say(f"copied {hit.place.display}")

    def action_view(self) -> None:
        if (hit := self.here) is not None:
            self.run_worker(partial(self._open_viewer, hit), thread=True, group="view", exit_on_error=False)

    def _open_viewer(self, hit: Hit) -> None:
        try:
            self._view(hit)
        except (ImseekError, OSError) as error:
            self.call_from_thread(self._fail, error)

    def action_write(self) -> None:
        hits = list(self.results.selection.values()) or [hit for hit in [self.here] if hit is not None]
        lines = paths_of(hits)
        if not lines:
            self._say("nothing is selected: space selects", error=True)
            return

        def write(name: str | None) -> None:
            if name is None:
                return
            try:
                self._write(expand_user(name), lines)
            except (ImseekError, OSError) as error:
                self._fail(error)
            else:
                self._say(f"wrote {len(lines):,} {'path' if len(lines) == 1 else 'paths'} to {name}")

        amount = f"{len(lines):,} paths" if len(lines) > 1 else "one path"
        self._push_overlay(WriteTo(f"Write {amount} to a new file:", "selected.txt"), write)

    def action_keys(self) -> None:
        self._push_overlay(Keys())

    def action_end(self) -> None:
        self.exit(list(self.results.selection.values()))
