"""Pictures as what terminals draw: decoded again, they are the pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
import terminals
from PIL import Image

from imseek.media import decode
from imseek.media.sixel import sixels
from imseek.media.thumbnails import fit
from imseek.types.pictures import Place
from imseek.types.search_results import Hit
from imseek.ui.terminal.capabilities import TerminalCapabilities
from imseek.ui.terminal.graphics import render_blocks, render_picture
from imseek.ui.terminal.thumbnail_rows import print_preview


@pytest.fixture
def cat(photo_files) -> np.ndarray:
    return decode(next(path for path in photo_files if path.name == "chelsea.png").read_bytes()).pixels


def difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


class TestSixels:
    def test_a_photograph_comes_back_within_what_256_colours_can_do(self, cat) -> None:
        picture = fit(cat, 241, 200)
        code = sixels(picture)
        assert code.startswith("\x1bP")
        assert code.endswith("\x1b\\")
        back = terminals.unsixel(code[2:-2])
        assert difference(back, np.asarray(picture)) < 4

    def test_few_colours_come_back_to_a_hundredth(self) -> None:
        picture = Image.new("RGB", (50, 13), "red")
        picture.paste("blue", (10, 5, 30, 13))
        back = terminals.unsixel(sixels(picture)[2:-2])
        assert np.array_equal(back, np.asarray(picture))

    @pytest.mark.parametrize("size", [(1, 1), (3, 6), (7, 7), (300, 1)])
    def test_any_size(self, size) -> None:
        assert (
            terminals.unsixel(sixels(Image.new("RGB", size, "lime"))[2:-2]).tolist()
            == [[[0, 255, 0]] * size[0]] * size[1]
        )

    def test_it_is_ascii_that_ends_nothing_too_early(self, cat) -> None:
        body = sixels(fit(cat, 100))[2:-2]
        assert all(" " < c < "\x7f" for c in body)


class TestProtocols:
    @pytest.mark.parametrize("way", ["kitty", "iterm"])
    def test_without_loss(self, cat, way) -> None:
        shown = terminals.drawn(render_picture(cat, way, (24, 10), (10, 20)))
        assert (shown.rest, shown.lines) == ([], [])
        (pixels,) = shown.pictures.values()
        assert np.array_equal(pixels, np.asarray(fit(cat, 240, 200)))

    def test_kitty_gets_pieces_that_it_takes(self, cat) -> None:
        parts = render_picture(cat, "kitty", (24, 10), (10, 20)).split("\x1b\\")[:-1]
        assert len(parts) > 2
        assert parts[0].startswith("\x1b_Ga=T,f=100,q=2,C=1,m=1;")
        assert all(part.startswith("\x1b_Gm=1;") for part in parts[1:-1])
        assert parts[-1].startswith("\x1b_Gm=0;")
        assert all(len(part.partition(";")[2]) <= 4096 for part in parts)

    @pytest.mark.parametrize("shape", [(1, 1, 3), (2000, 3, 3), (3, 2000, 3)])
    def test_nothing_leaves_its_box(self, shape) -> None:
        for way in ("kitty", "iterm", "sixel"):
            (pixels,) = terminals.drawn(
                render_picture(np.zeros(shape, np.uint8), way, (24, 10), (9, 17))
            ).pictures.values()
            assert pixels.shape[0] <= 10 * 17
            assert pixels.shape[1] <= 24 * 9

    def test_blocks_hold_two_pixels_each(self, cat) -> None:
        expected = np.asarray(fit(cat, 24, 20))
        lines = render_blocks(cat, (24, 10))
        assert {segment.text for line in lines for segment in line} == {"▀"}
        above = [[tuple(s.style.color.triplet) for s in line] for line in lines]
        below = [[tuple(s.style.bgcolor.triplet) for s in line] for line in lines]
        assert np.array_equal(above, expected[0::2])
        assert np.array_equal(below[: len(expected) // 2], expected[1::2])


class TestRanking:
    def hits(self, count: int) -> list[Hit]:
        return [Hit("u", n, 0.5 - n / 100, Place(0, b"/x/%d.png" % n)) for n in range(count)]

    def colours(self, uuid: str, image_id: int, side: int) -> bytes:
        if image_id == 2:
            raise FileNotFoundError(2, "No such file or directory")
        buffer = io.BytesIO()
        Image.new("RGB", (600, 400), (40 * image_id, 0, 255 - 40 * image_id)).save(buffer, "PNG")
        return buffer.getvalue()

    @pytest.mark.parametrize("way", ["kitty", "iterm", "sixel"])
    def test_each_picture_stands_over_its_label(self, way, capsys) -> None:
        screen = TerminalCapabilities(way, 76, 30, (10, 20))
        print_preview(self.hits(5), ["写真.png", "b" * 60, "c", "d", "e"], self.colours, screen)
        shown = terminals.drawn(capsys.readouterr().out.replace("\n", "\r\n"))
        assert shown.rest == []
        # Three of 24 columns with gaps of 2; 10 lines, two of text, and an empty one.
        assert {at: tuple(pixels[5, 5].tolist()) for at, pixels in shown.pictures.items()} == {
            (0, 0): pytest.approx((0, 0, 255), abs=2),
            (0, 26): pytest.approx((40, 0, 215), abs=2),
            (13, 0): pytest.approx((120, 0, 135), abs=2),
            (13, 26): pytest.approx((160, 0, 95), abs=2),
        }
        assert {pixels.shape for pixels in shown.pictures.values()} == {(160, 240, 3)}
        assert shown.lines[0].strip() == "not there any more"
        assert shown.lines[0].index("not") == 52
        assert shown.lines[10].split() == ["1", "0.500", "2", "0.490", "3", "0.480"]
        assert shown.lines[11].startswith("写真.png")
        assert "b" * 23 + "…" in shown.lines[11]
        assert shown.lines[23].split() == ["4", "0.470", "5", "0.460"]

    def test_a_small_terminal_gets_small_pictures(self, capsys) -> None:
        print_preview(self.hits(1), ["a"], self.colours, TerminalCapabilities("kitty", 12, 8, (10, 20)))
        shown = terminals.drawn(capsys.readouterr().out.replace("\n", "\r\n"))
        ((at, pixels),) = shown.pictures.items()
        assert at == (0, 0)
        assert pixels.shape[1] <= 120
        assert pixels.shape[0] <= 80

    def test_no_more_than_so_many(self, capsys, monkeypatch) -> None:
        monkeypatch.setattr("imseek.ui.terminal.thumbnail_rows.MAX_HITS", 3)
        print_preview(self.hits(5), list("abcde"), self.colours, TerminalCapabilities("kitty", 80, 30, (10, 20)))
        assert len(terminals.drawn(capsys.readouterr().out.replace("\n", "\r\n")).pictures) == 2
