"""``imseek maintain --index``, and what ``imseek info`` says of it."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imseek.data.reader import Reader
from imseek.data.vectors import snapshot_build

COLLECTION = ""


@pytest.fixture
def noise(cli, tmp_path: Path) -> Path:
    """A folder of 40 small pictures, all different."""
    folder = tmp_path / "noise"
    folder.mkdir()
    for n in range(40):
        pixels = np.random.default_rng(n).integers(0, 255, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png")
    assert cli("index", folder, "--encoder", "fake").code == 0
    return folder


@pytest.fixture
def root(noise: Path, home: Path) -> Path:
    return home / "collections" / "default"


def found(cli, query: str = "red") -> list[tuple[str, float]]:
    hits = cli("search", query, "--json", "--limit", "50").json("search")["hits"]
    return [(hit["path"], hit["score"]) for hit in hits]


def policy(cli) -> dict[str, object]:
    return cli("info", "--json").json("info")["index_policy"]


class TestBuilding:
    def test_text(self, cli, root) -> None:
        before = found(cli)
        outcome = cli("maintain", "--index", "IVF2,SQ8", "--memory", "512MiB", "--recall", "0.9")
        assert (outcome.code, outcome.err) == (0, COLLECTION)
        first, second, *rest = outcome.out.splitlines()
        assert all(line.startswith("  ") for line in rest)
        assert re.fullmatch(
            r"vector index built in \d+ s: IVF2,SQ8, 40 images, \d\.\d kB, built \d{4}-\S+\+00:00", first
        )
        assert re.fullmatch(
            r"  recall@10 on 5 held-out queries each: [01]\.\d{3} of pictures \(probe [12]\), "
            r"[01]\.\d{3} of text-like ones made from pictures \(probe [12]\); target 0\.9",
            second,
        )
        assert found(cli) == before
        assert list((root / "spaces/0/index").rglob("faiss.index"))

    def test_json(self, cli, noise) -> None:
        body = cli("maintain", "--index", "Flat", "--json").json("maintain")
        (report,) = body["index"]
        assert (report["space_id"], report["outcome"]) == (0, "built")
        assert (report["index"]["kind"], report["index"]["rows"]) == ("Flat", 40)
        assert (report["index"]["image_recall"], report["index"]["text_recall"]) == (1, 1)
        assert body["merge"] is None
        (told,) = cli("info", "--json").json("info")["indexes"]
        assert told == report["index"]
        assert cli("maintain", "--json").json("maintain")["index"] is None

    def test_small_collections_are_scanned(self, cli, noise) -> None:
        outcome = cli("maintain", "--index", "auto")
        assert (outcome.code, outcome.out) == (0, "all vectors are scanned: exact, and no index was built\n")
        (report,) = cli("maintain", "--index", "auto", "--json").json("maintain")["index"]
        assert (report["outcome"], report["index"]) == ("scan", None)

    def test_none(self, cli, noise) -> None:
        cli("maintain", "--index", "Flat")
        assert cli("maintain", "--index", "none").out == "no index from now on: searches read all vectors\n"
        assert cli("maintain", "--index", "none").out.startswith("all vectors are scanned")
        assert cli("info", "--json").json("info")["indexes"] == []
        assert "vector" not in cli("maintain").out
        cli("maintain", "--index", "Flat")
        (report,) = cli("maintain", "--index", "none", "--json").json("maintain")["index"]
        assert (report["outcome"], report["index"]) == ("dropped", None)

    def test_with_other_work(self, cli, noise) -> None:
        (noise / "3.png").unlink()
        cli("index")
        body = cli("maintain", "--index", "Flat", "--merge", "--purge", "--json").json("maintain")
        assert body["index"][0]["index"]["rows"] == 39
        assert body["merge"] is not None
        assert body["purge"]["images"] == 1
        assert "/3.png" not in str(found(cli))


class TestThePolicy:
    def test_what_is_not_said_stays(self, cli, noise) -> None:
        assert policy(cli) == {"kind": "auto", "memory": None, "recall": 0.99, "renew": True}
        cli("maintain", "--index", "Flat", "--memory", "2GB", "--recall", "0.8", "--no-renew")
        assert policy(cli) == {"kind": "Flat", "memory": 2 * 10**9, "recall": 0.8, "renew": False}
        cli("maintain", "--index", "HNSW4,SQ8", "--renew")
        assert policy(cli) == {"kind": "HNSW4,SQ8", "memory": 2 * 10**9, "recall": 0.8, "renew": True}

    def test_info(self, cli, noise) -> None:
        assert "indexing" not in cli("info").out
        cli("maintain", "--index", "Flat", "--recall", "0.8", "--no-renew")
        (noise / "0.png").unlink()
        Image.new("RGB", (9, 9), "red").save(noise / "new.png")
        assert cli("index").code == 0
        lines = [line.strip() for line in cli("info").out.splitlines()]
        assert any(line.startswith("index       Flat, 40 images, ") for line in lines)
        assert "1 since then are scanned, 1 have gone" in lines
        assert "indexing    Flat, recall 0.8, a quarter of the memory, not renewed by runs" in lines

    def test_runs_renew(self, cli, noise, monkeypatch) -> None:
        monkeypatch.setattr("imseek.data.vectors.index_renewal.MAX_TAIL_ROWS", 1)
        monkeypatch.setattr("imseek.data.vectors.index_renewal.MAX_TAIL_SHARE", 0.0)
        cli("maintain", "--index", "IVF2,SQ8", "--no-renew")
        for name in ("one", "two"):
            Image.new("RGB", (9, 9), "red" if name == "one" else "blue").save(noise / f"{name}.png")
        cli("index")
        assert "vector index" not in cli("maintain").out
        assert cli("maintain", "--index", "IVF2,SQ8", "--renew").code == 0
        for name in ("three", "four"):
            Image.new("RGB", (9, 9), "lime" if name == "three" else "grey").save(noise / f"{name}.png")
        outcome = cli("index")
        assert outcome.code == 0
        said = r"vector index extended in \d+ s: IVF2,SQ8 of 44 images, recall@10 "
        assert re.search(said, outcome.out + outcome.err)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--index", "nonsense"], "FAISS makes no index of 'nonsense' for 64 dimensions"),
            (["--index", ""], "FAISS makes no index of '' for 64 dimensions"),
            (["--index", "IVF4096,SQ8"], "no IVF4096,SQ8 index can be made of 40 vectors of 64 dimensions"),
            (["--index", "HNSW8,PQ8"], "HNSW8,PQ8 does not rank by inner product"),
            (["--index", "auto", "--memory", "4XB"], "'4XB' is not a size"),
            (["--index", "auto", "--memory", "4i"], "'4i' is not a size"),
            (["--index", "auto", "--memory", "4iB"], "'4iB' is not a size"),
            (["--index", "auto", "--memory", ""], "'' is not a size"),
            (["--index", "auto", "--memory", "0"], "'0' is not a size"),
            (["--index", "auto", "--memory", "-1GB"], "'-1GB' is not a size"),
            (["--index", "auto", "--memory", "1e9"], "'1e9' is not a size"),
            (["--index", "auto", "--recall", "2"], "a recall must be between 0 and 1, not 2.0"),
            (["--index", "auto", "--recall", "0"], "a recall must be between 0 and 1, not 0.0"),
            (["--index", "auto", "--recall", "nan"], "a recall must be between 0 and 1, not nan"),
            (["--index", "auto", "--recall", "much"], "'much' is not a number"),
            (["--memory", "4GB"], "--memory, --recall and --renew go with --index"),
            (["--recall", "0.9"], "--memory, --recall and --renew go with --index"),
            (["--no-renew"], "--memory, --recall and --renew go with --index"),
        ],
    )
    def test_bad_values(self, cli, noise, arguments, said) -> None:
        cli("maintain", "--index", "Flat", "--recall", "0.9")
        outcome = cli("maintain", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.err
        as_json = cli("maintain", *arguments, "--json")
        assert as_json.code == 2
        if "much" not in arguments:
            assert said in as_json.json("error")["error"]["message"]
        assert policy(cli) == {"kind": "Flat", "memory": None, "recall": 0.9, "renew": True}
        assert len(cli("info", "--json").json("info")["indexes"]) == 1

    def test_before_minutes_of_other_work(self, cli, noise) -> None:
        for bad in (["--memory", "4XB"], ["--recall", "2"]):
            outcome = cli("maintain", "--reencode", "fake:32", "--index", "auto", *bad)
            assert outcome.code == 2
        assert cli("info", "--json").json("info")["encoder"]["reference"] == "fake"

    def test_no_collection(self, cli, home) -> None:
        assert cli("maintain", "--index", "auto", "-c", "nowhere").code == 2


@contextmanager
def interrupted() -> Iterator[None]:
    """The first step of a build is when somebody presses Ctrl-C."""
    real = snapshot_build.build_index

    def build(*arguments):
        signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_build, "build_index", build)
        yield


class TestInterrupted:
    def test_text(self, cli, root) -> None:
        cli("maintain", "--index", "Flat")
        before, folder = found(cli), Reader(root).snapshot_folder(0)
        with interrupted():
            outcome = cli("maintain", "--index", "IVF2,SQ8", "--merge")
        assert outcome.code == 130
        assert outcome.out == "interrupted: what there was before is still in use\n"
        assert Reader(root).snapshot_folder(0) == folder
        assert found(cli) == before
        assert cli("collection", "verify").code == 0

    def test_json_and_the_next_run_builds_what_was_asked_for(self, cli, root) -> None:
        with interrupted():
            outcome = cli("maintain", "--index", "Flat", "--json")
            assert cli("maintain").code == 130
        assert outcome.code == 130
        (report,) = outcome.json("maintain")["index"]
        assert (report["outcome"], report["index"]) == ("interrupted", None)
        again = cli("maintain")
        assert again.code == 0
        assert re.match(r"vector index built in \d+ s: Flat of 40 images", again.out)


class TestDamaged:
    def test_a_search_says_so(self, cli, root) -> None:
        cli("maintain", "--index", "Flat")
        before = found(cli)
        folder = Reader(root).snapshot_folder(0)
        assert folder is not None
        (folder.path / "faiss.index").write_bytes(b"no index")
        outcome = cli("search", "red", "--limit", "3")
        assert outcome.code == 0
        assert "the vector index of fake is damaged, and all vectors were read instead" in outcome.out
        assert "`imseek maintain --index Flat` builds it again" in outcome.out
        assert found(cli) == before
        assert cli("info").code == 0
        assert cli("collection", "verify").code == 1
        assert cli("maintain", "--index", "Flat").code == 0
        assert cli("collection", "verify").code == 0
        assert "damaged" not in cli("search", "red").out
