"""What one collection has that another lacks."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from templates import Templates

import imseek
from imseek import dataset
from imseek.errors import QueryError, UsageError


def name_of(image: object) -> str:
    return image.place.display.rsplit("/", 1)[-1]  # type: ignore[attr-defined]


@pytest.fixture
def two(tmp_path: Path, templates: Templates) -> tuple[imseek.Collection, imseek.Collection]:
    """Plain colours, which the fake encoder knows: both have many reds and greens, only the first has blues."""
    made = templates.made(tmp_path / "two", two_collections)
    return imseek.open(made / "two0"), imseek.open(made / "two1")


def two_collections(within: Path) -> None:
    rng = np.random.default_rng(3)
    for n, hues in enumerate((("red", "green", "blue"), ("red", "green"))):
        folder = within / f"pictures{n}"
        folder.mkdir(parents=True)
        for hue in hues:
            base = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 210)}[hue]
            for i in range(30):
                noisy = np.clip(np.array(base) + rng.normal(0, 8, (24, 24, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(folder / f"{hue}{i:02}.png")
        with imseek.create(within / f"two{n}", encoder="fake") as collection:
            collection.index([folder])


class TestCoverage:
    def test_what_one_lacks_is_found(self, two: tuple[imseek.Collection, imseek.Collection]) -> None:
        report = dataset.coverage(*two)
        assert (report.a.images, report.b.images) == (90, 60)
        lacking = [name_of(image) for group in report.a.groups for image in group.images]
        blues = [name for name in lacking if name.startswith("blue")]
        assert report.a.lacking >= 30
        assert len(blues) >= 6
        assert report.a.lacking <= 36
        assert report.b.lacking <= 9
        assert report.mmd is not None
        assert report.mmd > 0.05

    def test_groups_hold_all_that_is_lacking(self, two: tuple[imseek.Collection, imseek.Collection]) -> None:
        report = dataset.coverage(*two, groups=2, examples=3)
        assert sum(group.count for group in report.a.groups) == report.a.lacking
        assert len(report.a.groups) <= 2
        assert all(len(group.images) <= 3 for group in report.a.groups)
        assert dataset.coverage(*two, groups=0).a.groups == ()

    def test_of_many_some_are_asked_about(self, two: tuple[imseek.Collection, imseek.Collection]) -> None:
        whole, some = dataset.coverage(*two, groups=100), dataset.coverage(*two, groups=100, most=40)
        assert (whole.a.asked, some.a.asked, some.a.images, some.b.asked) == (90, 40, 90, 40)
        assert some.a.share == some.a.lacking / 40
        listed = [{i.image_id for g in one.a.groups for i in g.images} for one in (whole, some)]
        assert len(listed[1]) == some.a.lacking > 8
        assert listed[1] < listed[0], "what is said of an image does not depend on which others are asked about"

    def test_one_and_the_same(self, two: tuple[imseek.Collection, imseek.Collection]) -> None:
        with pytest.raises(UsageError, match="with itself"):
            dataset.coverage(two[0], two[0].path)

    def test_other_encoders(self, tmp_path: Path, two: tuple[imseek.Collection, imseek.Collection]) -> None:
        with (
            imseek.create(tmp_path / "other", encoder="fake:32") as other,
            pytest.raises(UsageError, match="no encoder in common") as caught,
        ):
            dataset.coverage(two[0], other)
        assert f"maintain -c {tmp_path / 'other'} --add-space fake" in (caught.value.hint or "")

    def test_an_empty_one(self, tmp_path: Path, two: tuple[imseek.Collection, imseek.Collection]) -> None:
        with imseek.create(tmp_path / "empty", encoder="fake") as empty:
            report = dataset.coverage(two[0], empty)
        assert (report.a.lacking, report.a.share, report.a.threshold) == (90, 1.0, None)
        assert (report.b.images, report.b.lacking, report.b.share, report.mmd) == (0, 0, 0.0, None)
        assert "has 0 images, too few" in report.notes[0]

    def test_a_filter_holds_for_both(self, two: tuple[imseek.Collection, imseek.Collection]) -> None:
        report = dataset.coverage(*two, where="name NOT LIKE 'blue%'")
        assert (report.a.images, report.b.images) == (60, 60)
        assert report.a.lacking <= 9
        with pytest.raises(QueryError):
            dataset.coverage(*two, where="nonsense")
        with pytest.raises(UsageError, match="between 0 and 1"):
            dataset.coverage(*two, expected=1.0)

    def test_stopped(self, two: tuple[imseek.Collection, imseek.Collection]) -> None:
        stop = threading.Event()
        report = dataset.coverage(*two, progress=lambda _: stop.set(), stop=stop)
        assert report.interrupted
        assert report.a.lacking == 0
