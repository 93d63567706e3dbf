"""``imseek extract``: the picture itself, into a new file or a pipe."""

from __future__ import annotations

from pathlib import Path


def test_into_a_file(cli, indexed, tmp_path) -> None:
    (hit,) = cli("search", "red", "-n", "1", "--json").json("search")["hits"]
    outcome = cli("extract", str(hit["image_id"]), "-o", tmp_path / "out.png")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "out.png").read_bytes() == Path(hit["path"]).read_bytes()


def test_into_a_pipe(process, indexed) -> None:
    outcome = process("extract", "0")
    assert outcome.returncode == 0
    assert outcome.stdout in {path.read_bytes() for path in indexed.rglob("*.png")}


def test_no_file_is_written_over(cli, indexed, tmp_path) -> None:
    (tmp_path / "out.png").write_text("mine")
    outcome = cli("extract", "0", "-o", tmp_path / "out.png")
    assert outcome.code == 2
    assert (tmp_path / "out.png").read_text() == "mine"


def test_an_unknown_id_and_a_picture_that_is_gone(cli, indexed, tmp_path) -> None:
    assert cli("extract", "77", "-o", tmp_path / "out.png").code == 2
    for path in indexed.rglob("*.png"):
        path.unlink()
    outcome = cli("extract", "0", "-o", tmp_path / "out.png")
    assert outcome.code == 1
    assert "not there any more" in outcome.err
    assert not (tmp_path / "out.png").exists()


def test_a_file_or_a_copy_of_one(cli, indexed, tmp_path) -> None:
    red = indexed / "red.png"
    Path("copy.png").write_bytes(red.read_bytes())
    for number, named in enumerate((red, Path("copy.png"))):
        assert cli("extract", named, "-o", tmp_path / f"{number}.png").code == 0
        assert (tmp_path / f"{number}.png").read_bytes() == red.read_bytes()
    assert str(red) in cli("info", "copy.png").out
    (indexed / "twin.png").write_bytes(red.read_bytes())
    cli("index")
    assert cli("info", "copy.png").out == cli("info", red).out, "the first of the images with that content"
