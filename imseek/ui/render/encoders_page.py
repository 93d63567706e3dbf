"""Generate the tables of docs/encoders.md: ``python -P -m imseek.ui.render.encoders_page docs/encoders.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from imseek.encoders import Entry, families, list_encoders

START = "<!-- The tables below are made by `make encoder-docs` from imseek/encoders/catalogue. -->\n"
END = "<!-- End of the tables. -->\n"

_HEAD = (
    "| reference | repository | dim | pixels | context | tokenizer | parameters, image + text | GFLOPs, image + text"
    " | download | speed | licence |"
)


def tables() -> str:
    """Render one table per family, with presets named after their reference."""
    sections = []
    for family in families():
        entries = [entry for entry in list_encoders() if entry.family == family]
        languages = ", ".join(dict.fromkeys(entry.languages or "pictures only" for entry in entries))
        rows = [_HEAD, "|" + "---|" * (_HEAD.count("|") - 1), *map(_row, entries)]
        sections.append(f"### {family} ({languages})\n\n" + "\n".join(rows) + "\n")
    return "\n".join(sections)


def page(before: str) -> str:
    """Return the page ``before`` with its tables regenerated."""
    head, _, rest = before.partition(START)
    _, _, tail = rest.partition(END)
    return f"{head}{START}\n{tables()}\n{END}{tail}"


def _row(entry: Entry) -> str:
    licence = entry.licence if entry.licence_name is None else f"{entry.licence}: {entry.licence_name}"
    cells = (
        f"`{entry.reference}`" + (f" (**{entry.preset.name}**)" if entry.preset else ""),
        entry.repository,
        str(entry.dim),
        str(entry.image_size),
        _or_dash(entry.context_length),
        entry.tokenizer or "–",
        f"{_millions(entry.image_parameters)} + {_millions(entry.text_parameters)}",
        f"{entry.image_gflops:g} + {_or_dash(entry.text_gflops)}",
        f"{entry.download_bytes / 1e6:,.0f} MB",
        entry.speed,
        licence,
    )
    return f"| {' | '.join(cells)} |"


def _millions(n: int | None) -> str:
    return "–" if n is None else f"{n / 1e6:.1f} M"


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
