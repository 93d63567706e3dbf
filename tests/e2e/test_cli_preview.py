"""``--preview`` and ``--sheet``, in terminals of each kind, in pipes, and in files."""

from __future__ import annotations

import io

import numpy as np
import pytest
import terminals
from PIL import Image

RED, LIME, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
#: After "red", the fake encoder finds the others equally far.
ARGUMENTS = ("search", "red", "--preview", "-n", "1", "--cutoff", "none")


@pytest.fixture
def here(indexed, home):
    return indexed


class TestTerminals:
    @pytest.mark.parametrize(
        "answer", [terminals.KITTY, terminals.ITERM, terminals.SIXEL], ids=["kitty", "iterm", "sixel"]
    )
    def test_the_picture_is_drawn_over_the_ranking(self, here, answer) -> None:
        code, written, said = terminals.run(ARGUMENTS, answer)
        assert code == 0, said
        shown = terminals.drawn(written)
        assert shown.rest == []
        ((at, pixels),) = shown.pictures.items()
        assert at == (0, 0)
        assert pixels.shape == (30, 40, 3)
        assert np.abs(pixels.astype(int) - RED).max() <= 2
        assert [line.split() for line in shown.lines[10:12]] == [["1", "1.000"], ["red.png"]]
        assert shown.lines[-2].endswith(str(here / "red.png"))
        assert shown.lines[-1].strip() == "matched: name red.png"

    @pytest.mark.parametrize("answer", [terminals.PLAIN, terminals.MUTE], ids=["plain", "mute"])
    def test_without_pictures_coloured_blocks(self, here, answer) -> None:
        code, written, said = terminals.run(ARGUMENTS, answer)
        assert code == 0, said
        assert "\x1b[38;2;255;0;0;48;2;255;0;0m▀" in written
        assert terminals.drawn(written).pictures == {}
        assert "no preview" not in said

    @pytest.mark.parametrize(
        ("extra", "why"),
        [
            ({"TERM": "dumb"}, "dumb"),
            ({"NO_COLOR": "1"}, "neither pictures nor colours"),
            ({"PYTHONIOENCODING": "ascii"}, "ascii has no block characters"),
        ],
    )
    def test_where_nothing_can_be_shown_it_says_why_and_what_to_do(self, here, extra, why) -> None:
        code, written, said = terminals.run(ARGUMENTS, terminals.PLAIN, extra=extra)
        assert code == 0
        assert "no preview: " in said
        assert why in said
        assert "--sheet FILE.png" in said
        assert "▀" not in written
        assert str(here / "red.png") in written

    def test_inside_tmux_its_title_is_left_alone(self, here) -> None:
        _, written, _ = terminals.run(ARGUMENTS, terminals.SIXEL, extra={"TMUX": "/tmp/tmux,1,0"})
        assert "\x1b_G" not in written
        assert len(terminals.drawn(written).pictures) == 1

    def test_names_are_no_escapes(self, here, cli) -> None:
        (here / "red.png").rename(here / "\x1b[2Jred.png")
        assert cli("index").code == 0
        _, written, _ = terminals.run(ARGUMENTS, terminals.KITTY)
        assert "\x1b[2J" not in written
        assert "\\x1b[2Jred.png" in written


class TestPipes:
    def test_never_a_picture(self, process, here) -> None:
        done = process(*ARGUMENTS)
        plain = process(*(one for one in ARGUMENTS if one != "--preview"))
        assert done.returncode == 0
        assert done.stdout == plain.stdout
        assert b"\x1b" not in done.stdout
        assert b"no preview: standard output is not a terminal; --sheet" in done.stderr

    def test_but_blocks_where_colour_is_wanted(self, process, here) -> None:
        done = process(*ARGUMENTS, extra={"FORCE_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm"})
        assert "\x1b[38;2;255;0;0;48;2;255;0;0m▀".encode() in done.stdout

    @pytest.mark.parametrize("flag", ["--json", "--paths", "--null"])
    def test_not_for_programs(self, cli, here, flag) -> None:
        outcome = cli(*ARGUMENTS, flag)
        assert (outcome.code, outcome.out) == (2, "")
        assert "--preview cannot be combined with machine-readable output" in outcome.err


class TestSheets:
    def test_a_png_with_the_hits(self, cli, here, tmp_path) -> None:
        sheet = tmp_path / "hits.png"
        outcome = cli("search", "red", "-n", "2", "--sheet", sheet, "--cutoff", "none")
        assert outcome.code == 0, outcome.err
        assert f"wrote {sheet}" in outcome.err
        assert str(here / "red.png") in outcome.out
        with Image.open(sheet) as image:
            assert image.format == "PNG"
            colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
        assert RED in colours
        assert len({LIME, BLUE} & colours) == 1

    def test_similar_shows_what_was_asked(self, cli, here, tmp_path) -> None:
        asked = tmp_path / "asked.png"
        Image.new("RGB", (30, 30), (255, 0, 9)).save(asked)
        assert cli("similar", asked, "-n", "1", "--sheet", tmp_path / "hits.png").code == 0
        with Image.open(tmp_path / "hits.png") as image:
            colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
        assert {(255, 0, 9), RED} <= colours

    def test_with_json_too(self, cli, here, tmp_path) -> None:
        outcome = cli("search", "red", "--json", "--sheet", tmp_path / "hits.png")
        outcome.json("search")
        assert (tmp_path / "hits.png").is_file()

    def test_nothing_is_written_over(self, cli, here, tmp_path) -> None:
        sheet = tmp_path / "hits.png"
        sheet.write_bytes(b"mine")
        outcome = cli("search", "red", "--sheet", sheet)
        assert (outcome.code, outcome.out, sheet.read_bytes()) == (2, "", b"mine")
        assert "is there already" in outcome.err
        assert cli("search", "red", "--sheet", sheet, "--force").code == 0
        assert sheet.read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("hits.jpg", "a contact sheet is a PNG"),
            ("nowhere/hits.png", "no folder"),
            ("folder.png", "is a folder"),
        ],
    )
    def test_names_that_cannot_be(self, cli, here, tmp_path, name, said) -> None:
        (tmp_path / "folder.png").mkdir()
        outcome = cli("search", "red", "--sheet", tmp_path / name)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.err

    def test_what_has_gone_is_an_empty_tile(self, cli, here, tmp_path) -> None:
        (here / "red.png").unlink()
        assert cli("search", "red", "-n", "1", "--sheet", tmp_path / "hits.png").code == 0
        with Image.open(io.BytesIO((tmp_path / "hits.png").read_bytes())) as image:
            assert RED not in {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}

    def test_not_for_many_queries(self, cli, here, tmp_path) -> None:
        (tmp_path / "q").write_text("red\n")
        outcome = cli("search", "--queries", tmp_path / "q", "--sheet", tmp_path / "hits.png")
        assert outcome.code == 2
        assert "--queries always prints JSON Lines" in outcome.err
