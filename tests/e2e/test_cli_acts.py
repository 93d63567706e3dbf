"""Plans, `imseek duplicates apply` and `undo` as they are typed and printed, on real photographs."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from acting import state
from PIL import Image

pytestmark = pytest.mark.full_size


@pytest.fixture
def album(cli, photos) -> Path:
    """``photos`` with two copies of one (one of them with a name of bytes), and one saved anew."""
    for name in ("copy.jpg", os.fsdecode(b"caf\xe9.jpg")):
        shutil.copyfile(photos / "below" / "china.jpg", photos / name)
    with Image.open(photos / "chelsea.png") as cat:
        cat.convert("RGB").resize((300, 200)).save(photos / "cat.jpg", quality=70)
    outcome = cli("index", photos, "--encoder", "fake")
    assert outcome.code == 0, outcome.err
    return photos


KEEP_BELOW = ("--keep", "path-priority", "--prefer")


@pytest.fixture
def plan(cli, album) -> Path:
    """To quarantine all but ``below/china.jpg`` and ``chelsea.png``."""
    outcome = cli("duplicates", *KEEP_BELOW, album / "below", "--plan", "plan.json", "--action", "quarantine")
    assert outcome.code == 0, outcome.err
    return Path("plan.json")


def contents(folder: Path) -> dict[str, tuple[str, int, int]]:
    """By path: sha256, mode and time of change of each file, also of what is put away."""
    return state(folder, aside=True)


def ids(cli) -> dict[str, int]:
    """Of all images that are searched, by path."""
    found = cli("search", "red", "--json", "-n", "100").json("search")
    return {hit.get("path_b64") or hit["path"]: hit["image_id"] for hit in found["hits"]}


class TestPlan:
    def test_is_written_and_announced(self, cli, album) -> None:
        before = contents(album)
        outcome = cli(
            "duplicates",
            *KEEP_BELOW,
            album / "below",
            "--plan",
            "a plan",
            "--action",
            "quarantine",
            "-n",
            "0",
        )
        size = 2 * (album / "copy.jpg").stat().st_size + (album / "cat.jpg").stat().st_size
        plan, sure = outcome.out.splitlines()[-2:]
        assert plan == f"plan: quarantine 3 files, {size / 1000:.1f} kB"
        assert sure.startswith("of these: 2 certain, 1 ")
        assert outcome.err.splitlines()[-2:] == [
            "wrote a plan (plan)",
            "look at it, then: imseek duplicates apply 'a plan'",
        ]
        written = json.loads(Path("a plan").read_text())
        assert [group["keep"]["path"] for group in written["groups"]] == [
            str(album / "below" / "china.jpg"),
            str(album / "chelsea.png"),
        ]
        assert contents(album) == before

    def test_in_json(self, cli, album) -> None:
        found = cli("duplicates", "--plan", "p", "--action", "trash", "--json").json("duplicates")
        assert (found["plan"]["action"], found["plan"]["files"], found["plan"]["refused"]) == ("trash", 3, [])
        assert found["plan"]["bytes"] == found["bytes"]
        assert found["written"] == {"plan": {"path": str(Path("p").absolute())}}
        assert cli("duplicates", "--json").json("duplicates")["plan"] is None

    def test_what_cannot_be_acted_on_is_told(self, cli, album) -> None:
        outcome = cli("duplicates", "--plan", "p", "--action", "hard-link")
        assert "1 file it leaves alone:\n" in outcome.out
        assert "it has other bytes than the keeper: only equal ones can be linked" in outcome.out
        *_, refused, hint = outcome.out.splitlines()
        assert refused.endswith(str(album / "cat.jpg"))
        assert hint == "links are for files of the same bytes: with --kind exact, groups are of those alone"
        found = cli("duplicates", "--plan", "q", "--action", "hard-link", "--json").json("duplicates")
        assert [Path(one["path"]).name for one in found["plan"]["refused"]] == ["cat.jpg"]
        exact = cli("duplicates", "--kind", "exact", "--plan", "x", "--action", "hard-link")
        assert exact.out.splitlines()[-1].startswith("plan: hard-link 2 files, ")
        assert cli("apply", "x", "--yes").code == 0
        linked = cli("duplicates", "--kind", "exact", "--plan", "y", "--action", "hard-link")
        assert "there are no two copies" in linked.out.splitlines()[-1], "and --kind exact is given already"

    def test_one_of_which_nothing_can_be_done_says_why(self, cli, album) -> None:
        (album / "copy.jpg").unlink()
        Path(os.fsdecode(os.fsencode(album) + b"/caf\xe9.jpg")).unlink()
        cli("index")
        cli("duplicates", "--plan", "p", "--action", "hard-link")
        outcome = cli("duplicates", "apply", "p", "--yes")
        why = "it has other bytes than the keeper: only equal ones can be linked"
        assert outcome.out == f"nothing in this plan can be done; 1 left alone (reasons: 1 {why})\n"
        assert outcome.code == 0

    def test_protected_folders_are_in_it(self, cli, album) -> None:
        cli("duplicates", "--protect", album, "--plan", "p", "--action", "trash")
        assert json.loads(Path("p").read_text())["groups"] == []

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--plan", "p"], "a plan needs an action"),
            (["--action", "trash"], "--action needs a file for its plan"),
            (["--plan", "p", "--action", "shred"], "shred"),
            (["--plan", "p", "--action", "trash", "--to", "q"], "--to goes with --action quarantine"),
            (["--to", "q"], "--to goes with --action quarantine"),
            (["--plan", "p", "--action", "trash", "--tag", "x"], "--tag goes with --action tag"),
            (["--plan", "p", "--action", "tag", "--tag", " "], "a tag must not be empty"),
            (["--plan", "p", "--action", "quarantine", "--to", "{album}"], "would not be scanned any more"),
            (["--plan", "p", "--csv", "p", "--action", "tag"], "named twice"),
            (["--plan", "there", "--action", "tag"], "there is there already"),
            (["--plan", "no/p", "--action", "tag"], "no folder no"),
        ],
    )
    def test_what_is_refused(self, cli, album, arguments, said) -> None:
        Path("there").write_text("mine")
        outcome = cli("duplicates", *(one.format(album=album) for one in arguments))
        assert outcome.code == 2
        assert said in outcome.err.splitlines()[-1 if "hint" not in outcome.err else -2]
        assert not outcome.out
        assert os.listdir() == ["there"]
        assert Path("there").read_text() == "mine"

    def test_the_hint_names_every_action(self, cli, album) -> None:
        hint = cli("duplicates", "--plan", "p").err.splitlines()[-1]
        assert hint == "hint: add --action tag, quarantine, trash, hard-link or reflink"

    def test_with_force_a_plan_is_written_anew(self, cli, plan) -> None:
        again = ("duplicates", "--plan", plan, "--action", "tag")
        assert cli(*again).code == 2
        assert cli(*again, "--force").code == 0
        assert json.loads(plan.read_text())["action"] == "tag"


class TestApplyAndUndo:
    def test_a_dry_run_changes_nothing(self, cli, album, plan) -> None:
        before = contents(album)
        outcome = cli("apply", plan)
        assert outcome.code == 0
        assert outcome.err.splitlines()[-1] == "nothing was changed; --yes does it"
        assert [line.split()[0] for line in outcome.out.splitlines()[1:4]] == ["would"] * 3
        size = 2 * (album / "copy.jpg").stat().st_size + (album / "cat.jpg").stat().st_size
        moved, sure = outcome.out.splitlines()[4:]
        assert moved == f"3 files would be moved to quarantine, {size / 1000:.1f} kB"
        assert sure.startswith("of these: 2 certain, 1 ")
        assert contents(album) == before
        found = cli("apply", plan, "--json").json("apply")
        assert (found["dry_run"], found["counts"], found["undo_id"]) == (True, {"would": 3}, None)

    def test_a_dry_run_of_what_is_done_promises_nothing(self, cli, plan) -> None:
        assert cli("apply", plan, "--yes").code == 0
        assert cli("apply", plan).err.splitlines()[-1] == "there is nothing to do here now"

    def test_there_and_back(self, cli, album, plan) -> None:
        before, images = contents(album), ids(cli)
        done = cli("apply", plan, "--yes")
        assert done.code == 0, done.err
        undo_id = done.out.splitlines()[-1].split("`")[1].removeprefix("imseek duplicates undo ").removesuffix(" --yes")
        gone = {"copy.jpg", os.fsdecode(b"caf\xe9.jpg"), "cat.jpg"}
        assert state(album).keys() == before.keys() - gone
        assert len(ids(cli)) == 8
        assert cli("index").code == 0
        assert len(ids(cli)) == 8, "what is put away is not indexed from there"
        listed = cli("undo", "--list")
        assert listed.out.splitlines()[1].split()[0] == undo_id
        assert " done " in listed.out
        shown = cli("undo")
        assert shown.out.splitlines()[0].split() == ["undoes", "id", "file"]
        assert shown.out.splitlines()[-1] == f"{undo_id}: 3 files would be as before"
        back = cli("undo", undo_id, "--yes")
        assert back.code == 0
        assert back.out.splitlines()[-1] == f"{undo_id}: 3 files as before"
        assert contents(album) == before
        assert ids(cli) == images
        again = cli("undo")
        assert (again.code, again.err.splitlines()[0]) == (2, "imseek: there is nothing to undo")

    def test_what_is_free_at_once(self, cli, album) -> None:
        """A link leaves nothing that would have to be emptied."""
        cli("duplicates", "--plan", "p", "--action", "hard-link")
        done = cli("apply", "p", "--yes")
        assert done.code == 0, done.err
        assert done.out.splitlines()[-2] == f"{2 * (album / 'copy.jpg').stat().st_size / 1000:.1f} kB are free"

    def test_in_json(self, cli, album, plan) -> None:
        done = cli("apply", plan, "--yes", "--json").json("apply")
        assert done["counts"] == {"done": 3}
        assert all(Path(file["to"]["path"]).parent.is_dir() for file in done["files"])
        assert [file["path_b64"] for file in done["files"] if "path_b64" in file]
        listed = cli("undo", "--list", "--json").json("undo-list")
        assert [one["undo_id"] for one in listed["undoable"]] == [done["undo_id"]]
        assert listed["undoable"][0]["actions"] == {"quarantine": 3}
        back = cli("undo", "--yes", "--json").json("undo")
        assert (back["undo_id"], back["counts"], back["dry_run"]) == (done["undo_id"], {"done": 3}, False)

    def test_what_has_changed_is_left_alone_and_told(self, cli, album, plan) -> None:
        shutil.copyfile(album / "coffee.png", album / "cat.jpg")
        (album / "copy.jpg").unlink()
        outcome = cli("apply", plan, "--yes")
        assert outcome.code == 1
        assert [line.split()[0] for line in outcome.out.splitlines()[1:4]] == ["left", "left", "done"]
        assert "2 files left alone" in outcome.out.splitlines()
        assert (album / "cat.jpg").read_bytes() == (album / "coffee.png").read_bytes()
        assert cli("undo", "--yes").code == 0

    def test_where_nothing_was_done_nothing_is_to_be_brought_back(self, cli, album, monkeypatch) -> None:
        def unable(*_: object) -> None:
            raise OSError(errno.EOPNOTSUPP, "not supported")

        monkeypatch.setattr("fcntl.ioctl", unable)
        # As where that can be found out only by doing it.
        monkeypatch.setattr("imseek.data.user_files.file_copies.can_clone", lambda *_: True)
        cli("duplicates", "--kind", "exact", "--plan", "p", "--action", "reflink")
        outcome = cli("apply", "p", "--yes")
        assert outcome.code == 1
        assert outcome.out.splitlines()[-1] == "2 files left alone"
        assert cli("undo").err.splitlines()[0] == "imseek: there is nothing to undo"
        assert cli("undo", "--list").out.splitlines()[1].split()[2:] == ["done", "0", "B", "none"]

    def test_tags(self, cli, album) -> None:
        cli("duplicates", "--plan", "p", "--action", "tag", "--tag", "twice")
        outcome = cli("apply", "p", "--yes")
        assert outcome.code == 0
        assert any(line.startswith("3 files tagged, ") for line in outcome.out.splitlines())
        count = lambda: len(cli("search", "red", "--where", "tag('twice')", "--json").json("search")["hits"])  # noqa: E731
        assert count() == 3
        cli("undo", "--yes")
        assert count() == 0

    def test_hard_links(self, cli, album) -> None:
        cli(
            "duplicates",
            "--kind",
            "exact",
            *KEEP_BELOW,
            album / "below",
            "--plan",
            "p",
            "--action",
            "hard-link",
        )
        assert cli("apply", "p", "--yes").code == 0
        assert (album / "copy.jpg").samefile(album / "below" / "china.jpg")
        assert cli("undo", "--yes").code == 0
        assert not (album / "copy.jpg").samefile(album / "below" / "china.jpg")

    def test_the_plan_finds_its_collection(self, cli, album, plan, photo_files, tmp_path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        shutil.copyfile(photo_files[0], other / "a.png")
        for name in ("another", "third"):
            cli("index", other, "-c", name, "--encoder", "fake")
        cli("collection", "rename", "default", "mine")
        outcome = cli("apply", plan)
        assert outcome.code == 0, outcome.err
        assert outcome.err.splitlines()[0] == "collection: mine (the plan's)"
        refused = cli("apply", plan, "-c", "another")
        assert refused.code == 2
        cli("collection", "delete", "mine", "--yes")
        gone = cli("apply", plan)
        assert (gone.code, gone.out) == (2, "")
        assert gone.err.startswith("imseek: the plan is for a collection that is not here\nhint: ")


class TestInterrupted:
    def test_apply_and_undo_say_so_and_go_on(self, cli, album, plan, ctrl_c) -> None:
        before = contents(album)
        with ctrl_c("apply"):
            outcome = cli("apply", plan, "--yes")
            found = cli("apply", plan, "--yes", "--json")
        assert outcome.code == 130
        assert outcome.err.splitlines()[-1] == (
            "interrupted: what was done is kept and can be undone; the same command goes on from here"
        )
        assert (found.code, found.json("apply")["interrupted"]) == (130, True)
        assert contents(album) == before
        assert cli("apply", plan, "--yes").code == 0
        away = contents(album)
        with ctrl_c("apply"):
            outcome = cli("undo", "--yes")
        assert outcome.code == 130
        assert outcome.err.splitlines()[-1] == (
            "interrupted: what was brought back stays; the same command goes on from here"
        )
        assert contents(album) == away
        assert cli("undo", "--yes").code == 0
        assert contents(album) == before


class TestRefused:
    def edited(self, plan: Path, change: Any) -> Path:
        document = json.loads(plan.read_text())
        change(document["groups"][0])
        plan.write_text(json.dumps(document))
        return plan

    def test_a_path_outside_the_sources(self, cli, album, plan, tmp_path) -> None:
        outside = tmp_path / "outside.jpg"
        shutil.copyfile(album / "copy.jpg", outside)
        path = str(outside)
        self.edited(plan, lambda group: group["files"][-1].update(path=path))
        for arguments in ((plan,), (plan, "--yes"), (plan, "--yes", "--json")):
            outcome = cli("apply", *arguments)
            assert (outcome.code, outcome.out) == (2, "")
            assert path in outcome.err
        assert outside.exists()
        assert (album / "copy.jpg").exists()

    @pytest.mark.parametrize(
        "change",
        [
            lambda group: group["files"][0].update(action="shred"),
            lambda group: group["files"].append(group["keep"] | {"action": "quarantine"}),
            lambda group: group.pop("keep"),
            lambda group: group["files"][0].update(path="relative.jpg"),
        ],
    )
    def test_plans_edited_by_hand(self, cli, album, plan, change) -> None:
        before = contents(album)
        self.edited(plan, change)
        outcome = cli("apply", plan, "--yes", "--json")
        assert outcome.code == 2
        error = outcome.json("error")["error"]
        assert error["type"] == "PlanError"
        assert "group 1" in error["message"]
        assert contents(album) == before

    def test_an_image_that_the_collection_does_not_have(self, cli, album, plan) -> None:
        self.edited(plan, lambda group: group["files"][-1].update(image_id=4711))
        path = Path(json.loads(plan.read_text())["groups"][0]["files"][-1]["path"])
        outcome = cli("apply", plan, "--yes")
        assert outcome.code == 1
        assert "the collection does not have it any more" in outcome.out.splitlines()[1]
        assert path.exists()

    def test_what_is_no_plan(self, cli, album) -> None:
        Path("text").write_text("no plan\n")
        for name, said in (("text", "is not a plan"), ("nothing", "No such file"), (str(album), "directory")):
            outcome = cli("apply", name)
            assert (outcome.code, outcome.out) == (2, "")
            assert said in outcome.err
            assert "`imseek duplicates find --plan FILE` writes a plan" in outcome.err
            assert len(outcome.err.splitlines()) <= 2

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--list", "--yes"], "--list only lists"),
            (["20260301-120000-1f2e3d", "--list"], "--list only lists"),
            (["20260301-120000-1f2e3d"], "20260301-120000-1f2e3d"),
            (["../../etc/passwd"], "../../etc/passwd"),
            ([], "there is nothing to undo"),
        ],
    )
    def test_undo(self, cli, album, arguments, said) -> None:
        outcome = cli("undo", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.err
        assert cli("undo", "--list").out == "there is nothing to undo\n"
        assert cli("undo", "--list", "--json").json("undo-list")["undoable"] == []
