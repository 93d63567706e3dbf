"""Keywords added to XMP: everything else stays, to the byte."""

from __future__ import annotations

import re

import pytest
from xmp import DARKTABLE, DIGIKAM, LIGHTROOM, bag, packet

from imseek.errors import MediaError
from imseek.media.xmp import MAX_BYTES, read_xmp
from imseek.media.xmp_keywords import add_keywords

ODD = ["two\nlines", "a & b <c>", "雪", "🦆", "שלום", "]]>", '"quoted"']
TIDY = ("two lines", "a & b <c>", "雪", "🦆", "שלום", "]]>", '"quoted"')
DESCRIBED = packet("<dc:title><rdf:Alt><rdf:li>x</rdf:li></rdf:Alt></dc:title>", 'xmp:Rating="3"')

EMPTY = re.sub(
    rb"<rdf:Description[^>]*>.*</rdf:Description>", b'<rdf:Description xmp:Rating="3" xmp:Label="a>b"/>', DESCRIBED
)


def test_a_new_packet() -> None:
    made = add_keywords(None, ODD, ["first"])
    assert read_xmp(made).keywords == ("first", *TIDY)
    assert add_keywords(made, ODD) == made


@pytest.mark.parametrize("before", [LIGHTROOM, DIGIKAM, DARKTABLE])
def test_keywords_are_added_and_nothing_else_changes(before: bytes) -> None:
    after = add_keywords(before, [*ODD, "beach"], ["not this"])
    old, new = read_xmp(before), read_xmp(after)
    assert {*new.keywords} == {*old.keywords, *TIDY}
    start = next(n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    end = len(before) - start
    assert after[:start] == before[:start]
    assert after.endswith(before[-end:])
    assert add_keywords(after, ODD) == after


@pytest.mark.parametrize(
    "before",
    [
        DESCRIBED,
        DESCRIBED.replace(b"utf-8", b"latin-1"),
        b"\xef\xbb\xbf" + DESCRIBED.partition(b"?>")[2],
        b'<?xml version="1.0" encoding="iso-8859-1"?>' + DESCRIBED.partition(b"?>")[2].replace(b">x<", b">\xe9<"),
        EMPTY,
        packet("<dc:subject/>", 'xmp:Rating="3"'),
        packet("<dc:subject><rdf:Bag/></dc:subject>", 'xmp:Rating="3"'),
        packet("<dc:subject><rdf:Bag></rdf:Bag></dc:subject>", 'xmp:Rating="3"'),
        packet(bag("dc:subject", "a", kind="Seq") + "<!-- a comment -->", 'xmp:Rating="3"'),
        packet(bag("dc:subject", "a"), 'xmp:Rating="3"').replace(b"rdf:", b"r:").replace(b"xmlns:rdf", b"xmlns:r"),
    ],
)  # fmt: skip
def test_wherever_keywords_may_stand(before: bytes) -> None:
    after = add_keywords(before, ["a", "b", "雪"])
    assert {*read_xmp(after).keywords} == {"a", "b", "雪"}
    assert read_xmp(after).rating == 3
    assert read_xmp(after).title == read_xmp(before).title
    assert add_keywords(after, ["b", "a", "雪"]) == after


def test_keywords_of_the_picture_come_along_only_where_the_packet_has_none() -> None:
    assert read_xmp(add_keywords(DESCRIBED, ["b"], ["a"])).keywords == ("a", "b")
    assert "a" not in read_xmp(add_keywords(LIGHTROOM, ["b"], ["a"])).keywords
    for nothing in ("<dc:subject><rdf:Bag/></dc:subject>", bag("dc:subject", ""), bag("dc:subject", "darktable|x")):
        assert read_xmp(add_keywords(packet(nothing), ["b"], ["a"])).keywords == ("a", "b")


def test_keywords_of_another_picture_inside_stay() -> None:
    inner = f"<rdf:Description>{bag('dc:subject', 'of an ingredient')}</rdf:Description>"
    pantry = f"<a:Pantry xmlns:a='urn:a'><rdf:Bag><rdf:li>{inner}</rdf:li></rdf:Bag></a:Pantry>"
    for before, keywords in ((packet(pantry), ()), (packet(pantry + bag("dc:subject", "own")), ("own",))):
        after = add_keywords(before, ["new"])
        assert read_xmp(after).keywords == (*keywords, "new")
        assert inner.encode() in after


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"<x",
        b"<x/>",
        LIGHTROOM[:-80],
        packet(before='<!DOCTYPE x [<!ENTITY a "b">]>'),
        packet(attributes='dc:subject="a"'),
        packet("<dc:subject>a</dc:subject>"),
        packet("<dc:subject><rdf:Bag/>" + bag("dc:subject", "a")[12:]),
        packet('<dc:subject><rdf:Bag rdf:_1="a"/></dc:subject>'),
        packet('<dc:subject rdf:resource="a"/>'),
        packet(attributes='xmlns:a="a b"'),
        DESCRIBED + b" " * MAX_BYTES,
        DESCRIBED.decode().encode("utf-16"),
        packet(f"<dc:title>{'x' * (MAX_BYTES - 2000)}</dc:title>"),
    ],
)
def test_what_cannot_be_edited_is_refused(broken: bytes) -> None:
    with pytest.raises(MediaError):
        add_keywords(broken, [f"keyword {n}" for n in range(200)])
