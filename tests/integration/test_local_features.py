"""Copies by local features: turned by any angle, mirrored, in a collage; other pictures are none."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import imseek
from imseek import duplicates
from imseek.data.vectors.descriptor_index import DescriptorIndex, sample_step
from imseek.duplicates import collection_pairs
from imseek.duplicates.local_features import candidates, feature_search
from imseek.duplicates.local_features.alignment import align
from imseek.duplicates.local_features.feature_search import FeatureResult, find
from imseek.duplicates.local_features.features import FeatureDetector, Features, is_available, unit_descriptors
from imseek.duplicates.local_features.overlay import measure_overlay
from imseek.duplicates.local_features.verdict import (
    LEAST_CONFIDENCE,
    LEAST_OVERLAY_CONFIDENCE,
    copy_confidence,
    overlay_confidence,
)
from imseek.errors import MissingExtraError
from imseek.progress import Progress, Task


@pytest.fixture(scope="module")
def photos(photo_files: list[Path]) -> dict[str, Image.Image]:
    found = {}
    for path in photo_files:
        with Image.open(path) as picture:
            found[path.stem] = picture.convert("RGB")
    return found


@pytest.fixture(scope="module")
def astronaut(photos: dict[str, Image.Image]) -> Features:
    return FeatureDetector().find(np.asarray(photos["astronaut"]))


def sureness(one: Image.Image, other: Features, *, mirrored: bool = False) -> float:
    found = FeatureDetector().find(np.asarray(one))
    laid = align(found.mirrored() if mirrored else found, other)
    return 0.0 if laid is None else copy_confidence(laid)


def with_text(picture: Image.Image) -> Image.Image:
    """Write over a picture; the lines begin at 5 % of its width, and the first at 10 % of its height."""
    written = picture.copy()
    draw, font = ImageDraw.Draw(written), ImageFont.load_default(picture.width // 9)
    for top, line in ((0.1, "SUMMER SALE"), (0.45, "when you see it"), (0.75, "so true, Monday again")):
        place = picture.width * 0.05, picture.height * top
        draw.text(place, line, font=font, fill="white", stroke_width=2, stroke_fill="black")
    return written


def with_object(picture: Image.Image, thing: Image.Image) -> Image.Image:
    """Paste a thing into the middle of a picture."""
    side = min(picture.size) // 4
    pasted = picture.copy()
    pasted.paste(thing.resize((side, side)), (picture.width * 2 // 5, picture.height * 2 // 5))
    return pasted


def turned(picture: Image.Image) -> Image.Image:
    return picture.rotate(17, Image.Resampling.BICUBIC, expand=True, fillcolor="#383")


def sureness_by_differences(one: Image.Image, other: Image.Image) -> float:
    """How sure the second model is, of a pair that the first does not believe."""
    laid = align(*(FeatureDetector().find(np.asarray(picture)) for picture in (one, other)))
    assert laid is not None
    assert copy_confidence(laid) < LEAST_CONFIDENCE
    return overlay_confidence(laid, measure_overlay(laid))


def search(pictures: Sequence[bytes | None], keep: Path | None = None, task: Task | None = None) -> FeatureResult:
    hashes = np.arange(32 * len(pictures), dtype=np.uint8).reshape(-1, 32)
    return find(hashes, lambda n: pictures[n], frozenset(), keep=keep, task=task or Task())


def encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def test_mirrored_features_are_those_of_the_mirrored_picture(astronaut: Features) -> None:
    made = astronaut.mirrored()
    found = FeatureDetector().find(made.pixels)
    nearest = (unit_descriptors(made.descriptors) @ unit_descriptors(found.descriptors).T).argmax(axis=1)
    off = np.hypot(*(made.points - found.points[nearest]).T)
    assert (off < 1.5).mean() > 0.8


@pytest.mark.parametrize("angle", [33, 145])
def test_a_picture_turned_by_any_angle_is_a_copy(
    angle: float, photos: dict[str, Image.Image], astronaut: Features
) -> None:
    turned = photos["astronaut"].rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor="#383")
    assert sureness(turned, astronaut) > LEAST_CONFIDENCE


def test_a_mirrored_crop_is_a_copy_when_it_is_mirrored_again(
    photos: dict[str, Image.Image], astronaut: Features
) -> None:
    width, height = photos["astronaut"].size
    crop = photos["astronaut"].crop((width // 5, 0, width * 4 // 5, height * 2 // 3))
    mirrored = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert sureness(mirrored, astronaut, mirrored=True) > LEAST_CONFIDENCE


def test_a_texture_is_found_where_it_is_a_fifth_as_large(
    photo_files: list[Path], photos: dict[str, Image.Image]
) -> None:
    """Almost all features of gravel are so fine that its small copy shows none of them."""
    with Image.open(photo_files[0].with_name("gravel.png")) as picture:
        gravel = picture.convert("RGB")
    ground = photos["coffee"].copy()
    ground.paste(gravel.resize((100, 100), Image.Resampling.BICUBIC), (40, 60))
    assert sureness(ground, FeatureDetector().find(np.asarray(gravel))) > LEAST_CONFIDENCE


def test_another_photograph_is_no_copy(photos: dict[str, Image.Image], astronaut: Features) -> None:
    assert sureness(photos["coffee"], astronaut) < LEAST_CONFIDENCE
    assert sureness(Image.new("RGB", (200, 100), "red"), astronaut) == 0.0


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_a_copy_under_text_is_one_and_another_picture_under_it_is_not(
    name: str, photos: dict[str, Image.Image]
) -> None:
    photo, thing = photos[name], photos["astronaut"]
    assert sureness_by_differences(turned(with_text(photo)), photo) > LEAST_OVERLAY_CONFIDENCE
    # Of a series: before one background, other things.
    others = with_object(photo, thing), with_object(photo, photos["rocket"])
    assert sureness_by_differences(turned(with_text(others[0])), others[1]) < LEAST_OVERLAY_CONFIDENCE - 0.1
    assert sureness_by_differences(turned(others[0]), others[1]) < LEAST_OVERLAY_CONFIDENCE - 0.1


def test_search_says_where_text_lies_over_a_copy(tmp_path: Path, photos: dict[str, Image.Image]) -> None:
    chelsea = photos["chelsea"]
    pictures = [chelsea, with_text(chelsea.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).rotate(17, expand=True)]
    found = search([encoded(picture) for picture in (*pictures, photos["coffee"])], tmp_path)
    assert [(one.a, one.b) for one in found.pairs] == [(0, 1)]
    assert search([encoded(picture) for picture in (*pictures, photos["coffee"])], tmp_path) == found
    places = found.pairs[0].places
    # In the picture without text, which is mirrored, all lines end at 5 % from the right.
    lines = sorted(place.a for place in places)
    assert [round(top, 1) for top, *_ in lines] == [0.1, 0.5, 0.6]
    assert [right for *_, right in lines] == pytest.approx([0.95] * 3, abs=0.02)
    # The last one is the lowest in the turned picture too, and reaches to its right edge.
    assert max(places, key=lambda place: place.b[2]).a == lines[2]


def test_search_finds_copies_mirrored_and_in_a_collage_and_keeps_them(
    tmp_path: Path, photos: dict[str, Image.Image]
) -> None:
    collage = Image.new("RGB", (840, 640), (90, 20, 40))
    for n, name in enumerate(("astronaut", "coffee")):
        tile = photos[name].copy()
        tile.thumbnail((400, 400))
        collage.paste(tile.rotate(7 * n, Image.Resampling.BICUBIC, expand=True), (10 + n * 420, 100))
    mirrored = photos["chelsea"].transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(20, Image.Resampling.BICUBIC)
    names = ("astronaut", "coffee", "chelsea", "rocket")
    pictures = [*(encoded(photos[name]) for name in names), encoded(collage), encoded(mirrored)]
    found = search([*pictures, b"no picture", None], tmp_path)
    assert {(one.a, one.b) for one in found.pairs} == {(0, 4), (1, 4), (2, 5)}
    assert all(LEAST_CONFIDENCE <= one.confidence <= 1 and one.correlation > 0.5 for one in found.pairs)
    assert found.missing == 2
    # Pictures that could not be read may be there the next time.
    assert search([None] * 8, tmp_path) == FeatureResult((), missing=8)
    reads: list[int] = []

    def read(n: int) -> bytes:
        reads.append(n)
        return pictures[n]

    hashes = np.arange(32 * len(pictures), dtype=np.uint8).reshape(-1, 32)
    for _ in range(2):
        assert find(hashes, read, frozenset(), keep=tmp_path).pairs == found.pairs
    # The result is cached, and each picture is read once.
    assert reads == list(range(len(pictures)))


@pytest.mark.parametrize("size", [(10_000, 1), (1, 10_000), (2_000, 2), (1, 1), (2, 40)])
def test_thin_pictures_have_no_copies_and_stop_nothing(size: tuple[int, int], photos: dict[str, Image.Image]) -> None:
    thin = photos["coffee"].resize(size)
    turned = photos["coffee"].rotate(25, Image.Resampling.BICUBIC, expand=True)
    found = search([encoded(thin), encoded(photos["coffee"]), encoded(thin), encoded(turned)])
    assert ([(one.a, one.b) for one in found.pairs], found.missing) == ([(1, 3)], 0)


def test_what_opencv_refuses_has_no_features(astronaut: Features) -> None:
    refused = FeatureDetector().find(np.zeros((4, 4, 5), np.uint8))
    assert len(refused) == 0
    assert align(refused.pack().unpack(), astronaut) is None
    wide_numbers = replace(astronaut, pixels=astronaut.pixels.astype(np.int64))
    assert align(astronaut, wide_numbers) is None


def test_packed_features_are_nearly_as_sure(photos: dict[str, Image.Image], astronaut: Features) -> None:
    turned = FeatureDetector().find(np.asarray(photos["astronaut"].rotate(33, expand=True)))
    packed = [one.pack().unpack() for one in (turned, astronaut)]
    before, after = align(turned, astronaut), align(*packed)
    assert before is not None
    assert after is not None
    assert abs(copy_confidence(before) - copy_confidence(after)) < 0.02


def test_search_ends_when_it_is_cancelled(photos: dict[str, Image.Image]) -> None:
    stop = threading.Event()
    stop.set()
    assert search([encoded(photos["coffee"])], task=Task(stop=stop)) == FeatureResult((), 0, interrupted=True)


def test_of_many_pictures_the_strongest_descriptors_are_compared(
    photos: dict[str, Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("coffee", "astronaut", "rocket")
    found = [FeatureDetector().find(np.asarray(photos[name])).descriptors for name in names]
    mirrored = FeatureDetector().find(np.asarray(photos["coffee"])[:, ::-1].copy()).descriptors
    monkeypatch.setattr(candidates, "_MOST_ROWS", 800)
    proposed = list(candidates.find_candidates([*found, mirrored]))
    assert (proposed[0][0], proposed[3][0]) == ((3, True), (0, True))
    monkeypatch.setattr(candidates, "_MOST_ROWS", 4)
    assert list(candidates.find_candidates([*found, mirrored[:0]]))[3] == []


def test_search_ends_when_it_is_cancelled_while_descriptors_are_indexed(photos: dict[str, Image.Image]) -> None:
    stop = threading.Event()
    phases: list[str] = []

    def report(progress: Progress) -> None:
        phases.append(progress.phase)
        if progress.phase == candidates.INDEX_PHASE:
            stop.set()

    found = search([encoded(photos["coffee"])] * 3, task=Task(report, stop, interval=0))
    assert found == FeatureResult((), 0, interrupted=True)
    assert feature_search.PAIRS_PHASE not in phases


def test_search_of_nothing_finds_nothing() -> None:
    assert search([]) == FeatureResult(())
    assert search([None, b""]).missing == 2


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Also where it is there but a library that it needs is not.
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert not is_available()
    with pytest.raises(MissingExtraError) as error:
        FeatureDetector()
    assert error.value.extra == "copies"


@pytest.mark.parametrize("count", [300, 21_000])
def test_descriptor_index_finds_the_nearest(count: int) -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((count, 16), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = DescriptorIndex(rows[:: sample_step(count)], count)
    for start in range(0, count, 7_000):
        index.add(rows[start : start + 7_000])
    found, cosines = index.search(rows[:40], 3)
    assert (found[:, 0] == np.arange(40)).mean() > 0.9
    exact = np.sort(rows[:40] @ rows.T, axis=1)[:, -3:][:, ::-1]
    assert np.abs(cosines - exact).mean() < 0.01


def test_turned_copies_are_found_inside_where_opencv_is(
    tmp_path: Path, photos: dict[str, Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("astronaut", "coffee", "rocket"):
        photos[name].save(folder / f"{name}.png")
    photos["coffee"].rotate(25, Image.Resampling.BICUBIC, expand=True).save(folder / "turned.png")
    with imseek.create(tmp_path / "c", encoder="fake") as collection:
        collection.index([folder])

        def pairs() -> list[set[str]]:
            report = duplicates.find(collection, kinds=["inside"])
            notes.append(report.notes)
            return [{Path(member.place.path.decode()).stem for member in group.members} for group in report.groups]

        notes: list[tuple[str, ...]] = []
        (folder / "rocket.png").rename(tmp_path / "rocket.png")
        assert pairs() == [{"coffee", "turned"}]
        assert "local features were not looked for in pictures that cannot be read: 1" in notes.pop()
        (tmp_path / "rocket.png").rename(folder / "rocket.png")
        assert pairs() == [{"coffee", "turned"}]
        monkeypatch.setattr(feature_search, "MOST_PICTURES", 3)
        assert pairs() == []
        assert notes == [(), ("local features are compared in up to 3 pictures: left out",)]
        monkeypatch.setattr(collection_pairs, "is_available", lambda: False)
        assert (pairs(), notes[-1]) == ([], ())
