"""`imseek probe` as it is typed and printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from probing import COLOURS, album


@pytest.fixture
def labelled(cli, tmp_path) -> Path:
    """Eight pictures of each of three colours, three of each tagged."""
    folder = album(tmp_path / "album")
    outcome = cli("index", folder, "--encoder", "fake")
    assert outcome.code == 0, outcome.err
    for colour in COLOURS:
        files = [folder / colour / f"{number:02}.png" for number in range(3)]
        assert cli("tag", "add", colour, *files).code == 0
    return folder


def test_from_tags_to_columns_and_tags(cli, labelled) -> None:
    outcome = cli("probe", "fit", "colours", "--tags", "red,lime,blue")
    assert outcome.code == 0, outcome.err
    first, second, head, *rows = outcome.out.splitlines()
    assert first.endswith("3 classes: red 3, lime 3, blue 3")
    assert second == "learned from tags red, lime, blue; vectors of fake"
    assert head.split()[:3] == ["kind", "cross-validated", "accuracy"]
    assert {row.replace("*", "").split()[0] for row in rows[:2]} == {"linear", "cache"}
    told = cli("probe", "apply", "colours")
    assert [line.split() for line in told.out.splitlines()[1:4]] == [["8", one] for one in ("red", "lime", "blue")]
    assert "saved" not in told.out
    told = cli("probe", "apply", "colours", "--save", "colour", "--tag", "--threshold", "0.3", "--json")
    found = told.json("probe-apply")
    assert (found["saved"], found["tagged"], found["counts"]) == ("colour", 15, dict.fromkeys(COLOURS, 8))
    hits = cli("search", "red", "--where", "colour = 'blue'", "--cutoff", "none", "--json").json("search")["hits"]
    assert {Path(hit["path"]).parent.name for hit in hits} == {"blue"}
    assert hits[0]["metadata"]["colour"] == "blue"
    counts = cli("tag", "list", "--json").json("tags")["tags"]
    assert {one["tag"]: one["by"] for one in counts} == {
        colour: {"person": 3, "probe colours": 5} for colour in COLOURS
    }
    dropped = cli("probe", "drop", "colours")
    assert dropped.out == "dropped the probe colours, and 15 tags that it gave\n"


def test_list_show_and_json(cli, labelled) -> None:
    assert "no probe yet" in cli("probe", "list").err
    made = cli("probe", "fit", "colours", "--json").json("probe")["probe"]
    assert [one["name"] for one in made["classes"]] == ["blue", "lime", "red"]
    assert {one["method"] for one in made["scores"]} == {"linear", "cache"}
    assert made["scores"][0]["accuracy"]["value"] == 1.0
    assert cli("probe", "show", "colours", "--json").json("probe")["probe"] == made
    assert cli("probe", "list", "--json").json("probes")["probes"] == [made]
    assert cli("probe", "list").out.splitlines()[1].split()[0] == "colours"
    assert cli("probe", "show", "colours").out.startswith("probe 'colours' (")


def test_proposals(cli, labelled) -> None:
    cli("probe", "fit", "colours")
    found = cli("probe", "propose", "colours", "-n", "4", "--json").json("probe-propose")
    assert (found["labelled"], found["looked"], found["classes"]) == (9, 15, ["blue", "lime", "red"])
    assert len({one["image_id"] for one in found["proposals"]}) == 4
    assert all(int(Path(one["path"]).stem) >= 3 for one in found["proposals"])
    outcome = cli("probe", "propose", "--tags", "red", "-n", "2")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[0].split() == ["id", "why", "p", "perhaps", "image"]
    assert "3 labelled, 21 images looked at" in outcome.out


def test_evaluation(cli, labelled) -> None:
    cli("probe", "fit", "colours")
    found = cli("probe", "evaluate", "colours", "--truth", "folder", "--json").json("probe-evaluate")
    assert (found["tested"], found["left_out"], found["accuracy"]["value"]) == (15, 9, 1.0)
    outcome = cli("probe", "evaluate", "--truth", "folder:1", "--curve", "1,2")
    assert outcome.code == 0, outcome.err
    assert "tested on 12" in outcome.out
    assert [line.split()[:2] for line in outcome.out.splitlines()[-2:]] == [["1", "3"], ["2", "6"]]


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["fit", "x", "--tags", "red,rad"], "no image has the tag 'rad'", "did you mean red"),
        (["fit", "x", "--tags", "red"], "only one class is labelled, 'red' (3)", "propose"),
        (["fit", "x", "--tags", ","], "no tag is named", "--tags cat,dog"),
        (
            ["fit", "x", "--tags", "red,blue", "--column", "camera"],
            "choose the classes in only one way",
            None,
        ),
        (["fit", "x", "--column", "camera"], "no image is labelled by column camera", "imseek tag add"),
        (["fit", "x", "--column", "camra"], "no column 'camra'", "camera"),
        (["fit", "x", "--folder", "outer"], "is not a folder", "folder:1"),
        (["fit", "x", "--negatives", "red"], "--negatives goes with", None),
        (["fit", "x", "--several", "--column", "camera"], "go with tags", None),
        (["fit", "x", "--binary", "red", "--several"], "--binary and --several", None),
        (["fit", "x", "--binary", "red", "--negatives", " "], "no tag is named", "--negatives other"),
        (["fit", "x", "--binary", "red", "--negatives", "red"], "and to be for none of them", None),
        (["fit", "x", "--where", "width ="], "", None),
        (["fit", "x", "--where", "width > 999"], "no image is labelled", None),
        (["fit", "colours"], "there is a probe colours already", "--force"),
        (["fit", "Colours"], "cannot be a name", "lower-case"),
        (["apply", "colour"], "no probe is called 'colour'", "did you mean colours?"),
        (["apply", "colours", "--tag", "--threshold", "2"], "no probability", None),
        (["apply", "colours", "--save", "a-b"], "cannot be a name of columns", None),
        (["propose", "colours", "--tags", "red"], "the probe has its labels already", None),
        (["propose", "-n", "0"], "cannot be proposed", None),
        (["evaluate", "colours"], "has learned from all 9 images", "leave out the name"),
        (["evaluate", "--curve", "1,x"], "is not a list of image counts", "--curve 1,2,4,8"),
        (["evaluate", "colours", "--truth", "tags:red", "--curve", "1"], "a learning curve", None),
        (["show", "color"], "no probe is called 'color'", "colours"),
        (["drop", "nothing"], "no probe is called 'nothing'", "there are: colours"),
    ],
)
def test_requests_that_make_no_sense(cli, labelled, arguments, said, hint) -> None:
    assert cli("probe", "fit", "colours").code == 0
    outcome = cli("probe", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert hint is None or hint in outcome.err
    assert [one["name"] for one in cli("probe", "list", "--json").json("probes")["probes"]] == ["colours"]


def test_nothing_is_there(cli, indexed) -> None:
    outcome = cli("probe", "fit", "colours", "--json")
    assert outcome.code == 2
    assert outcome.json("error")["error"]["message"] == "no image is tagged"
    assert cli("probe", "apply", "colours").err.splitlines()[-1] == (
        "hint: imseek probe fit colours learns one from tags"
    )


def test_interrupted(cli, labelled, ctrl_c) -> None:
    cli("probe", "fit", "colours")
    with ctrl_c("probe"):
        outcome = cli("probe", "apply", "colours", "--save", "colour")
    assert outcome.code == 130
    assert "nothing was stored" in outcome.err
    assert "colour" not in cli("probe", "list").out.replace("colours", "")
