"""EXIF as cameras write it, as programs write it, and as nobody should."""

from __future__ import annotations

import io
import random
import warnings
from typing import Any, Final

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from imseek.media.decode import decode
from imseek.media.metadata import exif_facts
from imseek.media.pillow import _quiet
from imseek.types.pictures import ImageFacts

PHOTO, POSITION = 0x8769, 0x8825
MAKE, MODEL, DESCRIPTION, ORIENTATION = 271, 272, 270, 274
TAKEN, DIGITISED, ZONE, ZONE_DIGITISED, LENS = 36867, 36868, 36881, 36882, 42036

#: What is known of the pictures of :func:`facts` without metadata.
NO_FACTS: Final = (4, 4, "JPEG", "L")


def facts(
    main: dict[int, Any] | None = None,
    photo: dict[int, Any] | None = None,
    position: dict[int, Any] | None = None,
) -> ImageFacts:
    """What is read back from a JPEG that carries these tags."""
    exif = Image.Exif()
    exif.update(main or {})
    exif.get_ifd(PHOTO).update(photo or {})
    exif.get_ifd(POSITION).update(position or {})
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "JPEG", exif=exif)
    with Image.open(buffer) as image:
        return exif_facts(image)


def test_a_picture_of_a_phone_tells_everything() -> None:
    assert facts(
        {MAKE: "Apple", MODEL: "iPhone 15", ORIENTATION: 6, DESCRIPTION: "Anna on the beach"},
        {TAKEN: "2024:05:01 12:34:56", ZONE: "+02:00", LENS: "iPhone 15 back camera 6mm f/1.6"},
        {1: "N", 2: (52.0, 30.0, 36.0), 3: "W", 4: (13.0, 24.0, 18.0)},
    ) == ImageFacts(
        *NO_FACTS,
        orientation=6,
        taken_at="2024-05-01T12:34:56+02:00",
        camera="Apple iPhone 15",
        lens="iPhone 15 back camera 6mm f/1.6",
        latitude=pytest.approx(52.51),
        longitude=pytest.approx(-13.405),
        caption="Anna on the beach",
    )


def test_no_exif_gives_the_defaults() -> None:
    assert facts() == ImageFacts(*NO_FACTS)
    assert exif_facts(Image.new("RGB", (1, 1))) == ImageFacts(1, 1, "", "RGB")


def test_the_decoder_hands_all_fields_on() -> None:
    exif = Image.Exif()
    exif.update({MAKE: "Canon", MODEL: "Canon EOS 5D", DESCRIPTION: "A heron", ORIENTATION: 8})
    exif.get_ifd(PHOTO).update({TAKEN: "2001:02:03 04:05:06", LENS: "EF50mm"})
    exif.get_ifd(POSITION).update({1: "S", 2: (1.0, 0.0, 0.0), 3: "E", 4: (2.0, 0.0, 0.0)})
    for name in ("JPEG", "PNG", "WEBP", "TIFF"):
        buffer = io.BytesIO()
        # As bytes, since Pillow writes the inner directories of an Exif object into every format but TIFF.
        Image.new("RGB", (4, 8)).save(buffer, name, exif=exif.tobytes())
        read = decode(buffer.getvalue()).facts
        assert (read.camera, read.lens, read.caption) == ("Canon EOS 5D", "EF50mm", "A heron")
        assert (read.taken_at, read.latitude, read.longitude) == ("2001-02-03T04:05:06", -1.0, 2.0)
        assert (read.orientation, read.width, read.height) == (8, 8, 4)


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ({TAKEN: "2024:05:01 12:34:56"}, "2024-05-01T12:34:56"),
        ({TAKEN: "2024-05-01 12:34:56"}, "2024-05-01T12:34:56"),
        ({TAKEN: "2024:05:01 12:34:56\0\0"}, "2024-05-01T12:34:56"),
        ({TAKEN: "2024:05:01 12:34:56", ZONE: "-09:30"}, "2024-05-01T12:34:56-09:30"),
        ({TAKEN: "2024:05:01 12:34:56", ZONE: "+99:00"}, "2024-05-01T12:34:56"),
        ({TAKEN: "2024:05:01 12:34:56", ZONE: "   :  "}, "2024-05-01T12:34:56"),
        ({TAKEN: "2024:05:01 12:34:56", ZONE_DIGITISED: "+02:00"}, "2024-05-01T12:34:56"),
        ({DIGITISED: "1999:12:31 23:59:59", ZONE_DIGITISED: "+01:00"}, "1999-12-31T23:59:59+01:00"),
        ({TAKEN: "0000:00:00 00:00:00", DIGITISED: "1999:12:31 23:59:59"}, "1999-12-31T23:59:59"),
        ({TAKEN: "0000:00:00 00:00:00"}, None),
        ({TAKEN: "2023:02:29 10:00:00"}, None),
        ({TAKEN: "    :  :     :  :  "}, None),
        ({TAKEN: "yesterday"}, None),
        ({ZONE: "+02:00"}, None),
    ],
)
def test_time(photo: dict[int, Any], expected: str | None) -> None:
    assert facts(photo=photo).taken_at == expected


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        ({MAKE: "Canon", MODEL: "Canon EOS 5D"}, "Canon EOS 5D"),
        ({MAKE: "NIKON CORPORATION", MODEL: "NIKON D850"}, "NIKON D850"),
        ({MAKE: "SONY", MODEL: "ILCE-7M3"}, "SONY ILCE-7M3"),
        ({MAKE: "FUJIFILM\0\0\0", MODEL: "  X-T5 "}, "FUJIFILM X-T5"),
        ({MODEL: "Pixel 8"}, "Pixel 8"),
        ({MAKE: "Google"}, "Google"),
        ({MAKE: "\0", MODEL: "   "}, None),
    ],
)
def test_camera(main: dict[int, Any], expected: str | None) -> None:
    assert facts(main).camera == expected


HERE = {1: "N", 2: (52.0, 30.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)}


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (HERE, (52.5, 13.4)),
        (HERE | {1: "S", 3: "W"}, (-52.5, -13.4)),
        (HERE | {2: (52.5,), 4: (13.4, 0.0)}, (52.5, 13.4)),
        (HERE | {2: (0.0, 0.0, 0.0)}, (0.0, 13.4)),
        (HERE | {2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)}, (None, None)),
        (HERE | {2: (91.0, 0.0, 0.0)}, (None, None)),
        (HERE | {4: (180.0, 1.0, 0.0)}, (None, None)),
        (HERE | {2: (IFDRational(0, 0), 0.0, 0.0)}, (None, None)),
        (HERE | {1: "Q"}, (None, None)),
        (HERE | {1: ""}, (None, None)),
        (HERE | {2: (1.0, 2.0, 3.0, 4.0)}, (None, None)),
        ({2: (52.0, 30.0, 0.0), 4: (13.0, 24.0, 0.0)}, (None, None)),
        ({1: "N", 2: (52.0, 30.0, 0.0)}, (None, None)),
    ],
)
def test_position(position: dict[int, Any], expected: tuple[float | None, float | None]) -> None:
    read = facts(position=position)
    assert (read.latitude, read.longitude) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_impossible_orientation_is_upright(value: int) -> None:
    assert facts({ORIENTATION: value}).orientation == 1


@pytest.mark.parametrize(
    "text",
    [
        "A dog in the snow",
        "Ein Hund im Schnee, Zürich",
        "雪の中の犬",
        "My new digital camera",
        "Samsung headquarters",
        "default settings explained",
        "Иван",
    ],
)
def test_a_description_in_words_is_a_caption(text: str) -> None:
    assert facts({DESCRIPTION: text.encode()}).caption == text


def test_a_caption_is_one_line_of_printable_text() -> None:
    assert facts({DESCRIPTION: b"two\r\nlines\tand\x07 a bell\0rest"}).caption == "two lines and a bell"
    assert facts({DESCRIPTION: "café".encode("latin-1")}).caption == "café"
    assert facts({DESCRIPTION: "long " * 2000}).caption == ("long " * 400).strip()


@pytest.mark.parametrize(
    "text",
    [
        "OLYMPUS DIGITAL CAMERA         ",
        "KONICA MINOLTA DIGITAL CAMERA",
        "SAMSUNG DIGITAL CAMERA",
        "SONY DSC",
        "cof",
        "DCIM\0",
        "IMG_2041.JPG",
        "ImageJ=1.53\nimages=3",
        '{"shape": [3, 15, 10]}',
        "<?xml version='1.0'?><OME/>",
        "1234 -- 5678",
        "   ",
    ],
)
def test_what_devices_and_programs_write_unasked_is_no_caption(text: str) -> None:
    assert facts({DESCRIPTION: text}).caption is None


def test_any_damage_to_exif_costs_fields_and_never_raises(chance: random.Random) -> None:
    exif = Image.Exif()
    exif.update({MAKE: "Canon", MODEL: "Canon EOS 5D", DESCRIPTION: "A heron", ORIENTATION: 6})
    exif.get_ifd(PHOTO).update({TAKEN: "2001:02:03 04:05:06", LENS: "EF50mm"})
    exif.get_ifd(POSITION).update(HERE)
    whole = exif.tobytes()
    kept = lost = 0
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 2, 8))):
            damaged[chance.randrange(6, len(damaged))] = chance.choice((0, 255, chance.randrange(256)))
        image = Image.new("RGB", (1, 1))
        image.info["exif"] = bytes(damaged[: chance.choice((len(damaged), chance.randrange(len(damaged))))])
        with _quiet, warnings.catch_warnings():
            read = exif_facts(image)
        assert 1 <= read.orientation <= 8
        kept += read.camera == "Canon EOS 5D"
        lost += read.camera is None
    assert kept > 50
    assert lost > 50
