"""Pictures of one set, compared at the pixels of a frame that they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image
from skimage import data

from imseek.duplicates.pixels.agreement import TiledPicture, compare_tiled, compare_tiles
from imseek.duplicates.pixels.common_frame import CommonFrame
from imseek.duplicates.pixels.luminance_cache import SmallLuminance, to_luminance
from imseek.duplicates.pixels.orientations import turn
from imseek.duplicates.pixels.pair_judge import judge_pairs
from imseek.duplicates.pixels.placements import Placements
from imseek.duplicates.pixels.registration import Registration
from imseek.duplicates.pixels.verdict import DEFAULTS, EDITED, SAME
from imseek.types.arrays import Pixels

PHOTO = data.chelsea()
HEIGHT, WIDTH = PHOTO.shape[:2]
#: Crops by their top, left, bottom and right edges.
CROPS = {0: (0, 0, 300, 451), 1: (10, 20, 260, 400), 2: (40, 60, 300, 451), 3: (0, 70, 230, 420), 4: (5, 10, 280, 440)}


def crop(box: tuple[int, int, int, int], pixels: Pixels = PHOTO) -> SmallLuminance:
    top, left, bottom, right = box
    return to_luminance(np.ascontiguousarray(pixels[top:bottom, left:right]))


def placed(boxes: dict[int, tuple[int, int, int, int]]) -> Placements:
    """Return where the crops lie, each by where it lies over the first."""
    placements = Placements()
    top, left, bottom, right = boxes[0]
    for n, (t, lf, b, r) in boxes.items():
        if n:
            down, across = (bottom - top) / (b - t), (right - left) / (r - lf)
            placements.link_fit(0, n, (0, (down, (top - t) / (b - t), across, (left - lf) / (r - lf))))
    return placements


def framed(pictures: Sequence[SmallLuminance], placements: Placements) -> CommonFrame:
    return CommonFrame(lambda n: pictures[n].astype(np.float32), placements)


def lay(frame: CommonFrame, a: int, b: int) -> Registration | None:
    compared = frame.compare(a, b)
    return None if compared is None else compared.registration


def may_differ(frame: CommonFrame, a: int, b: int) -> bool:
    compared = frame.compare(a, b)
    assert compared is not None
    return compared.may_differ()


@pytest.fixture
def frame() -> CommonFrame:
    return framed([crop(box) for box in CROPS.values()], placed(CROPS))


def test_crops_of_one_photograph_agree_in_the_frame(frame: CommonFrame) -> None:
    for a, b in ((0, 1), (1, 2), (2, 3), (1, 3)):
        registration = lay(frame, a, b)
        assert registration is not None
        assert registration.agreement > 0.95
        assert registration.drift < 0.15
        assert registration.correlation > 0.99
    top, left, bottom, right = (max(CROPS[1][0], CROPS[2][0]), 60, 260, 400)
    area = (bottom - top) * (right - left)
    assert (registration := lay(frame, 1, 2)) is not None
    assert registration.overlap_a == pytest.approx(area / (250 * 380))
    assert registration.overlap_b == pytest.approx(area / (260 * 391))


def test_a_wrong_place_does_not_agree() -> None:
    pictures = [crop(box) for box in CROPS.values()]
    moved = CROPS | {2: (40, 90, 300, 451)}
    registration = lay(framed(pictures, placed(moved)), 1, 2)
    assert registration is not None
    assert registration.agreement < 0.5


@pytest.mark.parametrize(
    ("box", "level"), [((150, 165, 90, 124), 100), ((159, 179, 332, 360), 104), ((83, 104, 333, 345), 113)]
)
def test_a_small_patch_is_seen_in_pairs_that_others_link(box: tuple[int, int, int, int], level: int) -> None:
    """Its level is about that of what is around it."""
    top, bottom, left, right = box
    patched = PHOTO.copy()
    patched[top:bottom, left:right] = level
    pictures = {n: crop(crop_box, patched if n == 2 else PHOTO) for n, crop_box in CROPS.items()}
    frame = framed(list(pictures.values()), placed(CROPS))
    near = np.zeros(1, np.uint8), np.full(1, 0.95, np.float32)
    (found,) = judge_pairs(pictures, np.array([1]), np.array([2]), *near, DEFAULTS, frame)
    assert found.kind == EDITED


def test_a_small_patch_may_differ_and_crops_do_not() -> None:
    patched = PHOTO.copy()
    patched[150:165, 90:124] = 100
    frame = framed([crop(CROPS[0]), crop(CROPS[1]), crop(CROPS[2], patched), crop((0, 0, 40, 60))], placed(CROPS))
    assert not may_differ(frame, 0, 1)
    assert may_differ(frame, 0, 2)
    assert may_differ(frame, 1, 2)
    # In a dark copy, the patch differs by fewer levels.
    dark = crop(CROPS[1], (PHOTO * 0.3).astype(np.uint8))
    frame = framed([crop(CROPS[0]), dark, crop(CROPS[2], patched)], placed({n: CROPS[n] for n in range(3)}))
    assert may_differ(frame, 1, 2)


def test_edges_of_a_drawing_do_not_differ_and_a_dot_on_it_does() -> None:
    """Edges that are drawn at other sizes and a fraction of a pixel off differ by more levels than a faint place."""
    drawing = np.full((300, 440), 255, np.uint8)
    for n in range(12, 130, 24):
        drawing[150 - n : 150 + n, 220 - n : 220 + n] = 255 * (n // 24 % 2)
    dotted = drawing.copy()
    dotted[60:72, 40:52] = 150
    small = Image.fromarray(drawing).resize((200, 136), Image.Resampling.BILINEAR)
    pictures = [to_luminance(np.stack([one] * 3, axis=2)) for one in (drawing, np.asarray(small), dotted)]
    placements = Placements()
    for n in (1, 2):
        placements.link_fit(0, n, (0, (1.0, 0.001, 1.0, 0.001)))
    frame = framed(pictures, placements)
    compared = frame.compare(0, 1)
    assert compared is not None
    assert compared.registration.agreement > 0.9
    assert not compared.may_differ()
    assert may_differ(frame, 0, 2)
    assert may_differ(frame, 1, 2)


def test_a_picture_placed_a_little_off_is_laid_over_the_largest_one() -> None:
    pictures = [crop(box) for box in CROPS.values()]
    frame = framed(pictures, placed(CROPS | {2: (42, 57, 302, 448), 3: (0, 0, 230, 350)}))
    off = lay(frame, 1, 2)
    assert frame.settle(1, 2)
    registration = lay(frame, 1, 2)
    assert off is not None
    assert registration is not None
    assert registration.drift < off.drift / 3
    assert registration.agreement > max(0.97, off.agreement)
    assert not frame.settle(2)
    assert not frame.settle(0)  # the largest one
    # What lies elsewhere than it was said to lie stays there.
    before = frame.placements.between(0, 3)
    assert not frame.settle(3)
    assert frame.placements.between(0, 3) == before


def test_a_turned_crop_is_turned_back() -> None:
    pictures = [crop(CROPS[0]), np.ascontiguousarray(turn(crop(CROPS[0]), 5))]
    placements = Placements()
    placements.link_fit(0, 1, (5, (1, 0, 1, 0)))
    registration = lay(framed(pictures, placements), 0, 1)
    assert registration is not None
    assert registration.orientation == 5
    assert registration.overlap_a == pytest.approx(1)
    assert registration.agreement > 0.98


def test_too_little_in_common_is_not_compared() -> None:
    boxes = {0: (0, 0, 300, 451), 1: (0, 0, 100, 150), 2: (80, 130, 300, 451)}
    frame = framed([crop(box) for box in boxes.values()], placed(boxes))
    assert lay(frame, 1, 2) is None
    # A picture of a few pixels has no tiles.
    boxes[1] = (0, 0, 12, 16)
    frame = framed([crop(box) for box in boxes.values()], placed(boxes))
    assert lay(frame, 0, 1) is None


def test_tiles_of_a_shared_grid_say_what_tiles_of_a_pair_say() -> None:
    one, other = (crop(CROPS[0], pixels).astype(np.float32) for pixels in (PHOTO, PHOTO // 2 + 40))
    tiled = [TiledPicture.of(picture, -3, 5) for picture in (one, other)]
    assert tiled[0] is not None
    assert tiled[1] is not None
    found = compare_tiled(tiled[0], tiled[1])
    assert found is not None
    expected = compare_tiles(one, other, 0, 0)
    assert found.tiles.agreement == pytest.approx(expected.agreement, abs=0.02)
    assert found.tiles.drift == pytest.approx(expected.drift, abs=0.03)
    assert found.tiles.detail == pytest.approx(expected.detail, rel=0.1)
    assert found.pixels == tiled[0].own.size
    assert found.correlation > 0.999


@pytest.mark.parametrize("pasted", [False, True])
def test_pairs_that_others_link_are_judged_in_the_frame(pasted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = PHOTO.copy()
    if pasted:
        changed[120:150, 200:240] = data.astronaut()[:30, :40]
    pictures = {n: crop(box, changed if n == 3 else PHOTO) for n, box in CROPS.items()}
    pairs = [(a, b) for a in CROPS for b in CROPS if a < b]
    a, b = np.array(pairs).T
    compared: list[tuple[int, int]] = []
    compare = CommonFrame.compare

    def record(frame: CommonFrame, a: int, b: int) -> object:
        compared.append((a, b))
        return compare(frame, a, b)

    monkeypatch.setattr(CommonFrame, "compare", record)
    near = np.zeros(len(a), np.uint8), np.full(len(a), 0.95, np.float32)
    found = judge_pairs(pictures, a, b, *near, DEFAULTS)
    assert compared
    for pair, verdict in zip(pairs, found, strict=True):
        assert verdict.kind == (EDITED if pasted and 3 in pair else SAME), pair
