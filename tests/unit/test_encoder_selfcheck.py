"""``check_encoder``: a fixed set of pictures and texts, and what is wrong with what comes out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest

from imseek.encoders import Runtime, check_encoder, encoder_check, load
from imseek.encoders.fake import FakeEncoder
from imseek.errors import EncoderError, UnknownEncoderError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_check, "_MIN_SECONDS", 0.01)


def test_the_pictures_are_always_the_same_and_all_different() -> None:
    drawn = encoder_check.draw_pictures()
    assert hashlib.sha256(np.stack(drawn)).hexdigest() == PICTURES
    assert len({picture.tobytes() for picture in drawn}) == len(drawn) == 24
    assert {picture.shape for picture in drawn} == {(320, 320, 3)}
    assert min(float(picture.std()) for picture in drawn) > 1  # each shows something


PICTURES = "e92f69bcf306f9356de83797a5bc4de83dc5e6df41c2e06d08e3244e3a1d7141"


def test_figures_are_those_of_the_rows() -> None:
    found = check_encoder("fake:32")
    encoder = load("fake:32")
    rows = encoder.encode_images(np.stack([encoder.prepare(picture) for picture in encoder_check.draw_pictures()]))
    cosines = [float(rows[i] @ rows[j]) for i in range(24) for j in range(24) if i != j]
    assert found.images.count == 24
    assert found.images.cosine_min == pytest.approx(min(cosines), abs=1e-6)
    assert found.images.cosine_max == pytest.approx(max(cosines), abs=1e-6)
    assert found.images.cosine_mean == pytest.approx(np.mean(cosines), abs=1e-6)
    assert found.texts is not None
    assert found.texts.count == len(encoder_check.TEXTS)
    assert found.images.norm_min == pytest.approx(1, abs=1e-5)
    assert found.images.per_second > 1
    assert (found.fingerprint, found.precision, found.problems) == (encoder.fingerprint(), "fp32", ())


def test_builtin_tells_the_pictures_apart() -> None:
    found = check_encoder("builtin", runtime=Runtime(threads=1))
    assert found.problems == ()
    assert found.images.cosine_min < 0.6 < found.images.cosine_max
    assert found.texts is not None
    assert found.texts.cosine_mean < 0.2


class Broken(FakeEncoder):
    """What weights that were never loaded, a bad precision or a bad batch may give."""

    fault = ""

    def encode_images(self, batch: np.ndarray) -> np.ndarray:
        rows = super().encode_images(batch)
        if self.fault == "same":
            rows[:] = rows[0]
        if self.fault == "long":
            rows *= 2
        if self.fault == "nan":
            rows[3, 0] = np.nan
        if self.fault == "batch" and len(batch) > 1:
            rows = np.roll(rows, 1, axis=0)
        return rows


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("same", "are all the same"),
        ("long", "not of length 1: 2.0000"),
        ("batch", "another vector than among others"),
    ],
)
def test_what_is_wrong_is_said(fault: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "fault", fault)
    monkeypatch.setattr(encoder_check, "load", lambda reference, **_: Broken())
    (found,) = check_encoder("fake").problems
    assert problem in found


def test_numbers_that_are_none_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "fault", "nan")
    monkeypatch.setattr(encoder_check, "load", lambda reference, **_: Broken())
    with pytest.raises(EncoderError, match="NaN") as caught:
        check_encoder("fake")
    assert "--precision fp32" in (caught.value.hint or "")


def test_an_unknown_one() -> None:
    with pytest.raises(UnknownEncoderError):
        check_encoder("nothing")


def test_drawn_pictures_decide_on_no_precision_for_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Runtime] = []

    def loaded(reference: str, *, runtime: Runtime, **_: object) -> FakeEncoder:
        given.append(runtime)
        return FakeEncoder()

    monkeypatch.setattr(encoder_check, "load", loaded)
    check_encoder("fake")
    check_encoder("fake", runtime=Runtime(precision="fp32", threads=3))
    assert given == [Runtime(keep_verdict=False), Runtime(precision="fp32", threads=3, keep_verdict=False)]


class Noted(FakeEncoder):
    def notes(self, texts: Sequence[str]) -> tuple[str, ...]:
        return ("texts are encoded with torch, which starts slowly",)


def test_what_an_encoder_has_to_say_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_check, "load", lambda reference, **_: Noted())
    said: list[str] = []
    assert check_encoder("fake", notify=said.append).problems == ()
    assert said == ["texts are encoded with torch, which starts slowly"]
