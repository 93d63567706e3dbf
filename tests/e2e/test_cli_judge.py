"""`imseek duplicates judge` as it is typed and printed, and what `find` makes of it, on real photographs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture
def album(cli, photos) -> Path:
    """``photos`` with a copy of one, and two smaller ones of another."""
    shutil.copyfile(photos / "below" / "china.jpg", photos / "copy.jpg")
    with Image.open(photos / "chelsea.png") as cat:
        for name, size in (("cat.jpg", (300, 200)), ("kitten.jpg", (240, 160))):
            cat.convert("RGB").resize(size).save(photos / name, quality=80)
    outcome = cli("index", photos, "--encoder", "fake")
    assert outcome.code == 0, outcome.err
    return photos


def same_groups(cli) -> tuple[list[set[str]], dict[str, Any]]:
    """Names of the members of each group of kind same, and the whole report."""
    found = cli("duplicates", "--kind", "same", "--json").json("duplicates")
    return [{Path(m["path"]).name for m in group["members"]} for group in found["groups"]], found


def id_of(cli, path: Path) -> str:
    found = cli("search", "red", "--where", f"path = '{path}'", "--json", "-n", "1").json("search")
    return str(found["hits"][0]["image_id"])


ALL = {"chelsea.png", "cat.jpg", "kitten.jpg"}


class TestJudging:
    def test_different_pictures_are_never_together_again(self, cli, album) -> None:
        assert same_groups(cli)[0] == [ALL]
        cat = id_of(cli, album / "cat.jpg")
        outcome = cli("judge", cat, album / "kitten.jpg", "--different")
        assert outcome.code == 0, outcome.err
        head, row = outcome.out.splitlines()
        assert head.split() == ["verdict", "when", "image", "and"]
        assert row.split()[0] == "different"
        assert str(album / "cat.jpg") in row
        assert str(album / "kitten.jpg") in row
        groups, report = same_groups(cli)
        assert all(not {"cat.jpg", "kitten.jpg"} <= group for group in groups)
        assert report["judged"] == 1
        table = cli("duplicates", "--kind", "same").out
        assert "1 pair left out that you have called different (`imseek duplicates judge`)" in table

    def test_the_same_is_a_group_and_marked(self, cli, album) -> None:
        outcome = cli("judge", album / "coffee.png", album / "rocket.jpg", "--same")
        assert outcome.code == 0, outcome.err
        groups, report = same_groups(cli)
        assert {"coffee.png", "rocket.jpg"} in groups
        pairs = [m["pair"] for g in report["groups"] for m in g["members"] if m["pair"] is not None]
        assert [pair["judged"] for pair in pairs].count(True) == 1
        assert " judged " in cli("duplicates", "--kind", "same").out

    def test_it_holds_after_a_move_and_another_run(self, cli, album) -> None:
        cli("judge", album / "cat.jpg", album / "kitten.jpg", "--different")
        (album / "cat.jpg").rename(album / "below" / "tom.jpg")
        cli("index")
        assert all(not {"tom.jpg", "kitten.jpg"} <= group for group in same_groups(cli)[0])

    def test_more_than_two_are_judged_each_with_each(self, cli, album) -> None:
        names = [album / name for name in sorted(ALL)]
        found = cli("judge", *names, "--different", "--json").json("judge")
        assert [one["verdict"] for one in found["judgements"]] == ["different"] * 3
        assert len({(one["a"], one["b"]) for one in found["judgements"]}) == 3
        assert same_groups(cli)[0] == []

    def test_another_verdict_takes_its_place_and_forgetting_takes_it_back(self, cli, album) -> None:
        both = (album / "cat.jpg", album / "kitten.jpg")
        cli("judge", *both, "--different")
        cli("judge", *both, "--same")
        listed = cli("judge", "--json").json("judge")["judgements"]
        assert [one["verdict"] for one in listed] == ["same"]
        forgotten = cli("judge", *both, "--forget", "--json").json("judge")
        assert forgotten == {**forgotten, "forgotten": True, "judgements": listed}
        assert cli("judge", "--json").json("judge")["judgements"] == []
        assert cli("judge", *both, "--forget").out == "nothing was said of them\n"
        assert same_groups(cli)[0] == [ALL]

    def test_listing(self, cli, album) -> None:
        assert cli("judge").out == "no judgements yet\n"
        cli("judge", album / "cat.jpg", album / "copy.jpg", "--different")
        found = cli("judge", "--json").json("judge")["judgements"][0]
        assert found["a"] < found["b"]
        assert sorted(map(len, (found["images_a"], found["images_b"]))) == [1, 2]
        assert str(album / "cat.jpg") in cli("judge").out
        (album / "cat.jpg").unlink()
        cli("index")
        assert ": not in the collection)" in cli("judge").out

    def test_a_file_that_is_not_in_the_collection(self, cli, album, tmp_path, photo_files) -> None:
        stranger = tmp_path / "stranger.jpg"
        with Image.open(photo_files[0]) as picture:
            picture.convert("RGB").save(stranger)
        outcome = cli("judge", stranger, album / "cat.jpg", "--different")
        assert outcome.code == 0
        assert outcome.err.splitlines()[-1].startswith("not all of these contents are in the collection")


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["0"], "a judgement needs at least two images"),
            (["0", "0", "--same"], "a judgement needs at least two images"),
            (["0", "id:0", "--same"], "both are the same file"),
            (["0", "1"], "choose one of --same, --different and --forget"),
            (["0", "1", "--same", "--different"], "choose one of"),
            (["--same"], "no images are given"),
            (["0", "4711", "--same"], "no image 4711"),
            (["0", "nothing.jpg", "--same"], "cannot read nothing.jpg"),
            (["0", ".", "--same"], "cannot read ."),
            (["0", "{album}/copy.jpg", "{album}/below/china.jpg", "--same", "-c", "nothing"], "nothing"),
            (["{album}/copy.jpg", "{album}/below/china.jpg", "--different"], "both are the same file"),
        ],
    )
    def test_requests_that_make_no_sense(self, cli, album, arguments, said) -> None:
        words = [one.format(album=album) for one in arguments]
        outcome = cli("judge", *words)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.err
        assert cli("judge", *words, "--json").json("error")["error"]["message"]
        assert cli("judge").out == "no judgements yet\n"

    def test_too_many(self, cli, album) -> None:
        outcome = cli("judge", *map(str, range(101)), "--same")
        assert outcome.code == 2
        assert "101 images are too many to judge at once (100)" in outcome.err
