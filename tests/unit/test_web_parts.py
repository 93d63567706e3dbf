"""What pages show of pictures, without a page: texts, names, places, choices."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browsing import HOSTILE

from imseek.overview import local_file, place_kind
from imseek.types.pictures import Image, Place
from imseek.types.search_results import Hit, HitGroup, Match
from imseek.ui import viewer_file
from imseek.ui.web import downloads, selection_store, system_viewer
from imseek.ui.web.components.grid import Reason
from imseek.ui.web.image_details import gps
from imseek.ui.web.parts.results import card, headings, title_of
from imseek.ui.web.plain_text import escape_markdown, one_line
from imseek.ui.web.selection_store import SelectionStore, make_selection

pytestmark = pytest.mark.slow


def _image(path: bytes, uri: str = "file:///a", format_: str = "JPEG", image_id: int = 7) -> Image:
    return Image(image_id, Place(1, path, uri), "00", {"format": format_})


# -- texts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_becomes_one_line_that_can_be_printed(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= 200


def test_what_is_cut_off_says_so() -> None:
    assert one_line("x" * 300) == "x" * 199 + "…"
    assert one_line("é\n‮b") == r"é\n\u202eb"
    assert one_line("\udcff and \ud800") == r"\udcff and \ud800"


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_is_escaped_and_reads_as_before(text: str) -> None:
    escaped = escape_markdown(text)
    seen = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", escaped.replace("​", ""))
    assert seen == one_line(text.strip())
    # Nothing is left that Markdown knows: each mark stands behind a backslash.
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`\[\]<>#!|~$]", escaped)
    # Nor what is made of text afterwards: addresses, emojis, icons, arrows.
    assert not re.search(r"\w\\?:|\w\\?@|www\\?\.|[-<>=~]\\?[-<>=~]", escaped, re.IGNORECASE)


# -- places --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "uri", "kind", "file"),
    [
        (b"/a/b.jpg", "file:///a/b.jpg", "file", b"/a/b.jpg"),
        (b"/a/b.zip!/c/d.jpg", "zip://c/d.jpg::file:///a/b.zip", "archive", b"/a/b.zip"),
        (b"/a/t.parquet!/7", "file:///a/t.parquet#row=7", "table", b"/a/t.parquet"),
        (b"https://x.example/a.jpg?b=1", "https://x.example/a.jpg?b=1", "web", None),
        (b"s3://bucket/a.tar!/b.jpg", "tar://b.jpg::s3://bucket/a.tar", "archive", None),
    ],
)
def test_kinds_of_places(path: bytes, uri: str, kind: str, file: bytes | None) -> None:
    place = Place(1, path, uri)
    assert place_kind(place) == kind
    assert local_file(place) == file


def test_titles_say_which_picture_it_is() -> None:
    def title(path: bytes, uri: str) -> str:
        return title_of(Hit("c", 1, 0.5, Place(1, path, uri)))

    assert title(b"/a/b.jpg", "file:///a/b.jpg") == "b.jpg"
    assert title(b"/a/b.zip!/c/d.jpg", "zip://c/d.jpg::file:///a/b.zip") == "d.jpg"
    assert title(b"/a/t.parquet!/7", "file:///a/t.parquet#row=7") == "t.parquet, row 7"
    assert title_of(Hit("c", 9, 0.5, None)) == "image 9"
    assert len(title(b"/a/" + b"x" * 4000, "file:///a/x")) == 200


def test_cards_have_an_alternative_text() -> None:
    hit = Hit("c", 1, 0.25, Place(1, b"/a/b.jpg", "file:///a/b.jpg"), {"caption": "A red\ncar"}, (4, 5))
    assert card("n", hit).alt == r"A red\ncar"
    assert (card("n", hit).mark, card("n", hit).note) == ("+2", "0.250")
    assert card("n", Hit("c", 1, 0.25, hit.place)).alt == "b.jpg"
    assert card("a b/c", hit).src == "/pictures/a%20b%2Fc/images/1/thumbnail?side=256"


def test_cards_say_why_words_found_a_picture() -> None:
    picture = Match("picture", score=0.31)
    excerpt = "…the <b>INVOICE</b>\nof 2024…"
    text = Match("text", ("INVOICE",), excerpt)
    hit = Hit("c", 1, 0.25, None, matches=(picture, Match("name", ("horses/", "a.png")), text))
    assert card("n", hit).reasons == (
        Reason("text", r"…the <b>INVOICE</b>\nof 2024…", ("INVOICE",)),
        Reason("name", "horses/, a.png", ("horses/", "a.png")),
        Reason("picture"),
    )
    assert card("n", hit).note == "0.250"
    assert card("n", Hit("c", 1, 0.25, None, matches=(picture,))).reasons == ()


def test_groups_become_headings() -> None:
    hits = tuple(Hit("c", n, 0.5, None) for n in range(5))
    groups = (HitGroup("/a", 9, hits[:3]), HitGroup("/gone", 0, ()), HitGroup(None, 2, hits[3:]))
    made = headings(groups)
    assert {n: (one.text, one.note, one.size) for n, one in made.items()} == {
        0: ("/a", "3 of 9 pictures", 3),
        3: ("Unknown", "2 pictures", 2),
    }


def test_places_on_earth() -> None:
    found = gps(-33.856784, 151.215297)
    assert found == {
        "text": "33.85678° S, 151.21530° E",
        "geo": "geo:-33.856784,151.215297",
        "map": "https://www.openstreetmap.org/?mlat=-33.856784&mlon=151.215297#map=14/-33.856784/151.215297",
    }
    assert gps(float("nan"), 0.0) is None
    assert gps(95, 0) is None
    assert gps("1&x=", "2") is None
    assert gps(None, None) is None


# -- names in a zip ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/a/photo.jpg", "photo.jpg"),
        (b"/a/..", "image-7.jpg"),
        (b"/a/b.zip!/../../etc/passwd", "passwd.jpg"),
        (rb"/a/..\..\evil.exe", "_.._evil.exe"),
        (b"/a/C:evil.jpg", "C_evil.jpg"),
        (b"/a/con.png", "_con.png"),
        (b"/a/.hidden", "hidden.jpg"),
        ("/a/‮gpj.exe".encode(), "_gpj.exe"),
        (b"/a/line\nbreak\0.jpg", "line_break_.jpg"),
        (b"/a/caf\xff.jpg", "caf�.jpg"),
        (b"/a/" + b"x" * 4000 + b".jpg", "x" * 150 + ".jpg"),
    ],
)
def test_names_in_a_zip_lead_nowhere_else(path: bytes, name: str) -> None:
    assert downloads.UniqueNames().of(_image(path)) == name


def test_names_in_a_zip_are_unique_also_without_capitals() -> None:
    names = downloads.UniqueNames()
    given = [b"/a/x.jpg", b"/b/x.jpg", b"/b/X.JPG", b"/c/x (2).jpg", b"/c/left out.txt"]
    assert [names.of(_image(path)) for path in given] == [
        "x.jpg",
        "x (2).jpg",
        "X (3).JPG",
        "x (2) (2).jpg",
        "left out (2).txt",
    ]


def test_rows_of_tables_and_addresses_have_names_too() -> None:
    names = downloads.UniqueNames()
    assert names.of(_image(b"/a/t.parquet!/3", "file:///a/t.parquet#row=3", "PNG")) == "image-7.png"
    assert names.of(_image(b"https://x.example/p?id=1", "https://x.example/p?id=1", "WEBP")) == "p.webp"
    assert names.of(Image(8, None, "00", {"format": "HEIC"})) == "image-8.heic"


def test_what_is_too_much_is_said_with_what_to_do() -> None:
    assert downloads.size_refusal(downloads.MAX_PICTURES, downloads.MAX_BYTES) is None
    assert "at most 5,000 pictures, and these are 5,001" in (downloads.size_refusal(5001, 1) or "")
    assert "at most 4.3 GB, and these are 5.0 GB" in (downloads.size_refusal(1, 5_000_000_000) or "")


# -- choices -------------------------------------------------------------------------------------------------


def test_a_choice_is_kept_under_one_name() -> None:
    kept = SelectionStore()
    hit = Hit("c", 2, 0.5, None, {}, (3,))
    made = make_selection("photos", [1, 2, 2], [hit, Hit("c", 9, 0.1, None)])
    assert made.ids == (1, 2)
    assert dict(made.hit_data) == {2: (0.5, (3,))}
    token = kept.keep(made)
    assert kept.keep(make_selection("photos", [1, 2], [hit])) == token
    assert kept.keep(make_selection("photos", [2, 1], [hit])) != token
    assert kept.get(token) == made
    assert kept.get("something else") is None


def test_small_choices_are_kept_however_many_there_are() -> None:
    kept = SelectionStore()
    tokens = [kept.keep(make_selection("photos", [n, n + 1])) for n in range(1_000)]
    assert len(set(tokens)) == 1_000
    assert [kept.get(token) for token in tokens] == [make_selection("photos", [n, n + 1]) for n in range(1_000)]


def test_choices_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_store, "MAX_TOTAL_IMAGES", 33)
    kept = SelectionStore()
    first, second, third = (kept.keep(make_selection("photos", range(n, n + 10))) for n in (0, 10, 20))
    kept.keep(make_selection("photos", range(10)))  # The first again: it takes no more room.
    kept.get(first)  # Who is asked for stays.
    fourth = kept.keep(make_selection("photos", [99]))
    assert [kept.get(one) is not None for one in (first, second, third, fourth)] == [True, False, True, True]
    large = kept.keep(make_selection("photos", range(50)))
    assert [kept.get(one) is not None for one in (first, third, fourth, large)] == [False, False, False, True]
    again = kept.keep(make_selection("photos", [1]))
    assert [kept.get(one) is not None for one in (large, again)] == [False, True]


def test_choices_that_nobody_asks_for_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = SelectionStore()
    first = kept.keep(make_selection("photos", [1]))
    monkeypatch.setattr(selection_store, "KEEP_SECONDS", -1.0)
    assert kept.get(first) is None
    kept.keep(make_selection("photos", [5, 6]))
    assert len(kept._recent) == 1


# -- the viewer of the system --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "hosts", "environ", "platform", "can"),
    [
        ("127.0.0.1", (), {"DISPLAY": ":0"}, "linux", True),
        ("localhost", (), {"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ("::1", (), {}, "darwin", True),
        ("127.0.0.1", (), {}, "linux", False),
        ("0.0.0.0", (), {"DISPLAY": ":0"}, "linux", False),
        ("192.168.1.5", (), {}, "darwin", False),
        ("127.0.0.1", ("pictures.example.org",), {"DISPLAY": ":0"}, "linux", False),
    ],
)
def test_pictures_are_opened_only_before_who_asks(
    host: str, hosts: tuple[str, ...], environ: dict[str, str], platform: str, can: bool
) -> None:
    assert system_viewer.can_open(host, hosts, environ, platform) is can


def test_a_page_that_begins_like_a_picture_is_not_opened_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"GIF89a<script>")

    class Stored:
        def read(self, _: int) -> bytes:
            return b"GIF89a<script>"

    place = Place(1, bytes(tmp_path / "a.html"), (tmp_path / "a.html").as_uri())
    target = viewer_file.viewable_file(Stored(), Image(7, place, "00", {"format": "GIF"}))  # type: ignore[arg-type]
    assert target.name == "imseek-7.gif"
    assert target.read_bytes() == b"GIF89a<script>"


def test_joiners_are_shown_where_they_join_something() -> None:
    family = "👩\u200d👩\u200d👧.jpg"
    assert one_line(family) == family
    assert one_line("می\u200cخواهم.jpg") == "می\u200cخواهم.jpg"
    assert one_line("a\u200db.jpg") == "a\\u200db.jpg"  # Else it could not be told from ab.jpg.
    assert one_line("\u200da\u202egpj") == "\\u200da\\u202egpj"
