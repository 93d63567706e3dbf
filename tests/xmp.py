"""XMP as programs write it."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

NAMESPACES = " ".join(
    f'xmlns:{prefix}="{uri}"'
    for prefix, uri in {
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "dc": "http://purl.org/dc/elements/1.1/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
        "lr": "http://ns.adobe.com/lightroom/1.0/",
        "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
        "MP": "http://ns.microsoft.com/photo/1.2/",
        "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
        "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
        "darktable": "http://darktable.sf.net/",
        "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    }.items()
)


def packet(inside: str = "", attributes: str = "", before: str = "") -> bytes:
    """Wrap the properties of a picture, as XML, into a packet."""
    description = f'<rdf:Description rdf:about="" {attributes}>{inside}</rdf:Description>'
    return (
        f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{before}<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF {NAMESPACES}>{description}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def bag(name: str, *items: str, kind: str = "Bag") -> str:
    """A property with a list of items, which are XML."""
    return f"<{name}><rdf:{kind}>{''.join(f'<rdf:li>{item}</rdf:li>' for item in items)}</rdf:{kind}></{name}>"


def annotations(
    *keywords: str,
    people: tuple[str, ...] = (),
    caption: str = "",
    title: str = "",
    rating: int | None = None,
    label: str = "",
) -> bytes:
    """XMP that states these, and nothing else."""
    inside = bag("dc:subject", *map(escape, keywords)) if keywords else ""
    inside += bag("Iptc4xmpExt:PersonInImage", *map(escape, people)) if people else ""
    inside += bag("dc:description", escape(caption), kind="Alt") if caption else ""
    inside += bag("dc:title", escape(title), kind="Alt") if title else ""
    marks = "" if rating is None else f'xmp:Rating="{rating}" '
    return packet(inside, marks + (f"xmp:Label={quoteattr(label)}" if label else ""))
