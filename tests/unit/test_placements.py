"""Positions of pictures follow through chains of pairs, and pairs are judged by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from imseek.duplicates.pixels import pair_judge
from imseek.duplicates.pixels.luminance_cache import SmallLuminance, to_luminance
from imseek.duplicates.pixels.orientations import ORIENTATIONS, turn
from imseek.duplicates.pixels.pair_judge import judge, judge_pairs
from imseek.duplicates.pixels.placements import Placements, find_overlaps
from imseek.duplicates.pixels.registration import Registration
from imseek.duplicates.pixels.resampling import Fit
from imseek.duplicates.pixels.verdict import DEFAULTS, EDITED, INSIDE, SAME, Verdict
from imseek.media import decode
from imseek.media.resize import resize

#: Windows of the photograph: top, left, height and width, as shares of its sides. The last two have nothing in common.
WINDOWS = [
    (0.0, 0.0, 0.8, 0.8),
    (0.1, 0.05, 0.8, 0.8),
    (0.15, 0.15, 0.8, 0.8),
    (0.05, 0.2, 0.8, 0.8),
    (0.2, 0.1, 0.8, 0.8),
    (0.2, 0.2, 0.8, 0.8),
    (0.0, 0.0, 0.6, 0.6),
    (0.4, 0.4, 0.6, 0.6),
]


@pytest.fixture(scope="module")
def crops(photo_files: list[Path]) -> list[SmallLuminance]:
    pixels = decode(next(path for path in photo_files if path.stem == "coffee").read_bytes()).pixels
    height, width = pixels.shape[:2]
    cut = [
        pixels[round(top * height) : round((top + h) * height), round(left * width) : round((left + w) * width)]
        for top, left, h, w in WINDOWS
    ]
    return [to_luminance(np.ascontiguousarray(one)) for one in cut]


def _all_pairs(count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    a, b = np.triu_indices(count, 1)
    return a.astype(np.int64), b.astype(np.int64)


def _judge(pictures: list[SmallLuminance]) -> dict[tuple[int, int], Verdict]:
    a, b = _all_pairs(len(pictures))
    near = np.full(len(a), 30, np.uint8), np.full(len(a), 0.95, np.float32)
    verdicts = judge_pairs(dict(enumerate(pictures)), a, b, *near, DEFAULTS)
    return dict(zip(zip(a.tolist(), b.tolist(), strict=True), verdicts, strict=True))


def _exactly(orientation: int, a: tuple[int, int], b: tuple[int, int], window: tuple[float, ...]) -> Registration:
    """Return how ``b`` lies over ``a``, if turned it shows this window of it."""
    top, left, height, width = window
    tall, wide = b[::-1] if orientation > 3 else b
    sy, sx = tall / (height * a[0]), wide / (width * a[1])
    fit = Fit(sy, -top * a[0] * sy, sx, -left * a[1] * sx)
    return Registration(orientation, height * width, 1.0, 1.0, 1.0, 0.0, 1.0, 160, fit=fit)


@pytest.mark.parametrize("first", range(len(ORIENTATIONS)))
@pytest.mark.parametrize("second", range(len(ORIENTATIONS)))
def test_turns_and_windows_add_up(first: int, second: int) -> None:
    whole = np.zeros((8, 8), np.int64)
    shapes = [(120, 160), (90, 150), (100, 100)]
    placements = Placements()
    outer, inner = (0.1, 0.2, 0.6, 0.5), (0.25, 0.5, 0.5, 0.25)
    assert placements.link(0, 1, _exactly(first, *shapes[:2], outer), (shapes[0], shapes[1]))
    assert placements.link(2, 1, _swapped(_exactly(second, *shapes[1:], inner), shapes[1:]), (shapes[2], shapes[1]))
    code, fit = placements.between(0, 2)
    # As a picture of single pixels is turned: one way after the other.
    whole.flat[:] = np.arange(64)
    assert (turn(turn(whole, first), second) == turn(whole, code)).all()
    assert find_overlaps(fit) == pytest.approx((0.6 * 0.5 * 0.5 * 0.25, 1))
    assert not placements.link(0, 2, _exactly(0, shapes[0], shapes[2], outer), (shapes[0], shapes[2]))


def _swapped(one: Registration, shapes: list[tuple[int, int]]) -> Registration:
    """Return how the first of both lies over the second, which is not turned."""
    placements = Placements()
    placements.link(0, 1, one, (shapes[0], shapes[1]))
    code, (sy, ty, sx, tx) = placements.between(1, 0)
    tall, wide = shapes[0][::-1] if code > 3 else shapes[0]
    fit = Fit(sy * tall / shapes[1][0], ty * tall, sx * wide / shapes[1][1], tx * wide)
    return Registration(code, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 160, fit=fit)


def test_pictures_that_touch_nowhere_overlap_by_nothing() -> None:
    assert find_overlaps((1.0, 1.5, 1.0, 0.0)) == (0.0, 0.0)


def test_the_first_pairs_that_connect_all_are_found() -> None:
    placements = Placements()
    assert placements.find_forest([(5, 0, 1), (6, 1, 0), (7, 1, 2), (8, 0, 2)]) == [5, 7]
    placements.link(0, 1, _exactly(0, (9, 9), (9, 9), (0, 0, 1, 1)), ((9, 9), (9, 9)))
    assert placements.linked(1, 0)
    assert not placements.linked(1, 2)
    assert placements.find_forest([(5, 0, 1), (7, 1, 2), (8, 0, 2), (9, 3, 2)]) == [7, 9]


@pytest.mark.parametrize("mirrored", [False, True])
def test_crops_are_laid_as_others_say_and_compared_all_the_same(
    crops: list[SmallLuminance], mirrored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    alone = pair_judge._Pairs.judge_alone
    monkeypatch.setattr(pair_judge._Pairs, "judge_alone", lambda self: (looked.append(len(self.a)), alone(self))[1])
    found = _judge([*crops[:2], crops[2][:, ::-1], *crops[3:6]] if mirrored else crops)
    assert sum(looked) < len(found)
    for (a, b), verdict in found.items():
        shared = 1.0
        for k in (0, 1):
            low, high = (max(WINDOWS[a][k], WINDOWS[b][k]), min(sum(WINDOWS[n][k::2]) for n in (a, b)))
            shared *= max(0.0, high - low)
        larger = max(shared / (WINDOWS[n][2] * WINDOWS[n][3]) for n in (a, b))
        smaller = min(shared / (WINDOWS[n][2] * WINDOWS[n][3]) for n in (a, b))
        if abs(larger - DEFAULTS.overlap) < 0.03 or abs(smaller - DEFAULTS.overlap) < 0.03:
            continue
        assert verdict.kind == (SAME if smaller > DEFAULTS.overlap else INSIDE if larger > DEFAULTS.overlap else 0)
        if verdict.kind:
            assert verdict.orientation == int(mirrored and 2 in (a, b))
            assert verdict.registration is not None
            assert verdict.registration.overlap == pytest.approx(smaller, abs=0.03)


def test_an_edit_shows_between_linked_pictures(crops: list[SmallLuminance]) -> None:
    edited = crops[2].copy()
    edited[60:72, 70:82] = edited[20:32, 20:32]
    found = _judge([*crops[:6], edited])
    others = [found[n, 6] for n in (0, 1, 3, 4, 5)]
    assert {verdict.kind for verdict in others} == {EDITED}
    assert all(verdict.places for verdict in others)
    assert judge(30, 0.95, crops[1], edited).kind == EDITED


def test_copies_with_something_over_them_are_laid_as_others_say(
    photo_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An eighth of each copy and more is covered by another photograph, in nine places."""
    names = {path.stem: path for path in photo_files}
    base, patch = (decode(names[name].read_bytes()).pixels for name in ("coffee", "rocket"))
    height, width = base.shape[:2]
    copies = []
    for n in range(9):
        size = height * (7 + n % 2) // 20, width * (7 + n % 2) // 20
        top, left = (height - size[0]) * (n // 3) // 2, (width - size[1]) * (n % 3) // 2
        copy = base.copy()
        copy[top : top + size[0], left : left + size[1]] = resize(patch, size)
        copies.append(to_luminance(copy))
    looked: list[int] = []
    alone = pair_judge._Pairs.judge_alone
    monkeypatch.setattr(pair_judge._Pairs, "judge_alone", lambda self: (looked.append(len(self.a)), alone(self))[1])
    found = _judge(copies)
    assert sum(looked) < len(found)
    for verdict in found.values():
        assert verdict.registration is not None
        assert verdict.registration.in_place > 0.3
        assert verdict.kind == (EDITED if verdict.registration.agreement >= DEFAULTS.agreement else 0)
        assert bool(verdict.places) == (verdict.kind == EDITED)
    assert sum(verdict.kind == EDITED for verdict in found.values()) > len(found) / 2


def test_copies_that_wrong_positions_would_part_are_compared_by_themselves(
    crops: list[SmallLuminance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Placements, "between", lambda self, a, b: (0, (1.0, 0.9, 1.0, 0.9)))
    found = _judge([crops[0]] * 5)
    assert {verdict.kind for verdict in found.values()} == {SAME}
