"""Captions out of XMP, IPTC, EXIF and PNG text: where each is found, which goes first, and what garbage gives."""

from __future__ import annotations

import io
import random
import struct
from contextlib import suppress
from typing import Any

import pytest
from heic import heic
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imseek.errors import MediaError
from imseek.media.decode import decode
from imseek.media.metadata import annotate

DESCRIPTION, PHOTO, COMMENT, XMP_TAG, IPTC_TAG = 270, 0x8769, 37510, 700, 33723
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/"'


def xmp(*items: tuple[str | None, str], before: str = "") -> bytes:
    """A packet as Adobe's programs write it; an item is its language and its text."""
    listed = "".join(
        f"<rdf:li>{text}</rdf:li>" if language is None else f'<rdf:li xml:lang="{language}">{text}</rdf:li>'
        for language, text in items
    )
    return (
        f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{before}<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f"<rdf:RDF {RDF}><rdf:Description><dc:title><rdf:Alt><rdf:li>not this</rdf:li></rdf:Alt></dc:title>"
        f"<dc:description><rdf:Alt>{listed}</rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    ).encode()


def iptc(*fields: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text for number, text in fields)


def photoshop(record: bytes) -> bytes:
    """The segment of a JPEG that holds an IPTC record."""
    resource = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(record)) + record + b"\0" * (len(record) % 2)
    content = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content


def exif(description: Any = None, comment: bytes | None = None) -> Image.Exif:
    tags = Image.Exif()
    if description is not None:
        tags[DESCRIPTION] = description
    if comment is not None:
        tags.get_ifd(PHOTO)[COMMENT] = comment
    return tags


def saved(name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, name, **options)
    return buffer.getvalue()


def jpeg(record: bytes | None = None, **options: Any) -> bytes:
    data = saved("JPEG", **options)
    return data if record is None else data[:2] + photoshop(record) + data[2:]


def choose_caption(**fields: Any) -> str | None:
    return annotate(**fields).caption


def caption(data: bytes) -> str | None:
    return decode(data).facts.caption


# --- where ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        jpeg(xmp=xmp((None, "Ein Reiher"))),
        saved("WEBP", xmp=xmp((None, "Ein Reiher"))),
        saved("TIFF", tiffinfo={XMP_TAG: xmp((None, "Ein Reiher"))}),
        saved("AVIF", xmp=xmp((None, "Ein Reiher"))),
        heic(Image.new("RGB", (16, 16)), xmp=xmp((None, "Ein Reiher"))),
        jpeg(iptc((120, b"Ein Reiher"))),
        saved("TIFF", tiffinfo={IPTC_TAG: iptc((120, b"Ein Reiher"))}),
        jpeg(iptc((105, b"Ein Reiher"))),
        jpeg(exif=exif("Ein Reiher")),
        saved("PNG", exif=exif("Ein Reiher")),
        jpeg(exif=exif(comment=b"ASCII\0\0\0Ein Reiher")),
    ],
    ids=[
        *("xmp-jpeg", "xmp-webp", "xmp-tiff", "xmp-avif", "xmp-heic", "iptc-jpeg", "iptc-tiff", "headline"),
        *("exif-jpeg", "exif-png", "comment"),
    ],
)
def test_a_caption_is_found(data: bytes) -> None:
    assert caption(data) == "Ein Reiher"


def test_the_text_of_a_png_is_found() -> None:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp((None, "雪の中の鷺")).decode())
    assert caption(saved("PNG", pnginfo=info)) == "雪の中の鷺"
    for add in (PngInfo.add_text, PngInfo.add_itxt):
        info = PngInfo()
        info.add_text("Software", "not this")
        add(info, "Description", "Ein Reiher, grün")
        assert caption(saved("PNG", pnginfo=info)) == "Ein Reiher, grün"


# --- which ---------------------------------------------------------------------------------------------------

FIELDS: dict[str, Any] = {
    "xmp": xmp((None, "from XMP")),
    "iptc": {(2, 120): b"from IPTC", (2, 105): b"headline"},
    "description": "from EXIF",
    "comment": b"ASCII\0\0\0from the comment",
    "note": "from PNG",
}


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        ([], "from XMP"),
        (["xmp"], "from IPTC"),
        (["xmp", "iptc"], "from EXIF"),
        (["xmp", "iptc", "description"], "from the comment"),
        (["xmp", "iptc", "description", "comment"], "from PNG"),
        ([*FIELDS], None),
    ],
)
def test_the_order_of_precedence(without: list[str], expected: str | None) -> None:
    assert choose_caption(**{name: value for name, value in FIELDS.items() if name not in without}) == expected


def test_a_headline_stands_in_for_a_caption_and_goes_before_exif() -> None:
    assert choose_caption(**(FIELDS | {"xmp": None, "iptc": {(2, 105): b"headline"}})) == "headline"


def test_what_devices_write_gives_way_to_the_next_source() -> None:
    junk = FIELDS | {"xmp": xmp((None, "OLYMPUS DIGITAL CAMERA")), "iptc": {(2, 120): b"DCIM"}}
    assert choose_caption(**junk) == "from EXIF"


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([("x-default", "the default"), ("de", "deutsch")], "the default"),
        ([("de", "deutsch"), ("x-default", "the default")], "the default"),
        ([("de", "deutsch"), ("fr", "français")], "deutsch"),
        ([("x-default", " "), ("fr", "français")], "français"),
        ([("x-default", "two\n  lines &amp; more")], "two lines & more"),
        ([], None),
    ],
)
def test_of_the_languages_of_xmp_the_default_or_the_first_is_taken(
    items: list[tuple[str | None, str]], expected: str | None
) -> None:
    assert choose_caption(xmp=xmp(*items)) == expected


def test_xmp_in_its_other_forms() -> None:
    short = f'<rdf:RDF {RDF}><rdf:Description dc:description="A heron"/></rdf:RDF>'
    plain = f"<rdf:RDF {RDF}><rdf:Description><dc:description>A heron</dc:description></rdf:Description></rdf:RDF>"
    for packet in (short.encode(), short, plain.encode(), plain.encode() + b"\0\0  "):
        assert choose_caption(xmp=packet) == "A heron"


# --- character sets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ["Zürich".encode(), "Zürich".encode("latin-1")])
def test_iptc_is_utf_8_or_latin_1(raw: bytes) -> None:
    assert caption(jpeg(iptc((120, raw)))) == "Zürich"


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        (b"ASCII\0\0\0A heron\0\0\0", "A heron"),
        (b"UNICODE\0" + "A héron".encode("utf-16-le"), "A héron"),
        (b"UNICODE\0" + "A héron".encode("utf-16-be"), "A héron"),
        (b"UNICODE\0" + "雪".encode("utf-16"), "雪"),
        (bytes(8) + "Zürich".encode(), "Zürich"),
        (bytes(8) + b"\xff\xfe\x80binary", None),
        (bytes(200), None),
        (b"ASCII\0\0\0" + b" " * 100, None),
        (b"JIS\0\0\0\0\0\x24\x22", None),
        (b"no character set at all", None),
        (b"UNICODE\0odd", None),
        (b"", None),
        ("text", None),
    ],
)
def test_a_user_comment_says_its_character_set(comment: Any, expected: str | None) -> None:
    assert choose_caption(comment=comment) == expected


# --- garbage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"description",
        b"<description",
        xmp((None, "cut"))[:-60],
        xmp((None, "<unclosed>")),
        b"\xff\xfe" + xmp((None, "A heron")),
        xmp((None, "x" * 2**20)),
        17,
        xmp((None, "&a;"), before='<!DOCTYPE x [<!ENTITY a "A heron">]>'),
        xmp((None, "A heron"), before='<!DOCTYPE x SYSTEM "file:///etc/passwd">'),
        xmp((None, "&a;"), before='<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
        f"<rdf:RDF {RDF}>{'<a>' * 50_000}<dc:description>x</dc:description>".encode(),
    ],
)
def test_xmp_that_is_broken_or_declares_anything_gives_nothing(packet: Any) -> None:
    assert choose_caption(xmp=packet, note="the next") == "the next"


@pytest.mark.slow
def test_damage_to_a_file_with_every_caption_costs_captions_and_never_raises(chance: random.Random) -> None:
    whole = jpeg(iptc((120, b"from IPTC")), xmp=xmp((None, "from XMP")), exif=exif("from EXIF"))
    header = whole.index(b"\xff\xdb")
    found = set()
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 4, 16))):
            data[chance.randrange(30, header)] = chance.randrange(256)
        with suppress(MediaError):  # where the damage met the frame of a segment
            found.add(caption(bytes(data)))
    assert {"from XMP", "from IPTC"} <= found
