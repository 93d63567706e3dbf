"""``imseek tune`` on the command line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

COLOURS = ("black", "red", "yellow", "lime", "blue", "white", "cyan", "magenta", "orange", "teal")
NAMES = ("zorp", "quux", "flim", "brol", "tarn", "mive", "doke", "wexa", "yulp", "gant")


@pytest.fixture
def named(cli, tmp_path):
    """Seventy pictures of ten colours, each with a caption that has a word of ours for its colour."""
    folder = tmp_path / "named"
    folder.mkdir()
    for n in range(70):
        noise = np.random.default_rng(n).integers(-70, 70, (16, 16, 3))
        colour = np.asarray(Image.new("RGB", (16, 16), COLOURS[n % 10]), np.int64)
        exif = Image.Exif()
        exif[0x010E] = f"{NAMES[n % 10]} number{n}"
        picture = Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8))
        picture.save(folder / f"{n:02}.png", exif=exif)
    outcome = cli("index", folder, "--encoder", "fake")
    assert outcome.code == 0, outcome.err
    return folder


def test_trying_tuning_and_switching(cli, named) -> None:
    tried = cli("tune", "--dry-run", "--seed", "1")
    assert tried.code == 0, tried.err
    assert tried.out.splitlines()[0].startswith("70 pairs from captions: ")
    assert "text to image, " in tried.out
    assert tried.out.splitlines()[-1] == "it helps; nothing was changed (--dry-run)"
    report = cli("tune", "--seed", "1", "--name", "ours", "--json").json("tune")["tune"]
    assert (report["outcome"], report["space_id"], report["replaced"]) == ("switched", 1, 0)
    assert report["taught"]["gain"]["low"] > 0
    info = cli("info", "--json").json("info")
    assert info["encoder"]["reference"] == "adapter:ours+fake"
    assert "encoder     adapter:ours+fake" in cli("info").out
    assert "not in use  space 0, fake" in cli("info").out
    assert cli("search", "zorp", "--json").json("search")["encoder"] == "adapter:ours+fake"

    switched = cli("tune", "--back", "--json").json("tune")
    assert (switched["tune"], switched["switch"]["encoder"]) == (None, "fake")
    outcome = cli("tune", "--use", "ours")
    assert outcome.code == 0
    assert outcome.out.startswith("now searched by adapter:ours+fake (space 1)")
    assert cli("tune", "--use", "ours").out.startswith("searched by adapter:ours+fake already")

    outcome = cli("tune")
    assert outcome.code == 2
    assert "tuned already, by ours" in outcome.err
    assert "imseek tune --back" in outcome.err


def test_what_does_not_help_is_refused(cli, named) -> None:
    """The captions of another picture each."""
    captions = np.random.default_rng(1).permutation(70)
    for n, other in enumerate(captions.tolist()):
        exif = Image.Exif()
        exif[0x010E] = f"word{other} and number{other}"
        with Image.open(named / f"{n:02}.png") as picture:
            picture.save(named / f"{n:02}.png", exif=exif)
    assert cli("index").code == 0
    outcome = cli("tune")
    assert outcome.code == 1
    assert "average precision over all: " in outcome.out
    assert outcome.out.splitlines()[-1].startswith("refused: on the held-out pictures it does not help")
    assert cli("tune", "--json").json("tune")["tune"]["outcome"] == "refused"
    assert cli("tune", "--dry-run").code == 0, "an answer, though not the one hoped for"
    assert cli("info", "--json").json("info")["encoder"]["reference"] == "fake"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "captions"], "no image of this collection has a caption"),
        (["--from", "dreams"], "nothing is learned from 'dreams'"),
        (["--loss", "hinge"], "is not a loss"),
        (["--back"], "nothing to go back from"),
        (["--use", "ours"], "no adapter 'ours'"),
        (["--back", "--use", "ours"], "exclude each other"),
        (["--back", "--dry-run"], "go with learning"),
        (["--allow-missing"], "goes with --back"),
        (["--name", "No Name"], "cannot be a name"),
        ([], "no captions, tags or judgements"),
    ],
)
def test_what_makes_no_sense(cli, indexed, arguments, said) -> None:
    outcome = cli("tune", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert cli("tune", *arguments, "--json").json("error")["error"]["type"] == "UsageError"


def test_interrupted(cli, named, ctrl_c) -> None:
    with ctrl_c("tune"):
        outcome = cli("tune")
    assert outcome.code == 130
    assert outcome.out.splitlines()[-1] == "interrupted: nothing was changed"
    assert cli("info", "--json").json("info")["encoder"]["reference"] == "fake"
