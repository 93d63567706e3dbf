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


#: As Lightroom Classic writes it.
LIGHTROOM = packet(
    bag("dc:subject", "beach", "Norway")
    + bag("lr:hierarchicalSubject", "Places|Norway|Oslo", "beach")
    + '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Evening</rdf:li></rdf:Alt></dc:title>'
    + '<dc:description><rdf:Alt><rdf:li xml:lang="x-default">The sea at dusk</rdf:li></rdf:Alt></dc:description>'
    + '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag>'
    + '<rdf:li><rdf:Description mwg-rs:Name="Anna" mwg-rs:Type="Face"><mwg-rs:Area stArea:x="0.5"/></rdf:Description>'
    + '</rdf:li><rdf:li><rdf:Description mwg-rs:Name="Rex" mwg-rs:Type="Pet"/></rdf:li>'
    + "</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>",
    'xmp:Rating="4" xmp:Label="Red"',
)
#: As digiKam writes it: elements instead of attributes, faces in three forms.
DIGIKAM = packet(
    bag("dc:subject", "beach", kind="Seq")
    + "<xmp:Rating>5</xmp:Rating><xmp:Label>Green</xmp:Label>"
    + '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType="Resource">'
    + "<mwg-rs:Name>Anna</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type></rdf:li></rdf:Bag></mwg-rs:RegionList>"
    + "</mwg-rs:Regions>"
    + '<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag><rdf:li MPReg:PersonDisplayName="Anna"/>'
    + '<rdf:li><rdf:Description MPReg:PersonDisplayName="Ben"/></rdf:li></rdf:Bag></MPRI:Regions></MP:RegionInfo>'
    + bag("Iptc4xmpExt:PersonInImage", "Cleo")
)
#: As darktable writes it.
DARKTABLE = packet(
    bag("dc:subject", "beach", "darktable|changed", kind="Seq")
    + bag("lr:hierarchicalSubject", "beach", "darktable|format|nef", kind="Seq")
    + bag("darktable:colorlabels", "3", "0", kind="Seq"),
    'xmp:Rating="-1" darktable:xmp_version="5"',
)
