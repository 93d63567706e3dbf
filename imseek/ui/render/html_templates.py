"""Make HTML pages from the Jinja templates in ``templates/``.

What a template prints is untrusted unless it says ``safe``: control and bidirectional characters are shown escaped, on
one line, and markup as text. A name that is missing is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from imseek.showing import data_uri
from imseek.types.pictures import Place
from imseek.ui.render.words import format_count, format_size, printable

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: object) -> Iterator[str]:
    """Yield the page that ``template`` makes of ``values``, in pieces."""
    return _environment().get_template(template).generate(values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # not paid for by texts beside the pages

    environment = Environment(
        loader=PackageLoader("imseek.ui.render"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "browser_uri": browser_uri,
        "data_uri": data_uri,
        "format_count": format_count,
        "format_size": format_size,
    }
    # A script gets data as compact JSON. `tojson` escapes what could end the element or begin a comment.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _one_line(value: object) -> object:
    """Make text printable; markup, which is a str too, stays as it is."""
    if not isinstance(value, str) or hasattr(value, "__html__") or value.isprintable():
        return value
    return printable(value)


def browser_uri(place: Place | None) -> str:
    """Return the URI of a picture that a browser can open, or an empty string."""
    uri = "" if place is None else place.uri
    return uri if uri.startswith(("file:///", "http://", "https://")) and "#row=" not in uri else ""
