"""``imseek maintain --reencode``: another encoder takes over, and what is said on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from PIL import Image


def spaces(cli) -> tuple[list, list]:
    info = cli("info", "--json").json("info")
    used = [(space["space_id"], space["reference"]) for space in info["spaces"]]
    return used, [(space["space_id"], space["state"], space["images"]) for space in info["other_spaces"]]


def best(cli, words: str) -> str:
    return cli("search", words, "-n", "1", "--json").json("search")["hits"][0]["path"]


def test_another_encoder_takes_over_and_the_old_space_is_kept(cli, indexed) -> None:
    outcome = cli("maintain", "--reencode", "fake:32")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("now searched by fake:32 (space 1): 3 of 3 images encoded in ")
    assert "space 0 is kept (`--drop-space 0`)" in outcome.out
    assert spaces(cli) == ([(1, "fake:32")], [(0, "kept", 3)])
    assert best(cli, "red").endswith("red.png")
    assert "kept since" in cli("info").out
    assert cli("maintain", "--drop-space", "0").code == 0
    assert spaces(cli) == ([(1, "fake:32")], [])


def test_back_again_encodes_only_what_is_new(cli, indexed) -> None:
    cli("maintain", "--reencode", "fake:32")
    Image.new("RGB", (40, 30), "white").save(indexed / "white.png")
    assert cli("index", "--json").json("index")["added"] == 1
    report = cli("maintain", "--reencode", "fake", "--json").json("maintain")["reencode"]
    assert (report["outcome"], report["before"], report["encoded"]) == ("switched", 3, 1)
    assert cli("maintain", "--reencode", "fake").out.startswith("searched by fake already")


def test_a_space_is_added_and_dropped(cli, indexed) -> None:
    assert cli("maintain", "--add-space", "fake:32").code == 0
    assert spaces(cli) == ([(0, "fake"), (1, "fake:32")], [])
    assert cli("maintain", "--add-space", "fake").out.startswith("searched by fake already (space 0)")
    assert cli("maintain", "--drop-space", "1").code == 0
    assert spaces(cli)[0] == [(0, "fake")]


def test_pictures_that_index_would_replace_do_not_hold_up_a_switch(cli, indexed) -> None:
    for name in ("red.png", "lime.png"):
        (indexed / name).write_bytes(b"no picture any more")
    report = cli("maintain", "--reencode", "fake:32", "--json").json("maintain")["reencode"]
    assert {missing["reason"] for missing in report["missing"]} == {"content_changed"}
    assert (report["outcome"], report["encoded"]) == ("switched", 1)
    assert any("imseek index" in note for note in report["notes"])
    assert cli("info", "--json").json("info")["images"] == 1
    Image.new("RGB", (40, 30), "red").save(indexed / "red.png")
    Image.new("RGB", (40, 30), "lime").save(indexed / "lime.png")
    assert cli("index", "--json").json("index")["live"] == 3


def test_a_source_that_is_not_mounted_refuses(cli, indexed) -> None:
    indexed.rename(indexed.with_name("away"))
    outcome = cli("maintain", "--reencode", "fake:32")
    assert outcome.code == 1
    assert outcome.out.startswith("not switched to fake:32")
    assert "red.png" in outcome.out
    assert spaces(cli) == ([(0, "fake")], [(1, "building", 0)])
    indexed.with_name("away").rename(indexed)
    assert cli("maintain", "--reencode", "fake:32").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reencode", "nonsense"], "nonsense"),
        (["--reencode", "fake:32", "--add-space", "fake:16"], "exclude"),
        (["--space", "0"], "--reencode"),
        (["--drop-space", "7"], "no space 7"),
        (["--drop-space", "0"], "only one"),
    ],
)
def test_what_makes_no_sense(cli, indexed, arguments, said) -> None:
    outcome = cli("maintain", *arguments)
    assert outcome.code == 2
    assert said in outcome.err


#: `imseek`, whose encoder waits before its first picture until there is something to read on stdin.
PAUSED = """
import sys
from imseek.encoders.fake import FakeEncoder
from imseek.ui.cli import main
prepare = FakeEncoder.prepare
def paused(self, pixels):
    FakeEncoder.prepare = prepare
    print("encoding", file=sys.stderr, flush=True)
    sys.stdin.readline()
    return prepare(self, pixels)
FakeEncoder.prepare = paused
sys.exit(main(sys.argv[1:]))
"""


def test_interrupted_it_goes_on(cli, pictures) -> None:
    for n in range(100):  # More than are asked for ahead.
        Image.new("RGB", (24, 18), (n, 2 * n, 7)).save(pictures / f"{n}.png")
    assert cli("index", pictures, "--encoder", "fake").code == 0
    count = cli("info", "--json").json("info")["images"]
    command = [sys.executable, "-P", "-c", PAUSED, "maintain", "--reencode", "fake:32", "--json"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        for line in process.stderr:
            if line == "encoding\n":
                break
        os.kill(process.pid, signal.SIGINT)
        process.stdin.write("go on\n")
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    used, ((space, state, encoded),) = spaces(cli)
    assert (used, space, state) == ([(0, "fake")], 1, "building")
    assert encoded < count, "it was stopped on the way"
    report = cli("maintain", "--reencode", "fake:32", "--json").json("maintain")["reencode"]
    assert (report["before"], report["encoded"]) == (encoded, count - encoded)
    assert spaces(cli)[0] == [(1, "fake:32")]


def test_pictures_in_archives_are_read_again(cli, tmp_path) -> None:
    from sourcing.archives import tar_of, zip_of
    from sourcing.cases import draw

    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/a.tar").write_bytes(tar_of({f"{n}.png": draw(n) for n in range(40)}))
    (tmp_path / "shards/b.zip").write_bytes(zip_of({f"{n}.png": draw(n) for n in range(40, 60)}))
    (tmp_path / "shards/c.tar.gz").write_bytes(tar_of({f"{n}.png": draw(n) for n in range(60, 99)}, "w:gz"))
    cli("index", tmp_path / "shards", "--encoder", "fake")
    report = cli("maintain", "--reencode", "fake:32", "--json").json("maintain")["reencode"]
    assert (report["outcome"], report["encoded"], report["missing"]) == ("switched", 99, [])
