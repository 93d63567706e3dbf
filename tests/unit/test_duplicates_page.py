"""The page of duplicates: what it leaves out, and what it makes of values from anywhere."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from imseek.duplicates.results import (
    KIND_FACTS,
    Box,
    Difference,
    Duplicate,
    DuplicateGroup,
    DuplicatePair,
    DuplicateReport,
)
from imseek.types.pictures import Place
from imseek.ui.cli.duplicates import lines
from imseek.ui.render.duplicates_page import PageLimits, describe_unsure, page, percent, pictures_of, totals

pytestmark = pytest.mark.slow

UUID, OTHER = "uuid-of-one", "uuid-of-the-other"
ALL = PageLimits()


def member(image_id: int, pair: DuplicatePair | None = None, **values: object) -> Duplicate:
    path = f"/photos/{image_id}.jpg".encode()
    facts = {
        "collection": UUID,
        "place": Place(1, path, f"file://{path.decode()}"),
        "content_hash": f"{image_id:064x}",
        "width": 1000,
        "height": 800,
        "bytes": 12_345,
        "format": "JPEG",
        "taken_at": None,
        **values,
    }
    return Duplicate(image_id=image_id, pair=pair, **facts)  # type: ignore[arg-type]


def group(*ids: int, **values: object) -> DuplicateGroup:
    others = [member(i, DuplicatePair(ids[0], i, "same", 0.987, 0.9, 5), **values) for i in ids[1:]]
    return DuplicateGroup("same", (member(ids[0]), *others), "more pixels")


def made(*groups: DuplicateGroup, thumbnail=lambda member: b"WEBP", bounds=ALL, **values) -> str:
    report = DuplicateReport(UUID, 7, 100, groups, **values)
    return "".join(page(report, thumbnail, title="T", names={UUID: "mine", OTHER: "theirs"}, bounds=bounds))


def left_out(text: str) -> str:
    found = re.search("Left out of this page: (.*?)\\. ", text)
    return found[1] if found else ""


class Tags(HTMLParser):
    """The tags of a page, each with the names of its attributes, but for marks."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "mark":
            self.tags.append((tag, [name for name, _ in attrs]))


class TestBounds:
    def test_nothing_is_left_out_of_a_small_one(self) -> None:
        text = made(group(1, 2, 3))
        assert text.count("<figure") == text.count("<img") == 3
        assert left_out(text) == ""
        assert base64.b64encode(b"WEBP").decode() in text

    def test_groups(self) -> None:
        text = made(group(1, 2), group(3, 4), group(5, 6), bounds=PageLimits(groups=1))
        assert (text.count("<section"), left_out(text)) == (1, "2 groups")
        assert "3 groups (3 same) among 100 images; 3 images can go" in text

    def test_images_of_a_group(self) -> None:
        text = made(group(*range(20)), bounds=PageLimits(members=5))
        assert (text.count("<figure"), left_out(text)) == (5, "15 images of larger groups")
        assert '<p class="more">and 15 more</p>' in text

    def test_thumbnails_by_number(self) -> None:
        text = made(group(1, 2, 3), group(4, 5), bounds=PageLimits(pictures=3))
        assert (text.count("<img"), text.count("<figure"), left_out(text)) == (3, 5, "2 thumbnails")

    def test_thumbnails_by_size(self) -> None:
        text = made(group(1, 2, 3), thumbnail=lambda one: b"x" * 100 * one.image_id, bounds=PageLimits(bytes=420))
        assert (text.count("<img"), left_out(text)) == (2, "1 thumbnails")

    def test_what_cannot_be_read_is_no_thumbnail(self) -> None:
        text = made(group(1, 2, 3), thumbnail=lambda one: None if one.image_id == 2 else b"x")
        assert (text.count("<img"), text.count("cannot be read"), left_out(text)) == (2, 1, "")

    def test_copies_are_read_once(self) -> None:
        read: list[int] = []
        made(group(1, 2, 3, content_hash=f"{1:064x}"), thumbnail=lambda one: read.append(one.image_id) or b"x")
        assert read == [1]

    def test_what_is_read_is_known_before(self) -> None:
        report = DuplicateReport(
            UUID, 7, 100, (group(1, 2, 3, content_hash=f"{1:064x}"), group(*range(4, 24)), group(30, 31), group(40, 41))
        )
        bounds = PageLimits(groups=3, members=5, pictures=9)
        read: list[int] = []
        made(*report.groups, thumbnail=lambda one: read.append(one.image_id) or b"x", bounds=bounds)
        assert read == [1, 4, 5, 6, 7, 8, 30]
        assert [one.image_id for one in pictures_of(report, bounds)] == read


class TestEdited:
    def test_places_are_outlined_in_both_pictures_and_said(self) -> None:
        here, there = Box(0.25, 0.5, 0.1, 0.2), Box(0.65, 0.5, 0.1, 0.2)
        pair = DuplicatePair(1, 2, "edited", 0.9, orientation="mirrored", differences=(Difference(here, there),))
        text = made(DuplicateGroup("edited", (member(1), member(2, pair)), "both stay", edited_stay=True))
        places = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', text)
        expected = [[one.left * 1000, one.top * 800, one.width * 1000, one.height * 800] for one in (here, there)]
        assert [[float(edge) for edge in place] for place in places] == [pytest.approx(box) for box in expected]
        assert "differs at 25–35 % across, 50–70 % down" in text
        assert "differs at 65–75 % across, 50–70 % down" in text
        assert "could be freed" not in text

    def test_the_other_way_round(self) -> None:
        here, there = Box(0, 0, 0.1, 0.1), Box(0.5, 0.5, 0.1, 0.1)
        pair = DuplicatePair(1, 2, "edited", 0.9, differences=(Difference(here, there),))
        group = DuplicateGroup("edited", (member(2), member(1, pair)), "")
        assert (group.boxes_in(group.keeper), group.boxes_in(group.members[1])) == ((there,), (here,))
        theirs = DuplicateGroup("edited", (member(2, collection=OTHER), member(1, pair)), "")
        assert (theirs.boxes_in(theirs.keeper), theirs.boxes_in(theirs.members[1])) == ((there,), (here,))

    def test_one_in_two_groups_counts_once(self) -> None:
        groups = [
            DuplicateGroup("edited", (member(n), member(3, DuplicatePair(n, 3, "edited", 0.99))), "") for n in (1, 2)
        ]
        report = DuplicateReport(UUID, 7, 100, tuple(groups))
        assert (report.surplus, report.bytes) == (1, 12_345)
        assert [one.images for one in report.sure] == [1]

    def test_what_is_left_of_a_looser_group_stays_unless_named(self) -> None:
        scene, edited = (DuplicatePair(1, n, kind, sure) for n, kind, sure in ((2, "scene", 0.8), (3, "edited", 0.99)))
        group = DuplicateGroup("scene", (member(1), member(2, scene), member(3, edited)), "", edited_stay=True)
        left = group.at_least(0.95)
        assert left is not None
        assert (left.kind, left.surplus) == ("edited", ())

    def test_pictures_that_differ_nowhere_have_no_outline(self) -> None:
        assert "<svg" not in made(group(1, 2))


class TestValuesFromAnywhere:
    @pytest.mark.parametrize(
        "path",
        [
            b"/p/<img src=x onerror=alert(1)>.jpg",
            b"/p/\"onmouseover='alert(1)' x=\".jpg",
            b"/p/</dd></figure><script>alert(1)</script>/x.jpg",
            "/p/\u202egpj.exe\u2066\u200b.jpg".encode(),
            b"/p/line\nbreak\ttab\x1b[31mred\x07.jpg",
            b"/p/caf\xe9 \xff\xfe.jpg",
            b"/p/&amp;&lt;.jpg",
        ],
    )
    def test_names(self, path: bytes) -> None:
        place = Place(1, path, "file://" + path.decode("utf-8", "surrogateescape"))
        text = made(group(1, 2, place=place))
        text.encode("utf-8")
        assert Tags(text).tags == Tags(made(group(1, 2))).tags
        assert not re.search("[\u200b\u202e\u2066\x1b\x07\t]", text)

    @pytest.mark.parametrize("uri", ["javascript:alert(1)", "data:text/html,x", "zip://a::file:///b", ""])
    def test_only_files_and_pages_are_linked(self, uri: str) -> None:
        text = made(group(1, 2, place=Place(1, b"/p/x", uri)))
        assert text.count("<a ") == 1
        assert 'href="file:///photos/1.jpg"' in text

    def test_other_texts(self) -> None:
        nasty = "<script>\n\u202e"
        pair = DuplicatePair(1, 2, "same", 1.0, orientation=nasty)
        one = DuplicateGroup("same", (member(1, format=nasty), member(2, pair, taken_at=nasty)), nasty)
        report = DuplicateReport(nasty, 1, 2, (one,), notes=(nasty,))
        text = "".join(page(report, lambda one: b"x", title=nasty, names={UUID: nasty}))
        assert "<script" not in text
        assert "\u202e" not in text
        assert text.count(r"&lt;script&gt;\n\u202e") >= 6


class TestWords:
    def test_the_documentation_has_the_kinds_as_they_are_defined(self) -> None:
        documented = (Path(__file__).parents[2] / "docs" / "duplicates.md").read_text()
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", documented, re.MULTILINE)
        assert [(kind, facts.meaning) for kind, facts in KIND_FACTS.items()] == rows[: len(KIND_FACTS)]

    def test_what_differs_is_marked(self) -> None:
        text = made(group(1, 2, width=999, format="PNG"))
        assert text.count("<mark>") == 3
        for value in ("999 × 800", "PNG", "<bdi>2.jpg</bdi>"):
            assert f"<dd><mark>{value}</mark></dd>" in text

    def test_all_that_stays_is_called_so(self) -> None:
        assert re.findall("<figcaption><p>(keep: |)", made(group(1, 2))) == ["keep: ", ""]
        assert re.findall("<figcaption><p>(keep: |)", made(group(1, 2, protected=True))) == ["keep: "] * 2

    def test_long_names_of_folders_stay_within_their_card(self) -> None:
        """In facts, and in the reason of the keeper."""
        for where in ("dd", "figcaption p", "h1"):
            assert re.search(f"\n{where} {{[^}}]*overflow-wrap: anywhere", made(group(1, 2))), where

    def test_the_collection_is_said_where_there_are_two(self) -> None:
        assert "mine" not in made(group(1, 2))
        text = made(group(1, 2, collection=OTHER))
        assert "<dt>collection</dt><dd>mine</dd>" in text
        assert "<dt>collection</dt><dd><mark>theirs</mark></dd>" in text

    def test_an_interrupted_search(self) -> None:
        assert "interrupted" in made(interrupted=True)
        assert "no duplicates among 100 images" in made()

    @pytest.mark.parametrize(
        ("share", "said"), [(1.0, "100 %"), (0.9999, "99 %"), (0.29, "29 %"), (0.0, "0 %"), (0.57, "57 %")]
    )
    def test_only_what_is_certain_is_a_hundred(self, share: float, said: str) -> None:
        assert percent(share) == said

    def test_totals(self) -> None:
        exact = DuplicateGroup("exact", (member(1), member(2), member(3)), "")
        report = DuplicateReport(UUID, 1, 1234, (exact, group(4, 5)))
        assert totals(report) == ("2 groups (1 exact, 1 same) among 1,234 images; 3 images can go, 37.0 kB")

    def test_images_that_a_plan_leaves_out(self) -> None:
        sure, unsure, judged, protected = (
            member(n, DuplicatePair(1, n, "same", share, judged=n == 4), protected=n == 5)
            for n, share in ((2, 0.8), (3, 0.79), (4, 0.5), (5, 0.5))
        )
        groups = DuplicateGroup("same", (member(1), sure, unsure, judged, protected), "more pixels")
        report = DuplicateReport(UUID, 1, 100, (groups,))
        said = "1 image is less than 80 % sure to be a duplicate; a plan leaves it out unless you confirm it"
        assert describe_unsure(report) == said
        assert f"<p>{said}</p>" in made(groups)
        assert f"{said} (`imseek duplicates judge`)" in lines(report, 20, {}, 0.8)
        assert not any("a plan" in line for line in lines(report, 20, {}, 0.5))
        assert describe_unsure(report, 0.79) == ""
        assert describe_unsure(report, 0.9, "picture").startswith("2 pictures are less than 90 % sure to be duplicates")

    def test_an_image_that_another_group_is_sure_of_is_in_a_plan(self) -> None:
        first, second = (
            DuplicateGroup("edited", (member(keeper), member(9, DuplicatePair(keeper, 9, "edited", share))), "")
            for keeper, share in ((1, 0.6), (2, 0.9))
        )
        assert describe_unsure(DuplicateReport(UUID, 1, 100, (first,))).startswith("1 image is")
        assert describe_unsure(DuplicateReport(UUID, 1, 100, (first, second))) == ""
