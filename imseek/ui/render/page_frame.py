"""The common frame of HTML pages: self-contained, no script, light and dark, down to a width of 400 pixels."""

from __future__ import annotations

from html import escape
from typing import Final

from imseek.types.pictures import Place
from imseek.ui.render.words import printable


def escape_text(text: str) -> str:
    """Escape untrusted text as one line of HTML."""
    return escape(printable(text))


def head(title: str, style: str | None = None) -> str:
    """Render everything before the body's content; ``style`` replaces the default CSS."""
    return _HEAD.format(title=escape_text(title), style=_STYLE if style is None else style)


def link_picture(place: Place | None, picture: str) -> str:
    """Link a picture to its file if a browser can open that."""
    uri = "" if place is None else place.uri
    if uri.startswith(("file:///", "http://", "https://")) and "#row=" not in uri:
        return f'<a href="{escape_text(uri)}" target="_blank" rel="noreferrer noopener">{picture}</a>'
    return picture


def card(place: Place | None, picture: str, caption: str) -> str:
    """Render a picture with its name and ``caption``, which is HTML."""
    name = "place unknown" if place is None else place.display.rsplit("/", 1)[-1]
    return (
        f"<figure>{link_picture(place, picture)}<figcaption><bdi>{escape_text(name)}</bdi>"
        f"{f'<small>{caption}</small>' if caption else ''}</figcaption></figure>\n"
    )


def bar(share: float) -> str:
    """Render a share, 0 … 1, as a bar."""
    width = f"{100 * max(0.0, min(1.0, share)):.1f}"
    return f'<div class="bar"><i style="width: {width}%"></i></div>'


_HEAD: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
"""

_STYLE: Final = """\
:root { color-scheme: light dark; --paper: #fbfbfa; --tile: #fff; --rule: #e2e1dd; --ink: #1f1f1e; --grey: #6a6965;
  --accent: #2f6f9f; --pale: #dbe7f0; --warn: #a5541b; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #161615; --tile: #20201f; --rule: #363633; --ink: #ededeb; --grey: #a5a49f; --accent: #7db7e0;
    --pale: #29394a; --warn: #e39a62; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
h3 { font-size: .95rem; margin: 1.1rem 0 .5rem; font-weight: 600; }
p { margin: .3rem 0 .6rem; overflow-wrap: anywhere; }
.grey, header p, small { color: var(--grey); }
section { background: var(--tile); border: 1px solid var(--rule); border-radius: 10px; padding: 1.1rem 1.2rem;
  margin: 1rem 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem; margin: 1rem 0; }
.facts div { background: var(--tile); border: 1px solid var(--rule); border-radius: 10px; padding: .7rem .9rem; }
.facts b { display: block; font-size: 1.35rem; line-height: 1.3; font-weight: 600; overflow-wrap: anywhere; }
.facts span { color: var(--grey); font-size: .85rem; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 0 2rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th { text-align: left; font-weight: 500; color: var(--grey); font-size: .8rem; padding: .15rem .6rem .15rem 0; }
td { padding: .18rem .6rem .18rem 0; vertical-align: middle; }
td.t { overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; width: 1%; }
th.n + th, td.n + td { padding-left: .3rem; }
td.b { width: 34%; min-width: 4rem; padding-right: 0; }
.bar { height: .55rem; border-radius: 3px; background: var(--pale); overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--accent); }
.columns { display: flex; align-items: flex-end; gap: 2px; height: 6.5rem; margin: .4rem 0 .2rem; }
.columns i { flex: 1; min-width: 1px; background: var(--accent); border-radius: 2px 2px 0 0; }
.ends { display: flex; justify-content: space-between; color: var(--grey); font-size: .8rem; }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .7rem; margin: .4rem 0; }
.two .row { grid-template-columns: repeat(3, minmax(0, 1fr)); }
figure { margin: 0; min-width: 0; }
figure a { display: block; }
img, .none { display: block; width: 100%; aspect-ratio: 4 / 3; object-fit: cover; border-radius: 6px;
  background: var(--pale); }
.whole img { object-fit: contain; }
.none { display: grid; place-items: center; color: var(--grey); font-size: .8rem; }
figcaption { font-size: .8rem; line-height: 1.35; padding-top: .25rem; overflow-wrap: anywhere; }
figcaption small { display: block; font-size: .75rem; }
code { font-size: .85em; background: var(--pale); padding: .1em .35em; border-radius: 4px; overflow-wrap: anywhere; }
.warn { color: var(--warn); }
@media (max-width: 32rem) { body { padding: .6rem; } section { padding: .8rem; }
  .row { grid-template-columns: repeat(auto-fill, minmax(6.2rem, 1fr)); gap: .5rem; }
  .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem; } }
"""
