"""Ask at the terminal whether to go on with what someone else has written."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import typer

from imseek.ui.cli.output import say
from imseek.ui.render.words import printable


def can_ask() -> bool:
    """Whether a person can see and answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(facts: Iterable[str], question: str) -> None:
    """Show ``facts``, with control characters escaped, and ask. Raises typer.Abort unless the answer is yes."""
    for fact in facts:
        say(printable(fact))
    typer.confirm(printable(question), abort=True, err=True)
