"""Say in imseek's words what Typer finds wrong with a command line."""

from __future__ import annotations

import re
from typing import Any, Final

#: Options of other programs, and imseek's option that does the same.
_OTHER_NAMES: Final = {
    "--count": "--limit",
    "--max": "--limit",
    "--num": "--limit",
    "--results": "--limit",
    "--top": "--limit",
    "--top-k": "--limit",
}
_NUMBER: Final = re.compile(r"is not a valid (int|float)( range)?\b")
_MISSING: Final = re.compile(r"Missing (?:argument|option) '(?P<name>[^']*)'\.(?P<rest>.*)", re.DOTALL)


def usage_message(error: Any) -> str:
    """Return the message of an error of Typer's parser."""
    option = getattr(error, "option_name", None)
    if option in _OTHER_NAMES and _has_option(error.ctx, _OTHER_NAMES[option]):
        return f"No such option: {option} (did you mean {_OTHER_NAMES[option]}?)"
    message: str = error.format_message()
    if match := _MISSING.fullmatch(message):
        return f"{_last_name(match['name'])} is missing{match['rest'].rstrip()}"
    return _NUMBER.sub(lambda number: f"is not a {'whole number' if number[1] == 'int' else 'number'}", message)


def _last_name(metavar: str) -> str:
    """Return what must be given of ``[COLLECTION] ADDRESS`` or ``IMAGE...``: the last word, without decoration."""
    return metavar.split()[-1].strip("[].…") if metavar.strip() else metavar


def _has_option(context: Any, name: str) -> bool:
    return context is not None and any(name in parameter.opts for parameter in context.command.params)
