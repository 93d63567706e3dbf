"""Generate docs/cli.md from the commands: ``python -P -m imseek.ui.cli.reference docs/cli.md``."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from typer.core import TyperGroup

from imseek.ui.cli.app import ALIASES, command, main

WIDTH = "100"

_HEAD = """\
# The command line

Generated from `--help` by `make cli-docs`; a test holds it current.

Results go to stdout, everything else to stderr. With `--json` a result is one object ([json.md](json.md)), and an
error is one object on stderr. Exit codes:

| code | meaning |
|---|---|
| 0 | done, an empty result too |
| 1 | failure |
| 2 | the request makes no sense |
| 3 | nothing could be indexed, or something was skipped with `--strict` |
| 75 | another writer is at work |
| 130, 143 | interrupted, what was committed is kept |

Environment variables:

| variable | meaning |
|---|---|
| `IMSEEK_COLLECTION` | the collection, by name or by path, where no option names one |
| `IMSEEK_ENCODER`, `IMSEEK_DEVICE`, … | settings ([config.md](config.md)), above those of `config.toml` |
| `IMSEEK_HOME` | the folder of settings, named collections, keys and saved searches, in place of the platform's |
| `IMSEEK_CACHE` | the folder of what is made from weights ([encoders.md](encoders.md)), in place of the platform's |
| `IMSEEK_TRUSTED_FOLDERS` | folders below which every collection is trusted ([security.md](security.md)) |
| `IMSEEK_TRUSTED_MODELS` | folders of models whose own code may run ([security.md](security.md)) |
| `IMSEEK_TOKEN` | the token of `imseek serve` and `imseek ui`, and for a server that is searched ([http.md](http.md)) |
| `IMSEEK_MILVUS_TOKEN` | the token for a Milvus server ([milvus.md](milvus.md)) |
| `IMSEEK_PROGRESS` | `json`: without a terminal, progress goes to stderr as JSON, an object a line |

Other spellings work too, most of them earlier ones:

| spelling | means |
|---|---|
"""
#: Earlier spellings that are no aliases of a whole command.
_EARLIER: Final = {"backup --verify": "backup verify"}


def reference() -> str:
    """Render docs/cli.md: the help of every command, as wide as the variable COLUMNS says."""
    earlier = "".join(f"| `{old}` | `imseek {new}` |\n" for old, new in {**ALIASES, **_EARLIER}.items())
    sections = [_HEAD + earlier]
    for words in commands(command()):
        title = " ".join(["imseek", *words])
        sections.append(f"## {title}\n\n```text\n{_help(words)}\n```\n")
    return "\n".join(sections)


def commands(group: TyperGroup, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command in ``group``, the group itself first."""
    yield prefix
    for name, child in group.commands.items():
        if isinstance(child, TyperGroup):
            yield from commands(child, (*prefix, name))
        else:
            yield (*prefix, name)


def _help(words: tuple[str, ...]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main([*words, "--help"])
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


if __name__ == "__main__":
    os.environ["COLUMNS"] = WIDTH
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
