"""References: what they name, what ``auto`` becomes, and how long it may take to decide."""

from __future__ import annotations

import datetime
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import FakeHub, FakeRepository, serving
from huggingface_hub import constants

from imseek.encoders import PRESETS, Resolution, find_encoder, hub, load, resolve
from imseek.errors import UnknownEncoderError

pytestmark = pytest.mark.slow

DEFAULT = find_encoder("default")
assert DEFAULT is not None


@pytest.fixture(autouse=True)
def empty_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize(
    "reference",
    [
        "builtin",
        "fake",
        "fake:7",
        "openclip:ViT-B-32-quickgelu/openai",
        "openclip:a/b",
        "hf-hub:a/b",
        "local-dir:/x",
        "timm:a@/x.safetensors",
    ],
)
def test_a_named_reference_is_never_replaced(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "describe", None)  # not even asked
    resolution = resolve(reference)
    assert (resolution.reference, resolution.download) == (reference, find_encoder(reference))
    assert (resolution.note is not None) == (reference == "builtin"), "that an encoder is basic is always said"


def test_a_preset_is_short_for_its_reference() -> None:
    assert resolve("default") == Resolution("openclip:ViT-B-32-256/datacomp_s34b_b86k", download=DEFAULT)
    for name, preset in PRESETS.items():
        assert name == preset.name
        assert resolve(name).reference == preset.reference


@pytest.mark.parametrize("form", ["openclip:A@{}", "timm:a.b@{}", "local-dir:{}", "align:{}"])
def test_files_and_folders_are_named_from_the_root(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for written in ("weights", "./weights", "~/weights", f"{tmp_path}/weights"):
        assert resolve(form.format(written)).reference == form.format(tmp_path / "weights")


def test_an_align_model_of_the_hub_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve("align:org/repo").reference == "align:org/repo"


def test_a_tag_is_spelled_as_open_clip_spells_it() -> None:
    canonical = "openclip:ViT-B-32/laion2b_s34b_b79k"
    assert resolve("openclip:ViT-B-32/laion2B-s34B-b79K").reference == canonical


@pytest.mark.parametrize("reference", [None, 7, Path("x"), b"builtin", ["builtin"]])
def test_a_reference_is_a_text(reference: object) -> None:
    for use in (load, resolve):
        with pytest.raises(UnknownEncoderError, match=type(reference).__name__):
            use(reference)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reference", "near"),
    [
        ("buitlin", "builtin"),
        ("Default", "default"),
        ("open_clip:ViT-B-32/openai", "openclip:ViT-B-32-quickgelu/openai"),
        ("fake:0", "fake"),
        ("fake:x", "fake"),
        ("openclip:", "openclip"),
        ("builtin:2", "builtin"),
        ("vit-b-32", "openclip:ViT-B-32"),
        ("siglip2", "SigLIP2"),
        ("dinov2", "timm:vit_small_patch14_dinov2.lvd142m"),
        ("align-base", "align:kakaobrain/align-base"),
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
    asked: list[str] = []
    monkeypatch.setattr(hub, "_describe_repository", asked.append)
    monkeypatch.setattr(hub.threading, "Thread", asked.append)
    expect_builtin(resolve("auto"))
    assert asked == []


@pytest.fixture
def server() -> Iterator[FakeHub]:
    files = {"open_clip_model.safetensors": b"w", "open_clip_config.json": b"{}"}
    with serving({DEFAULT.repository: FakeRepository(files)}) as found:
        yield found


def resolve_elsewhere(tmp_path: Path, **environment: str) -> tuple[str, str]:
    """What ``auto`` becomes in a fresh process, and for how long each answer was waited for.

    Where the hub is silent, nothing comes however long one waits: the deadline passes at once.
    """
    script = """
import queue
from imseek.encoders import hub, resolve
class Answers(queue.SimpleQueue):
    def get(self, timeout=None):
        waits.append(timeout)
        return super().get(timeout=0.01 if SILENT else timeout)
waits = []
queue.SimpleQueue = Answers
resolution = resolve("auto")
print(resolution.reference, resolution.download is not None, waits)
""".replace("SILENT", str(bool(environment.pop("SILENT", ""))))
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
    reference, download, waits = result.stdout.split()
    return f"{reference} {download}", waits


UNREACHABLE = "builtin False"


def test_auto_asks_the_hub(server: FakeHub, tmp_path: Path) -> None:
    outcome, waits = resolve_elsewhere(tmp_path, HF_ENDPOINT=server.url)
    assert outcome == f"{DEFAULT.reference} True"
    assert waits == "[5.0]"


def test_auto_where_a_portal_answers_for_the_hub(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.RequestHandlerClass, "_describe", lambda handler, _: handler._send(200, b"<html>", {}))
    assert resolve_elsewhere(tmp_path, HF_ENDPOINT=server.url)[0] == UNREACHABLE


def test_auto_behind_a_proxy_that_is_gone(tmp_path: Path) -> None:
    outcome, waits = resolve_elsewhere(tmp_path, **proxies("http://127.0.0.1:9"))
    assert outcome == UNREACHABLE
    assert waits == "[5.0]"


def test_auto_behind_a_proxy_that_never_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outcome, waits = resolve_elsewhere(
            tmp_path, SILENT="yes", **proxies(f"http://127.0.0.1:{silent.getsockname()[1]}")
        )
    assert outcome == UNREACHABLE
    assert waits == "[5.0]"


def proxies(url: str) -> dict[str, str]:
    return dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), url)
