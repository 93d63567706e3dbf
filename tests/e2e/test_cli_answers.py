"""Pages, groups, near-duplicates, cutoff, many queries and several collections, as they are typed and printed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import validate
from PIL import Image

from imseek.search import cutoff


@pytest.fixture
def album(cli, tmp_path) -> Path:
    """30 pictures in two folders, of two colours each, from red to blue; the first twice."""
    folder = tmp_path / "album"
    for n in range(29):
        below = folder / ("warm" if n < 15 else "cold")
        below.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", (40, 30), (255 - 8 * n, 4 * (n % 5), 8 * n))
        picture.paste((8 * n, 8 * n, 60), (0, 0, 20, 10 + n % 15))
        picture.save(below / f"{n:02}.png")
    shutil.copyfile(folder / "warm" / "00.png", folder / "cold" / "copy.png")
    assert cli("index", folder, "--encoder", "fake").code == 0
    return folder


def lines(schema_of: Any, text: str) -> list[dict[str, Any]]:
    """JSON Lines, each as its schema wants it."""
    found = []
    for line in text.splitlines():
        document = json.loads(line)
        name = "error" if "error" in document else "search"
        validate(document, name)
        found.append(document)
    return found


def test_an_empty_list_says_what_left_it_empty(cli, album) -> None:
    assert cli("search", "red", "--where", "width > 1000").out == "no hits: no image meets --where\n"
    assert cli("search", "red", "--where", "width > 1000", "--page", "1").out == "no hits: no image meets --where\n"
    for by in ("text", "caption"):
        outcome = cli("search", "zeppelin", "--by", by, "--where", "width > 10")
        assert "no image meets" not in outcome.out, "the words are not found"
    assert cli("search", "red", "--min-score", "1").out == "no hits\n"


class TestPages:
    def test_the_token_leads_through_all_hits(self, cli, album) -> None:
        whole = cli("search", "red", "--json", "-n", "100").json("search")
        assert (len(whole["hits"]), whole["next_page"]) == (30, None)
        shown, arguments = [], ["search", "red", "--json", "-n", "8"]
        page = cli(*arguments).json("search")
        while True:
            shown += page["hits"]
            if page["next_page"] is None:
                break
            page = cli(*arguments, "--page", page["next_page"]).json("search")
        assert shown == whole["hits"]

    def test_a_table_says_how_to_go_on(self, cli, album) -> None:
        query = ("search", "red", "-n", "8", "--cutoff", "none")
        whole = cli("search", "red", "-n", "30", "--cutoff", "none", "--ids").out.split()
        shown, page = [], "1"
        while page:
            outcome = cli(*query, "--page", page)
            shown += cli(*query, "--page", page, "--ids").out.split()
            page = outcome.err.partition("more: --page ")[2].strip()
            assert page in ("", str(len(shown) // 8 + 1))
        assert shown == whole
        beyond = cli(*query, "--page", "5")
        assert (beyond.code, "there is no page 5: the results end on page 4" in beyond.err) == (2, True)
        for page in ("0", "-1", "-12"):
            outcome = cli(*query, "--page", page)
            assert (outcome.code, outcome.out) == (2, "")
            assert f"there is no page {page}: pages are numbered from 1" in outcome.err

    def test_a_table_by_token_goes_on_by_token(self, cli, album) -> None:
        token = cli("search", "red", "--json", "-n", "8").json("search")["next_page"]
        outcome = cli("search", "red", "-n", "8", "--cutoff", "none", "--page", token)
        following = outcome.err.partition("more: --page ")[2].strip()
        assert len(following) > 30
        rest = cli("search", "red", "-n", "30", "--cutoff", "none", "--page", following)
        assert len(rest.out.splitlines()) == 15
        assert "--page" not in rest.err

    def test_a_numbered_page_as_json_gives_the_token(self, cli, album) -> None:
        second = cli("search", "red", "--json", "-n", "8", "--page", "2").json("search")
        first = cli("search", "red", "--json", "-n", "8").json("search")
        by_token = cli("search", "red", "--json", "-n", "8", "--page", first["next_page"]).json("search")
        assert second["hits"] == by_token["hits"]
        assert second["next_page"] == by_token["next_page"]

    def test_bad_tokens(self, cli, album) -> None:
        token = cli("search", "red", "--json").json("search")["next_page"]
        for words, given, message in (
            ("blue", token, "belongs to another query"),
            ("red", token[:-1], "is damaged"),
            ("red", "nonsense", "is damaged"),
        ):
            outcome = cli("search", words, "--json", "--page", given)
            assert outcome.code == 2
            error = outcome.json("error")["error"]
            assert error["type"] == "QueryError"
            assert message in error["message"]
            assert error["hint"]

    def test_an_expired_one(self, cli, album) -> None:
        token = cli("search", "red", "--json").json("search")["next_page"]
        (album / "warm" / "05.png").unlink()
        cli("index")
        outcome = cli("search", "red", "--json", "--page", token)
        error = outcome.json("error")["error"]
        assert (outcome.code, error["type"]) == (1, "ExpiredPageError")
        assert error["hint"] == "start again from the first page"


class TestGroups:
    def test_in_the_table(self, cli, album) -> None:
        outcome = cli("search", "red", "--group-by", "folder", "--per-group", "2", "--cutoff", "none")
        shown = outcome.out.splitlines()
        assert shown[0].split() == ["#", "score", "id", "image"]
        assert shown[1] == f"{album / 'cold'} (15 hits)", "the copy of the best is there, and has the lower id"
        assert [line.split()[0] for line in shown[2:4]] == ["1", "2"]
        assert shown[4] == f"{album / 'warm'} (15 hits)"
        assert [line.split()[0] for line in shown[5:]] == ["3", "4"]

    def test_in_json(self, cli, album) -> None:
        found = cli("search", "red", "--group-by", "folder", "-n", "1", "--json").json("search")
        assert found["groups"] == [{"name": str(album / "cold"), "size": 15, "hits": 3}]
        assert len(found["hits"]) == 3
        assert found["next_page"] is not None

    def test_by_something_else(self, cli, album) -> None:
        outcome = cli("search", "red", "--group-by", "mood")
        assert outcome.code == 2
        assert "folder" in outcome.err


class TestStages:
    def test_copies_are_one_line(self, cli, album) -> None:
        found = cli("search", "red", "--collapse", "--json", "-n", "50").json("search")
        copies = [hit for hit in found["hits"] if hit["duplicates"]]
        first = copies[0]
        assert Path(first["path"]).name in ("00.png", "copy.png")
        assert first["duplicates"]
        outcome = cli("search", "red", "--collapse", "-n", "50", "--cutoff", "none")
        head, best, *_ = outcome.out.splitlines()
        assert head.split() == ["#", "score", "id", "same", "image"]
        assert best.split()[3] == f"+{len(first['duplicates'])}"

    def test_so_few_images_are_not_cut(self, cli, album) -> None:
        assert len(cli("search", "red", "-n", "50").out.splitlines()) == 31
        assert cli("search", "red", "--json", "--cutoff", "auto").json("search")["cut"] == 0

    @pytest.mark.parametrize("value", ["0%", "100%", "ten", "-5%"])
    def test_a_promise_is_a_share(self, cli, album, value) -> None:
        refused = cli("search", "red", f"--cutoff={value}")
        assert refused.code == 2
        assert "--cutoff is none, auto, or a share of relevant images to lose at most, as 10%" in refused.err

    def test_a_promise_needs_a_calibration(self, cli, album) -> None:
        refused = cli("search", "red", "--cutoff", "10%")
        assert refused.code == 2
        assert "cutoff 10% needs a calibration, and this collection has none" in refused.err
        assert "imseek evaluate cutoff" in refused.err
        refused = cli("evaluate", "cutoff")
        assert refused.code == 2
        assert "no image has a caption" in refused.err

    def test_nothing_is_an_answer(self, cli, album, monkeypatch) -> None:
        monkeypatch.setattr(cutoff, "MIN_SAMPLE", 20)
        monkeypatch.setattr(cutoff, "count_relevant", lambda *_: 0)
        count = cli("search", "red", "--by", "image", "--json", "--cutoff", "auto").json("search")
        assert (count["nothing"], count["cut"], count["hits"]) == (True, count["searched"], [])
        assert cli("search", "red", "--by", "image").out.splitlines()[:2] == [
            "nothing here shows that",
            f"… {count['cut']} below the cutoff; --cutoff none shows them",
        ]

    def test_the_cutoff_is_on_in_tables_only(self, cli, album, monkeypatch) -> None:
        monkeypatch.setattr(cutoff, "MIN_SAMPLE", 20)
        table = cli("search", "red", "-n", "50")
        cut = int(table.out.splitlines()[-1].split()[1])
        assert table.out.splitlines()[-1] == f"… {cut} more below the cutoff; --cutoff none shows them"
        assert len(table.out.splitlines()) == 1 + (30 - cut) + 1 > 2
        assert len(cli("search", "red", "-n", "50", "--cutoff", "none").out.splitlines()) == 31
        assert len(cli("search", "red", "-n", "50", "-p").out.splitlines()) == 30
        plain = cli("search", "red", "-n", "50", "--json").json("search")
        assert (len(plain["hits"]), plain["cut"]) == (30, None)
        asked = cli("search", "red", "-n", "50", "--json", "--cutoff", "auto").json("search")
        assert (len(asked["hits"]), asked["cut"]) == (30 - cut, cut)

    def test_min_score(self, cli, album) -> None:
        plain = cli("search", "red", "-n", "50", "--json").json("search")["hits"]
        found = cli("search", "red", "-n", "50", "--json", "--min-score", str(plain[4]["score"] - 1e-6))
        assert found.json("search")["hits"] == plain[:5]

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--min-score", "nan"],
            ["--min-score", "lots"],
            ["-n", "0"],
            ["--per-group", "0"],
            ["--diversity", "1.5"],
            ["--sort", "size"],
            ["--sort", "date", "--diversity", "0.5"],
            ["--more", "99999"],
            ["--where", "nonsense ("],
            ["--vectors"],
        ],
    )
    def test_what_is_refused(self, cli, album, arguments) -> None:
        outcome = cli("search", "red", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err

    def test_vectors(self, cli, album) -> None:
        found = cli("search", "red", "--vectors", "--json", "-n", "2").json("search")
        for hit in found["hits"]:
            assert np.linalg.norm(hit["vector"]) == pytest.approx(1, abs=1e-5)
        assert "vector" not in cli("search", "red", "--json").json("search")["hits"][0]


class TestQueries:
    def test_each_line_has_its_answer(self, cli, album, tmp_path) -> None:
        file = tmp_path / "queries"
        file.write_text('red\n\n{"text": "blue", "limit": 2}\nlime\n')
        outcome = cli("search", "--queries", file, "-n", "3")
        assert outcome.code == 0
        found = lines(None, outcome.out)
        assert [document["line"] for document in found] == [1, 3, 4]
        for document, words, limit in zip(found, ("red", "blue", "lime"), (3, 2, 3), strict=True):
            single = cli("search", words, "-n", str(limit), "--json").json("search")
            assert document["hits"] == single["hits"]

    def test_a_bad_line_is_named_and_the_others_are_answered(self, cli, album, tmp_path) -> None:
        file = tmp_path / "queries"
        file.write_text('red\n{"text": 5}\nblue\n{"text": "lime", "like": [{"image_id": 4711}]}\n{"text"\nlime\n')
        outcome = cli("search", "--queries", file)
        assert outcome.code == 1
        found = lines(None, outcome.out)
        assert [document["line"] for document in found] == [1, 2, 3, 4, 5, 6]
        assert [document["line"] for document in found if "error" in document] == [2, 4, 5]
        assert found[3]["error"]["type"] == "ImageNotFoundError"
        for line in (2, 4, 5):
            assert f"line {line}: " in outcome.err
        assert found[5]["hits"] == cli("search", "lime", "--json").json("search")["hits"]

    def test_the_library_gives_no_answer_at_all_where_the_collection_is_gone(self, cli, tmp_path) -> None:
        file = tmp_path / "queries"
        file.write_text("red\n")
        outcome = cli("search", "--queries", file, "-c", str(tmp_path / "nowhere"))
        assert (outcome.code, outcome.out) == (2, "")


class TestSeveral:
    @pytest.fixture
    def two(self, cli, tmp_path) -> None:
        for name, colours in {"a": ("red", "blue"), "b": ("orange", "red", "lime")}.items():
            folder = tmp_path / f"of-{name}"
            folder.mkdir()
            for colour in colours:
                Image.new("RGB", (40, 30), colour).save(folder / f"{colour}.png")
            cli("index", folder, "-c", name, "--encoder", "fake")

    def test_hits_carry_the_collection(self, cli, two) -> None:
        outcome = cli("search", "red", "-c", "a", "-c", "b")
        head, *rows = outcome.out.splitlines()
        assert head.split() == ["#", "score", "id", "collection", "image"]
        assert [row.split()[3] for row in rows[:4:2]] == ["a", "b"]
        assert [row.strip() for row in rows[1:4:2]] == ["matched: name red.png"] * 2
        assert len(rows) == 7
        assert outcome.err.splitlines()[:2] == [
            "collection: a (--collection)",
            "collection: b (--collection)",
        ]
        found = cli("search", "red", "-c", "a", "-c", "b", "--json").json("search")
        uuids = {one["uuid"]: one["name"] for one in found["collections"]}
        assert [uuids[hit["collection"]] for hit in found["hits"][:2]] == ["a", "b"]
        assert (found["searched"], [one["searched"] for one in found["collections"]]) == (5, [2, 3])
        assert found["collection"]["name"] == "a"

    def test_many_queries(self, cli, two, tmp_path) -> None:
        file = tmp_path / "queries"
        file.write_text("red\nblue\n")
        found = lines(None, cli("search", "--queries", file, "-c", "a", "-c", "b").out)
        assert [len(document["collections"]) for document in found] == [2, 2]

    def test_the_same_twice_and_other_encoders(self, cli, two, pictures) -> None:
        assert "named twice" in cli("search", "red", "-c", "a", "-c", "a").err
        cli("index", pictures, "-c", "other", "--encoder", "fake:32")
        outcome = cli("search", "red", "-c", "a", "-c", "other")
        assert outcome.code == 2
        assert "cannot be compared" in outcome.err

    def test_one_is_opened(self, cli, two, tmp_path, monkeypatch) -> None:
        import typer

        opened: list[str] = []
        monkeypatch.setattr(typer, "launch", lambda path: opened.append(path) or 0)
        assert cli("search", "lime", "-c", "a", "-c", "b", "--open").code == 0
        assert opened == [str(tmp_path / "of-b" / "lime.png")]
