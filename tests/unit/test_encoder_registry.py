"""References: what they name, what ``auto`` becomes, and how long it may take to decide."""

from __future__ import annotations

import datetime
import http.server
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from imseek.encoders import PRESETS, Resolution, load, registry, resolve
from imseek.encoders.presets import DEFAULT
from imseek.errors import UnknownEncoderError


@pytest.fixture(autouse=True)
def empty_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize(
    "reference", ["builtin", "fake", "fake:7", "openclip:ViT-B-32/openai", "hf-hub:a/b", "local-dir:x"]
)
def test_a_named_reference_is_never_replaced(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_is_hub_reachable", None)  # not even asked
    resolution = resolve(reference)
    assert (resolution.reference, resolution.download) == (reference, None)
    assert (resolution.note is not None) == (reference == "builtin"), (
        "that an encoder is basic is always said"
    )


def test_a_preset_is_short_for_its_reference() -> None:
    assert resolve("default") == Resolution("openclip:ViT-B-32-256/datacomp_s34b_b86k")
    for name, preset in PRESETS.items():
        assert name == preset.name
        assert preset.licence not in {"unknown", "restricted"}


def test_presets_name_what_open_clip_would_fetch() -> None:
    from open_clip import get_pretrained_cfg

    for preset in PRESETS.values():
        model, _, tag = preset.reference.removeprefix("openclip:").partition("/")
        assert get_pretrained_cfg(model, tag)["hf_hub"] == f"{preset.repository}/"


@pytest.mark.parametrize(
    ("reference", "near"),
    [
        ("buitlin", "builtin"),
        ("Default", "default"),
        ("open_clip:ViT-B-32/openai", "openclip:MODEL/TAG"),
        ("fake:0", "fake"),
        ("fake:x", "fake"),
        ("openclip:", "openclip"),
        ("builtin:2", "builtin"),
        ("zzz", "references are"),
        ("", "references are"),
    ],
)
def test_an_unknown_reference_lists_near_matches(reference: str, near: str) -> None:
    for use in (load, resolve):
        with pytest.raises(UnknownEncoderError) as caught:
            use(reference)
        assert near in (caught.value.hint or "")
        assert caught.value.exit_code == 2


def test_auto_must_be_resolved_before_it_is_loaded() -> None:
    with pytest.raises(UnknownEncoderError):
        load("auto")


def test_options_reach_the_encoder() -> None:
    assert load("fake:7").info.dim == 7
    assert load("fake").info.dim == 64


# -- auto --------------------------------------------------------------------------------------------------


def expect_builtin(resolution: Resolution) -> None:
    today = datetime.date.today().isoformat()
    assert resolution == Resolution(
        "builtin",
        note=f"basic encoder (hub unreachable on {today}); a collection made when online gets the default one",
    )


def test_auto_takes_cached_weights_without_asking_the_hub(
    empty_hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = empty_hub_cache / f"models--{DEFAULT.repository.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (snapshot / "open_clip_config.json").write_text("{}")  # no weights yet
    expect_builtin(resolve("auto"))
    (snapshot / "open_clip_pytorch_model.bin").write_bytes(b"weights")
    assert resolve("auto") == Resolution(DEFAULT.reference)


def test_auto_offline_is_builtin_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    started = time.monotonic()
    expect_builtin(resolve("auto"))
    assert time.monotonic() - started < 0.5


def test_auto_gives_up_on_a_question_that_never_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a resolver that hangs in the C library, where no timeout reaches it."""
    done = threading.Event()
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda *_, **__: done.wait(60))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(registry, "HUB_DEADLINE_SECONDS", 0.2)
    started = time.monotonic()
    expect_builtin(resolve("auto"))
    assert time.monotonic() - started < 2
    done.set()


def test_the_deadline_is_five_seconds() -> None:
    assert registry.HUB_DEADLINE_SECONDS == 5


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers a HEAD as the hub does, as a captive portal does, or never."""

    behaviour = "hub"

    def do_HEAD(self) -> None:
        if self.behaviour == "hang":
            time.sleep(30)
        self.send_response(200)
        if self.behaviour == "hub":
            self.send_header("X-Repo-Commit", "a" * 40)
            self.send_header("ETag", '"b"')
            self.send_header("Content-Length", "7")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def resolve_elsewhere(tmp_path: Path, **environment: str) -> tuple[str, float]:
    """What ``auto`` becomes in a fresh process, and how many seconds the decision took."""
    script = """
import time
from imseek.encoders import resolve
import huggingface_hub.file_download
started = time.monotonic()
resolution = resolve("auto")
print(resolution.reference, resolution.download.name if resolution.download else "-", time.monotonic() - started)
"""
    inherited = {k: v for k, v in os.environ.items() if not re.search("proxy|^HF_", k, re.IGNORECASE)}
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=inherited | {"HF_HOME": str(tmp_path / "home")} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    reference, download, seconds = result.stdout.split()
    return f"{reference} {download}", float(seconds)


FETCH_DEFAULT = f"{DEFAULT.reference} default"


@pytest.mark.parametrize(
    ("behaviour", "expected"), [("hub", FETCH_DEFAULT), ("portal", "builtin -"), ("hang", "builtin -")]
)
def test_auto_asks_the_hub(
    behaviour: str, expected: str, hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hub, "behaviour", behaviour)
    outcome, seconds = resolve_elsewhere(tmp_path, HF_ENDPOINT=hub)
    assert outcome == expected
    assert seconds < 6


def test_auto_behind_a_dead_proxy_is_builtin(tmp_path: Path) -> None:
    proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9")
    outcome, seconds = resolve_elsewhere(tmp_path, **proxies)
    assert outcome == "builtin -"
    assert seconds < 6
