"""Defaults of flags from the user's config.toml or from environment variables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from imseek import config
from imseek.ui.cli.output import say
from imseek.ui.render.words import printable

#: Settings that supply a parameter's default, by parameter: for all commands that have it, and for those that index.
_EVERYWHERE: Final = {"device": "device", "precision": "precision"}
_INDEXING: Final = {
    "ocr": "index.ocr",
    "batch_size": "index.batch_size",
    "threads": "index.threads",
    "untrusted": "index.untrusted",
}


def configured_defaults(command: str, parameters: Sequence[str], *, quiet: bool) -> dict[str, Any]:
    """Return the defaults of a command's parameters that are set; unless ``quiet``, name what is wrong in the file.

    Raises UsageError for an environment variable with an impossible value.
    """
    file = config.read(os.environ)
    if not quiet:
        for problem in file.problems:
            say(f"note: {printable(problem)}; it is ignored")
    settings = {**_EVERYWHERE, **(_INDEXING if command in ("index", "watch") else {})}
    defaults = {
        name: config.value_of(config.SETTINGS[setting], os.environ, file).value
        for name, setting in settings.items()
        if name in parameters
    }
    return {name: value for name, value in defaults.items() if value is not None}


def configured_encoder() -> str:
    """Return the encoder of new collections for which none is named."""
    value = config.value_of(config.SETTINGS["encoder"], os.environ, config.read(os.environ)).value
    return "auto" if value is None else str(value)
