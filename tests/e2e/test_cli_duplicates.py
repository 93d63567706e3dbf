"""`imseek duplicates` as it is typed and printed, on real photographs."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from answers import validate
from PIL import Image

#: Bytes that are no UTF-8.
LATIN1 = os.fsdecode(b"caf\xe9.jpg")
#: Markup, a quote, a line break and a mark that turns the direction of what follows.
NASTY = "a<script>alert(1)&\"'\n\u202egpj.jpg"


pytestmark = pytest.mark.full_size


@pytest.fixture
def album(cli, photos) -> Path:
    """``photos`` with three copies of one (two of them with names to be careful with) and one saved anew."""
    below = photos / "old <b>backup"
    below.mkdir()
    for name in (NASTY, LATIN1, "china copy.jpg"):
        shutil.copyfile(photos / "below" / "china.jpg", below / name)
    with Image.open(photos / "chelsea.png") as cat:
        cat.convert("RGB").resize((300, 200)).save(photos / "cat.jpg", quality=70)
    outcome = cli("index", photos, "--encoder", "fake")
    assert outcome.code == 0, outcome.err
    return photos


class Page(HTMLParser):
    """What a browser makes of a page, as far as it matters here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


class TestTable:
    def test_groups_keeper_and_totals(self, cli, album) -> None:
        outcome = cli("duplicates", "--keep", "largest")
        assert outcome.code == 0
        lines = outcome.out.splitlines()
        size = (album / "below" / "china.jpg").stat().st_size
        assert lines[0].split() == ["kind", "sure", "pixels", "size", "format", "id", "image"]
        assert lines[1].startswith(f"1. the same file, 4 images, {3 * size / 1000:.1f} kB could be freed; kept: ")
        assert lines[2].startswith("keep ")
        assert [line.split()[0] for line in lines[3:6]] == ["exact"] * 3
        assert lines[6].startswith("2. the same picture, 2 images, ")
        saved = (album / "cat.jpg").stat().st_size
        assert lines[6].endswith(f"; kept: 240,512 bytes, the next has {saved:,}")
        assert lines[7].startswith("keep ")
        assert lines[7].endswith(f" {album / 'chelsea.png'}")
        assert re.match(rf" +same +\d+ % +300×200 .* {album / 'cat.jpg'}$", lines[8])
        saved += 3 * size
        assert lines[9] == (f"2 groups (1 exact, 1 same) among 12 images; 4 images can go, {saved / 1000:.1f} kB")
        assert re.match(
            r"of these: 3 certain, 1 at least \d+ % sure \(--sure 95% .*\)|of these: 3 certain, 1 less sure .*",
            lines[10],
        )
        assert lines[11] == (
            "--kind exact --plan FILE --action hard-link (or reflink) frees the "
            f"{3 * size / 1000:.1f} kB of 3 identical files and leaves every name in place"
        )
        assert outcome.err == ""

    def test_no_links_are_offered_for_members_of_an_archive(self, cli, tmp_path, photo_files) -> None:
        with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
            for name in ("a.jpg", "b.jpg"):
                archive.write(photo_files[3], name)
        cli("index", tmp_path / "two.zip", "--encoder", "fake")
        outcome = cli("duplicates", "--kind", "exact")
        assert outcome.out.splitlines()[-1].startswith("1 group (1 exact) among 2 images")

    def test_links_are_marked_and_free_nothing(self, cli, album) -> None:
        china = album / "below" / "china.jpg"
        (album / "hard.jpg").hardlink_to(china)
        (album / "soft.jpg").symlink_to(china)
        assert cli("index").code == 0
        outcome = cli("duplicates", "--kind", "exact", "--keep", "path-priority", "--prefer", album / "below")
        rows = {line.rsplit("/", 1)[1]: line.split() for line in outcome.out.splitlines() if f"{album}/" in line}
        for name, kind in (("hard.jpg", "hard"), ("soft.jpg", "symbolic")):
            assert rows[name][:2] == [kind, "link"]
            assert "0 B" in " ".join(rows[name])
        assert rows["china copy.jpg"][0] == "exact"
        freed = 3 * china.stat().st_size
        assert f"5 images can go, {freed / 1000:.1f} kB" in outcome.out
        found = cli("duplicates", "--kind", "exact", "--json").json("duplicates")
        assert found["bytes"] == freed
        links = {Path(m["path"]).name: m["link"] for m in found["groups"][0]["members"]}
        assert links.pop("soft.jpg") == "symbolic"
        # Of two names of one file, either may be the link.
        assert sorted(map(str, links.values())) == ["None", "None", "None", "None", "hard"]
        cli("duplicates", "--kind", "exact", "--plan", "p", "--action", "tag")
        applied = cli("duplicates", "apply", "p", "--json").json("apply")
        assert sum(one["bytes"] for one in applied["files"]) == freed

    def test_a_symbolic_link_is_not_kept_in_place_of_its_file(self, cli, album) -> None:
        """Though it is in the folder to prefer."""
        below, folder = album / "below", album / "links"
        china = below / "china.jpg"
        folder.mkdir()
        (folder / "china.jpg").symlink_to(china)
        (album / "linked folder").symlink_to(below, target_is_directory=True)
        assert cli("index").code == 0
        found = cli(
            "duplicates", "--kind", "exact", "--keep", "path-priority", "--prefer", folder, "--prefer", below, "--json"
        ).json("duplicates")  # fmt: skip
        keeper = found["groups"][0]["members"][0]
        assert (keeper["path"], keeper["link"]) == (str(china), None)
        cli("duplicates", "--kind", "exact", "--plan", "p", "--action", "trash")
        plan = json.loads(Path("p").read_text())
        assert [one["reason"] for one in plan["refused"]] == ["it is a symbolic link: the picture lies elsewhere"]

    def test_only_what_is_sure_enough(self, cli, album) -> None:
        certain = cli("duplicates", "--sure", "100%", "--plan", "p", "--action", "trash")
        assert "1 group (1 exact) among 12 images; 3 images can go" in certain.out
        assert "1 image left out that is less sure (--sure)" in certain.out
        assert "plan: trash 3 files" in certain.out
        assert "of these:" not in certain.out
        cli("duplicates", "judge", album / "chelsea.png", album / "cat.jpg", "--same")
        found = cli("duplicates", "--sure", "100%", "--json").json("duplicates")
        assert [group["kind"] for group in found["groups"]] == ["exact", "same"], "a person is sure"
        assert cli("duplicates", "--sure", "95").code == 2

    def test_names_cannot_write_to_the_terminal(self, cli, album) -> None:
        outcome = cli("duplicates")
        assert "\u202e" not in outcome.out
        assert r"a<script>alert(1)&\"'\n\u202egpj.jpg".replace('\\"', '"') in outcome.out
        assert r"caf\xe9.jpg" in outcome.out

    def test_the_limit_is_of_groups(self, cli, album) -> None:
        outcome = cli("duplicates", "-n", "1")
        assert len(outcome.out.splitlines()) == 1 + 5 + 4
        assert outcome.out.splitlines()[-2] == "1 more group (-n shows more, --html and --csv have all)"
        assert len(cli("duplicates", "-n", "0").out.splitlines()) == 3

    def test_of_a_large_group_the_first_are_shown(self, cli, tmp_path, photo_files) -> None:
        folder = tmp_path / "many"
        folder.mkdir()
        for n in range(15):
            shutil.copyfile(photo_files[3], folder / f"{n:02}.jpg")
        cli("index", folder, "--encoder", "fake")
        shown = cli("duplicates", "--kind", "exact").out.splitlines()
        assert len(shown) == 1 + 1 + 12 + 1 + 1 + 1
        assert shown[-3:-1] == [
            "      and 3 more",
            f"1 group (1 exact) among 15 images; 14 images can go, {14 * photo_files[3].stat().st_size / 1e6:.1f} MB",
        ]

    def test_nothing_found(self, cli, photos) -> None:
        cli("index", photos, "--encoder", "fake")
        outcome = cli("duplicates", "--kind", "exact")
        assert (outcome.code, outcome.out) == (0, "no duplicates among 8 images\n")

    @pytest.mark.parametrize("count", [0, 1])
    def test_an_empty_collection_and_one_image(self, cli, tmp_path, photo_files, count) -> None:
        cli("collection", "create", "few", "--encoder", "fake")
        folder = tmp_path / "few"
        folder.mkdir()
        for path in photo_files[:count]:
            shutil.copyfile(path, folder / path.name)
        cli("index", folder, "-c", "few")
        outcome = cli("duplicates", "-c", "few", "--kind", "exact", "--kind", "same", "--kind", "scene")
        assert outcome.code == 0
        assert outcome.out == f"no duplicates among {count} image{'' if count else 's'}\n".replace(
            "0 image\n", "0 images\n"
        )
        assert cli("duplicates", "-c", "few", "--json").json("duplicates")["groups"] == []


class TestInterrupted:
    @pytest.fixture
    def stopped(self, ctrl_c) -> Iterator[None]:
        with ctrl_c("duplicates"):
            yield

    def test_it_says_so_and_ends_with_the_code_of_the_signal(self, cli, album, stopped) -> None:
        outcome = cli("duplicates")
        assert outcome.code == 130
        assert outcome.err.splitlines()[-1] == ("interrupted: there may be more; the same command goes on from here")
        found = cli("duplicates", "--json")
        assert found.code == 130
        assert found.json("duplicates")["interrupted"]

    def test_no_plan_is_made_of_half_an_answer(self, cli, album, stopped) -> None:
        outcome = cli("duplicates", "--plan", "p", "--action", "tag")
        assert outcome.code == 130
        assert "so no plan was written" in outcome.err
        assert not Path("p").exists()


class TestWhatIsAsked:
    def test_kinds(self, cli, album) -> None:
        exact = cli("duplicates", "--kind", "exact", "--json").json("duplicates")
        assert [group["kind"] for group in exact["groups"]] == ["exact"]
        assert exact["pairs"] == {"exact": 6}
        same = cli("duplicates", "--kind", "same", "--json").json("duplicates")
        assert [group["kind"] for group in same["groups"]] == ["same"]
        assert {Path(m["path"]).name for m in same["groups"][0]["members"]} == {"chelsea.png", "cat.jpg"}

    def test_where(self, cli, album) -> None:
        found = cli("duplicates", "--where", "name NOT LIKE '%copy%'", "--json").json("duplicates")
        assert found["searched"] == 11
        assert sorted(len(group["members"]) for group in found["groups"]) == [2, 3]

    def test_a_preferred_and_a_protected_folder(self, cli, album) -> None:
        old, below = album / "old <b>backup", album / "below"
        for arguments, folder in (
            (["--keep", "path-priority", "--prefer", old, "--prefer", below], old),
            (["--keep", "path-priority", "--prefer", below], below),
            (["--protect", below], below),
            (["--protect", os.path.relpath(old)], old),
        ):
            found = cli("duplicates", "--kind", "exact", *arguments, "--json").json("duplicates")
            keeper = found["groups"][0]["members"][0]
            assert keeper["keep"]
            assert Path(keeper["path"]).parent == folder
            protected = 3 if arguments[-1] == os.path.relpath(old) else 1
            assert [m["keep"] for m in found["groups"][0]["members"]] == [True] * protected + [False] * (4 - protected)
            assert found["surplus"] == 4 - protected


class TestAgainst:
    @pytest.fixture
    def other(self, cli, album, tmp_path) -> Path:
        """Another collection, which has one photograph of the album as it is, and one in small."""
        folder = tmp_path / "card"
        folder.mkdir()
        shutil.copyfile(album / "below" / "china.jpg", folder / "DSC01.JPG")
        with Image.open(album / "rocket.jpg") as picture:
            picture.resize((320, 213)).save(folder / "DSC02.JPG")
        assert cli("index", folder, "-c", "card", "--encoder", "fake").code == 0
        return folder

    def test_what_the_other_one_has(self, cli, album, other) -> None:
        outcome = cli("duplicates", "-c", "default", "--against", "card")
        lines = outcome.out.splitlines()
        assert lines[0].split() == ["kind", "sure", "pixels", "size", "format", "id", "collection", "image"]
        assert lines[1].endswith("kept: the other collection has it")
        assert lines[2].split()[-2:] == ["card", str(other / "DSC01.JPG")]
        assert all(" default " in line for line in lines[3:7])
        assert lines[7].endswith("kept: the other collection has it, with fewer pixels")
        assert lines[-2].startswith("2 groups (1 exact, 1 same) among 12 images; 5 images can go")

    def test_in_json_csv_and_html(self, cli, album, other) -> None:
        asked = (
            "duplicates",
            "-c",
            "card",
            "--against",
            "default",
            "--csv",
            "x.csv",
            "--html",
            "x.html",
            "--json",
        )
        found = cli(*asked).json("duplicates")
        assert (found["collection"]["name"], found["against"]["name"]) == ("card", "default")
        uuids = [[m["collection"] for m in group["members"]] for group in found["groups"]]
        assert uuids == [[found["against"]["uuid"], found["collection"]["uuid"]]] * 2
        with Path("x.csv").open(newline="") as file:
            assert [row["collection"] for row in csv.DictReader(file)] == [one for both in uuids for one in both]
        page = Page(Path("x.html").read_text())
        assert len(page.all("img")) == 4
        assert page.text.count("card") == page.text.count("default") == 2
        assert "Duplicates in card, against default" in page.text

    def test_a_plan_touches_this_collection_only(self, cli, album, other) -> None:
        cli("duplicates", "-c", "card", "--against", "default", "--plan", "p", "--action", "quarantine")
        assert cli("apply", "p", "--yes").code == 0
        assert not list(other.glob("*.JPG"))
        assert (album / "below" / "china.jpg").exists()
        assert cli("undo", "-c", "card", "--yes").code == 0
        assert len(list(other.glob("*.JPG"))) == 2


class TestJson:
    def test_everything_is_there(self, cli, album) -> None:
        outcome = cli("duplicates", "--json")
        found = outcome.json("duplicates")
        assert outcome.err == ""
        assert (found["searched"], found["surplus"], found["interrupted"]) == (12, 4, False)
        assert found["collection"]["name"] == "default"
        members = found["groups"][0]["members"]
        assert found["bytes"] == sum(m["bytes"] for g in found["groups"] for m in g["members"] if not m["keep"])
        assert {m["path"] for m in members} >= {str(album / "old <b>backup" / NASTY)}
        exact_bytes = [base64.b64decode(m["path_b64"]) for m in members if "path_b64" in m]
        assert exact_bytes == [os.fsencode(album / "old <b>backup") + b"/caf\xe9.jpg"]
        assert [m["pair"] is None for m in members] == [True, False, False, False]
        for member in members[1:]:
            assert member["pair"]["kind"] == "exact"
            assert {member["pair"]["a"], member["pair"]["b"]} == {members[0]["image_id"], member["image_id"]}


class TestJsonLines:
    def test_a_group_a_line_then_the_summary(self, cli, album, tmp_path) -> None:
        whole = cli("duplicates", "--json").json("duplicates")
        outcome = cli("duplicates", "find", "--jsonl", "--plan", tmp_path / "p", "--action", "tag")
        lines = [json.loads(line) for line in outcome.out.splitlines()]
        for line in lines:
            validate(line, "duplicates-lines")
        *groups, last = lines
        assert all(set(line) == {"schema", "group"} for line in groups)
        key = lambda group: [member["image_id"] for member in group["members"]]  # noqa: E731
        assert sorted((line["group"] for line in groups), key=key) == sorted(whole["groups"], key=key)
        found = last["summary"]
        assert found["groups"] == {"exact": 1, "same": 1}
        for name in ("searched", "surplus", "bytes", "sure", "pairs", "interrupted"):
            assert found[name] == whole[name], name
        assert sum(one["images"] for one in found["sure"]) == found["surplus"] == found["plan"]["files"]
        assert found["sure"][0] == {
            "at_least": 1.0,
            "images": 3,
            "bytes": 3 * (album / "below/china.jpg").stat().st_size,
        }
        assert found["plan"]["sure"] == found["sure"]
        assert found["written"]["plan"]["path"] == str(tmp_path / "p")
        assert found["collection"]["name"] == "default"

    def test_what_is_less_sure_is_in_no_line(self, cli, album) -> None:
        *groups, last = [json.loads(line) for line in cli("duplicates", "--sure", "100%", "--jsonl").out.splitlines()]
        assert [line["group"]["kind"] for line in groups] == ["exact"]
        assert last["summary"]["groups"] == {"exact": 1}

    def test_one_form_at_a_time(self, cli, album) -> None:
        outcome = cli("duplicates", "--json", "--jsonl")
        assert (outcome.code, "exclude each other" in outcome.err) == (2, True)


class TestPlans:
    def test_how_sure_it_is_before_anything_is_done(self, cli, album) -> None:
        shown = cli("duplicates", "--plan", "p", "--action", "quarantine").out.splitlines()
        (sure,) = (
            line for line in shown[shown.index(next(x for x in shown if x.startswith("plan:"))) :] if "of these" in line
        )
        assert sure.startswith("of these: 3 certain, 1 ")
        assert sure in cli("duplicates", "apply", "p").out
        report = cli("duplicates", "apply", "p", "--json").json("apply")
        assert [one["images"] for one in report["sure"]] == [3, 1]
        assert report["sure"][0]["at_least"] == 1

    def test_names_of_one_file_are_counted_once(self, cli, album) -> None:
        china = album / "below" / "china.jpg"
        copy = album / "old <b>backup" / "china copy.jpg"
        (album / "another name.jpg").hardlink_to(copy)
        assert cli("index").code == 0
        cli("duplicates", "--kind", "exact", "--protect", china.parent, "--plan", "p", "--action", "quarantine")
        size = china.stat().st_size
        plan = json.loads(Path("p").read_text())
        assert sum("link" in file for group in plan["groups"] for file in group["files"]) == 1
        report = cli("duplicates", "apply", "p", "--yes", "--json").json("apply")
        assert report["counts"] == {"done": 4}
        assert (report["freed"], report["sure"][0]["bytes"]) == (3 * size, 3 * size)


class TestCsv:
    def test_a_row_for_each_image(self, cli, album, tmp_path) -> None:
        outcome = cli("duplicates", "--csv", tmp_path / "d.csv")
        assert outcome.err.splitlines()[-1] == f"wrote {tmp_path / 'd.csv'} (csv)"
        with (tmp_path / "d.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = cli("duplicates", "--json").json("duplicates")
        assert [(row["group"], row["path"], row["keep"] == "1") for row in rows] == [
            (str(n), m["path"], m["keep"]) for n, g in enumerate(found["groups"], 1) for m in g["members"]
        ]
        assert [row["path_b64"] for row in rows if row["path_b64"]] != []
        for row in rows:
            raw = base64.b64decode(row["path_b64"]) if row["path_b64"] else row["path"].encode()
            assert Path(os.fsdecode(raw)).stat().st_size == int(row["bytes"])

    def test_to_standard_output(self, process, album) -> None:
        done = process("duplicates", "--csv", "/dev/stdout", "-n", "0")
        assert done.returncode == 0
        assert done.stdout.startswith(b"group,kind,keep,reason,")
        assert len(list(csv.reader(io.StringIO(done.stdout.decode(), newline="")))) == 1 + 6
        assert b"groups" in done.stderr

    def test_to_standard_output_that_leads_to_a_file(self, album, tmp_path) -> None:
        """What the file has stays, and what is printed follows."""
        with (tmp_path / "out").open("w+b") as out:
            out.write(b"before\n")
            out.flush()
            command = [sys.executable, "-P", "-m", "imseek", "duplicates", "--csv", "/dev/stdout", "-n", "0"]
            subprocess.run(command, stdout=out, timeout=120, check=True)
            out.seek(0)
            text = out.read().decode()
        assert text.startswith("before\ngroup,kind,keep,reason,")
        assert len(list(csv.reader(io.StringIO(text, newline="")))) == 1 + 1 + 6


class TestHtml:
    @pytest.fixture
    def text(self, cli, album, tmp_path) -> str:
        (album / "cat.jpg").unlink()  # It cannot be shown any more.
        outcome = cli("duplicates", "--html", tmp_path / "d.html")
        assert outcome.code == 0, outcome.err
        return (tmp_path / "d.html").read_text(encoding="utf-8")

    def test_pictures_side_by_side_in_one_file(self, text) -> None:
        page = Page(text)
        pictures = page.all("img")
        assert len(pictures) == 5
        for picture in pictures:
            data = base64.b64decode((picture["src"] or "").removeprefix("data:image/webp;base64,"))
            with Image.open(io.BytesIO(data)) as image:
                assert max(image.size) == 320
        assert page.text.count("cannot be read") == 1
        assert len(page.all("section")) == 2
        assert [figure.get("class") for figure in page.all("figure")] == [
            "keep",
            None,
            None,
            None,
            "keep",
            None,
        ]

    def test_it_runs_and_loads_nothing(self, text) -> None:
        page = Page(text)
        assert not {"script", "link", "iframe", "object", "form", "base"} & {tag for tag, _ in page.tags}
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        policy = page.all("meta")[1]
        assert (policy["content"] or "").startswith("default-src 'none'; img-src data:;")
        assert all((a["href"] or "").startswith("file:///") for a in page.all("a"))
        assert not page.all("b")

    def test_names_are_shown_as_they_are_and_do_nothing(self, text) -> None:
        page = Page(text)
        assert r"""a<script>alert(1)&"'\n\u202egpj.jpg""" in page.text
        assert r"caf\xe9.jpg" in page.text
        assert "\u202e" not in text

    def test_what_differs_is_marked(self, text) -> None:
        section = text.split("<section>")[2]
        assert "<dd><mark>300 × 200</mark></dd>" in section
        assert "<dd>451 × 300</dd>" in section
        assert "<dd><mark>JPEG</mark></dd>" in section
        exact = text.split("<section>")[1]
        assert "<mark>640" not in exact
        assert "<mark><bdi>" in exact


class TestRefused:
    """Each with one line, a hint where there is something to do, and nothing on stdout."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--kind", "similar"], "'similar' is not a kind of duplicate"),
            (["--keep", "prettiest"], "prettiest"),
            (["-n", "-1"], "-1"),
            (["--where", "nonsense ("], "the filter goes wrong at"),
            (["--csv", "x", "--html", "./x"], "named twice"),
            (["--protect", "no/such"], "no folder no/such"),
            (["--prefer", "no/such"], "no folder no/such"),
            (["--keep", "path-priority"], "path-priority needs folders in order of preference"),
            (["--inside", "--against", "default"], "within one collection only"),
            (["--against", "default"], "cannot be compared with itself"),
            (["--csv", "."], "is a folder"),
            (["--html", "no/such/x.html"], "no folder no/such"),
            (["-c", "nothing"], "nothing"),
            (["--against", "nothing"], "no collection 'nothing' (--against)"),
            (["--plan", "x", "--action", "tag", "--tag", " "], "a tag must not be empty"),
            (
                ["--plan", "/dev/stdout", "--action", "tag"],
                "the plan cannot be written to stdout",
            ),
        ],
    )
    def test_requests_that_make_no_sense(self, cli, album, arguments, said) -> None:
        outcome = cli("duplicates", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.err
        assert cli("duplicates", *arguments, "--json").json("error")["error"]["message"]

    @pytest.mark.parametrize("flag", ["--csv", "--html"])
    def test_files_that_are_there(self, cli, album, flag) -> None:
        Path("x").write_text("mine")
        outcome = cli("duplicates", flag, "x")
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err == "imseek: x is there already\nhint: choose another name, or add --force\n"
        assert Path("x").read_text() == "mine"
        assert cli("duplicates", flag, "x", "--force").code == 0
        assert Path("x").read_text() != "mine"
        assert os.listdir() == ["x"]

    def test_a_folder_that_must_not_be_written(self, cli, album, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # Root may write anywhere.
        outcome = cli("duplicates", "--csv", tmp_path / "d.csv")
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err == f"imseek: cannot write {tmp_path / 'd.csv'}: you may not write to the folder\n"

    def test_a_disk_that_is_full(self, cli, album) -> None:
        outcome = cli("duplicates", "--csv", "/dev/full")
        assert outcome.code == 1
        assert "imseek: cannot write /dev/full: No space left on device" in outcome.err
