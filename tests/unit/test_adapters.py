"""Adapters: what they do to rows, what they are known by, and the losses that they are learned by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from imseek.encoders.adapter_training import (
    MAX_LOGIT_SCALE,
    TrainingData,
    _infonce,
    _PositivePairs,
    _sigmoid,
    train_adapter,
)
from imseek.encoders.fake import FakeEncoder
from imseek.encoders.vector_adapter import AdaptedEncoder, Adapter
from imseek.tune.examples import connected_components
from imseek.types.adapters import adapter_of, adapter_reference

pytestmark = pytest.mark.slow

DOWN = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
UP = np.array([[0, 0, 2], [0, 0, 0]], np.float32)


def test_rows_go_through_it() -> None:
    rows = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [np.nan, 0, 0]], np.float16)
    found = Adapter(DOWN, UP)(rows)
    assert found.dtype == np.float32
    assert found[0] == pytest.approx([1 / math.sqrt(5), 0, 2 / math.sqrt(5)])
    assert found[1].tolist() == [0, 1, 0]
    assert found[2].tolist() == [0, 0, 0]
    assert np.isnan(found[3]).any()


def test_it_is_known_by_its_numbers_and_by_what_is_below() -> None:
    one = Adapter(DOWN, UP)
    assert one.fingerprint("a") == Adapter.of(one.arrays).fingerprint("a")
    others = {
        one.fingerprint("b"),
        Adapter(DOWN, 2 * UP).fingerprint("a"),
        Adapter(2 * DOWN, UP).fingerprint("a"),
    }
    assert len(others | {one.fingerprint("a")}) == 4


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"down": DOWN},
        {"down": DOWN, "up": DOWN},
        {"down": DOWN.astype(np.float64), "up": UP.astype(np.float64)},
        {"down": np.full_like(DOWN, np.nan), "up": UP},
    ],
)
def test_what_is_no_adapter(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="adapter"):
        Adapter.of(arrays)


def test_only_pictures_go_through_it() -> None:
    base = FakeEncoder(8)
    generator = np.random.default_rng(0)
    down, up = (generator.normal(size=shape).astype(np.float32) for shape in ((8, 2), (2, 8)))
    encoder = AdaptedEncoder(base, Adapter(down, up), "adapter:x+fake:8")
    batch = np.stack([base.prepare(generator.integers(0, 256, (9, 9, 3)).astype(np.uint8))])
    assert np.array_equal(encoder.encode_texts(["a cat"]), base.encode_texts(["a cat"]))
    assert np.array_equal(encoder.encode_images(batch), Adapter(down, up)(base.encode_images(batch)))
    assert not np.allclose(encoder.encode_images(batch), base.encode_images(batch))
    assert (encoder.info.reference, encoder.info.dim) == ("adapter:x+fake:8", 8)


def test_references() -> None:
    assert adapter_reference("ours", "openclip:A@/x+y") == "adapter:ours+openclip:A@/x+y"
    assert adapter_of("adapter:ours+openclip:A@/x+y") == ("ours", "openclip:A@/x+y")
    for other in ("builtin", "adapter:ours", "adapter:+fake", "timm:adapter:a+b", "adapter:a+"):
        assert adapter_of(other) is None


def lesson(words: np.ndarray | None, pairs: list[tuple[int, int]], images: int = 3) -> TrainingData:
    rows = np.eye(4, dtype=np.float32)[:images]
    return TrainingData(rows, words, np.array(pairs, np.int64), np.empty(0, np.int64))


def test_what_belongs_to_a_question_is_no_negative() -> None:
    """Two pictures of one text, one of another."""
    words = np.eye(4, dtype=np.float32)[:2]
    belongs = _PositivePairs(lesson(words, [(0, 0), (0, 1), (1, 2)]))
    found = belongs(np.array([0, 0, 1]), np.array([0, 1, 2]))
    assert found.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    themselves = _PositivePairs(lesson(None, [(0, 1), (1, 0)]))
    assert themselves(np.array([0, 2]), np.array([0, 1, 2])).tolist() == [
        [True, True, False],
        [False, False, True],
    ]


def test_the_losses_are_what_they_say() -> None:
    import torch

    cosines = torch.tensor([[0.9, 0.8, 0.1], [0.7, 0.6, 0.2], [0.0, 0.3, 0.5]])
    belongs = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    scale, bias = torch.tensor(math.log(10.0)), torch.tensor(-10.0)
    rows = [(9, [1]), (6, [2]), (5, [0, 3])]
    columns = [(9, [0]), (6, [3]), (5, [1, 2])]
    expected = sum(math.log1p(sum(math.exp(w - right) for w in wrong)) for right, wrong in rows + columns) / 6
    assert float(_infonce(cosines, belongs, scale, bias)) == pytest.approx(expected, rel=1e-5)
    each = [
        math.log1p(math.exp(-(1 if right else -1) * (10 * float(c) - 10)))
        for c, right in zip(cosines.flatten(), belongs.flatten().tolist(), strict=True)
    ]
    assert float(_sigmoid(cosines, belongs, scale, bias)) == pytest.approx(sum(each) / 3, rel=1e-5)


@pytest.mark.parametrize(("loss", "start"), [("infonce", 1 / 0.07), ("sigmoid", 10.0)])
def test_learning_begins_with_no_change_and_the_scale_stays_below_100(
    loss: str, start: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imseek.encoders.adapter_training.LEARNING_RATE", 1.0)
    words = np.eye(4, dtype=np.float32)[:3]
    found = train_adapter(lesson(words, [(0, 0), (1, 1), (2, 2)]), loss=loss, seed=0, every=1)
    first = next(found)
    assert (first.steps, first.scale) == (0, pytest.approx(start))
    assert not first.adapter.up.any()
    later = [next(found) for _ in range(20)]
    assert later[-1].adapter.up.any()
    assert all(now.scale <= MAX_LOGIT_SCALE * (1 + 1e-5) for now in later)
    assert max(now.scale for now in later) == pytest.approx(MAX_LOGIT_SCALE, rel=0.5)


def test_what_is_connected() -> None:
    assert connected_components(6, np.array([[4, 1], [2, 5], [1, 0]])).tolist() == [0, 0, 1, 2, 0, 1]
    assert connected_components(2, np.empty((0, 2), np.int64)).tolist() == [0, 1]
