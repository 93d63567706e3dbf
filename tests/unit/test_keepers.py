"""Which of a group is to stay: by rule, and with the reason that people are shown."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis_profiles import examples

from imseek.duplicates.grouping.keepers import RULES, Folders, choose_keeper, richness
from imseek.duplicates.picture_quality import Compression
from imseek.duplicates.results import Duplicate
from imseek.errors import UsageError
from imseek.types.pictures import Place


def one(
    image_id: int,
    path: str | None = "/photos/a.jpg",
    size: tuple[int, int] = (400, 300),
    count: int = 1000,
    taken: str | None = None,
    collection: str = "c",
) -> Duplicate:
    place = None if path is None else Place(1, path.encode())
    return Duplicate(collection, image_id, place, "00" * 32, *size, count, "JPEG", taken)


FEW, MANY = (400, 300), (4000, 3000)


def test_best_has_the_most_pixels() -> None:
    found = choose_keeper([one(1, size=FEW, count=9_000_000), one(2, size=MANY), one(3, size=FEW)])
    assert (found.image_id, found.reason) == (2, "4000 × 3000 pixels, the next has 400 × 300")
    assert [member.image_id for member in found.members] == [2, 1, 3]


class Measures:
    """Stands in for what pictures are measured by, with their compression by image."""

    def __init__(self, compressions: dict[int, Compression], enlarged: dict[int, float]) -> None:
        self._compressions, self._enlarged = compressions, enlarged
        self.measured: list[int] = []

    def compression(self, image: Duplicate) -> Compression:
        self.measured.append(image.image_id)
        return self._compressions.get(image.image_id, Compression(101))

    def stated_compression(self, image: Duplicate) -> Compression:
        found = self._compressions.get(image.image_id, Compression(101))
        return Compression(101) if found.saved_again else found

    def is_enlarged(self, image: Duplicate, factor: float) -> bool:
        self.measured.append(image.image_id)
        return factor <= self._enlarged.get(image.image_id, 0)


def own(image_id: int, **values: object) -> Duplicate:
    return replace(one(image_id, **values), content_hash=f"{image_id:064x}")  # type: ignore[arg-type]


def test_what_was_enlarged_loses_against_what_it_was_enlarged_from() -> None:
    members = [own(1, size=(800, 600)), own(2, size=(4000, 3000)), own(3, size=(1600, 1200)), own(4, size=(400, 300))]
    found = choose_keeper(members, quality=Measures({}, {2: 5, 3: 2}))
    assert [member.image_id for member in found.members] == [1, 2, 3, 4]
    assert found.reason == "800 × 600 pixels, the next, 4000 × 3000, was enlarged and has no more detail"
    found = choose_keeper(members, quality=Measures({}, {2: 5}))
    assert (found.image_id, found.reason) == (
        3,
        "1600 × 1200 pixels, the next, 4000 × 3000, was enlarged and has no more detail",
    )


def test_of_what_more_is_known_is_the_original_whatever_it_looks_like() -> None:
    members = [own(1, size=(800, 600)), own(2, size=(1600, 1200))]
    measures = Measures({}, {2: 5})
    found = choose_keeper(members, quality=measures, richness=lambda member: member.image_id)
    assert (found.image_id, measures.measured) == (2, [])


def test_of_as_many_pixels_the_least_compressed_one() -> None:
    """Above quality 90 nothing can be seen, and less than a step of five decides nothing."""
    said = {
        1: Compression(95),
        2: Compression(101),
        3: Compression(60),
        4: Compression(63, saved_again=True),
        5: Compression(0),
    }
    members = [own(n, count=5 - n) for n in said]
    measures = Measures(said, {})
    found = choose_keeper(members, quality=measures)
    # From the third on, what files state is enough: nobody decodes them.
    assert [member.image_id for member in found.members] == [1, 2, 4, 3, 5]
    assert (found.reason, measures.measured) == ("4 bytes, the next has 3", [1, 2])
    assert choose_keeper(members[2:], quality=Measures(said, {})).reason == (
        "stored at quality 60, the next saved again from quality 63"
    )
    assert choose_keeper([members[1], members[2]], quality=Measures(said, {})).reason == (
        "stored without loss, the next stored at quality 60"
    )
    assert choose_keeper([members[3], members[4]], quality=Measures(said, {})).reason == (
        "saved again from quality 63, the next not readable"
    )


def test_all_that_seem_lossless_are_measured_until_one_is_best() -> None:
    said = {n: Compression(50 + 5 * n, saved_again=True) for n in range(1, 5)} | {
        5: Compression(60),
        6: Compression(40),
    }
    measures = Measures(said, {})
    found = choose_keeper([own(n) for n in said], quality=measures)
    assert [member.image_id for member in found.members] == [4, 3, 5, 2, 1, 6]
    assert found.reason == "saved again from quality 70, the next saved again from quality 65"
    assert sorted(measures.measured) == [1, 2, 3, 4]


def test_nothing_is_measured_that_does_not_decide() -> None:
    measures = Measures({}, {})
    same = [one(1, count=5), one(2, count=7)]
    heic = [own(1), replace(own(2, count=5), format="HEIC")]
    for members in (same, heic, [own(1), own(2, size=(410, 310))]):
        choose_keeper(members, quality=measures)
    assert measures.measured == []


def test_best_then_has_the_most_metadata_then_the_largest_file() -> None:
    facts = {1: 2, 2: 5, 3: 5}
    members = [one(1, count=3000), one(2, count=2000), one(3, count=1500)]
    found = choose_keeper(members[::2], richness=lambda member: facts[member.image_id])
    assert (found.image_id, found.reason) == (3, "5 metadata fields, the next has 2")
    found = choose_keeper(members, richness=lambda member: facts[member.image_id])
    assert (found.image_id, found.reason) == (2, "2,000 bytes, the next has 1,500")


def test_largest_is_the_file() -> None:
    found = choose_keeper([one(1, size=MANY), one(2, size=FEW, count=1001)], "largest")
    assert (found.image_id, found.reason) == (2, "1,001 bytes, the next has 1,000")


def test_oldest_and_newest_by_the_clock_of_the_camera() -> None:
    members = [
        one(1, taken="2020-05-01T10:00:00", size=FEW),
        one(2, taken="2020-05-01T09:00:00+09:00"),  # The zone of one copy does not make it another time.
        one(3, size=MANY),
        one(4, taken="2021-01-01T00:00:00"),
    ]
    oldest, newest = choose_keeper(members, "oldest"), choose_keeper(members, "newest")
    assert (oldest.image_id, oldest.reason) == (2, "taken 2020-05-01 09:00:00, the next 2020-05-01 10:00:00")
    assert newest.image_id == 4
    assert oldest.members[-1].image_id == newest.members[-1].image_id == 3
    found = choose_keeper([members[0], members[2]], "newest")
    assert (found.image_id, found.reason) == (1, "taken 2020-05-01 10:00:00, the next has no date")
    assert choose_keeper([one(1), one(3, size=MANY)], "oldest").image_id == 3, "without any date, the best"
    assert (
        choose_keeper([one(1, taken="0000:00:00 00:00:00"), one(2, taken="2020-05-01T10:00:00")], "oldest").image_id
        == 2
    )


def test_the_folder_that_was_named_first() -> None:
    members = [one(1, "/copies/a.jpg", size=MANY), one(2, "/photos/2020/a.jpg"), one(3, "/photos2/a.jpg")]
    found = choose_keeper(members, "path-priority", prefer=["/photos/", "/copies"])
    assert (found.image_id, found.reason) == (2, "in /photos, the next is in /copies")
    found = choose_keeper(members[1:], "path-priority", prefer=[Path("/photos")])
    assert (found.image_id, found.reason) == (2, "in /photos, the next is in no preferred folder")
    assert choose_keeper(members, "path-priority").image_id == 1, "without any folder, the best"
    # Else it only decides where the rule does not.
    assert choose_keeper(members, "best", prefer=["/photos"]).image_id == 1
    assert choose_keeper([one(1, "/x/a.jpg"), one(2, "/photos/a.jpg")], prefer=["/photos"]).image_id == 2


@pytest.mark.parametrize("rule", RULES)
def test_protected_folders_come_before_every_rule(rule: str) -> None:
    members = [
        one(1, "/a/x.jpg", MANY, 9999, "2020-01-01T00:00:00"),
        one(2, "/safe/x.jpg"),
        one(3, "/safe/y.jpg", MANY),
    ]
    found = choose_keeper(members, rule, prefer=["/a"], protect=["/safe"])  # type: ignore[arg-type]
    assert [member.image_id for member in found.members] == [3, 2, 1]
    assert found.reason == (
        "in the protected folder /safe; of those protected, 4000 × 3000 pixels, the next has 400 × 300"
    )
    assert choose_keeper(members[1:], rule, prefer=["/a"], protect=["/safe"]).reason == (  # type: ignore[arg-type]
        "4000 × 3000 pixels, the next has 400 × 300"
    )
    found = choose_keeper(members[:2], rule, prefer=["/a"], protect=["/safe"])  # type: ignore[arg-type]
    assert (found.image_id, found.reason) == (2, "in the protected folder /safe, the next is in none")


def test_what_has_no_place_does_not_stay() -> None:
    found = choose_keeper([one(1, None, MANY), one(2)], protect=["/safe"])
    assert (found.image_id, found.reason) == (2, "its place is known, that of the next is not")


def test_what_nothing_tells_apart() -> None:
    found = choose_keeper([one(9), one(4), one(7)])
    assert [member.image_id for member in found.members] == [4, 7, 9]
    assert found.reason == "it was indexed first; they differ in nothing else"
    assert choose_keeper([one(4)]).reason == "it is the only one"
    assert [m.collection for m in choose_keeper([one(1, collection="d"), one(2, collection="c")]).members] == [
        "c",
        "d",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "beach (1).jpg", "beach(12).jpg", "beach copy.jpg", "beach copy 2.jpg", "beach - Copy.jpg",
        "beach - Copy (3).jpg", "beach_copy.jpg",
        "Copy of beach.jpg", "Copy (2) of beach.jpg", "beach - Kopie.jpg", "Kopie von beach.jpg",
    ],
)  # fmt: skip
def test_the_name_of_a_copy_loses_a_tie(name: str) -> None:
    found = choose_keeper([one(1, f"/photos/{name}"), one(2, "/photos/beach.jpg")])
    assert (found.image_id, found.reason) == (2, "the next has the name of a copy")
    assert choose_keeper([one(1, f"/photos/{name}", MANY), one(2, "/photos/beach.jpg")]).image_id == 1, "only of a tie"
    assert choose_keeper([one(1, f"/photos/{name}"), one(2, f"/elsewhere/{name}")]).image_id == 1


@pytest.mark.parametrize(
    "name", ["IMG_1234.jpg", "beach-2.jpg", "(1999) beach.jpg", "copyright.jpg", "hard copy shop.jpg"]
)
def test_other_names_do_not(name: str) -> None:
    assert choose_keeper([one(1, f"/photos/{name}"), one(2, "/photos/beach.jpg")]).image_id == 1
    assert choose_keeper([one(1, f"/copies (1)/{name}"), one(2, "/photos/beach.jpg")]).image_id == 1


def test_bad_requests() -> None:
    with pytest.raises(UsageError, match="rule"):
        choose_keeper([one(1)], "prettiest")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="list"):
        choose_keeper([one(1)], protect="/safe")
    with pytest.raises(ValueError, match="members"):
        choose_keeper([])


@pytest.mark.slow
@settings(max_examples=examples(200))
@given(st.data())
def test_the_order_of_members_is_of_no_consequence(data: st.DataObject) -> None:
    dates = [None, "2020-01-01T00:00:00", "2020-01-01T00:00:00+02:00", "2021-01-01T00:00:00", "never"]
    paths = [None, "/a/x", "/b/x", "/ab/x"]
    draw = data.draw
    members = [
        one(
            n,
            draw(st.sampled_from(paths)),
            draw(st.sampled_from([FEW, MANY])),
            draw(st.integers(1, 3)),
            draw(st.sampled_from(dates)),
        )
        for n in range(draw(st.integers(1, 6)))
    ]
    for rule in RULES:
        found = choose_keeper(members, rule, prefer=["/a"], protect=["/b"], richness=lambda member: member.image_id % 2)
        again = list(members)
        random.Random(draw(st.integers(0, 9))).shuffle(again)
        assert (
            choose_keeper(again, rule, prefer=["/a"], protect=["/b"], richness=lambda member: member.image_id % 2)
            == found
        )
        held = {member.image_id for member in members if member.place and member.place.path == b"/b/x"}
        assert not held or found.image_id in held
        assert {m.image_id for m in found.members} == {m.image_id for m in members}


# -- folders and metadata ------------------------------------------------------------------------------------


def test_folders_hold_what_is_below_them(tmp_path: Path) -> None:
    folders = Folders.of([b"/photos", "/a.zip", "https://example.org/x"])
    assert [
        folders.first(path) for path in (b"/photos/x", b"/photos", b"/photos2/x", b"/a.zip!/x.jpg", b"/a.zips")
    ] == [0, 0, 3, 1, 3]
    assert folders.hold(b"https://example.org/x/1.jpg")
    assert not folders.hold(b"https://example.org/xy/1.jpg")
    assert Folders.of(["/"]).hold(b"/anything")
    assert Folders.of([b"/\xff"]).hold(b"/\xff/x")
    assert not Folders.of([]).hold(b"/x")


def test_links_do_not_lead_around_protection(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "x.jpg").touch()
    for folder in ("real", "link"):
        folders = Folders.of([tmp_path / folder])
        for path in ("real/x.jpg", "link/x.jpg", "link/../real/x.jpg"):
            assert folders.hold(bytes(tmp_path / path)), f"{path} in {folder}"
        assert not folders.hold(bytes(tmp_path / "other" / "x.jpg"))


def test_a_relative_folder_is_below_the_working_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Folders.of(["safe"]).hold(bytes(tmp_path / "safe" / "x.jpg"))


def test_richness_counts_what_an_edit_loses() -> None:
    names = "image_id content_hash width height format mode frames bytes phash orientation"
    plain: dict[str, object] = dict.fromkeys(names.split(), 1)
    assert richness(plain | {"camera": None, "caption": ""}) == 0
    facts = {"taken_at": 1, "camera": "x", "latitude": 0.0, "longitude": 0.0, "caption": "x", "rating": 0}
    assert richness(plain | facts) == 5
    assert richness(plain | facts, ("a", "b")) == 7
