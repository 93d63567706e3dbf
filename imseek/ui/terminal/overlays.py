"""Screens over the grid: one large picture, the keys, and a prompt for a file name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from imseek.ui.terminal.image_widgets import image_widget, update_picture


class Large(ModalScreen[None]):
    """One picture as large as possible, with its metadata. The keys of the grid work here too."""

    DEFAULT_CSS = """
    Large { background: $background; }
    Large #picture { width: 2fr; height: 1fr; align: center middle; }
    Large #picture Image { width: auto; height: auto; }
    Large #facts { width: 1fr; min-width: 26; padding: 0 1; border-left: solid $surface; }
    Large .fact { height: auto; }
    Large #said { width: auto; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape,enter,q", "close", "Back"),
        Binding("left,up", "app.step(-1)", "Previous", show=False),
        Binding("right,down", "app.step(1)", "Next", show=False),
        Binding("space", "app.choose", "Select"),
        Binding("o", "app.view", "Open"),
        Binding("y", "app.copy", "Copy"),
        Binding("m", "app.like", "More"),
        Binding("l", "app.unlike", "Less"),
        Binding("question_mark", "app.keys", "Keys", key_display="?"),
    ]

    def compose(self) -> ComposeResult:
        with Horizontal():
            with Container(id="picture"):
                self._image = image_widget()
                yield self._image
                yield Static("…", id="said", markup=False)
            yield VerticalScroll(id="facts")
        yield Footer(show_command_palette=False)

    def show_facts(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        panel = self.query_one("#facts", VerticalScroll)
        panel.remove_children()
        texts = [Text(title, "bold"), *(Text.assemble((f"{name}  ", "dim"), value) for name, value in facts)]
        panel.mount(*(Static(text, classes="fact") for text in texts))
        panel.scroll_home(animate=False)

    def show_picture(self, picture: bytes | str | None) -> None:
        """Show an encoded picture, the reason why there is none, or None (not loaded yet)."""
        update_picture(picture, self._image, self.query_one("#said", Static))

    def action_close(self) -> None:
        self.dismiss()


class Keys(ModalScreen[None]):
    DEFAULT_CSS = """
    Keys { align: center middle; }
    Keys #keys { width: auto; max-width: 90%; height: auto; max-height: 90%; padding: 1 2; background: $panel;
      border: round $accent; }
    Keys Static { width: auto; }
    """
    BINDINGS: ClassVar[list[Any]] = [Binding("escape,enter,q,question_mark,space", "close", "Back")]
    TEXT: ClassVar[str] = """\
/           to the words (terms: a red car + ./night.jpg)
Enter       search; in the grid: the picture, large
Esc         back
arrows      move; PgUp, PgDn, Home, End
m           more like this (again: take it back)
l           less like this
r           forget what was more or less
space       select, or not
e           write the selected paths to a file
y           copy the path
o           open in the viewer
?           these keys
q           end"""

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="keys"):
            yield Static(self.TEXT, markup=False)

    def action_close(self) -> None:
        self.dismiss()


class WriteTo(ModalScreen[str | None]):
    """Prompts for the name of a file."""

    DEFAULT_CSS = """
    WriteTo { align: center middle; }
    WriteTo #box { width: 70%; max-width: 80; height: auto; padding: 1 2; background: $panel; border: round $accent; }
    WriteTo Static { height: auto; }
    """
    BINDINGS: ClassVar[list[Any]] = [Binding("escape", "close", "Back")]

    def __init__(self, question: str, proposed: str) -> None:
        super().__init__()
        self._question = question
        self._proposed = proposed

    def compose(self) -> ComposeResult:
        with Container(id="box"):
            yield Static(self._question, markup=False)
            yield Input(self._proposed, id="file")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip() or None)

    def action_close(self) -> None:
        self.dismiss(None)
