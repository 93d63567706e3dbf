"""Candidates of real photographs become pairs of the right kind."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from imseek.duplicates.candidates.phash_pairs import distances
from imseek.duplicates.pixels.classify import ClassifiedPairs, classify
from imseek.duplicates.pixels.luminance_cache import SmallLuminance, to_luminance
from imseek.duplicates.pixels.orientations import ORIENTATIONS, turn, turn_hashes
from imseek.duplicates.pixels.pair_judge import judge
from imseek.duplicates.pixels.verdict import DEFAULTS, EDITED, INSIDE, SAME, SCENE, Verdict, judge_unread
from imseek.media import decode, perceptual_hash
from imseek.progress import Progress, Task

Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def coffee(photo_files: list[Path]) -> Picture:
    return decode(next(path for path in photo_files if path.stem == "coffee").read_bytes()).pixels


@pytest.fixture(scope="module")
def stereo() -> tuple[Picture, Picture]:
    """Two shots of one scene, from two places a hand's breadth apart."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    left, right = (decode((folder / f"motorcycle_{side}.png").read_bytes()).pixels for side in ("left", "right"))
    return left, right


def _small(pixels: Picture) -> SmallLuminance:
    return to_luminance(np.ascontiguousarray(pixels))


def _cut(pixels: Picture, share: float) -> Picture:
    side = np.sqrt(1 - share)
    height, width = round(pixels.shape[0] * side), round(pixels.shape[1] * side)
    return pixels[-height:, :width]


def _pairs(
    candidates: list[tuple[int, int, int, float]], looks: list[SmallLuminance | None], **options: object
) -> ClassifiedPairs:
    a, b, distance, cosine = zip(*candidates, strict=True)
    return classify(
        np.array(a, np.int64),
        np.array(b, np.int64),
        np.array(distance, np.uint8),
        np.zeros(len(a), np.uint8),
        np.array(cosine, np.float32),
        lambda position: looks[position],
        **options,  # type: ignore[arg-type]  # those of classify, by name
    )


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_a_slight_crop_is_the_same_picture(coffee: Picture, share: float) -> None:
    verdict = judge(30, 0.9, _small(coffee), _small(_cut(coffee, share)))
    assert verdict.kind == SAME
    assert verdict.registration is not None
    assert verdict.registration.correlation > 0.95
    assert verdict.registration.overlap == pytest.approx(1 - share, abs=0.05)


def test_a_deep_crop_is_inside(coffee: Picture) -> None:
    assert judge(30, 0.9, _small(coffee), _small(_cut(coffee, 0.65))).kind == INSIDE
    assert judge(30, 0.9, _small(_cut(coffee, 0.65)), _small(coffee)).kind == INSIDE


def test_a_deep_crop_in_which_something_differs_is_not_inside(coffee: Picture) -> None:
    crop = _cut(coffee, 0.65).copy()
    height, width = crop.shape[:2]
    crop[height // 3 : height // 2, width // 3 : width // 2] = (250, 210, 40)
    assert judge(30, 0.9, _small(coffee), _small(crop)).kind == 0
    assert judge(30, 0.9, _small(crop), _small(coffee)).kind == 0


def test_a_turned_picture_is_the_same_whatever_its_vector_says(coffee: Picture) -> None:
    turned = np.ascontiguousarray(turn(coffee, 6))
    hashes = [np.array([perceptual_hash(one)], np.uint64) for one in (coffee, turned)]
    distance, code = distances(*hashes, turn_hashes, len(ORIENTATIONS))
    assert distance[0] <= DEFAULTS.near_bits
    verdict = judge(int(distance[0]), 0.1, _small(coffee), _small(turned))
    assert (verdict.kind, verdict.orientation) == (SAME, 6)
    assert int(code[0]) == 6


def test_another_shot_is_not_the_same_however_near_its_vector_is(stereo: tuple[Picture, Picture]) -> None:
    left, right = (_small(one) for one in stereo)
    assert judge(4, 0.99, left, right).kind not in (SAME, INSIDE)
    assert judge(4, 0.99, left, left).kind == SAME


def test_a_crop_of_a_picture_that_is_nearly_symmetric_is_the_same(coffee: Picture) -> None:
    """Mirrored, all of one agrees with all of the other but for waves of two pixels, in a picture 160 wide."""
    height, width = coffee.shape[0], coffee.shape[1] // 2
    rows, columns = np.mgrid[:height, :width]
    moved = (columns + 2 * width / 80 * np.sin(rows / width * 80 / 30)).round().astype(int).clip(0, width - 1)
    picture = np.concatenate([coffee[:, :width], coffee[rows, moved][:, ::-1]], axis=1)
    cut = width // 10
    verdict = judge(14, 0.85, _small(picture[:, cut:]), _small(picture[:, :-cut]))
    assert (verdict.kind, verdict.orientation) == (SAME, 0)


def test_what_agrees_but_has_moved_is_a_scene(coffee: Picture) -> None:
    """Waves of three pixels, in a picture 160 wide."""
    rows, columns = np.mgrid[: coffee.shape[0], : coffee.shape[1]]
    unit = coffee.shape[1] / 160
    moved = (columns + 3 * unit * np.sin(rows / unit / 30)).round().astype(int).clip(0, coffee.shape[1] - 1)
    shot = _small(coffee[rows, moved])
    assert judge(4, 0.95, _small(coffee), shot).kind == SCENE
    assert judge(4, 0.85, _small(coffee), shot).kind == 0


def test_different_photographs_are_no_pair(photo_files: list[Path]) -> None:
    looks = [_small(decode(path.read_bytes()).pixels) for path in photo_files]
    for n, first in enumerate(looks):
        for second in looks[:n]:
            assert judge(8, 0.8, first, second).kind == 0


def test_blank_pictures_are_no_pair() -> None:
    white, grey = np.full((60, 80), 255, np.uint8), np.full((60, 80), 200, np.uint8)
    assert judge(0, 1.0, white, grey).kind == 0
    assert judge(64, float("nan"), white, white).kind == 0


def test_what_cannot_be_read_is_judged_by_hash_and_vector_and_said(coffee: Picture) -> None:
    looks = [_small(coffee), None, _small(coffee)]
    pairs = _pairs([(0, 1, 2, 0.97), (0, 2, 2, 0.97), (1, 2, 20, 0.8)], looks)
    assert (pairs.a.tolist(), pairs.b.tolist(), pairs.kind.tolist()) == ([0, 0], [1, 2], [SAME, SAME])
    assert pairs.confidence[0] < pairs.confidence[1]
    assert np.isnan(pairs.correlation[0])
    assert pairs.correlation[1] > 0.99
    assert (pairs.looked, pairs.unread) == (1, 2)
    assert pairs.notes[0].startswith("2 candidates were judged by hash and vector alone")
    assert _pairs([(0, 2, 2, 0.97)], looks).notes == ()


def test_candidates_that_cannot_be_pairs_are_not_read() -> None:
    def refuse(position: int) -> SmallLuminance | None:
        raise AssertionError(position)

    found = classify(
        np.array([0, 0]),
        np.array([1, 2]),
        np.array([11, 255], np.uint8),
        np.zeros(2, np.uint8),
        np.array([0.7, np.nan], np.float32),
        refuse,
    )
    assert (len(found.a), found.looked, found.done) == (0, 0, 2)


def test_without_a_vector_pixels_decide(coffee: Picture) -> None:
    assert judge(4, float("nan"), _small(coffee), _small(_cut(coffee, 0.3))).kind == SAME
    assert judge_unread(2, 0, float("nan")) == Verdict(0, 0.0)


def test_it_stops_when_told_and_says_how_far_it_came(coffee: Picture) -> None:
    stop = threading.Event()
    seen: list[tuple[int, int | None]] = []

    def progress(now: Progress) -> None:
        seen.append((now.done, now.total))
        if now.done:
            stop.set()

    pairs = _pairs([(0, 0, 0, 1.0)] * 700, [_small(coffee[::8, ::8])], task=Task(progress, stop, interval=0))
    assert pairs.interrupted
    assert pairs.done == len(pairs.a) == 32
    assert seen == [(0, 700), (32, 700)]
    assert not _pairs([(0, 0, 0, 1.0)], [_small(coffee)]).interrupted


def test_confidence_grows_with_agreement(coffee: Picture) -> None:
    rng = np.random.default_rng(0)
    small = _small(coffee)
    noisy = (small + rng.normal(0, 11, small.shape)).clip(0, 255).astype(np.uint8)
    clear, unclear = judge(0, 1.0, small, small), judge(0, 1.0, small, noisy)
    assert clear.kind == unclear.kind == SAME
    assert clear.confidence > unclear.confidence


def test_a_line_written_over_a_picture_is_an_edit(coffee: Picture) -> None:
    """Bars as strong as black on white, in a band of a seventh of the height."""
    written = coffee.copy()
    height, width = coffee.shape[:2]
    bars = (np.arange(width) // 9 * 7919 % 3 > 0) * 255
    written[height // 2 : height // 2 + height // 7] = bars[None, :, None]
    verdict = judge(8, 0.9, _small(coffee), _small(written))
    assert verdict.kind == EDITED
    assert any(place.a[0] < 0.6 and place.a[2] > 0.52 for place in verdict.places)
    assert verdict.registration is not None
    assert verdict.registration.rest_agreement > verdict.registration.agreement


def test_a_long_strip_with_something_on_it_is_edited_and_its_copy_is_the_same(coffee: Picture) -> None:
    strip = np.ascontiguousarray(coffee[200:250])
    assert strip.shape[1] / strip.shape[0] == 12
    changed = strip.copy()
    changed[8:42, 60:96] = 160
    halved = np.asarray(Image.fromarray(strip).resize((300, 25)))
    assert judge(4, 0.95, _small(strip), _small(halved)).kind == SAME
    assert judge(4, 0.95, _small(strip), _small(changed)).kind == EDITED


def test_a_picture_half_of_which_is_another_one_is_not_the_same(coffee: Picture, photo_files: list[Path]) -> None:
    other = decode(next(path for path in photo_files if path.stem == "chelsea").read_bytes()).pixels
    mixed = coffee.copy()
    height, width = (min(sides) for sides in zip(coffee.shape[:2], other.shape[:2], strict=True))
    mixed[:height, : width // 2 + 100] = other[:height, : width // 2 + 100]
    assert judge(8, 0.9, _small(coffee), _small(mixed)).kind not in (SAME, INSIDE)


def test_a_mirrored_part_is_found(coffee: Picture) -> None:
    verdict = judge(20, 0.9, _small(coffee), _small(np.fliplr(_cut(coffee, 0.2))))
    assert (verdict.kind, verdict.orientation) == (SAME, 1)
