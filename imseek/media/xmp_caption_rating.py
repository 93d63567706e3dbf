"""Set caption and rating in XMP, and leave every other byte of it as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat  # for byte positions; only what defusedxml has parsed gets here
from xml.sax.saxutils import escape

from imseek.media.xmp import DC, MAX_BYTES, RDF, read_xmp
from imseek.media.xmp_keywords import add_keywords, check_editable, refuse

_RDF: Final = RDF.strip("{}")
_DESCRIPTION: Final = f"{_RDF} Description"
_XMP: Final = "http://ns.adobe.com/xap/1.0/"
#: Names of the properties, as expat gives them.
_CAPTION: Final = f"{DC.strip('{}')} description"
_RATING: Final = f"{_XMP} Rating"


def set_values(packet: bytes | None, *, caption: str | None = None, rating: int | None = None) -> bytes:
    """Return ``packet`` with this caption and rating in place of its own; what is None stays.

    Without a packet, a new one is made. A packet that has both is returned as it is. Raises MediaError where it cannot
    be read, or would become too large.
    """
    current = None if packet is None else read_xmp(packet)
    if current is not None:
        caption = None if caption == current.caption else caption
        rating = None if rating == current.rating else rating
    texts = {
        name: text
        for name, text in ((_CAPTION, None if caption is None else _caption(caption)), (_RATING, _rating(rating)))
        if text is not None
    }
    if not texts:
        return add_keywords(None, ()) if packet is None else packet
    # With an empty list of keywords, which is harmless, there is a description to write into.
    edited = _edit(add_keywords(None, ()) if packet is None else packet, texts)
    result = read_xmp(edited)
    if len(edited) > MAX_BYTES or (rating is not None and result.rating != rating):
        raise refuse("it would become too large, or keeps another rating")
    return edited


@dataclass(slots=True)
class _Walk:
    """Collects the byte positions of the properties to replace, and the place for the new ones."""

    packet: bytes
    names: frozenset[str]
    #: Elements to remove.
    spans: list[tuple[int, int]] = field(default_factory=list)
    #: Start tags with attributes to remove, as position and qualified names.
    tags: list[tuple[int, list[str]]] = field(default_factory=list)
    #: Where the new properties go: behind the start tag of the first description.
    start: int = -1

    def parse(self) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.namespace_prefixes = True
        above: list[str] = []
        removing: list[int] = []

        def begin(name: str, attributes: Any) -> None:
            plain, at = _plain(name), parser.CurrentByteIndex
            if plain == _DESCRIPTION and above[-1:] == [f"{_RDF} RDF"]:
                self.start = at if self.start < 0 else self.start
                if names := [_qualified(one) for one in attributes if _plain(one) in self.names]:
                    self.tags.append((at, names))
            elif plain in self.names and above[-2:] == [f"{_RDF} RDF", _DESCRIPTION] and not removing:
                removing.append(at)
            above.append(plain)

        def finish(name: str) -> None:
            plain = above.pop()
            if removing and plain in self.names and above[-2:] == [f"{_RDF} RDF", _DESCRIPTION]:
                self.spans.append((removing.pop(), self._behind(parser.CurrentByteIndex)))

        parser.StartElementHandler, parser.EndElementHandler = begin, finish
        parser.Parse(self.packet, True)

    def _behind(self, at: int) -> int:
        """Return the position behind an end tag; for an empty element, expat reports that position itself."""
        return self.packet.index(b">", at) + 1 if self.packet[at : at + 2] == b"</" else at


def _edit(packet: bytes, texts: dict[str, bytes]) -> bytes:
    check_editable(packet)
    walk = _Walk(packet, frozenset(texts))
    walk.parse()
    cuts = list(walk.spans)
    for at, names in walk.tags:
        end = _tag_end(packet, at)
        for name in names:
            pattern = rb"\s+" + re.escape(name.encode()) + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')"
            match = re.compile(pattern).search(packet, at, end)
            if match is None:
                raise refuse("it has an attribute that cannot be replaced")
            cuts.append(match.span())
    end = _tag_end(packet, walk.start)
    new = b"".join(texts.values())
    if packet[end - 2 : end] == b"/>":
        tag = re.compile(rb"<([^\s/>]+)").match(packet, walk.start)
        assert tag is not None
        insertions = [(end - 2, end, b">" + new + b"</" + tag[1] + b">")]
    else:
        insertions = [(end, end, new)]
    for first, last, text in sorted([(a, b, b"") for a, b in cuts] + insertions, reverse=True):
        packet = packet[:first] + text + packet[last:]
    return packet


def _tag_end(packet: bytes, at: int) -> int:
    """Return the position behind a start tag, whose attributes may contain ``>``."""
    match = re.compile(rb"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>").match(packet, at)
    assert match is not None
    return match.end()


def _plain(name: str) -> str:
    """Return expat's name of an element without its prefix: ``namespace local``."""
    return " ".join(name.split(" ")[:2])


def _qualified(name: str) -> str:
    """Return a name of expat as it is written: ``prefix:local``."""
    parts = name.split(" ")
    return f"{parts[2]}:{parts[1]}" if len(parts) > 2 else parts[-1]


def _caption(text: str) -> bytes:
    # References are the same in every encoding that contains ASCII.
    content = escape(text).encode("ascii", "xmlcharrefreplace")
    names = f'xmlns:dc="{DC.strip("{}")}" xmlns:rdf="{_RDF}"'.encode()
    return (
        b'<dc:description %s><rdf:Alt><rdf:li xml:lang="x-default">%s</rdf:li></rdf:Alt></dc:description>'
        % (names, content)
    )  # fmt: skip


def _rating(rating: int | None) -> bytes | None:
    return None if rating is None else f'<xmp:Rating xmlns:xmp="{_XMP}">{rating}</xmp:Rating>'.encode()
