"""Annotations of pictures and their sidecars: as programs write them, and as an attacker would."""

from __future__ import annotations

import io
import json
import struct
import time
from typing import Any
from xml.sax.saxutils import escape

import pytest
from heic import heic
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from skimage import data as photographs
from xmp import DARKTABLE, DIGIKAM, LIGHTROOM, bag, packet

from imseek.media.annotation_values import MAX_ENTRIES, MAX_LENGTH, Annotations, parse_rating
from imseek.media.decode import Limits, decode
from imseek.media.metadata import annotate
from imseek.media.sandbox import messages
from imseek.media.sidecar import read_sidecar
from imseek.media.xmp import MAX_BYTES, read_xmp
from imseek.types.pictures import ImageFacts


def test_what_lightroom_writes() -> None:
    assert read_xmp(LIGHTROOM) == Annotations(
        "The sea at dusk", "Evening", ("beach", "Norway", "Places", "Oslo"), ("Anna",), 4, "Red"
    )


def test_what_digikam_writes() -> None:
    found = read_xmp(DIGIKAM)
    assert (found.keywords, found.people) == (("beach",), ("Cleo", "Anna", "Ben"))
    assert (found.rating, found.colour_label) == (5, "Green")


def test_what_darktable_writes() -> None:
    assert read_xmp(DARKTABLE) == Annotations(keywords=("beach",), rating=-1, colour_label="Blue")


@pytest.mark.parametrize(
    ("value", "rating"),
    [("3", 3), ("3.7", 3), (" 2 ", 2), ("-1", -1), ("0", 0), (5, 5), ("6", None), ("-2", None)]
    + [(bad, None) for bad in ("", "good", "nan", "inf", "1e400", None, b"\xff", (4,), "9" * 5000)],
)
def test_a_rating_is_a_whole_number_of_stars(value: Any, rating: int | None) -> None:
    assert parse_rating(value) == rating


# --- in the picture ------------------------------------------------------------------------------------------


def saved(name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photographs.rocket()).resize((96, 64)).save(buffer, name, **options)
    return buffer.getvalue()


def iptc(*fields: tuple[int, bytes]) -> bytes:
    record = b"".join(struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text for number, text in fields)
    resource = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(record)) + record + b"\0" * (len(record) % 2)
    content = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content


def png(xmp: bytes) -> bytes:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return saved("PNG", pnginfo=info)


@pytest.mark.parametrize(
    "picture",
    [
        saved("JPEG", xmp=LIGHTROOM),
        saved("WEBP", xmp=LIGHTROOM),
        png(LIGHTROOM),
        saved("TIFF", tiffinfo={700: LIGHTROOM}),
        heic(Image.new("RGB", (16, 16)), xmp=LIGHTROOM),
    ],
    ids=["jpeg", "webp", "png", "tiff", "heic"],
)
def test_annotations_in_a_picture_are_read(picture: bytes) -> None:
    facts = decode(picture).facts
    assert facts.keywords == ("beach", "Norway", "Places", "Oslo")
    assert (facts.title, facts.people, facts.rating, facts.colour_label) == ("Evening", ("Anna",), 4, "Red")


def test_a_confined_decoder_reads_the_same() -> None:
    picture = saved("JPEG", xmp=LIGHTROOM)
    assert decode(picture, limits=Limits(untrusted=True)).facts == decode(picture).facts


def test_iptc_keywords_and_title_count_where_xmp_has_none() -> None:
    record = iptc((5, b"Launch"), (25, b"rocket"), (25, "Zürich".encode()), (25, b"rocket"))
    plain = saved("JPEG")
    facts = decode(plain[:2] + record + plain[2:]).facts
    assert (facts.title, facts.keywords) == ("Launch", ("rocket", "Zürich"))
    both = saved("JPEG", xmp=LIGHTROOM)
    facts = decode(both[:2] + record + both[2:]).facts
    assert (facts.title, facts.keywords[0]) == ("Evening", "beach")
    single = decode(plain[:2] + iptc((25, b"rocket")) + plain[2:]).facts
    assert single.keywords == ("rocket",)


def test_the_rating_of_exif_counts_where_xmp_has_none() -> None:
    exif = Image.Exif()
    exif[0x4746] = 3
    assert decode(saved("JPEG", exif=exif)).facts.rating == 3
    assert decode(saved("JPEG", exif=exif, xmp=LIGHTROOM)).facts.rating == 4


def test_a_title_that_is_a_file_name_is_none() -> None:
    assert annotate(iptc={(2, 5): b"IMG_0001.JPG"}).title is None


# --- beside the picture --------------------------------------------------------------------------------------


def test_of_the_files_beside_a_picture_text_goes_before_xmp_and_xmp_before_json() -> None:
    takeout = {"photoTakenTime": {"timestamp": "1"}, "description": "from json", "people": [{"name": "Dora"}]}
    found = read_sidecar(b"from txt", json.dumps(takeout).encode(), LIGHTROOM).annotations
    assert (found.caption, found.title, found.people) == ("from txt", "Evening", ("Anna",))
    found = read_sidecar(None, json.dumps(takeout).encode(), DARKTABLE).annotations
    assert (found.caption, found.rating, found.people) == ("from json", -1, ("Dora",))


# --- attacks -------------------------------------------------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"rdf",
        b"<rdf",
        LIGHTROOM[:-80],
        LIGHTROOM.replace(b"</dc:title>", b""),
        LIGHTROOM + b" " * MAX_BYTES,
        b"\xff\xfe" + LIGHTROOM,
        17,
        packet(bag("dc:subject", "&l9;"), before=f"<!DOCTYPE x [{LAUGHS}]>"),
        packet(bag("dc:subject", "&a;"), before='<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
        packet(bag("dc:subject", "a"), before='<!DOCTYPE x SYSTEM "file:///etc/passwd">'),
        b"<rdf:RDF/>",
        b'<rdf xmlns="rdf"/>',
    ],
)
def test_xmp_that_is_broken_or_declares_anything_says_nothing(broken: Any) -> None:
    assert read_xmp(broken) == Annotations()
    assert read_sidecar(b"a heron", None, broken if isinstance(broken, bytes) else None).annotations == Annotations(
        "a heron"
    )


def test_keywords_become_single_printable_lines() -> None:
    odd = ["two\nlines", "a\tb", "\u202eright to left", "שלום", "<script>alert(1)</script>", "  ", "🦆", "a" * 500]
    found = read_xmp(packet(bag("dc:subject", *map(escape, odd)))).keywords
    assert found == ("two lines", "a b", "right to left", "שלום", "<script>alert(1)</script>", "🦆", "a" * MAX_LENGTH)


def test_a_hundred_thousand_keywords_are_bounded() -> None:
    many = packet(bag("dc:subject", *(f"k{n}" for n in range(40_000))))
    assert len(many) < MAX_BYTES
    assert read_xmp(many).keywords == tuple(f"k{n}" for n in range(MAX_ENTRIES))
    listed = json.dumps({"keywords": [f"k{n}" for n in range(100_000)]}).encode()
    assert len(read_sidecar(None, listed[:MAX_BYTES]).annotations.keywords) in (0, MAX_ENTRIES)
    assert annotate(iptc={(2, 25): [b"k%d" % n for n in range(100_000)]}).keywords[-1] == f"k{MAX_ENTRIES - 1}"


@pytest.mark.parametrize(
    "inside",
    [
        "<dc:subject>" * 30_000 + "</dc:subject>" * 30_000,
        "<rdf:li>" * 50_000 + "</rdf:li>" * 50_000,
        "<mwg-rs:Regions>" * 25_000 + "</mwg-rs:Regions>" * 25_000,
        "<dc:subject/>" * 70_000,
        "<rdf:Description/>" * 50_000,
    ],
)
def test_deep_and_wide_xmp_takes_no_time(inside: str) -> None:
    began = time.process_time()
    assert read_xmp(packet(inside)) == Annotations()
    assert time.process_time() - began < 5


def test_the_longest_lists_fit_into_an_answer_of_a_confined_decoder() -> None:
    entries = tuple(f"{n:04}" + "🦆" * (MAX_LENGTH - 4) for n in range(MAX_ENTRIES))
    text = "🦆" * 2000
    facts = ImageFacts(
        1, 1, "JPEG", "RGB", camera=text, lens=text, caption=text, title=text, keywords=entries, people=entries
    )
    assert len(json.dumps(messages.asdict(facts))) < messages._MAX_JSON
