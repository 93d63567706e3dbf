"""Find and read lines of text in a picture, by the networks of PP-OCR that ship in the wheel of rapidocr.

A detector finds lines, a recogniser reads each, and where it is unsure a classifier says whether the line is upside
down. Lines in Greek or Cyrillic, which the recogniser does not know, are left to Tesseract where the system has it
(:mod:`imseek.ocr.tesseract`). Before all that, the detector looks at a small copy, and at the blocks of a large picture
that look like text. Where it sees some, lines are found and read in a window around that: a picture where none can be
read is not looked at again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.encoders.onnx_network import load_without_denormals
from imseek.errors import MissingExtraError
from imseek.media.annotation_values import tidy
from imseek.media.opencv import load_opencv
from imseek.media.resize import resize
from imseek.ocr.results import TextLine
from imseek.ocr.tesseract import LANGUAGES, MIN_LETTERS, Tesseract, find_tesseract, letters_of
from imseek.ocr.text_like_blocks import choose_blocks
from imseek.ocr.text_windows import WINDOW, ProbabilityMap, choose_windows
from imseek.types.arrays import Pixels

Corners: TypeAlias = npt.NDArray[np.float32]
"""The corners (4, 2) of a line as x and y in pixels, clockwise from the start of its text."""

EXTRA: Final = "ocr"
#: Pixels of the shorter side below which nothing is legible.
_MIN_SIDE: Final = 8
#: Pixels of the longer side: of the picture that lines are cut from, of the copy that they are found in, and of the
#: small copy that says whether there is text. In that of a picture above ``_LARGE``, small text is too small: there
#: the blocks that look like text are looked at as they are.
READ_SIDE: Final = 2400
DETECT_SIDE: Final = 1600
GATE_SIDE: Final = 320
_LARGE: Final = 640
#: A small picture is enlarged before lines are found in it, up to this side and by this factor.
_ENLARGED_SIDE: Final = 640
_ENLARGEMENT: Final = 2.0
#: A closer look is taken where a pixel of the copy, or of a block, is text with this probability (docs/log.md).
GATE_PROBABILITY: Final = 0.8
BLOCK_PROBABILITY: Final = 0.995
#: Lines that are read in a window or block at most, those first that the detector is surest of, and the width by height
#: that is read of each.
_GATE_LINES: Final = 2
_GATE_ASPECT: Final = 8.0
#: Maximum number of lines to read, the largest ones.
MAX_LINES: Final = 400
#: Below this confidence, the classifier looks whether the line is upside down; lines below the second are dropped.
_UNSURE: Final = 0.9
MIN_CONFIDENCE: Final = 0.75
#: A single letter or digit is more often a round thing than text; it needs this confidence.
_SINGLE_CONFIDENCE: Final = 0.98
#: What the networks make of a script that they do not know: nothing, or fewer letters than this times width by height,
#: or letters that they are not sure of, and more than by chance. In a line shorter than the second, and in a block
#: where the detector is less sure than the third, that says nothing (docs/log.md).
_MIN_DENSITY: Final = 0.6
_MIN_ASPECT: Final = 1.5
_GATE_SCORE: Final = 0.7
_BY_CHANCE: Final = 0.5
#: Latin letters and digits for which the networks take letters of such a script.
_LOOK_ALIKES: Final = {"CYRILLIC": frozenset("ABCEHIJKMOPTXYaceiopxy036∏"), "GREEK": frozenset("ABEHIKMNOPTXYZOouvnp0")}
#: The least confidence of Tesseract: for a line in which the networks see Greek letters; for any other, since lines in
#: Latin read as Cyrillic have up to .76 (docs/log.md); for one of look-alikes, in a picture that has others.
_GREEK_CONFIDENCE: Final = 0.5
_OTHER_CONFIDENCE: Final = 0.85
_LOOK_ALIKE_CONFIDENCE: Final = 0.9
#: Width by height of what the recogniser gets at most: a longer line is cut into pieces.
_MAX_ASPECT: Final = 40.0
#: The files in rapidocr's wheel, by stage.
_NETWORKS: Final = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
#: The network needs sides that are multiples of this, and lines of this height.
_STRIDE: Final = 32
_LINE_HEIGHT: Final = 48


def check_installed() -> None:
    """Raise MissingExtraError where rapidocr is missing, or OpenCV, which it needs, cannot be loaded."""
    if find_spec("rapidocr") is None:
        raise MissingExtraError("rapidocr", EXTRA)
    load_opencv(EXTRA)


def recogniser_name() -> str:
    """Name the recognisers with their versions, as the records of texts have them. Raises MissingExtraError."""
    check_installed()
    networks = f"rapidocr {metadata.version('rapidocr')}, PP-OCRv6 small"
    tesseract = find_tesseract()
    return networks if tesseract is None else f"{networks}; {tesseract}"


@dataclass(slots=True)
class _ReadLine:
    """A line with its text. ``script`` is the one that Tesseract read it in; None if the networks read it."""

    corners: Corners
    picture: Pixels
    text: str
    confidence: float
    script: str | None = None

    def is_doubtful(self) -> bool:
        """Whether the networks read it as they read a script that they do not know."""
        if letters_of("GREEK", self.text):
            return True
        height, width = self.picture.shape[:2]
        letters = sum(map(str.isalnum, self.text))
        if width < _MIN_ASPECT * height or letters_of("CJK", self.text) or (letters and self.confidence < _BY_CHANCE):
            return False
        return letters < _MIN_DENSITY * width / height or (letters >= MIN_LETTERS and self.confidence < _UNSURE)

    def candidates(self) -> Mapping[str, float]:
        """Return the scripts that a doubtful line may be in, with the least confidence of each."""
        if letters_of("GREEK", self.text):
            return {"GREEK": _GREEK_CONFIDENCE}
        return dict.fromkeys(LANGUAGES, _OTHER_CONFIDENCE)

    def is_alike(self, script: str) -> bool:
        """Whether all its letters look like letters of a script."""
        return set(filter(str.isalnum, self.text)) <= _LOOK_ALIKES[script]


class Recogniser:
    """Reads pictures in the thread that calls it; threads may share one. Opens no network connection.

    Raises MissingExtraError.
    """

    def __init__(self) -> None:
        self._engine = _load_engine()
        self._tesseract = find_tesseract()

    def has_text(self, pixels: Pixels) -> bool:
        """Whether (h, w, 3) uint8 sRGB has text: a line can be read where it looks most as if text were there."""
        if min(pixels.shape[:2]) < _MIN_SIDE:
            return False
        return any(self._has_line(part, text_map) for part, text_map in self._text_like_parts(pixels))

    def read(
        self,
        pixels: Pixels,
        is_over: Callable[[], bool] = lambda: False,
        is_late: Callable[[], bool] = lambda: False,
    ) -> tuple[TextLine, ...]:
        """Read the lines in (h, w, 3) uint8 sRGB, upright, from the top: ``MAX_LINES`` at most.

        None is read once ``is_over`` is true, and none by Tesseract once ``is_late`` is.
        """
        pixels = _scale(pixels, min(1.0, READ_SIDE / max(pixels.shape[:2])))
        readings: list[_ReadLine] = []
        for corners in self._find_lines(pixels):
            if is_over():
                break
            readings.append(_ReadLine(corners, *self._read_line(_cut(pixels, corners))))
        if self._tesseract is not None:
            _read_other_scripts(self._tesseract, readings, lambda: is_over() or is_late())
        lines = (_line(one.corners, one.text, one.confidence, pixels, one.script) for one in readings)
        return tuple(line for line in lines if line is not None)

    def _text_like_parts(self, pixels: Pixels) -> Iterator[tuple[Pixels, ProbabilityMap]]:
        """Yield windows and blocks in which the detector sees text, the likeliest first, each with its text map."""
        longer = max(pixels.shape[:2])
        copy = _scale(pixels, min(1.0, GATE_SIDE / longer), stride=_STRIDE)
        (text_map,) = self._detect(copy[np.newaxis])
        zoom = max(1.0, _detection_scale(pixels) * longer / max(text_map.shape))
        ratio = np.array(pixels.shape[:2]) / text_map.shape
        for window in choose_windows(text_map, zoom, GATE_PROBABILITY):
            (top, left), (bottom, right) = np.multiply(window[:2], ratio), np.add(window[:2], window[2:]) * ratio
            part = pixels[int(top) : round(bottom), int(left) : round(right)]
            fit = min(_detection_scale(pixels), *(np.array(WINDOW) / part.shape[:2]))
            part = _scale(part, fit, stride=_STRIDE)
            yield part, self._detect(part[np.newaxis])[0]
        if longer > _LARGE:
            blocks = choose_blocks(_scale(pixels, min(1.0, READ_SIDE / longer)))
            maps = self._detect(blocks)
            for at in np.argsort(-maps.max(axis=(1, 2))):
                if maps[at].max() >= BLOCK_PROBABILITY:
                    yield blocks[at], maps[at]

    def _has_line(self, part: Pixels, text_map: ProbabilityMap) -> bool:
        """Whether one of the likeliest lines of a part can be read."""
        boxes, scores = self._engine.text_det.postprocess_op(text_map[np.newaxis, np.newaxis], part.shape[:2])
        for at in np.argsort(scores)[::-1][:_GATE_LINES]:
            corners = np.asarray(boxes[at], np.float32)
            line = _cut(part, corners)
            spare = max(0, line.shape[1] - int(_GATE_ASPECT * line.shape[0])) // 2
            reading = _ReadLine(corners, *self._read_line(line[:, spare : line.shape[1] - spare]))
            if _line(corners, reading.text, reading.confidence, part) is not None:
                return True
            if self._tesseract is not None and scores[at] >= _GATE_SCORE and reading.is_doubtful():
                return True
        return False

    def _detect(self, pictures: Pixels) -> ProbabilityMap:
        """Return the probabilities of text (n, h, w) in pictures (n, h, w, 3) with sides of whole strides."""
        inputs = pictures[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        inputs *= 2.0 / 255.0
        inputs -= 1.0
        maps: ProbabilityMap = self._engine.text_det.session(inputs)[:, 0]
        return maps

    def _find_lines(self, pixels: Pixels) -> Sequence[Corners]:
        """Return the corners of lines in ``pixels``, in the order of reading."""
        picture = _scale(pixels, _detection_scale(pixels))
        quads = self._engine.text_det(np.ascontiguousarray(picture[:, :, ::-1])).boxes
        if quads is None:
            return ()
        ratio = np.array(pixels.shape[1::-1]) / np.array(picture.shape[1::-1])
        boxes = [(np.asarray(box, np.float32) * ratio).astype(np.float32) for box in quads]
        if len(boxes) > MAX_LINES:
            largest = sorted(range(len(boxes)), key=lambda at: -np.prod(np.ptp(boxes[at], axis=0)))[:MAX_LINES]
            boxes = [boxes[at] for at in sorted(largest)]
        return boxes

    def _read_line(self, line: Pixels) -> tuple[Pixels, str, float]:
        """Read the picture of one line: the picture upright, its text, and the mean probability of its characters."""
        text, confidence = self._recognise(line)
        if confidence < _UNSURE:
            label, certainty = self._engine.text_cls([line[:, :, ::-1]]).cls_res[0]
            if label == "180" and certainty > _UNSURE:
                turned = np.ascontiguousarray(np.rot90(line, 2))
                return max((line, text, confidence), (turned, *self._recognise(turned)), key=lambda each: each[2])
        return line, text, confidence

    def _recognise(self, line: Pixels) -> tuple[str, float]:
        from rapidocr.ch_ppocr_rec import TextRecInput

        height, width = line.shape[:2]
        pieces = np.array_split(line, max(1, int(np.ceil(width / height / _MAX_ASPECT))), axis=1)
        texts, scores = [], []
        for piece in pieces:
            recognition = self._engine.text_rec(TextRecInput(img=np.ascontiguousarray(piece[:, :, ::-1])))
            texts += recognition.txts
            scores += recognition.scores
        return "".join(texts), float(np.mean(scores))


@cache
def _load_engine() -> Any:
    """Load the networks, one thread each. Running them changes no state, so threads may share them."""
    check_installed()
    from rapidocr import RapidOCR

    models = Path(str(resources.files("rapidocr"))) / "models"
    engine: Any = RapidOCR(
        params={
            # Named, because a file that is not as it expects would be downloaded.
            **{f"{stage}.model_path": str(models / name) for stage, name in _NETWORKS.items()},
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            # Sizes are set here: neither the engine's limits nor its enlarging apply.
            "Det.limit_type": "max",
            "Det.limit_side_len": 1 << 20,
            # Lines are read one by one: wider ones beside them would be paid for by all.
            "Rec.rec_img_shape": [3, _LINE_HEIGHT, _LINE_HEIGHT],
            "Rec.rec_batch_num": 1,
        }
    )
    logging.getLogger("RapidOCR").disabled = True
    blank = np.full((_LINE_HEIGHT, 4 * _LINE_HEIGHT, 3), 255, np.uint8)
    engine(blank, use_det=False, use_cls=True, use_rec=True)  # It loads its networks at their first use.
    engine(blank, use_det=True, use_cls=False, use_rec=False)
    engine.text_det.session.session = load_without_denormals(models / _NETWORKS["Det"])
    return engine


def _detection_scale(pixels: Pixels) -> float:
    """Return how much larger the copy is that lines are found in."""
    side: int = max(pixels.shape[:2])
    return min(DETECT_SIDE / side, max(1.0, min(_ENLARGEMENT, _ENLARGED_SIDE / side)))


def _scale(pixels: Pixels, scale: float, *, stride: int = 1) -> Pixels:
    """Scale a picture to multiples of ``stride``, each side at least one stride of the detector."""
    height, width = pixels.shape[:2]
    size = tuple(max(_STRIDE, round(side * scale / stride) * stride) for side in (height, width))
    return pixels if size == (height, width) else resize(pixels, size, interpolation="bilinear")


def _cut(pixels: Pixels, corners: Corners) -> Pixels:
    """Cut out a line and turn it level; one that is taller than wide is turned by a quarter."""
    from rapidocr.utils.process_img import get_rotate_crop_image

    crop: Pixels = get_rotate_crop_image(pixels, corners)
    return crop


def _read_other_scripts(tesseract: Tesseract, lines: Sequence[_ReadLine], is_over: Callable[[], bool]) -> None:
    """Read doubtful lines again, and in a picture that has a script those that could be in it."""
    doubtful = [line for line in lines if line.is_doubtful()]
    _read_again(tesseract, doubtful, [line.candidates() for line in doubtful], is_over)
    # A line that looks like several scripts goes to the first.
    for script in sorted({line.script for line in doubtful if line.script is not None}):
        alike = [line for line in lines if line.script is None and line.is_alike(script)]
        _read_again(tesseract, alike, [{script: _LOOK_ALIKE_CONFIDENCE}] * len(alike), is_over)


def _read_again(
    tesseract: Tesseract,
    lines: Sequence[_ReadLine],
    candidates: Sequence[Mapping[str, float]],
    is_over: Callable[[], bool],
) -> None:
    """Replace what lines say by what Tesseract reads in one of their scripts with the confidence that it needs."""
    readings = tesseract.read([line.picture for line in lines], candidates, is_over)
    for line, least, reading in zip(lines, candidates, readings, strict=True):
        if reading is not None and reading.confidence >= least[reading.script]:
            line.text, line.confidence, line.script = reading.text, reading.confidence, reading.script


def _line(corners: Corners, text: str, confidence: float, pixels: Pixels, script: str | None = None) -> TextLine | None:
    """Make the value of a line; None for one that is no text."""
    clean = tidy(text)
    if clean is None or (script is None and confidence < MIN_CONFIDENCE):
        return None
    letters = [c for c in clean if c.isalnum()]
    if not letters or (len(letters) == 1 and confidence < _SINGLE_CONFIDENCE):
        return None
    height, width = pixels.shape[:2]
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    x, y = left / width, top / height
    return TextLine(x, y, min(1.0, right / width) - x, min(1.0, bottom / height) - y, round(confidence, 3), clean)
