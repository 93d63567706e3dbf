"""Captions on the command line: embedding them, searching them, and which do not fit their pictures."""

from __future__ import annotations

import pytest
from PIL import Image

DESCRIPTION = 0x010E
CAPTIONS = {"red.png": "all red", "lime.png": "red as well, \x1b[31mthey say", "below/blue.png": None}


@pytest.fixture
def captioned(pictures):
    """``pictures``, two of them with a caption, one of which is not true."""
    for name, caption in CAPTIONS.items():
        if caption is not None:
            exif = Image.Exif()
            exif[DESCRIPTION] = caption.encode()
            with Image.open(pictures / name) as picture:
                picture.save(pictures / name, exif=exif)
    return pictures


@pytest.fixture
def embedded(cli, captioned):
    outcome = cli("index", captioned, "--encoder", "fake", "--captions")
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[1:3] == ["encoder: fake", "captions: embedded with fake"]
    return captioned


class TestMaking:
    def test_create(self, cli) -> None:
        outcome = cli("collection", "create", "c", "--encoder", "fake", "--captions")
        assert outcome.code == 0
        assert outcome.out.splitlines()[1:] == ["encoder: fake", "captions: embedded with fake"]
        assert "captions    fake, 64 dimensions" in cli("info").out.splitlines()
        spaces = cli("info", "--json").json("info")["spaces"]
        assert [(s["space_id"], s["modality"]) for s in spaces] == [(0, "image"), (1, "text")]

    def test_an_existing_collection_is_told_how(self, cli, indexed) -> None:
        outcome = cli("index", indexed, "--captions")
        assert outcome.code == 2
        assert "the captions of default are not embedded" in outcome.err
        assert "imseek maintain --captions" in outcome.err
        assert cli("maintain", "--captions").code == 0
        assert cli("index", indexed, "--captions").code == 0

    def test_the_same_command_again(self, cli, embedded) -> None:
        assert cli("index", embedded, "--encoder", "fake", "--captions").code == 0
        assert cli("index", embedded, "--encoder", "fake").code == 0, "captions stay embedded"
        outcome = cli("index", embedded, "--also", "fake")
        assert outcome.code == 2
        assert "has no space of fake, only of fake" in outcome.err

    def test_the_doctor_names_the_encoder_once(self, cli, embedded) -> None:
        (line,) = (one for one in cli("doctor").out.splitlines() if one.split()[1] == "collection")
        assert line.endswith("3 images, encoder fake")


class TestSearching:
    def test_words_against_captions(self, cli, embedded) -> None:
        outcome = cli("search", "red", "--by", "caption")
        assert outcome.code == 0
        head, first, second = outcome.out.splitlines()
        assert head.split() == ["#", "score", "id", "caption", "image"]
        assert first.split()[0] == "1"
        assert first.endswith(str(embedded / "red.png"))
        assert "all red" in first
        assert "red as well, they say" in second.replace("[31m", "").replace("\\x1b", "")
        assert "\x1b" not in outcome.out

    def test_no_image_has_a_caption(self, cli, indexed) -> None:
        outcome = cli("maintain", "--captions")
        assert outcome.code == 0
        assert "0 of 3 images have a caption" in outcome.out
        assert "`imseek index` reads captions from" in outcome.out
        (note,) = cli("maintain", "--captions", "--json").json("maintain")["captions"]["notes"]
        assert note in outcome.out
        outcome = cli("search", "red", "--by", "caption")
        assert outcome.code == 0
        assert "no image has a caption: `imseek index` reads captions from" in outcome.out
        assert "docs/sources.md" in outcome.out

    def test_a_picture_against_captions(self, cli, embedded) -> None:
        outcome = cli("similar", embedded / "below" / "blue.png", "--by", "caption", "-p")
        assert {*outcome.out.splitlines()} == {str(embedded / "red.png"), str(embedded / "lime.png")}

    def test_as_json(self, cli, embedded) -> None:
        found = cli("search", "all red", "--by", "caption", "--json").json("search")
        assert (found["searched"], found["spaces"]) == (
            2,
            [{"space_id": 1, "encoder": "fake", "weight": 1.0}],
        )
        best = found["hits"][0]
        assert best["path"] == str(embedded / "red.png")
        assert best["metadata"]["caption"] == "all red"
        assert best["score"] == pytest.approx(1, abs=1e-3)

    def test_where_they_are_not_embedded(self, cli, indexed) -> None:
        error = cli("search", "red", "--by", "caption", "--json").json("error")["error"]
        assert error["type"] == "QueryError"
        assert "imseek maintain --captions" in error["hint"]
        assert cli("search", "red", "--by", "words").code == 2


class TestEmbeddingLater:
    def test_from_what_is_stored(self, cli, captioned) -> None:
        cli("index", captioned, "--encoder", "fake")
        for path in captioned.rglob("*.png"):
            path.unlink()
        outcome = cli("maintain", "--captions")
        assert outcome.code == 0
        assert outcome.out.startswith("embedded captions with fake: 2 of 3 images have a caption (")
        assert cli("search", "red", "--by", "caption").out.splitlines()[1].endswith("red.png")
        again = cli("maintain", "--captions")
        assert again.out == "captions are embedded already with fake: 2 of 3 images have a caption\n"

    def test_as_json_and_with_the_rest(self, cli, captioned) -> None:
        cli("index", captioned, "--encoder", "fake")
        body = cli("maintain", "--captions", "--purge", "--json").json("maintain")
        assert body["merge"] is None
        assert body["purge"]["images"] == 0
        embedded = body["captions"]
        assert (embedded["outcome"], embedded["images"], embedded["captions"]) == ("switched", 3, 2)
        assert cli("maintain", "--json").json("maintain")["captions"] is None

    def test_interrupted(self, cli, captioned, monkeypatch) -> None:
        import signal

        from imseek.encoders.fake import FakeEncoder

        cli("index", captioned, "--encoder", "fake")
        monkeypatch.setattr("imseek.indexer.caption_space.BATCH", 1)
        real = FakeEncoder.encode_texts

        def encode(self, texts):
            signal.raise_signal(signal.SIGINT)
            return real(self, texts)

        with monkeypatch.context() as patch:
            patch.setattr(FakeEncoder, "encode_texts", encode)
            outcome = cli("maintain", "--captions", "--merge")
        assert outcome.code == 130
        assert outcome.out == "interrupted: what was embedded is kept; the same command goes on from here\n"
        assert cli("search", "red", "--by", "caption").code == 2
        assert cli("maintain", "--captions").out.startswith("embedded captions with fake: 2 of 3")


class TestAgreement:
    def test_the_worst_first(self, cli, embedded) -> None:
        outcome = cli("captions")
        assert outcome.code == 0
        counts, head, worst, other = outcome.out.splitlines()
        assert counts.startswith("2 of 3 images have a caption; median agreement 0.")
        assert head.split() == ["score", "id", "caption", "image"]
        assert worst.endswith(str(embedded / "lime.png"))
        assert other.endswith(str(embedded / "red.png"))
        assert float(worst.split()[0]) < float(other.split()[0])
        assert "\x1b" not in outcome.out
        assert len(cli("captions", "--limit", "1").out.splitlines()) == 3
        assert len(cli("captions", "-n", "0").out.splitlines()) == 1

    def test_as_json(self, cli, embedded) -> None:
        found = cli("captions", "--json").json("captions")
        assert (found["images"], found["captions"], found["encoder"]) == (3, 2, "fake")
        scores = [row["score"] for row in found["worst"]]
        assert scores == sorted(scores)
        assert found["median"] == pytest.approx(sum(scores) / 2, abs=1e-5)
        assert [row["path"] for row in found["worst"]] == [str(embedded / n) for n in ("lime.png", "red.png")]
        assert found["worst"][1]["caption"] == "all red"

    def test_none_has_one(self, cli, pictures) -> None:
        cli("index", pictures, "--encoder", "fake", "--captions")
        assert cli("captions").out == "0 of 3 images have a caption\n"
        assert cli("captions", "--json").json("captions")["median"] is None

    def test_where_they_are_not_embedded(self, cli, indexed) -> None:
        outcome = cli("captions")
        assert outcome.code == 2
        assert "imseek maintain --captions" in outcome.err


class TestScores:
    def test_clipscore(self, cli, captioned) -> None:
        cli("index", captioned, "--encoder", "fake")
        outcome = cli("captions", "--score")
        assert outcome.code == 0, outcome.err
        counts, _, worst, other = outcome.out.splitlines()
        assert counts.startswith("2 captions of 3 images; median CLIPScore ")
        assert worst.endswith("lime.png")
        assert float(worst.split()[0]) < float(other.split()[0])
        found = cli("captions", "--score", "--prefix", "", "--json").json("captions")
        assert (found["measure"], found["prefix"], found["captions"]) == ("clipscore", "", 2)

    def test_references(self, cli, embedded, tmp_path) -> None:
        table = tmp_path / "references.csv"
        table.write_text("path,caption\nred.png,red\n")
        found = cli("captions", "--references", table, "--json").json("captions")
        assert (found["measure"], found["captions"], found["left_out"]["unreferenced"]) == (
            "refclipscore",
            1,
            1,
        )

    def test_given_captions(self, cli, embedded, tmp_path) -> None:
        table = tmp_path / "candidates.csv"
        table.write_text("path,caption\nred.png,red\nred.png,green\nnone.png,x\n")
        outcome = cli("captions", "--score", "--captions", table, "--prefix", "")
        assert outcome.code == 0, outcome.err
        first, left_out, _, worst, best = outcome.out.splitlines()
        assert first.startswith("2 captions of 3 images; median CLIPScore ")
        assert left_out == "left out, naming no image that counts: 1 row (none.png)"
        assert [line.split()[2] for line in (worst, best)] == ["green", "red"]
        assert best.split()[0] == "2.500"

    def test_keep_and_export(self, cli, embedded, tmp_path) -> None:
        import pyarrow.parquet as pq

        best = str(embedded / "red.png")
        for name in ("kept.csv", "kept.parquet", "kept.txt"):
            outcome = cli("captions", "--keep", "50%", "--export", tmp_path / name, "-n", "0")
            assert outcome.code == 0, outcome.err
            assert outcome.out.splitlines()[1].startswith("kept 1 of 2: the best 0.5 (1), cosine 0.")
        assert (tmp_path / "kept.txt").read_text() == f"{best}\n"
        head, row = (tmp_path / "kept.csv").read_text().splitlines()
        assert head == "image_id,uid,path,score"
        assert row.split(",")[1:3] == ["", best]
        (table,) = pq.read_table(tmp_path / "kept.parquet").to_pylist()
        assert table["path"] == best
        assert table["score"] == pytest.approx(float(row.split(",")[3]), abs=1e-6)
        again = cli("captions", "--keep", "0.5", "--export", tmp_path / "kept.csv")
        assert (again.code, "--force" in again.err) == (2, True)
        found = cli("captions", "--keep", "1", "--basic", "--json").json("captions")
        assert found["kept"]["images"] == 0
        assert found["kept"]["in_share"] == 2

    def test_save(self, cli, embedded) -> None:
        outcome = cli("captions", "--score", "--save", "fit")
        assert outcome.code == 0, outcome.err
        found = cli("search", "red", "--where", "fit >= 0", "--json").json("search")
        assert {hit["path"] for hit in found["hits"]} == {str(embedded / n) for n in ("red.png", "lime.png")}

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--keep", "0"), "not a share"),
            (("--keep", "130%"), "not a share"),
            (("--keep", "some"), "not a share"),
            (("--keep", "1%"), "less than one caption"),
            (("--basic",), "--keep"),
            (("--export", "x.csv"), "--keep"),
            (("--keep", "1", "--export", "x.json"), "has no ending that names a format"),
            (("--prefix", "x"), "--score"),
            (("--captions", "x.csv"), "--score"),
            (("--score", "--captions", "nowhere.csv"), "cannot be read"),
            (("--save", "With Blanks"), "cannot be a name"),
        ],
    )
    def test_what_makes_no_sense(self, cli, embedded, arguments, said) -> None:
        outcome = cli("captions", *arguments)
        assert outcome.code == 2
        assert said in outcome.err
