"""Camera raw files, in the layout of each maker: the largest JPEG in them, with what the raw file says of itself."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
import raws
from PIL import Image

from imseek.errors import MediaError
from imseek.media.decode import decode
from imseek.media.formats import sniff
from imseek.media.isobmff import boxes, ends_early
from imseek.media.raw import largest_jpeg
from imseek.types.pictures import SkipReason

SUBFILE, PHOTOMETRIC, DESCRIPTION, MAKE, MODEL, ORIENTATION, XMP, DNG = (
    254,
    262,
    270,
    271,
    272,
    274,
    700,
    50706,
)
TAKEN, ZONE, LENS, COMMENT = 36867, 36881, 42036, 37510
HERE = {1: "N", 2: (52.0, 30.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)}


def halves(width: int, height: int) -> Image.Image:
    """Red at the left, blue at the right."""
    picture = Image.new("RGB", (width, height), "red")
    picture.paste("blue", (width // 2, 0, width, height))
    return picture


THUMBNAIL, PREVIEW = raws.jpeg(Image.new("RGB", (40, 30), "lime")), raws.jpeg(halves(160, 120))
TOLD: dict[str, Any] = {
    "photo": {TAKEN: "2024:05:01 12:34:56", ZONE: "+02:00", LENS: "NIKKOR Z 35mm"},
    "position": HERE,
}
NIKON = {SUBFILE: 1, MAKE: "NIKON CORPORATION", MODEL: "NIKON D850", ORIENTATION: 8}


def with_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif.update({MAKE: "FUJIFILM", MODEL: "X-T5", ORIENTATION: orientation})
    return raws.jpeg(halves(160, 120), exif=exif)


@pytest.mark.parametrize(
    "data",
    [
        raws.tiff_raw(NIKON, THUMBNAIL, PREVIEW, **TOLD),
        raws.tiff_raw(NIKON, PREVIEW, THUMBNAIL, **TOLD),
        raws.tiff_raw({**NIKON, SUBFILE: 0}, PREVIEW, **TOLD),
        raws.tiff_raw({**NIKON, DNG: b"\1\4\0\0"}, PREVIEW, sensor=34892, **TOLD),
        raws.tiff_raw({**NIKON, PHOTOMETRIC: raws.CFA}, THUMBNAIL, PREVIEW, sensor=None, **TOLD),
        raws.tiff_raw(NIKON, PREVIEW, header=b"IIRO", **TOLD),
        raws.tiff_raw(NIKON, PREVIEW, header=b"IIU\0", **TOLD),
    ],
    ids=["nef", "nef-other-order", "cfa-below", "dng-linear", "pef", "orf", "rw2"],
)
def test_a_raw_file_in_the_shape_of_a_tiff(data: bytes) -> None:
    if data[2:4] in (b"RO", b"U\0"):
        data = little_endian(data)
    assert sniff(data) == "camera raw"
    decoded = decode(data)
    facts = decoded.facts
    assert (facts.width, facts.height, facts.format, facts.orientation) == (120, 160, "camera raw", 8)
    assert decoded.pixels[140, 60, 0] > 200  # a quarter turn to the left: red, the left half, is below
    assert decoded.pixels[20, 60, 2] > 200
    assert (facts.camera, facts.lens) == ("NIKON D850", "NIKKOR Z 35mm")
    assert (facts.taken_at, facts.latitude, facts.longitude) == ("2024-05-01T12:34:56+02:00", 52.5, 13.4)


def little_endian(data: bytes) -> bytes:
    """Those headers stand for little-endian files, which Pillow's tags are not unless asked to be."""
    exif = Image.Exif()
    exif.endian = "<"
    exif.update(NIKON)
    exif.get_ifd(0x8769).update(TOLD["photo"])
    exif.get_ifd(0x8825).update(TOLD["position"])
    tags = exif.tobytes().removeprefix(b"Exif\0\0")
    assert tags.startswith(b"II*\0")
    return data[:4] + tags[4:] + raws.SENSOR_DATA + PREVIEW


def test_a_cr2_marks_itself() -> None:
    data = bytearray(raws.tiff_raw({MAKE: "Canon"}, PREVIEW, sensor=None))
    assert sniff(bytes(data)) == "TIFF"
    assert sniff(bytes(data[:8]) + b"CR\2\0") == "camera raw"


def test_a_cr3_holds_its_directories_in_boxes() -> None:
    main = raws.directories({MAKE: "Canon", MODEL: "Canon EOS R5", ORIENTATION: 6})
    photo = raws.directories({TAKEN: "2024:05:01 12:34:56", LENS: "RF35mm"})
    decoded = decode(raws.cr3(main, photo, raws.directories(HERE), THUMBNAIL, PREVIEW))
    facts = decoded.facts
    assert (facts.width, facts.height, facts.orientation) == (120, 160, 6)
    assert decoded.pixels[20, 60, 0] > 200  # to the right: red is above
    assert (facts.camera, facts.lens, facts.taken_at) == ("Canon EOS R5", "RF35mm", "2024-05-01T12:34:56")
    assert (facts.latitude, facts.longitude) == (52.5, 13.4)


def test_where_the_raw_file_has_no_tags_those_of_the_preview_count() -> None:
    facts = decode(raws.raf(with_exif(8))).facts
    assert (facts.camera, facts.orientation, facts.width, facts.height) == ("FUJIFILM X-T5", 8, 120, 160)


def test_the_tags_of_the_raw_file_go_before_those_of_the_preview() -> None:
    facts = decode(raws.tiff_raw({**NIKON, ORIENTATION: 1}, with_exif(8))).facts
    assert (facts.camera, facts.orientation, facts.width) == ("NIKON D850", 1, 160)
    without = {tag: value for tag, value in NIKON.items() if tag != ORIENTATION}
    assert decode(raws.tiff_raw(without, with_exif(8))).facts.orientation == 8


def test_a_raw_file_has_captions() -> None:
    assert decode(raws.tiff_raw({**NIKON, DESCRIPTION: "A heron"}, PREVIEW)).facts.caption == "A heron"
    comment = {COMMENT: b"ASCII\0\0\0From the hide"}
    assert decode(raws.tiff_raw(NIKON, PREVIEW, photo=comment)).facts.caption == "From the hide"


def test_a_preview_is_reduced_while_it_is_decoded() -> None:
    decoded = decode(raws.tiff_raw({**NIKON, ORIENTATION: 1}, raws.jpeg(halves(1600, 1200))), min_side=100)
    assert decoded.pixels.shape == (150, 200, 3)
    assert (decoded.facts.width, decoded.facts.height) == (1600, 1200)


def test_sensor_data_in_a_lossless_or_deep_jpeg_is_no_preview() -> None:
    start = PREVIEW.index(b"\xff\xc0\x00\x11\x08")
    lossless = PREVIEW[: start + 1] + b"\xc3" + PREVIEW[start + 2 :]
    twelve_bits = PREVIEW[: start + 4] + b"\x0c" + PREVIEW[start + 5 :]
    for sensor in (lossless, twelve_bits, b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\0\0", PREVIEW[: start + 9]):
        with pytest.raises(MediaError, match=r"camera raw.*preview") as caught:
            decode(raws.tiff_raw(NIKON, sensor))
        assert caught.value.reason == SkipReason.MISSING_CODEC
        assert decode(raws.tiff_raw(NIKON, sensor, THUMBNAIL)).facts.width == 30  # turned


def test_a_preview_cut_short_is_truncated() -> None:
    with pytest.raises(MediaError) as caught:
        decode(raws.tiff_raw(NIKON, PREVIEW)[: -len(PREVIEW) // 3])
    assert caught.value.reason == SkipReason.TRUNCATED


class CountedBytes(bytes):
    """Counts how often it is searched or read from, and the bytes that were read."""

    searches = reads = size = 0

    def find(self, *given: Any) -> int:
        self.searches += 1
        return super().find(*given)

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        self.reads += 1
        self.size += len(part)
        return part


@pytest.mark.parametrize("unit", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\0\2", b"\xff\xd8" + b"\xff" * 9999])
def test_a_file_of_nothing_but_beginnings_is_given_up(unit: bytes) -> None:
    """After 4,096 beginnings, and 64 segments of each."""
    data = CountedBytes(unit * (50_000_000 // len(unit)))
    with pytest.raises(MediaError):
        largest_jpeg(data)
    assert 4096 <= data.searches <= 4097
    assert 4096 <= data.reads <= 4096 * 64
    assert data.size <= 10 * data.reads


def test_directories_that_go_in_circles_end() -> None:
    # One directory whose next and whose sub-directory are itself.
    tags = struct.pack("<HHHIII", 1, 330, 4, 1, 8, 8)
    assert sniff(b"II*\0" + struct.pack("<I", 8) + tags) == "TIFF"


def test_a_tiff_with_pages_is_no_raw_file() -> None:
    import io

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "TIFF", save_all=True, append_images=[Image.new("RGB", (4, 4))])
    assert sniff(buffer.getvalue()) == "TIFF"


# --- boxes --------------------------------------------------------------------------------------------------


def test_boxes_of_every_kind_of_size() -> None:
    data = (
        struct.pack(">I4s4s", 12, b"abcd", b"text")
        + struct.pack(">I4sQ", 1, b"long", 20)
        + b"more"
        + struct.pack(">I4s", 0, b"last")
        + b"the rest"
    )
    assert [(kind, data[start:end]) for kind, start, end in boxes(data)] == [
        (b"abcd", b"text"),
        (b"long", b"more"),
        (b"last", b"the rest"),
    ]
    assert not ends_early(data)
    assert ends_early(data[:14])
    assert list(boxes(struct.pack(">I4s", 7, b"none"))) == []
    assert len(list(boxes(struct.pack(">I4s", 8, b"free") * 20_000))) == 10_000


def test_noise_is_no_jpeg() -> None:
    noise = np.random.default_rng(1).integers(0, 256, 2_000_000, np.uint8).tobytes()
    with pytest.raises(MediaError):
        largest_jpeg(noise)
