"""``imseek encoders``: the list, fetching from a hub on this machine, trying one."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fake_hub import FakeHub, FakeRepository, serving
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from imseek.encoders import encoder_check
from imseek.ui.cli.download_progress import download_bar

MOBILE = "openclip:MobileCLIP-S1/datacompdr"
MOBILE_REPOSITORY = "apple/MobileCLIP-S1-OpenCLIP"
FAST = "hf-hub:timm/vit_medium_patch32_clip_224.tinyclip_laion400m"
FILES = {"open_clip_model.safetensors": bytes(3_000_000), "open_clip_config.json": b"{}"}


HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"


@contextmanager
def on_a_terminal(server: FakeHub, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], bytearray]]:
    """``imseek encoders get fast`` with a terminal for stderr, and what it has drawn there once the block is left."""
    leader, follower = pty.openpty()
    extra = {"HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(folder / "hub"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-P", "-m", "imseek", "encoders", "get", "fast"]
    process = subprocess.Popen(
        command,
        stderr=follower,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **extra, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(follower)
    drawn = bytearray()

    def read() -> None:
        with suppress(OSError):  # the other end has gone
            while data := os.read(leader, 65536):
                drawn.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield process, drawn
    finally:
        reader.join()
        os.close(leader)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    apple = FakeRepository(FILES, card={"license": "other", "license_name": "apple-amlr"})
    with serving({FAST.removeprefix("hf-hub:"): FakeRepository(FILES), MOBILE_REPOSITORY: apple}) as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield found
    close_session()


class TestList:
    def test_all(self, cli, server) -> None:
        outcome = cli("encoders")
        lines = outcome.out.splitlines()
        assert outcome.code == 0
        assert lines[0].split() == [
            "download",
            "speed",
            "licence",
            "languages",
            "pixels",
            "here",
            "family",
            "encoder",
        ]
        assert len(lines) == 210
        (default,) = (line for line in lines if line.endswith("(default: what auto takes)"))
        assert default.split()[:5] == ["605.2", "MB", "fast", "MIT", "English"]
        assert outcome.err.startswith("209 encoders")

    def test_json(self, cli, server) -> None:
        found = {entry["reference"]: entry for entry in cli("encoders", "--json").json("encoders")["encoders"]}
        assert len(found) == 209
        multilingual = found["openclip:ViT-B-16-SigLIP2-256/webli"]
        assert (multilingual["preset"], multilingual["languages"]) == ("multilingual", "109 languages")
        assert (multilingual["any_use"], multilingual["cached"]) == (True, False)
        assert found[MOBILE]["licence"] == "restricted"
        assert found["timm:vit_small_patch14_dinov2.lvd142m"]["modalities"] == ["image"]
        assert found["timm:vit_small_patch14_dinov2.lvd142m"]["text_parameters"] is None

    def test_a_word_a_family_any_use(self, cli, server) -> None:
        def references(*arguments: str) -> list[str]:
            return [e["reference"] for e in cli("encoders", *arguments, "--json").json("encoders")["encoders"]]

        assert references("tinyclip") == references("FAST") == [FAST]
        assert references("list", "--family", "siglip2") == references("--family", "SigLIP 2")
        assert len(references("--family", "siglip2")) == 17
        assert MOBILE in references("mobileclip")
        assert references("mobileclip", "--any-use") == []

    def test_nothing_like_it(self, cli, server) -> None:
        outcome = cli("encoders", "nothing")
        assert (outcome.code, outcome.out) == (0, "")
        assert "no encoder matches" in outcome.err
        outcome = cli("encoders", "--family", "nothing")
        assert outcome.code == 2
        assert "there are OpenCLIP, DataComp" in outcome.err

    def test_it_is_quick_and_says_what_is_here(self, process, server, tmp_path) -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert process("encoders", "fast", extra={"HF_HUB_CACHE": str(tmp_path / "hub")}).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Work, not time: other tests run beside it. 0.2 s where nothing does.
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
        run = "from imseek.ui.cli import main; main(['encoders'])"
        script = f"import sys; {run}; print([*sys.modules], file=sys.stderr)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        for heavy in ("'torch'", "'open_clip'", "'httpx2'", "'rich'", "'PIL'", "'sqlalchemy'"):
            assert heavy not in done.stderr


class TestGet:
    def test_fetches_once(self, cli, server) -> None:
        outcome = cli("encoders", "get", "fast")
        assert outcome.code == 0, outcome.err
        assert outcome.err.splitlines() == [
            f"encoder: {FAST}, from {FAST.removeprefix('hf-hub:')}",
            "licence: MIT (mit)",
            "size: 3.0 MB in 2 files",
        ]
        assert outcome.out.startswith(f"{FAST} is there now: ")
        again = cli("encoders", "get", "fast")
        assert again.out.startswith(f"{FAST} was there before: ")
        assert again.err == ""
        (entry,) = cli("encoders", "fast", "--json").json("encoders")["encoders"]
        assert entry["cached"] is True

    def test_json(self, cli, server) -> None:
        document = cli("encoders", "get", "fast", "--json").json("encoders-get")
        assert document["fetched"]["bytes"] == document["fetched"]["missing"] == 3_000_002
        assert Path(document["path"]).read_bytes() == FILES["open_clip_model.safetensors"]
        assert cli("encoders", "get", "fast", "--json").json("encoders-get")["fetched"] is None

    def test_what_is_still_to_come_is_said(self, cli, server) -> None:
        server.repositories[FAST.removeprefix("hf-hub:")] = FakeRepository(
            {**FILES, "open_clip_config.json": bytes(9_000)}
        )
        from huggingface_hub import hf_hub_download

        hf_hub_download(FAST.removeprefix("hf-hub:"), "open_clip_config.json")
        assert "3.0 MB of it still to come" in cli("encoders", "get", "fast").err

    def test_restricted_weights_want_their_licence_accepted(self, cli, server) -> None:
        refused = cli("encoders", "get", MOBILE)
        assert refused.code == 1
        assert "licence: restricted (apple-amlr)" in refused.err
        assert "size: 3.0 MB" in refused.err
        assert f"`imseek encoders get {MOBILE} --accept-license`" in refused.err
        assert not any(path.endswith(".safetensors") for _, path, _ in server.requests)
        error = cli("encoders", "get", MOBILE, "--json").json("error")["error"]
        assert error["type"] == "LicenceError"
        assert cli("encoders", "get", MOBILE, "--accept-license").code == 0
        assert cli("encoders", "get", MOBILE).code == 0, "what is in the cache was accepted"

    def test_create_and_index_do_not_fetch_them(self, cli, server, pictures) -> None:
        for command in (["collection", "create", "new"], ["index", pictures]):
            refused = cli(*command, "--encoder", MOBILE)
            assert refused.code == 1
            assert f"`imseek encoders get {MOBILE} --accept-license`" in refused.err
        assert cli("collection", "list").out == ""

    @pytest.mark.parametrize(
        ("reference", "code", "says"),
        [
            ("builtin", 2, "nothing to download"),
            ("openclip:ViT-B-32@weights.pt", 2, "nothing to download"),
            (
                "openclip:ViT-B-32-256/datacomp_s34b",
                2,
                "near matches: openclip:ViT-B-32-256/datacomp_s34b_b86k",
            ),
            ("defualt", 2, "did you mean default or fast?"),
            ("hf-hub:some/other", 1, "has no repository"),
        ],
    )
    def test_what_cannot_be_fetched(self, cli, server, reference, code, says) -> None:
        outcome = cli("encoders", "get", reference)
        assert outcome.code == code
        assert says in outcome.err

    def test_offline(self, cli, server, monkeypatch) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        outcome = cli("encoders", "get", "default")
        assert outcome.code == 1
        assert "HF_HUB_OFFLINE is set" in outcome.err

    def test_a_bar_on_a_terminal(self, server, tmp_path) -> None:
        with on_a_terminal(server, tmp_path) as (process, drawn):
            pass
        assert process.wait() == 0
        assert b"open_clip_" in drawn  # whichever file was under way when it was last drawn
        assert b"3.0/3.0 MB" in drawn
        assert b"/s" in drawn

    def test_interrupted(self, server, tmp_path) -> None:
        server.cut_after, server.cuts, server.stall = 2_500_000, 1, threading.Event()
        with on_a_terminal(server, tmp_path) as (process, drawn):
            while not any(path.stat().st_size >= 2 << 20 for path in tmp_path.rglob("*.incomplete")):
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert b"interrupted; `imseek encoders get fast` resumes the download" in drawn
        assert drawn.rindex(SHOW_CURSOR) > drawn.rindex(HIDE_CURSOR)

    def test_no_bar_elsewhere(self, capsys) -> None:
        with download_bar():
            pass
        assert capsys.readouterr() == ("", "")


class TestCheck:
    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch) -> None:
        monkeypatch.setattr(encoder_check, "_MIN_SECONDS", 0.01)

    def test_a_sound_one(self, cli) -> None:
        outcome = cli("encoders", "check", "fake:7")
        assert outcome.code == 0
        lines = dict(line.split(maxsplit=1) for line in outcome.out.splitlines())
        assert lines["encoder"] == "fake:7"
        assert lines["precision"] == "fp32"
        assert lines["pictures"].startswith("24, ")
        assert "length 1.00000 to 1.00000" in lines["texts"]

    def test_json(self, cli) -> None:
        document = cli("encoders", "check", "fake:7", "--json").json("encoders-check")
        assert (document["dim"], document["images"]["count"], document["texts"]["count"]) == (7, 24, 8)
        assert document["problems"] == []

    def test_one_that_is_broken(self, cli, monkeypatch) -> None:
        monkeypatch.setattr("imseek.encoders.fake.unit_rows", lambda rows: rows)
        outcome = cli("encoders", "check", "fake")
        assert outcome.code == 1
        assert "problem      vectors of pictures are not of length 1" in outcome.out
        assert json.loads(cli("encoders", "check", "fake", "--json").out)["problems"]

    def test_flags(self, cli) -> None:
        assert cli("encoders", "check", "fake", "--precision", "fp8").code == 2
        assert cli("encoders", "check", "fake", "--device", "gpu").code == 2
