"""The face of the package: what it exports, when it loads Pillow, and what it says about codecs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import features

import imseek.media
from imseek.media import codecs
from imseek.media.formats import is_readable, sniff


def output_of(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def modules_after(program: str) -> set[str]:
    return set(output_of(f"{program}\nimport sys\nprint(*sys.modules)").split())


@pytest.mark.parametrize("name", imseek.media.__all__)
def test_every_public_name_is_importable_and_comes_from_this_package(name: str) -> None:
    exported = getattr(imseek.media, name)
    assert (exported if hasattr(exported, "__name__") else type(exported)).__module__.startswith("imseek.media.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = imseek.media.no_such_name


def test_decode_is_the_function_and_not_its_module_in_whatever_order_they_are_imported() -> None:
    program = "from imseek.media.decode import decode; import imseek.media; print(imseek.media.decode is decode)"
    assert output_of(program).strip() == "True"


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
    assert known["camera raw"] == known["JPEG"]
    assert all(known[name] for name in ("HEIC", "JPEG XL", "SVG"))  # the extra is part of what tests install
    assert not any(known[name] for name in ("JPEG 2000", "PSD", "OpenEXR", "ICO"))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1avif", "AVIF"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avif", "AVIF"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\xff\x0a" + bytes(30), "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(30), "JPEG XL"),
        (b"\xef\xbb\xbf  <svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?>\n<!-- drawn by hand -->\n<svg/>", "SVG"),
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
