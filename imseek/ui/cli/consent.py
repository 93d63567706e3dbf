"""Ask the user to agree to what somebody else has written, where there is a terminal to ask at."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import typer

from imseek.showing.words import printable
from imseek.ui.cli.output import say


def can_ask() -> bool:
    """Whether a person can see a question and answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(facts: Iterable[str], question: str) -> None:
    """Show ``facts`` and ask; control characters in them are escaped. Raises typer.Abort unless the answer is yes."""
    for fact in facts:
        say(printable(fact))
    typer.confirm(printable(question), abort=True, err=True)
