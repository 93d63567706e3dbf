"""Read annotations from XMP: a packet in a picture, or an ``.xmp`` file beside one. Malformed XMP says nothing.

Understood are Dublin Core (``dc``), ``xmp:Rating`` and ``xmp:Label``, hierarchical keywords as Lightroom writes them
(``lr``), people of the IPTC extension, named faces of the Metadata Working Group (``mwg-rs``) and of Microsoft
(``MP``), and the colour labels of darktable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from imseek.media.annotation_values import Annotations, parse_rating, shorten, tidy, tidy_list

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

#: The value of a property: the text of an attribute, or an element.
_Property: TypeAlias = "str | Element[str]"

MAX_BYTES: Final = 2**20
#: Names that programs write into keywords for themselves: ``darktable|format|nef``.
_PROGRAM_KEYWORD: Final = "darktable"
_DARKTABLE_LABELS: Final = ("Red", "Yellow", "Green", "Blue", "Purple")

RDF: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC: Final = "{http://purl.org/dc/elements/1.1/}"
_XMP: Final = "{http://ns.adobe.com/xap/1.0/}"
_LIGHTROOM: Final = "{http://ns.adobe.com/lightroom/1.0/}"
_IPTC: Final = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_REGIONS: Final = "{http://www.metadataworkinggroup.com/schemas/regions/}"
_MICROSOFT: Final = "{http://ns.microsoft.com/photo/1.2/}"
_MICROSOFT_REGION: Final = "{http://ns.microsoft.com/photo/1.2/t/Region#}"
_DARKTABLE: Final = "{http://darktable.sf.net/}"
_LANGUAGE: Final = "{http://www.w3.org/XML/1998/namespace}lang"


def read_xmp(packet: Any) -> Annotations:
    """Read annotations from ``packet``, bytes or text of at most ``MAX_BYTES``. Never raises."""
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    if not isinstance(packet, bytes) or b"rdf" not in packet or len(packet) > MAX_BYTES:
        return Annotations()
    from defusedxml.ElementTree import fromstring  # here, since most pictures have no XMP

    try:
        root = fromstring(packet.strip(b"\0 \t\r\n"), forbid_dtd=True)
    except Exception:  # broken XML, or a DTD, which no XMP has
        return Annotations()
    return _annotations(_properties(root))


def _properties(root: Element[str]) -> Mapping[str, _Property]:
    """Return the properties of the picture by name; the first of a name counts, so that none is walked twice."""
    properties: dict[str, _Property] = {}
    rdf = next(root.iter(f"{RDF}RDF"), None)
    for description in () if rdf is None else rdf:
        for name, text in description.items():
            properties.setdefault(name, text)
        for element in description:
            properties.setdefault(element.tag, element)
    return properties


def _annotations(properties: Mapping[str, _Property]) -> Annotations:
    return Annotations(
        caption=_alternative(properties.get(f"{DC}description")),
        title=_alternative(properties.get(f"{DC}title")),
        keywords=tidy_list(chain(_flat_keywords(properties), _hierarchical_keywords(properties))),
        people=tidy_list(_people(properties)),
        rating=parse_rating(_text(properties.get(f"{_XMP}Rating"))),
        colour_label=_colour_label(properties),
    )


def _text(value: _Property | None) -> str:
    return value if isinstance(value, str) else "" if value is None else value.text or ""


def _items(value: _Property | None) -> list[Element[str]]:
    return [] if value is None or isinstance(value, str) else list(value.iter(f"{RDF}li"))


def _texts(value: _Property | None) -> Iterator[str]:
    """Yield the items of a bag or sequence; a value without items is its only one."""
    items = _items(value)
    yield from (item.text or "" for item in items) if items else (_text(value),)


def _alternative(value: _Property | None) -> str | None:
    """Return a text in the default language, else in the first that has one."""
    items = sorted(_items(value), key=lambda item: item.get(_LANGUAGE) != "x-default")
    texts = (tidy(text) for text in (*(item.text or "" for item in items), _text(value)))
    return next((text for text in texts if text), None)


def _flat_keywords(properties: Mapping[str, _Property]) -> Iterator[str]:
    for keyword in _texts(properties.get(f"{DC}subject")):
        if keyword.partition("|")[0] != _PROGRAM_KEYWORD:
            yield keyword


def _hierarchical_keywords(properties: Mapping[str, _Property]) -> Iterator[str]:
    """Yield each level of ``Places|Norway|Oslo`` as a keyword."""
    for path in _texts(properties.get(f"{_LIGHTROOM}hierarchicalSubject")):
        levels = path.split("|")
        if levels[0] != _PROGRAM_KEYWORD:
            yield from levels


def _people(properties: Mapping[str, _Property]) -> Iterator[str]:
    yield from _texts(properties.get(f"{_IPTC}PersonInImage"))
    for node in _elements(properties.get(f"{_REGIONS}Regions")):
        name, kind = (node.get(f"{_REGIONS}{n}") or node.findtext(f"{_REGIONS}{n}") or "" for n in ("Name", "Type"))
        if kind.strip() in ("", "Face"):  # not a pet, a bar code or where the camera focused
            yield name
    for node in _elements(properties.get(f"{_MICROSOFT}RegionInfo")):
        name = f"{_MICROSOFT_REGION}PersonDisplayName"
        yield node.get(name) or node.findtext(name) or ""


def _elements(value: _Property | None) -> Iterator[Element[str]]:
    return iter(()) if value is None or isinstance(value, str) else value.iter()


def _colour_label(properties: Mapping[str, _Property]) -> str | None:
    if label := shorten(tidy(_text(properties.get(f"{_XMP}Label")))):
        return label
    for number in _texts(properties.get(f"{_DARKTABLE}colorlabels")):
        if number in {str(n) for n in range(len(_DARKTABLE_LABELS))}:
            return _DARKTABLE_LABELS[int(number)]
    return None
