"""Draws one SVG: a program of its own, which :mod:`imseek.media.svg` runs.

An SVG is a program for its renderer: a few lines of it can ask for hours of work or all the memory there is, and
no renderer can be interrupted from Python. So it is drawn in a process with limits, which cannot take the indexer
with it. Arguments: folders to import from. Standard input: the SVG. Standard output: a PNG.
Exit status 0, or 2 with one line on standard error.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import Any

SIDE = 1024  # pixels of the longer side
MEMORY = 1024 * 2**20  # bytes of address space
SECONDS = 10  # of processor time

_PICTURE = re.compile(r"data:image/(png|jpe?g|gif|webp)[;,]", re.IGNORECASE)


def main() -> int:
    sys.path.extend(sys.argv[1:])
    _limit()
    from defusedxml.ElementTree import fromstring  # here, since only now it can be found
    from resvg_py import svg_to_bytes

    try:
        # No entity is declared, so none is expanded; a public DOCTYPE is neither needed nor fetched.
        root = fromstring(sys.stdin.buffer.read(), forbid_entities=True, forbid_external=True)
        drawn = svg_to_bytes(svg_string=_without_references(root), width=SIDE, height=SIDE)
    except Exception as error:
        # Expat's and the renderer's words are one line, those of defusedxml are the repr of a call.
        print(" ".join(f"{type(error).__name__}: {error}".split())[:300], file=sys.stderr)  # noqa: T201
        return 2
    sys.stdout.buffer.write(bytes(drawn))
    return 0


def _limit() -> None:
    import resource

    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with suppress(OSError, ValueError):  # macOS does not take all of them
            resource.setrlimit(what, (most, most))


def _without_references(root: Any) -> str:
    """The document with every ``href`` removed that leads out of it: to files, to servers, to other SVGs."""
    from xml.etree.ElementTree import tostring

    for element in root.iter():
        for name in [name for name in element.attrib if name.rpartition("}")[2] == "href"]:
            target = element.attrib[name].strip()
            if not (target.startswith("#") or _PICTURE.match(target)):
                del element.attrib[name]
    return tostring(root, encoding="unicode")


if __name__ == "__main__":
    raise SystemExit(main())
