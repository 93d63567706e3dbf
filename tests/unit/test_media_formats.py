"""The formats beyond Pillow's own: HEIC, JPEG XL, SVG, and the preview in camera raw files."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pylibjxl
import pytest
from codec_stand_in import package_stand_in
from heic import heic
from PIL import Image, ImageCms

from imseek.errors import MediaError
from imseek.media import codec_check, formats, pillow
from imseek.media import svg as drawing
from imseek.media.decode import Limits, decode
from imseek.media.formats import sniff
from imseek.media.sandbox import worker
from imseek.media.sandbox.kinds import DRAWINGS
from imseek.media.thumbnails import fit
from imseek.types.pictures import SkipReason

pytestmark = pytest.mark.slow

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION, MAKE = 274, 271
XMP = (
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    b'<rdf:Description dc:description="A heron"/></rdf:RDF>'
)


def corners() -> Image.Image:
    """32 x 48, and different in each corner, so that every turn shows."""
    picture = Image.new("RGB", (32, 48), "gray")
    for colour, at in (("red", (0, 0)), ("lime", (16, 0)), ("blue", (0, 32))):
        picture.paste(colour, (*at, at[0] + 16, at[1] + 16))
    return picture


def exif() -> bytes:
    tags = Image.Exif()
    tags.update({ORIENTATION: 6, MAKE: "Apple"})
    return tags.tobytes().removeprefix(b"Exif\0\0")


def swapped_profile() -> bytes:
    """sRGB with red and green exchanged, and another name."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = icc.replace("sRGB".encode("utf-16-be"), "Test".encode("utf-16-be"))
    return icc.replace(b"rXYZ", b"?XYZ", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"?XYZ", b"gXYZ", 1)


def reason(data: bytes, **options: Any) -> str:
    with pytest.raises(MediaError) as caught:
        decode(data, **options)
    return caught.value.reason


# --- HEIC ---------------------------------------------------------------------------------------------------


def test_a_heic_comes_out_as_it_went_in() -> None:
    decoded = decode(heic(corners()))
    assert np.abs(decoded.pixels.astype(int) - np.asarray(corners())).max() <= 3
    facts = decoded.facts
    assert (facts.format, facts.mode, facts.frames, facts.orientation) == ("HEIC", "RGB", 1, 1)
    assert (facts.width, facts.height) == (32, 48)


TURNS: list[tuple[dict[str, int], Callable[[Any], Any]]] = [
    ({}, lambda a: a),
    ({"turns": 1}, np.rot90),
    ({"turns": 2}, lambda a: np.rot90(a, 2)),
    ({"turns": 3}, lambda a: np.rot90(a, 3)),
    ({"mirror": 0}, lambda a: a[::-1]),
    ({"mirror": 1}, lambda a: a[:, ::-1]),
]


@pytest.mark.parametrize(("transformation", "expected"), TURNS)
@pytest.mark.parametrize("metadata", [{}, {"exif": exif()}], ids=["no-exif", "exif-says-6"])
def test_a_heic_is_turned_as_its_container_says_and_not_once_more_by_exif(
    transformation: dict[str, int], expected: Callable[[Any], Any], metadata: dict[str, bytes]
) -> None:
    decoded = decode(heic(corners(), **transformation, **metadata))  # type: ignore[arg-type] # which is which, mypy loses
    upright = expected(np.asarray(corners())).astype(int)
    assert decoded.pixels.shape == upright.shape
    assert np.abs(decoded.pixels - upright).max() <= 3
    assert (decoded.facts.height, decoded.facts.width) == upright.shape[:2]
    assert decoded.facts.orientation == (6 if metadata else 1)  # what EXIF states


def test_a_heic_tells_its_metadata_and_all_its_pictures_are_counted() -> None:
    facts = decode(heic([corners(), corners().rotate(180)], exif=exif(), xmp=XMP)).facts
    assert (facts.camera, facts.caption, facts.frames) == ("Apple", "A heron", 2)


def test_a_profile_in_a_heic_is_converted_to_srgb() -> None:
    red = Image.new("RGB", (16, 16), RED)
    assert np.abs(decode(heic(red, icc=swapped_profile())).pixels[8, 8].astype(int) - (0, 255, 0)).max() <= 8


def test_a_heic_is_reduced() -> None:
    decoded = decode(heic(corners().resize((320, 480), Image.Resampling.NEAREST)), min_side=100)
    assert decoded.pixels.shape == (160, 107, 3)
    assert (decoded.facts.width, decoded.facts.height) == (320, 480)


@pytest.mark.parametrize("text", [b"Exif", b"mime", b"application/rdf+xml"])
def test_a_heic_whose_items_have_no_readable_type_is_read_without_them(text: bytes) -> None:
    """The reader before this one crashed on it."""
    data = heic(corners(), exif=exif(), xmp=XMP)
    assert data.index(b"infe") < data.index(text)  # in the table of items, not in what they hold
    assert np.array_equal(decode(data.replace(text, b"\xe9" + text[1:], 1)).pixels, decode(data).pixels)


def test_the_thumbnail_in_a_heic_is_not_taken_for_the_picture() -> None:
    import pillow_heif

    file = pillow_heif.from_pillow(Image.new("RGB", (640, 480), RED))
    file.add_from_pillow(Image.new("RGB", (64, 48), BLUE))
    buffer = io.BytesIO()
    file[0].info["thumbnails"] = [64]
    file.save(buffer, save_all=False)
    data = buffer.getvalue()
    opened = pillow_heif.HeifImageFile(io.BytesIO(data))
    assert opened.draft("RGB", (20, 20)) == ("RGB", (0, 0, 64, 48))  # the plugin would take it
    decoded = decode(data, min_side=20)
    assert (decoded.facts.width, decoded.facts.height) == (640, 480)
    assert decoded.pixels.shape == (20, 27, 3)


@pytest.mark.parametrize(("name", "version"), [("libheif", "1.23.4"), ("libde265", "1.1.2"), ("libheif", "?")])
def test_a_heic_library_with_known_holes_sees_no_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, version: str
) -> None:
    content = f"""
def libheif_info():
    found = {{"libheif": "1.23.5", "libde265": "1.1.3"}} | {{{name!r}: {version!r}}}
    return {{"libheif": found["libheif"], "decoders": {{"libde265": f"HEVC, version {{found['libde265']}}"}}}}

class HeifImageFile:
    def __init__(self, file):
        raise ValueError("it was given a file")
"""
    with package_stand_in(monkeypatch, tmp_path, "pillow_heif", content):
        with pytest.raises(MediaError, match=r"pip install 'pillow-heif>=") as caught:
            decode(heic(corners()))
        assert caught.value.reason == SkipReason.MISSING_CODEC
        assert f"not given to {name} {version}, which has known security holes" in str(caught.value)
        assert not codec_check.codecs()["HEIC"]
        assert "pip install 'pillow-heif>=" in codec_check.codec_refusals()["HEIC"]
        assert decode(pylibjxl.encode(np.asarray(corners()), lossless=True)).facts.width == 32
    sound = content.replace(repr(version), "'1.23.5'" if name == "libheif" else "'1.1.3'")
    with (
        package_stand_in(monkeypatch, tmp_path, "pillow_heif", sound),
        pytest.raises(MediaError, match="it was given a file"),
    ):
        decode(heic(corners()))


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_heic_cut_short_is_truncated(part: float) -> None:
    data = heic(corners())
    assert reason(data[: int(len(data) * part)]) == SkipReason.TRUNCATED


def test_a_heic_within_the_limit_of_pixels_and_beyond_it() -> None:
    data = heic(corners())
    assert decode(data, limits=Limits(max_pixels=32 * 48)).facts.width == 32
    assert reason(data, limits=Limits(max_pixels=32 * 48 - 1)) == SkipReason.TOO_MANY_PIXELS
    large = data.replace(b"ispe\0\0\0\0\0\0\0\x20\0\0\0\x30", b"ispe\0\0\0\0\0\0\x7f\x20\0\0\x7f\x30")
    assert large != data
    assert reason(large) == SkipReason.TOO_MANY_PIXELS  # what it claims is enough


# --- JPEG XL ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_lossless_jpeg_xl_comes_out_pixel_for_pixel(mode: str) -> None:
    picture = corners().convert(mode)
    decoded = decode(pylibjxl.encode(np.asarray(picture), lossless=True))
    assert np.array_equal(decoded.pixels, np.asarray(picture.convert("RGB")))
    facts = decoded.facts
    assert (facts.format, facts.mode, facts.width, facts.height) == ("JPEG XL", mode, 32, 48)


def test_transparency_in_a_jpeg_xl_is_composited_over_white() -> None:
    clear = np.zeros((16, 16, 4), np.uint8)
    clear[:, 8:] = (*RED, 255)
    pixels = decode(pylibjxl.encode(clear, lossless=True)).pixels
    assert pixels[3, 3].tolist() == list(WHITE)
    assert pixels[3, 12].tolist() == list(RED)


def test_a_jpeg_xl_is_upright_already_and_exif_does_not_turn_it_again() -> None:
    plain = decode(pylibjxl.encode(np.asarray(corners()), lossless=True, exif=exif(), xmp=XMP))
    assert np.array_equal(plain.pixels, np.asarray(corners()))
    assert (plain.facts.orientation, plain.facts.camera, plain.facts.caption) == (6, "Apple", "A heron")
    buffer = io.BytesIO()
    corners().save(buffer, "JPEG", exif=b"Exif\0\0" + exif(), quality=95, subsampling=0)
    # Out of a JPEG, libjxl takes the orientation over into its own header.
    turned, original = decode(pylibjxl.jpeg_to_jxl(buffer.getvalue())), decode(buffer.getvalue())
    assert (turned.facts.width, turned.facts.height) == (original.facts.width, original.facts.height) == (48, 32)
    assert np.abs(turned.pixels.astype(int) - original.pixels).mean() < 3


def test_a_profile_in_a_jpeg_xl_is_converted_to_srgb() -> None:
    red = np.full((16, 16, 3), RED, np.uint8)
    data = pylibjxl.encode(red, lossless=True, icc=swapped_profile())
    assert np.abs(decode(data).pixels[8, 8].astype(int) - (0, 255, 0)).max() <= 6


def test_damage_to_a_jpeg_xl_is_named() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    boxed, bare = pylibjxl.encode(noise, xmp=XMP), pylibjxl.encode(noise)
    assert boxed.startswith(b"\x00\x00\x00\x0cJXL ")
    assert bare.startswith(b"\xff\x0a")
    assert reason(boxed[: len(boxed) // 2]) == SkipReason.TRUNCATED
    assert reason(bare[: len(bare) // 2]) == SkipReason.CORRUPT  # a bare stream does not say where it ends
    assert reason(b"\xff\x0a" + bytes(30)) == SkipReason.CORRUPT
    assert reason(bare, limits=Limits(max_pixels=64 * 48 - 1)) == SkipReason.TOO_MANY_PIXELS


def test_the_guard_of_pillow_holds_for_a_jpeg_xl(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the process that decodes, whose own it is."""
    data = pylibjxl.encode(np.zeros((48, 64, 3), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 // 2)
    assert pillow.read(data, "JPEG XL", min_side=None, max_pixels=10**6)[1].width == 64
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 // 2 - 1)
    with pytest.raises(MediaError, match="more than Pillow allows") as caught:
        pillow.read(data, "JPEG XL", min_side=None, max_pixels=10**6)
    assert caught.value.reason == SkipReason.TOO_MANY_PIXELS


# Red, lime, blue, 8 x 8 each: an animation of ours, as cjxl 0.11 wrote it (no package here can).
ANIMATION = bytes.fromhex(
    "ff0a41040158130810a002000048004b188b15805dc0ff00e271b708000897bf3f0810a002000048004b188b15805dc0ff00"
    "0e7bb50800b88abf3f0810a042000048004b188b15805dc0ff00227bb50800b88abf3f"
)


def test_of_an_animated_jpeg_xl_the_first_frame_is_taken() -> None:
    assert (decode(ANIMATION).pixels == RED).all()


# --- SVG ----------------------------------------------------------------------------------------------------

SPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def svg(content: str, size: str = 'width="20" height="10"', before: str = "") -> bytes:
    return f"{before}<svg {SPACES} {size}>{content}</svg>".encode()


def filled(colour: str) -> str:
    return f'<rect width="100%" height="100%" fill="{colour}"/>'


@pytest.mark.parametrize(
    ("size", "drawn"),
    [
        ('width="20" height="10"', (1024, 512)),
        ('width="4000" height="8000"', (512, 1024)),
        ('viewBox="0 0 3 1"', (1024, 341)),
        ('width="1e9" height="1e9"', (1024, 1024)),
    ],
)
def test_an_svg_is_drawn_in_one_size_whatever_its_own(size: str, drawn: tuple[int, int]) -> None:
    decoded = decode(svg(filled("red"), size))
    assert (decoded.facts.width, decoded.facts.height) == pytest.approx(drawn, abs=1)
    assert decoded.facts.format == "SVG"
    assert decoded.pixels[decoded.pixels.shape[0] // 2, 100].tolist() == list(RED)
    reduced = decode(svg(filled("red"), size), min_side=100)
    assert 100 <= min(reduced.pixels.shape[:2]) < 200


def test_a_preview_of_an_svg_is_drawn_small_and_looks_the_same() -> None:
    blurred = (
        '<filter id="soft"><feGaussianBlur stdDeviation="0.5"/></filter><rect x="2" y="2" width="9" height="6" '
        'fill="red" filter="url(#soft)"/><circle cx="14" cy="5" r="4" fill="blue"/>'
    )
    whole = decode(svg(blurred), min_side=160, measured=False)
    preview = decode(svg(blurred), min_side=160, measured=False, preview=True)
    assert (max(whole.facts.width, whole.facts.height), max(preview.facts.width, preview.facts.height)) == (1024, 320)
    small, other = (np.asarray(fit(one.pixels, 160), np.int16) for one in (whole, preview))
    assert small.shape == other.shape
    assert np.abs(small - other).mean() < 1
    assert max(decode(svg(blurred), min_side=900, preview=True).pixels.shape) == 1024


def test_what_an_svg_does_not_cover_is_white() -> None:
    pixels = decode(svg('<rect width="10" height="10" fill="blue"/>')).pixels
    assert pixels[100, 100].tolist() == list(BLUE)
    assert pixels[100, 1000].tolist() == list(WHITE)


def data_uri(kind: str, content: bytes) -> str:
    import base64

    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def blue_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), BLUE).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("attribute", ["href", "xlink:href"])
def test_an_svg_reaches_no_file(tmp_path: Path, attribute: str) -> None:
    picture = tmp_path / "blue.png"
    picture.write_bytes(blue_png())
    (tmp_path / "blue.svg").write_bytes(svg(filled("blue")))
    for target in (
        str(picture),
        f"\n{picture}",
        picture.as_uri(),
        f"../..{picture}",
        f"{tmp_path}/blue.svg",
        data_uri("image/svg+xml", svg(f'<image href="{picture}" width="20" height="10"/>')),
        data_uri("image/png", svg(f'<image href="{picture}" width="20" height="10"/>')),
        data_uri("image/png", svg(filled("blue"))),
        f"data:image/png;base64,{picture}",
    ):
        drawing = svg(f'<image {attribute}="{target}" width="20" height="10"/>')
        assert decode(drawing).pixels[256, 512].tolist() == list(WHITE), target


def test_the_renderer_alone_would_read_that_file(tmp_path: Path) -> None:
    import resvg_py

    picture = tmp_path / "blue.png"
    picture.write_bytes(blue_png())
    drawing = svg(f'<image href="{picture}" width="20" height="10"/>').decode()
    with Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=drawing)))) as drawn:
        assert drawn.convert("RGB").getpixel((10, 5)) == BLUE


def test_pictures_and_shapes_inside_an_svg_are_drawn() -> None:
    embedded = svg(f'<image xlink:href="{data_uri("image/png", blue_png())}" width="20" height="10"/>')
    assert decode(embedded).pixels[256, 512].tolist() == list(BLUE)
    used = svg('<defs><rect id="r" width="20" height="10" fill="red"/></defs><use href="#r"/>')
    assert decode(used).pixels[256, 512].tolist() == list(RED)


def test_a_doctype_is_passed_over_and_an_entity_refused() -> None:
    public = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://127.0.0.1:1/svg11.dtd">'
    assert decode(svg(filled("red"), before=public)).pixels[256, 512].tolist() == list(RED)
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    for declared in (f'<!ENTITY a0 "x">{laughs}', '<!ENTITY a9 SYSTEM "file:///etc/passwd">'):
        with pytest.raises(MediaError, match="entities") as caught:
            decode(svg("<text>&a9;</text>", before=f"<!DOCTYPE svg [{declared}]>"))
        assert caught.value.reason == SkipReason.MISSING_CODEC


def test_a_broken_svg() -> None:
    assert reason(svg(filled("red"))[:-7]) == SkipReason.TRUNCATED
    assert reason(b"<svg><g></svg>") == SkipReason.CORRUPT
    assert reason(svg("<g>" * 5000 + "</g>" * 5000)) == SkipReason.CORRUPT


def test_an_svg_that_asks_for_too_much_ends_in_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    multiplied = "".join(f'<g id="a{n}">' + f'<use href="#a{n - 1}"/>' * 10 + "</g>" for n in range(1, 12))
    rect = '<g id="a0"><rect width="1" height="1"/></g>'
    assert reason(svg(f'<defs>{rect}{multiplied}</defs><use href="#a11"/>')) == SkipReason.CORRUPT
    monkeypatch.setattr(drawing, "_MAX_BYTES", 10)
    with pytest.raises(MediaError) as caught:
        drawing.render(svg(filled("red")))
    assert caught.value.reason == SkipReason.TOO_MANY_BYTES


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("time.sleep(60)", SkipReason.TIMEOUT),
        ("os.abort()", SkipReason.TOO_MANY_PIXELS),  # Rust without memory
        ("bytes(2**62)", SkipReason.TOO_MANY_PIXELS),
        ("bytearray(drawing.MEMORY + 2**26)", SkipReason.TOO_MANY_PIXELS),
        ("ctypes.string_at(0)", SkipReason.CORRUPT),
        ("raise SystemExit(7)", SkipReason.CORRUPT),
        ("raise ValueError(open('/etc/fonts/fonts.conf').read())", SkipReason.CORRUPT),
    ],
)
def test_however_the_process_that_draws_ends_it_is_a_media_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, expected: str
) -> None:
    content = f"""
import ctypes, os, signal, time
from imseek.media import svg as drawing
def svg_to_bytes(*, svg_string, width, height):
    if "title" not in svg_string:  # that with which workers look for fonts
        return {blue_png()!r}
    {program}
"""
    monkeypatch.setattr(worker, "PICTURE_SECONDS", 2.0)
    with package_stand_in(monkeypatch, tmp_path, "resvg_py", content):
        assert decode(svg("")).pixels[0, 0].tolist() == list(BLUE)
        with pytest.raises(MediaError) as caught:
            decode(svg("<title/>"))
        assert caught.value.reason == expected
        assert "fonts.conf'" in str(caught.value) or "open" not in program
        assert decode(svg("")).pixels[0, 0].tolist() == list(BLUE)


def test_letters_are_drawn_with_the_fonts_of_the_machine() -> None:
    if not any(any(folder.rglob("*.ttf")) for folder in DRAWINGS.readable):
        pytest.skip("no fonts are installed")
    pixels = decode(svg('<text y="9" font-size="10">M</text>')).pixels
    assert pixels.min() < 64
    assert 0.02 < (pixels < 128).mean() < 0.5


# --- without the extra --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module", "data"),
    [
        ("HEIC", "pillow_heif", heic(Image.new("RGB", (16, 16)))),
        ("JPEG XL", "pylibjxl", b"\xff\x0a" + bytes(30)),
        ("SVG", "resvg_py", svg("")),
    ],
)
def test_without_its_package_a_format_is_skipped_and_the_extra_named(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str, data: bytes
) -> None:
    assert sniff(data) == name
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    formats.is_readable.cache_clear()
    try:
        assert not codec_check.codecs()[name]
        with pytest.raises(MediaError, match=f"{name} images need a codec that is not installed$") as caught:
            decode(data)
    finally:
        formats.is_readable.cache_clear()
    assert caught.value.reason == SkipReason.MISSING_CODEC
    assert caught.value.hint == "in imseek's folder: pip install '.[formats]'"
    assert name in str(caught.value)
