"""The face of the package: what it exports, when it loads Pillow, and what it says about codecs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import features

import imseek.media
from imseek.media import codecs
from imseek.media.formats import is_readable, sniff


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_everything_in_all_can_be_imported_and_nothing_else_is_promised() -> None:
    for name in imseek.media.__all__:
        assert getattr(imseek.media, name).__module__.startswith("imseek.media.") or name == "DEFAULT_LIMITS"
    assert list(imseek.media.__all__) == sorted(imseek.media.__all__, key=lambda n: (not n.isupper(), n))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = imseek.media.no_such_name


def test_decode_is_the_function_however_it_is_reached() -> None:
    assert callable(imseek.media.decode)
    assert "function" in modules_or_kind("from imseek.media.decode import decode; import imseek.media")


def modules_or_kind(code: str) -> str:
    program = f"{code}\nprint(type(imseek.media.decode).__name__)"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_pillow_is_loaded_by_the_first_picture_and_not_before() -> None:
    idle = modules_after(
        "from imseek.media import decode, Limits\n"
        "from imseek.errors import MediaError\n"
        "try: decode(b'no picture')\n"
        "except MediaError: pass"
    )
    assert "imseek.media.decode" in idle
    assert not {name for name in idle if name.split(".")[0] == "PIL"}
    assert "PIL.Image" in modules_after("from imseek.media import thumbnail")


def test_codecs_says_what_this_pillow_can_read() -> None:
    known = codecs()
    assert {name for name, there in known.items() if there} >= {"JPEG", "PNG", "GIF", "TIFF", "BMP"}
    assert known["WEBP"] == features.check("webp")
    assert known["AVIF"] == ("avif" in features.modules and features.check("avif"))
    assert not any(known[name] for name in ("HEIC", "JPEG XL", "camera raw", "SVG"))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1avif", "AVIF"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avif", "AVIF"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"II+\x00\x08\x00\x00\x00", "TIFF"),
        (b"MM\x00*", "TIFF"),
        (b"BM" + bytes(12) + b"\x28\x00\x00\x00", "BMP"),
        (b"BM" + bytes(12) + b"\x29\x00\x00\x00", None),
        (b"\xff\xd8", None),
        (b"", None),
    ],
)
def test_formats_are_told_by_their_first_bytes(data: bytes, name: str | None) -> None:
    assert sniff(data) == name


def test_every_format_that_can_be_sniffed_is_known_to_codecs() -> None:
    from imseek.media.formats import _MAGIC

    assert {name for _, name in _MAGIC} <= set(codecs())
    assert not is_readable("no such format")
