"""What can be asked of ``imseek search``: terms of every kind, weights, files, stdin, many queries, and refusals."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imseek.encoders.fake import FakeEncoder


def paths(outcome) -> list[str]:
    assert outcome.code == 0, outcome.err
    return [Path(line).name for line in outcome.out.splitlines()]


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch):
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


@pytest.fixture
def red(tmp_path) -> Path:
    """A red picture that is not indexed."""
    path = tmp_path / "red like.jpg"
    Image.new("RGB", (90, 90), (250, 10, 10)).save(path)
    return path


class TestTerms:
    def test_words_a_picture_and_what_is_not_wanted(self, cli, indexed, red) -> None:
        assert paths(cli("search", "blue", "-p", "-n", "1")) == ["blue.png"]
        assert paths(cli("search", "blue", "--like", f"9:{red}", "-p", "-n", "1")) == ["red.png"]
        assert paths(cli("search", "blue", "red", "--not", "9:red", "-p"))[-1] == "red.png"
        assert paths(cli("search", "blue", "--not", f"9:{indexed / 'below' / 'blue.png'}", "-p"))[-1] == "blue.png"

    def test_what_is_not_wanted_counts_half(self, cli, indexed, tmp_path) -> None:
        red, blue = FakeEncoder().encode_texts(["red", "blue"])
        np.save(tmp_path / "mix.npy", red - 0.5 * blue)
        mixed = cli("search", "--vector", tmp_path / "mix.npy", "--json").json("search")
        asked = cli("search", "red", "--not", "blue", "--json").json("search")
        assert [hit["score"] for hit in asked["hits"]] == pytest.approx([hit["score"] for hit in mixed["hits"]])

    def test_weights(self, cli, indexed) -> None:
        assert paths(cli("search", "5:blue", "red", "-p", "-n", "1")) == ["blue.png"]
        assert paths(cli("search", "blue", "5:red", "-p", "-n", "1")) == ["red.png"]

    def test_a_name_of_a_file_is_words_unless_it_says_so(self, cli, indexed, red) -> None:
        Path("red.png").write_bytes(red.read_bytes())
        as_words, as_file = (
            cli("search", "red.png", "-n", "1", "--json"),
            cli("search", "./red.png", "--json"),
        )
        assert as_words.json("search")["hits"][0]["score"] < 0.95 < as_file.json("search")["hits"][0]["score"]
        told = cli("search", "red.png").err
        assert "taken as words: red.png; to search by that picture: ./red.png" in told
        told = cli("search", "blue", "--not", "red.png").err
        assert "taken as words: red.png; to search by that picture: --not ./red.png" in told
        assert cli("search", "./red.png").err == ""

    def test_so_is_one_in_a_folder(self, cli, indexed, red) -> None:
        Path("album").mkdir()
        Path("album/red").write_bytes(red.read_bytes())
        told = cli("search", "album/red").err
        assert "taken as words: album/red; to search by that picture: ./album/red" in told
        assert "taken as" not in cli("search", "red/blue", "red").err, "no such file"
        assert "taken as" not in cli("search", "red/" * 2000).err, "longer than paths are"

    def test_a_number_is_an_id_where_a_picture_is_expected(self, cli, indexed, red) -> None:
        ids = {Path(hit["path"]).name: hit["image_id"] for hit in cli("search", "red", "--json").json("search")["hits"]}
        number = str(ids["red.png"])
        for arguments in (("similar", number), ("similar", f"id:{number}"), ("search", "--like", f"2:{number}")):
            outcome = cli(*arguments, "-n", "1", "--json")
            assert outcome.json("search")["hits"][0]["image_id"] == ids["red.png"]
        Path(number).write_bytes((indexed / "below" / "blue.png").read_bytes())
        told = cli("similar", number, "-n", "1")
        assert f"taken as an id: {number}; to search by the file of that name: ./{number}" in told.err
        assert told.out.splitlines()[1].split()[2:] == [number, str(indexed / "red.png")]
        assert cli("similar", f"./{number}", "-n", "1").out.splitlines()[1].endswith("blue.png")

    def test_ids_of_the_table_lead_to_the_pictures(self, cli, indexed, tmp_path) -> None:
        head, first, *_ = cli("search", "red").out.splitlines()
        assert head.split() == ["#", "score", "id", "image"]
        number, path = first.split()[2:]
        assert cli("extract", number, "-o", tmp_path / "out.png").code == 0
        assert (tmp_path / "out.png").read_bytes() == Path(path).read_bytes()

    def test_words_without_quotes_are_told_apart(self, cli, indexed) -> None:
        assert "3 terms: a + red + car (words in quotes are one)" in cli("search", "a", "red", "car").err
        assert "terms" not in cli("search", "red", "2:blue").err

    def test_an_indexed_picture(self, cli, indexed) -> None:
        answer = cli("search", "red", "-n", "1", "--json").json("search")
        image_id = answer["hits"][0]["image_id"]
        for arguments in (["search", f"id:{image_id}"], ["similar", f"id:{image_id}"]):
            again = cli(*arguments, "-n", "1", "--json").json("search")["hits"][0]
            assert (again["image_id"], again["score"]) == (image_id, pytest.approx(1, abs=1e-5))

    def test_a_vector(self, cli, indexed, tmp_path) -> None:
        (vector,) = FakeEncoder().encode_texts(["blue"])
        for array in (vector, vector[None], (vector * 100).astype(np.float16)):
            np.save(tmp_path / "v.npy", array)
            assert paths(cli("search", "--vector", tmp_path / "v.npy", "-p", "-n", "1")) == ["blue.png"]
        assert paths(cli("search", "red", "--vector", f"9:{tmp_path / 'v.npy'}", "-p", "-n", "1")) == ["blue.png"]

    def test_similar_is_search_like(self, cli, indexed, red) -> None:
        similar = cli("similar", red, "--not", "blue", "-n", "2", "--json").json("search")
        assert similar == cli("search", "--like", red, "--not", "blue", "-n", "2", "--json").json("search")
        assert (
            cli("similar", red, red, "--json").json("search")["hits"]
            == (cli("similar", red, "--json").json("search")["hits"])
        )


class TestStdin:
    @pytest.mark.parametrize("arguments", [["search", "-"], ["search", "--like", "-"], ["similar", "-"]])
    def test_a_picture(self, cli, indexed, red, stdin, arguments) -> None:
        stdin(red.read_bytes())
        assert paths(cli(*arguments, "-p", "-n", "1")) == ["red.png"]

    def test_named_twice_it_is_read_once(self, cli, indexed, red, stdin) -> None:
        stdin(red.read_bytes())
        assert paths(cli("search", "0.5:-", "--like", "-", "-p", "-n", "1")) == ["red.png"]

    @pytest.mark.parametrize(("data", "message"), [(b"words", "cannot use the bytes given"), (b"", "is empty")])
    def test_no_picture(self, cli, indexed, stdin, data, message) -> None:
        stdin(data)
        outcome = cli("similar", "-", "--json")
        assert (outcome.code, outcome.out) == (2, "")
        error = outcome.json("error")["error"]
        assert error["type"] == "QueryError"
        assert message in error["message"]

    def test_a_terminal(self, cli, indexed, monkeypatch) -> None:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        outcome = cli("search", "-")
        assert outcome.code == 2
        assert "standard input is a terminal" in outcome.err

    def test_a_pipe_that_has_a_name(self, home, indexed, red) -> None:
        command = f"{sys.executable} -P -m imseek similar <(cat '{red}') -p -n 1"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, f"{indexed / 'red.png'}\n"), done.stderr


class TestQueries:
    def lines(self, outcome) -> list[dict]:
        assert outcome.code == 0, outcome.err
        return [json.loads(line) for line in outcome.out.splitlines()]

    def test_words_and_objects_one_answer_each(self, cli, indexed, red, tmp_path) -> None:
        queries = [
            "red",
            json.dumps({"text": "blue", "limit": 1}),
            "",
            json.dumps({"like": [str(red)], "not": "blue"}),
            "2:red",
        ]
        (tmp_path / "queries").write_text("\n".join(queries) + "\n")
        answers = self.lines(cli("search", "--queries", tmp_path / "queries", "-n", "2"))
        best = [Path(answer["hits"][0]["path"]).name for answer in answers[:3]]
        assert best == ["red.png", "blue.png", "red.png"]
        assert [len(answer["hits"]) for answer in answers] == [2, 1, 2, 2]
        alone = cli("search", "text:2:red", "-n", "2", "--json").json("search")
        assert answers[3]["hits"] == alone["hits"], "a line that is no object is words as they stand"

    def test_from_stdin(self, cli, indexed, stdin) -> None:
        stdin(b"\xef\xbb\xbfred\r\nblue\r\n")
        answers = self.lines(cli("search", "--queries", "-", "-n", "1"))
        assert [Path(answer["hits"][0]["path"]).name for answer in answers] == ["red.png", "blue.png"]

    def test_none_at_all(self, cli, indexed, stdin) -> None:
        stdin(b"\n")
        assert self.lines(cli("search", "--queries", "-")) == []

    @pytest.mark.parametrize(
        "arguments",
        [["red"], ["--like", "a.jpg"], ["--not", "snow"], ["--more", "1"], ["--page", "x"], ["--paths"]],
    )
    def test_beside_what_is_of_one_query(self, cli, indexed, tmp_path, arguments) -> None:
        (tmp_path / "queries").write_text("red\n")
        outcome = cli("search", "--queries", tmp_path / "queries", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert "--queries" in outcome.err

    def test_files_that_are_none(self, cli, indexed, tmp_path) -> None:
        (tmp_path / "latin").write_bytes(b"caf\xe9\n")
        assert "no such file" in cli("search", "--queries", "nowhere").err.lower()
        assert "not UTF-8" in cli("search", "--queries", tmp_path / "latin").err
        (tmp_path / "missing").write_text('{"like": "nowhere.jpg"}\n')
        assert "line 1: no such file: nowhere.jpg" in cli("search", "--queries", tmp_path / "missing").err


class TestRefusals:
    @pytest.mark.parametrize("words", [("search", "--like"), ("similar",)])
    def test_damaged_pictures_say_what_to_do(self, cli, indexed, photo_files, tmp_path, words) -> None:
        data = next(path for path in photo_files if path.suffix == ".jpg").read_bytes()
        hint = "hint: copy or download it again"
        anew = ", or save it anew from a program that still opens it"
        for name, content, message, what_to_do in (
            ("cut.jpg", data[: len(data) // 2], "JPEG data end too early", hint + anew),
            ("broken.jpg", data[:200] + b"\xff" * 2000, "JPEG data", hint + anew),
            ("empty.jpg", b"", "the file is empty", hint),
        ):
            (tmp_path / name).write_bytes(content)
            outcome = cli(*words, tmp_path / name)
            assert outcome.code == 2
            assert "as a query: " in outcome.err
            assert message in outcome.err
            assert outcome.err.splitlines()[-1] == what_to_do

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--like", "nowhere.jpg"], "no such file: nowhere.jpg"),
            (["./nowhere.jpg"], "no such file: nowhere.jpg"),
            (["red", "--not", "../nowhere.jpg"], "no such file: ../nowhere.jpg"),
            (["--like", "words.txt"], "cannot use words.txt as a query"),
            (["--like", "."], "cannot read the picture"),
            (["--not", "snow"], "more than negative terms"),
            ([""], "empty text"),
            (["red", "--not", " "], "empty text"),
            (["0:red"], "0 is not a weight"),
            (["9" * 400 + ":red"], "is not a weight"),
            (["--like", "http://127.0.0.1:8080/a.jpg"], "Loopback"),
            (["http://example.org:25/a.jpg"], "port 25 is not in allowed_ports (80, 443, 1024"),
            (["http://[::1]/a.jpg"], "oopback"),
            (["http://"], "not an http or https URL"),
            (["--vector", "nowhere.npy"], "cannot read the vector nowhere.npy: No such file"),
            (["--vector", "words.txt"], "not a .npy file of numbers"),
            (["--vector", "nan.npy"], "zero or not finite"),
            (["--vector", "zero.npy"], "zero or not finite"),
            (["--vector", "short.npy"], "a vector of shape (3,) in a space of 64 dimensions"),
            (["--vector", "matrix.npy"], "shape (2, 64), not one vector"),
            (["--vector", "text.npy"], "not a .npy file of numbers"),
            (["--vector", "objects.npy"], "not a .npy file of numbers"),
            (["--vector", "packed.npz"], "not a .npy file of numbers"),
            (["id:99"], "no image 99 in this collection"),
            (["red", "--more", "-1"], "is not an id of an image"),
            (["red", "--more", "1", "--less", "1"], "image 1 is in --more and in --less"),
            (["red", "--min-score", "nan"], "--min-score must be a finite number"),
            (["red", "--diversity", "2"], "diversity"),
            (["red", "--cutoff", "sometimes"], "--cutoff"),
            (["red", "--group-by", "camera"], "--group-by"),
            (["red", "--page", ""], "--page must not be empty"),
            (["red", "--where", " "], "--where must not be empty"),
            ([], "nothing to search for"),
        ],
    )
    def test_what_makes_no_sense(self, cli, indexed, arguments, message) -> None:
        Path("words.txt").write_text("words")
        np.save("nan.npy", np.full(64, np.nan))
        np.save("zero.npy", np.zeros(64))
        np.save("short.npy", np.ones(3))
        np.save("matrix.npy", np.ones((2, 64)))
        np.save("text.npy", np.array(["a"]))
        np.save("objects.npy", np.array([{}], dtype=object))
        np.savez("packed.npz", a=np.ones(64))
        outcome = cli("search", "--json", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        said = outcome.json("error")["error"]["message"]
        assert message in said
        assert len(said) < 300

    def test_a_web_that_fails_is_no_mistake_of_the_user(self, cli, indexed, monkeypatch) -> None:
        from imseek.errors import MediaError
        from imseek.media import http_fetcher

        def fail(self: object, url: str) -> None:
            raise MediaError("fetch_failed", "404 Not Found")

        monkeypatch.setattr(http_fetcher.HttpFetcher, "fetch", fail)
        outcome = cli("search", "https://example.org/a.jpg")
        assert outcome.code == 1
        assert "https://example.org/a.jpg: 404 Not Found" in outcome.err
