"""Test an encoder and its speed on a fixed set of pictures and texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

import numpy as np

from imseek.encoders.base import Encoder, EncoderInfo
from imseek.encoders.registry import load
from imseek.encoders.runtime import Runtime
from imseek.errors import EncoderError
from imseek.types.arrays import Float32, Pixels
from imseek.types.json_form import Json, Score, Seconds, json_member

PICTURE_COUNT: Final = 24
TEXTS: Final = (
    "a red square",
    "a blue circle on a white background",
    "a photo of a dog on a beach",
    "a field of grass",
    "black and white stripes",
    "night",
    "a map of a city with many streets and a river",
    "two people at a table",
)

_SIDE: Final = 320  # pixels; larger than most encoders take, so that the check covers preparation
_NORM_TOLERANCE: Final = 1e-3
# Rows this close are indistinguishable: the weights are broken, or were never loaded.
_MIN_SPREAD: Final = 1e-4
_MIN_SECONDS: Final = 1.0  # minimum time to measure each tower


@dataclass(frozen=True, slots=True)
class TowerStatistics:
    """Statistics of one tower's n unit rows for the test set."""

    count: Annotated[int, Json(minimum=1)]
    """Number of rows."""
    norm_min: Score
    """Length of the shortest row; 1 but for rounding."""
    norm_max: Score
    cosine_min: Score
    """The smallest cosine of two different inputs."""
    cosine_mean: Score
    """Mean over all pairs of different inputs."""
    cosine_max: Score
    per_second: Annotated[Score, Json(minimum=0)]
    """Inputs per second, including the preparation of pictures, after an uncounted first run."""


@dataclass(frozen=True, slots=True)
class EncoderSpeed:
    """How many inputs an encoder takes each second on this machine, including the preparation of pictures."""

    images_per_second: Annotated[Score, Json(minimum=0)]
    texts_per_second: Annotated[float | None, Json(digits=6, minimum=0)]
    """None for an encoder of images only."""


@dataclass(frozen=True, slots=True)
class EncoderCheck:
    """Result of a check."""

    info: Annotated[EncoderInfo, Json(hidden=True)]
    fingerprint: str
    """Hex sha256 over the weights and the preparation of pictures; equal means comparable vectors."""
    precision: str
    """The precision in which pictures were encoded."""
    load_seconds: Seconds
    """From the reference to the fingerprint."""
    images: TowerStatistics
    texts: TowerStatistics | None
    """None for an encoder of images only."""
    problems: tuple[str, ...]
    """Empty for a sound encoder."""

    @property
    @json_member()
    def reference(self) -> str:
        return self.info.reference

    @property
    @json_member()
    def revision(self) -> str | None:
        return self.info.revision

    @property
    @json_member(Json(minimum=1))
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.info.dim


def check_encoder(
    reference: str, *, runtime: Runtime | None = None, notify: Callable[[str], None] | None = None
) -> EncoderCheck:
    """Encode a fixed set of generated pictures and texts with the encoder ``reference``, and check the rows.

    ``runtime`` and ``notify`` are those of :func:`imseek.encoders.load`; ``notify`` also receives the encoder's notes
    on the texts. A verdict on a precision from these pictures is not kept for real ones. Raises what loading the
    encoder raises, and EncoderError where it fails on the set.
    """
    started = time.perf_counter()
    encoder = load(reference, runtime=replace(runtime or Runtime(), keep_verdict=False), notify=notify)
    fingerprint = encoder.fingerprint()
    load_seconds = time.perf_counter() - started

    pictures = draw_pictures()
    images, image_speed = _time_runs(lambda: encoder.encode_images(_prepare_batch(encoder, pictures)), len(pictures))
    results = [_check_rows("pictures", images, image_speed)]
    if "text" in encoder.info.modalities:
        texts, text_speed = _time_runs(lambda: encoder.encode_texts(TEXTS), len(TEXTS))
        results.append(_check_rows("texts", texts, text_speed))
        if notify is not None:
            for note in encoder.notes(TEXTS):
                notify(note)
    problems = [problem for _, of_tower in results for problem in of_tower]
    if not problems:
        # A picture encoded alone must give the same row up to rounding: padding and batching change nothing.
        single = encoder.encode_images(_prepare_batch(encoder, pictures[:1]))
        if float(single[0] @ images[0]) < 0.99:
            problems.append("a picture alone gets another vector than among others")
    return EncoderCheck(
        info=encoder.info,
        fingerprint=fingerprint,
        precision=encoder.precision,
        load_seconds=load_seconds,
        images=results[0][0],
        texts=results[1][0] if len(results) > 1 else None,
        problems=tuple(problems),
    )


def measure_speed(encoder: Encoder) -> EncoderSpeed:
    """Time both towers on the set of :func:`check_encoder`, for about two seconds after an uncounted first run."""
    pictures = draw_pictures()
    _, images = _time_runs(lambda: encoder.encode_images(_prepare_batch(encoder, pictures)), len(pictures))
    if "text" not in encoder.info.modalities:
        return EncoderSpeed(images, None)
    _, texts = _time_runs(lambda: encoder.encode_texts(TEXTS), len(TEXTS))
    return EncoderSpeed(images, texts)


def draw_pictures(count: int = PICTURE_COUNT) -> list[Pixels]:
    """Draw ``count`` pictures of (320, 320, 3) uint8, always the same: gradients, stripes, discs, noise."""
    random = np.random.default_rng(20260101)
    down, across = np.mgrid[:_SIDE, :_SIDE].astype(np.float32) / _SIDE
    pictures = []
    for n in range(count):
        near, far = random.uniform(0, 255, (2, 3))
        kind = n % 4
        if kind == 0:  # a gradient in some direction
            angle = random.uniform(0, np.pi)
            amount = (np.cos(angle) * across + np.sin(angle) * down + 1) / 3
        elif kind == 1:  # stripes
            amount = (np.sin(2 * np.pi * random.integers(2, 20) * (across if n % 8 == 1 else down)) > 0) * 1.0
        elif kind == 2:  # a disc
            top, left, radius = random.uniform(0.2, 0.8), random.uniform(0.2, 0.8), random.uniform(0.1, 0.4)
            amount = ((down - top) ** 2 + (across - left) ** 2 < radius**2) * 1.0
        else:  # noise of some grain
            cells = int(random.integers(4, 64))
            grain = random.uniform(0, 1, (cells, cells))
            amount = np.kron(grain, np.ones((_SIDE // cells + 1,) * 2))[:_SIDE, :_SIDE]
        mixed = near + (far - near) * np.asarray(amount)[..., None]
        pictures.append(np.clip(mixed, 0, 255).astype(np.uint8))
    return pictures


def _prepare_batch(encoder: Encoder, pictures: Sequence[Pixels]) -> Pixels:
    return np.stack([encoder.prepare(picture) for picture in pictures])


def _time_runs(encode: Callable[[], Float32], count: int) -> tuple[Float32, float]:
    rows = encode()
    runs, started = 0, time.perf_counter()
    while not runs or time.perf_counter() - started < _MIN_SECONDS:
        rows = encode()
        runs += 1
    return rows, runs * count / (time.perf_counter() - started)


def _check_rows(subject: str, rows: Float32, per_second: float) -> tuple[TowerStatistics, list[str]]:
    """Return the statistics of ``rows`` and the problems found in them."""
    if not np.isfinite(rows).all():
        raise EncoderError(
            f"vectors of {subject} hold numbers that are none (NaN or infinite)",
            hint="try another precision (`--precision fp32`) or device",
        )
    norms = np.linalg.norm(rows, axis=1)
    cosines = (rows @ rows.T)[~np.eye(len(rows), dtype=bool)]
    statistics = TowerStatistics(
        count=len(rows),
        norm_min=float(norms.min()),
        norm_max=float(norms.max()),
        cosine_min=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        cosine_max=float(cosines.max()),
        per_second=per_second,
    )
    problems = []
    if max(abs(1 - statistics.norm_min), abs(1 - statistics.norm_max)) > _NORM_TOLERANCE:
        problems.append(
            f"vectors of {subject} are not of length 1: {statistics.norm_min:.4f} to {statistics.norm_max:.4f}"
        )
    if statistics.cosine_min > 1 - _MIN_SPREAD:
        problems.append(f"vectors of {subject} are all the same: their cosines are above {statistics.cosine_min:.6f}")
    return statistics, problems
