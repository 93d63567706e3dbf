"""Caption and rating set in XMP: everything else stays, to the byte."""

from __future__ import annotations

import pytest
from xmp import DARKTABLE, DIGIKAM, LIGHTROOM, annotations, packet

from imseek.errors import MediaError
from imseek.media.xmp import MAX_BYTES, read_xmp
from imseek.media.xmp_caption_rating import set_values


def test_a_new_packet() -> None:
    made = set_values(None, caption="a & b <c> 雪", rating=-1)
    assert (read_xmp(made).caption, read_xmp(made).rating) == ("a & b <c> 雪", -1)
    assert set_values(made, caption="a & b <c> 雪", rating=-1) == made


@pytest.mark.parametrize("before", [LIGHTROOM, DIGIKAM, DARKTABLE, annotations("a", caption="old", rating=2)])
@pytest.mark.parametrize("values", [{"caption": "new"}, {"rating": 1}, {"caption": "new", "rating": 1}])
def test_both_are_replaced_and_nothing_else_changes(before: bytes, values: dict[str, object]) -> None:
    old, new = read_xmp(before), read_xmp(set_values(before, **values))  # type: ignore[arg-type]
    assert new.caption == values.get("caption", old.caption)
    assert new.rating == values.get("rating", old.rating)
    assert (new.title, new.keywords, new.people, new.colour_label) == (
        old.title, old.keywords, old.people, old.colour_label
    )  # fmt: skip


@pytest.mark.parametrize(
    "before",
    [
        packet("", "xmp:Label=\"a>b\" xmp:Rating = '3'"),
        packet("<xmp:Rating>3</xmp:Rating><xmp:Label>a>b</xmp:Label>", ""),
        packet("<xmp:Rating/><xmp:Label>a>b</xmp:Label>", ""),
        packet("", 'xmp:Label="a>b"').replace(b"xmp:", b"x1:").replace(b"xmlns:xmp", b"xmlns:x1"),
    ],
)
def test_wherever_a_rating_may_stand(before: bytes) -> None:
    after = set_values(before, rating=5)
    assert (read_xmp(after).rating, read_xmp(after).colour_label) == (5, "a>b")
    assert after.count(b"Rating") in (2, 3)  # One element, and perhaps its namespace.


def test_what_is_no_xmp_stays() -> None:
    for broken in (b"<rdf", b"", packet("x" * MAX_BYTES, "")):
        with pytest.raises(MediaError):
            set_values(broken, rating=1)
