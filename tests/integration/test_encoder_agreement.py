"""Two encoders on a sample of a collection: neighbours counted by hand, captions, pictures that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from templates import Templates

import imseek
from imseek import evaluate
from imseek.encoders import encoder_check
from imseek.encoders.fake import FakeEncoder
from imseek.errors import QueryError, UsageError
from imseek.evaluate import encoder_agreement
from imseek.evaluate.results import AgreementReport
from imseek.metrics.estimate import Estimate
from imseek.ui.render import encoder_agreement_page as rendering


@pytest.fixture(autouse=True)
def _quick_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_check, "_MIN_SECONDS", 0.0)


@pytest.fixture
def indexed(tmp_path: Path, photos: Path, templates: Templates) -> Iterator[imseek.Collection]:
    templates.indexed(tmp_path / "c", photos, encoder="fake:64")
    with imseek.open(tmp_path / "c") as made:
        yield made


def test_overlap_is_that_of_two_collections(indexed: imseek.Collection, tmp_path: Path, photos: Path) -> None:
    """Counted from hits of collections that were made with either encoder."""
    report = evaluate.agreement(indexed, "fake:64", "fake:24", texts=["a cup", "orange"])
    assert (report.images, report.collection_images, report.neighbours) == (8, 8, 3)
    assert report.chance == pytest.approx(3 / 7)
    found = []
    for encoder in ("fake:64", "fake:24"):
        with imseek.create(tmp_path / encoder, encoder=encoder) as made:
            made.index(photos)
            names = {image.image_id: Path(image.place.display).name for image in made if image.place}
            near = {
                name: {names[hit.image_id] for hit in made.search(image_id, limit=4, by="image")} - {name}
                for image_id, name in names.items()
            }
            near |= {
                text: {names[hit.image_id] for hit in made.search(text, limit=3, by="image", cutoff=None)}
                for text in ("a cup", "orange")
            }
        found.append(near)
    shared = {query: len(found[0][query] & found[1][query]) / 3 for query in found[0]}
    assert report.picture_overlap.value == pytest.approx(np.mean([v for q, v in shared.items() if "." in q]))
    assert report.text_overlap is not None
    assert report.text_overlap.value == pytest.approx((shared["a cup"] + shared["orange"]) / 2)
    for one in report.differences:
        query = one.text or Path(str(one.image.place.display)).name  # type: ignore[union-attr]
        assert one.overlap == pytest.approx(shared[query])
        assert one.overlap < 1
        for side, near in zip((one.a, one.b), found, strict=True):
            assert {Path(image.place.display).name for image in side if image.place} == near[query]
    costs = [(cost.encoder, cost.dim, cost.vector_bytes) for cost in (report.a, report.b)]
    assert costs == [("fake:64", 64, 8 * 128), ("fake:24", 24, 8 * 48)]
    assert report.a.collection_seconds == pytest.approx(8 / report.a.images_per_second)


def test_captions_say_which_is_better(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_agreement, "MIN_CAPTIONS", 3)
    for name, colour in (("red", (250, 10, 10)), ("lime", (10, 250, 10)), ("blue", (10, 10, 250))):
        exif = Image.Exif()
        exif[0x010E] = name
        Image.new("RGB", (64, 64), colour).save(photos / f"{name}.png", exif=exif)
    with imseek.create(tmp_path / "captioned", encoder="fake:64") as made:
        made.index(photos)
        report = evaluate.agreement(made, "fake:64", "fake:8")
        alone = evaluate.compare(made, encoders=("fake:64", "fake:8"))
    assert report.captions == alone.captions == 3
    assert report.text_to_image == alone.text_to_image


def test_sample_is_drawn_by_seed_and_filter(indexed: imseek.Collection) -> None:
    first, again, other = (
        evaluate.agreement(indexed, "fake:64", "fake:8", sample=5, seed=seed).differences for seed in (0, 0, 1)
    )
    assert [one.image for one in first] == [one.image for one in again] != [one.image for one in other]
    with pytest.raises(UsageError, match="2 pictures can be read, and 5 are needed"):
        evaluate.agreement(indexed, "fake:64", "fake:8", where="path like '%below%'")
    with pytest.raises(QueryError):
        evaluate.agreement(indexed, "fake:64", "fake:8", where="nonsense = 1")


def test_what_cannot_be_read_or_compared(
    indexed: imseek.Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "coffee.png").unlink()
    report = evaluate.agreement(indexed, "fake:64", "fake:8")
    assert (report.images, report.unreadable) == (7, 1)
    assert report.reasons[0].endswith("it is not there any more")
    for wrong, message in (
        ({"a": "fake:8", "b": "fake:8"}, "the same encoder"),
        ({"a": "fake:8", "b": "nonsense"}, "no encoder is called"),
        ({"sample": 4}, "at least 5"),
        ({"texts": []}, "no text is given"),
    ):
        with pytest.raises(UsageError, match=message):
            evaluate.agreement(indexed, **({"a": "fake:64", "b": "fake:8"} | wrong))  # type: ignore[arg-type]
    monkeypatch.setattr(FakeEncoder, "info", property(lambda self: replace(self._info, modalities=("image",))))
    report = evaluate.agreement(indexed, "fake:64", "fake:8")
    assert (report.text_overlap, report.text_to_image, report.a.texts_per_second) == (None, None, None)
    assert "fake:64 and fake:8 know no words" in rendering.advice(report)


def test_advice_names_the_better_or_the_faster(indexed: imseek.Collection) -> None:
    report = evaluate.agreement(indexed, "fake:64", "fake:8", texts=["red"])
    slow = replace(report.a, encoder="slow", images_per_second=2.0, collection_seconds=600)
    fast = replace(report.b, encoder="fast", images_per_second=20.0, collection_seconds=60)
    report = replace(report, a=slow, b=fast)
    assert (report.better, report.faster) == (None, "b")
    assert rendering.advice(report).endswith("and which one finds more cannot be said without captions.")
    assert "cannot be said with 12 captions" in rendering.advice(replace(report, captions=12))
    assert "Take fast: it is 10.0 times as fast here (60 s instead of 10 min for all 8 images)" in rendering.advice(
        report
    )
    assert rendering.advice(replace(report, b=replace(fast, images_per_second=2.1))).startswith("Either will do")

    def with_difference(low: float, high: float) -> AgreementReport:
        difference = Estimate((low + high) / 2, low, high)
        return replace(report, text_to_image=_Retrieval(difference))  # type: ignore[arg-type]

    assert rendering.advice(with_difference(-0.3, -0.1)).startswith(
        "Take slow: it finds more pictures by their captions, at 10 min for all 8 images"
    )
    assert "and encodes all 8 images in 60 s" in rendering.advice(with_difference(0.1, 0.3))
    assert "no difference in quality is shown" in rendering.advice(with_difference(-0.1, 0.3))


class _Retrieval:
    def __init__(self, difference: Estimate) -> None:
        self.mean_average_precision = difference


def test_page_shows_the_pictures_and_hides_markup(indexed: imseek.Collection) -> None:
    report = evaluate.agreement(indexed, "fake:64", "fake:8", texts=["<script>alert(1)</script>"])
    shown = rendering.image_ids(report)
    page = "".join(rendering.page(report, lambda _: b"webp", title="fake:64 and fake:8"))
    assert page.count("<img ") == len(shown) > 0
    assert "<script" not in page
    assert rendering.advice(report) in page
