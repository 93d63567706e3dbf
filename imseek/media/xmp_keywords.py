"""Add keywords to XMP and leave every other byte of it as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat  # for byte positions; only what defusedxml has parsed gets here
from xml.sax.saxutils import escape

from imseek.errors import MediaError
from imseek.media.annotation_values import tidy
from imseek.media.xmp import DC, MAX_BYTES, RDF, read_xmp
from imseek.types.pictures import SkipReason

_RDF_URI: Final = RDF.strip("{}")
_DC_URI: Final = DC.strip("{}")
_RDF, _DESCRIPTION = f"{_RDF_URI} RDF", f"{_RDF_URI} Description"
_ITEM: Final = f"{_RDF_URI} li"
_CONTAINERS: Final = tuple(f"{_RDF_URI} {name}" for name in ("Bag", "Seq", "Alt"))
_SUBJECT: Final = f"{_DC_URI} subject"
_TAG_NAME: Final = re.compile(rb"<([^\s/>]+)")
_NEW: Final = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf="' + _RDF_URI.encode() + b'">\n'
    b'  <rdf:Description rdf:about="">\n%s\n  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>\n'
)


def add_keywords(packet: bytes | None, keywords: Sequence[str], beside: Sequence[str] = ()) -> bytes:
    """Return ``packet`` with these keywords in ``dc:subject``, those that are missing at its end.

    Where it states no keywords, ``beside`` go before them; without a packet, a new one is made. A packet that has all
    of them is returned as it is. Raises MediaError where it cannot be read, has no place for keywords, or would become
    too large.
    """
    if packet is None:
        return _NEW % _subject(_lines([*beside, *keywords]))
    positions = _find(packet)
    lines = _lines(keywords if read_xmp(packet).keywords else [*beside, *keywords])
    if positions.subject is None:
        edited = _insert_subject(packet, positions, lines)
    elif missing := [keyword for keyword in lines if keyword not in positions.items]:
        edited = _extend_subject(packet, positions, missing)
    else:
        return packet
    if len(edited) > MAX_BYTES or not read_xmp(edited).keywords:
        raise refuse("it would become too large")
    return edited


@dataclass(slots=True)
class _Span:
    """Byte positions of an element: of its start tag, behind that, of its end tag, and behind that."""

    start: int
    inside: int = -1
    end: int = -1
    behind: int = -1

    @property
    def is_empty(self) -> bool:
        """Whether the start tag is all there is."""
        return self.end == self.start


@dataclass(slots=True)
class _Positions:
    """Positions in a packet: its first description, the ``dc:subject`` in it if any, the list in that, its items."""

    description: _Span | None = None
    subject: _Span | None = None
    container: _Span | None = None
    items: list[str] = field(default_factory=list)
    is_attribute: bool = False
    #: Whether the subject or the list has attributes, which may be its content.
    has_attributes: bool = False


def _find(packet: bytes) -> _Positions:
    """Find the places to edit. Raises MediaError."""
    from defusedxml.ElementTree import fromstring

    if len(packet) > MAX_BYTES:
        raise refuse("it is too large")
    try:
        fromstring(packet, forbid_dtd=True)
    except Exception as error:
        raise refuse("it is not well-formed, or declares entities") from error
    if b"\0" in packet:
        raise refuse("it is not in an encoding that contains ASCII")
    walk = _Walk(packet)
    try:
        walk.parse()
    except expat.ExpatError as error:  # a namespace with a space in it
        raise refuse(str(error)) from error
    if walk.positions.description is None:
        raise refuse("it describes nothing")
    if walk.positions.is_attribute:
        raise refuse("its keywords are an attribute")
    return walk.positions


class _Walk:
    """Follows the elements of a packet, each with its positions."""

    def __init__(self, packet: bytes) -> None:
        self.positions = _Positions()
        self._packet = packet
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._open: list[tuple[str, _Span]] = []
        #: Calls that wait for the position of the next event.
        self._position_calls: list[tuple[int, Callable[[int], None]]] = []
        self._text: list[str] | None = None

    def parse(self) -> None:
        parser = self._parser
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = lambda _: self._arrive()
        parser.ProcessingInstructionHandler = lambda *_: self._arrive()
        parser.Parse(self._packet, True)
        for _, call in self._position_calls:
            call(len(self._packet))

    def _arrive(self) -> int:
        at = self._parser.CurrentByteIndex
        for since, call in self._position_calls:
            if since < at:
                call(at)
        self._position_calls = [(since, call) for since, call in self._position_calls if since >= at]
        return at

    def _start(self, name: str, attributes: Any) -> None:
        span = _Span(self._arrive())
        self._position_calls.append((span.start, lambda at: setattr(span, "inside", at)))
        above = self._open[-1][0] if self._open else ""
        is_property = [name for name, _ in self._open[-2:]] == [_RDF, _DESCRIPTION]  # not one of another picture in it
        positions = self.positions
        if name == _DESCRIPTION and above == _RDF:
            positions.description = positions.description or span
            positions.is_attribute |= _SUBJECT in attributes
        elif name == _SUBJECT and is_property and positions.subject is None:
            positions.subject = span
            positions.has_attributes |= bool(attributes)
        elif name in _CONTAINERS and above == _SUBJECT and self._open[-1][1] is positions.subject:
            positions.container = positions.container or span
            positions.has_attributes |= bool(attributes)
        elif name == _ITEM and positions.container is not None and self._open[-1][1] is positions.container:
            self._text = []
        self._open.append((name, span))

    def _end(self, name: str) -> None:
        at = self._arrive()
        _, span = self._open.pop()
        if span.inside == at and self._packet[at - 2 : at] == b"/>":
            span.end, span.behind = span.start, at  # Expat's position is already that behind the tag.
        else:
            span.end = at
            self._position_calls.append((at, lambda behind: setattr(span, "behind", behind)))
        if name == _ITEM and self._text is not None:
            self.positions.items.append(tidy("".join(self._text)) or "")
            self._text = None

    def _characters(self, text: str) -> None:
        self._arrive()
        if self._text is not None:
            self._text.append(text)


def _insert_subject(packet: bytes, positions: _Positions, keywords: Sequence[str]) -> bytes:
    span = positions.description
    assert span is not None
    if not span.is_empty:
        return packet[: span.end] + _subject(keywords) + packet[span.end :]
    tag = packet[span.start : span.behind]
    name = _TAG_NAME.match(tag)
    assert name is not None
    start_tag = tag[: tag.rindex(b"/")].rstrip() + b">"
    return packet[: span.start] + start_tag + _subject(keywords) + b"</" + name[1] + b">" + packet[span.behind :]


def _extend_subject(packet: bytes, positions: _Positions, missing: Sequence[str]) -> bytes:
    subject, container = positions.subject, positions.container
    assert subject is not None
    if container is None or container.is_empty:
        if positions.has_attributes or not _is_blank(packet, subject, container):
            raise refuse("its keywords are not a list")
        return packet[: subject.start] + _subject(missing) + packet[subject.behind :]
    name = _TAG_NAME.match(packet[container.start :])
    assert name is not None
    prefix = name[1].rpartition(b":")[0]
    tag = prefix + b":li" if prefix else b"li"
    items = b"".join(b"<%s>%s</%s>" % (tag, _text(keyword), tag) for keyword in missing)
    return packet[: container.end] + items + packet[container.end :]


def _is_blank(packet: bytes, subject: _Span, container: _Span | None) -> bool:
    """Whether a property holds nothing but an empty list."""
    if subject.is_empty:
        return True
    if container is None:
        return not packet[subject.inside : subject.end].strip()
    return not (packet[subject.inside : container.start] + packet[container.behind : subject.end]).strip()


def _subject(keywords: Sequence[str]) -> bytes:
    """Return the property with its own names of namespaces, so that it can stand anywhere."""
    items = b"".join(b"<rdf:li>%s</rdf:li>" % _text(keyword) for keyword in keywords)
    names = f'xmlns:dc="{_DC_URI}" xmlns:rdf="{_RDF_URI}"'.encode()
    return b"<dc:subject %s><rdf:Bag>%s</rdf:Bag></dc:subject>" % (names, items)


def _text(keyword: str) -> bytes:
    # References are the same in every encoding that contains ASCII.
    return escape(keyword).encode("ascii", "xmlcharrefreplace")


def _lines(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(line for text in texts if (line := tidy(text))))


def check_editable(packet: bytes) -> None:
    """Raise MediaError for a packet that cannot be edited."""
    _find(packet)


def refuse(message: str) -> MediaError:
    """Return the error for XMP that cannot be edited."""
    return MediaError(SkipReason.CORRUPT, message)
