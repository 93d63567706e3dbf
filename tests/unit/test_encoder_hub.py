"""The model hub: fetched so that a broken transfer goes on, noticed in time when it is not there."""

from __future__ import annotations

import hashlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from fake_hub import FakeHub, FakeRepository, serving
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.utils import close_session

from imseek.encoders import Transfer, download_encoder, hub, resumable_download
from imseek.encoders.hub import Part
from imseek.errors import EncoderError, EncoderUnavailableError, LicenceError

pytestmark = pytest.mark.slow

REFERENCE = "hf-hub:some/model"
WEIGHTS = np.random.default_rng(0).integers(0, 256, 5_500_000, dtype=np.uint8).tobytes()
CONFIG = b'{"model_cfg": {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}}'
FILES = {"open_clip_model.safetensors": WEIGHTS, "open_clip_config.json": CONFIG, "README.md": b"a card"}
PART = Part("some/model", ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of the hub; the client may ask."""
    for name in os.environ:
        if re.search("proxy", name, re.IGNORECASE):
            monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield tmp_path / "hub"
    close_session()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with serving({"some/model": FakeRepository(FILES)}) as found:
        point_at(found.url, monkeypatch)
        yield found


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


def ranges(server: FakeHub) -> list[str | None]:
    """What was asked for of the weights, request by request."""
    return [asked for method, path, asked in server.requests if method == "GET" and path.endswith(".safetensors")]


# -- fetching ----------------------------------------------------------------------------------------------


def test_what_is_fetched_is_where_the_client_looks(server: FakeHub, cache: Path) -> None:
    heard: list[Transfer] = []
    fetched = download_encoder(REFERENCE, progress=heard.append)
    assert fetched.path.read_bytes() == WEIGHTS
    assert str(fetched.path) == try_to_load_from_cache("some/model", "open_clip_model.safetensors")
    assert hub.revision(fetched.path) == "c" * 40
    assert fetched.offer is not None
    assert (fetched.offer.licence, fetched.offer.licence_name) == ("MIT", "mit")
    assert fetched.offer.bytes == fetched.offer.missing == len(WEIGHTS) + len(CONFIG)
    assert heard[0] == Transfer("open_clip_model.safetensors", 0, len(WEIGHTS) + len(CONFIG))
    assert heard[-1].done == heard[-1].total
    assert [t.done for t in heard] == sorted(t.done for t in heard)
    assert len({t.done for t in heard}) > 4  # a bar that moves
    assert list(cache.rglob("*.incomplete")) == []


def test_what_is_there_is_not_asked_for(server: FakeHub) -> None:
    first = download_encoder(REFERENCE)
    server.requests.clear()
    again = download_encoder(REFERENCE)
    assert (again.path, again.offer) == (first.path, None)
    assert hub.ensure_cached(REFERENCE, [PART]) == first.path
    assert server.requests == []


def test_our_look_at_the_cache_is_the_clients(server: FakeHub, cache: Path) -> None:
    assert hub.cached_path(PART) is None
    hf_hub_download("some/model", "open_clip_config.json")  # not the weights
    assert hub.cached_path(PART) is None
    hf_hub_download("some/model", "open_clip_model.safetensors")
    assert str(hub.cached_path(PART)) == try_to_load_from_cache("some/model", "open_clip_model.safetensors")
    (cache / "models--some--model" / "refs" / "main").write_text("d" * 40)
    assert hub.cached_path(PART) is None
    assert try_to_load_from_cache("some/model", "open_clip_model.safetensors") is None


def test_a_broken_connection_is_taken_up_again(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    server.cut_after, server.cuts = 2_500_000, 2
    assert download_encoder(REFERENCE).path.read_bytes() == WEIGHTS
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0 for asked in ranges(server)]
    assert len(starts) == 3
    assert starts == sorted(set(starts))
    assert starts[1] >= 2_000_000, "what had come was kept, to the last megabyte"


def test_a_network_that_stays_away_is_an_error_and_the_next_command_goes_on(
    server: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    server.cut_after, server.cuts = 1_100_000, 1
    real = server.RequestHandlerClass._file  # type: ignore[attr-defined]

    def gone(handler: object, name: str, file: str) -> None:
        if server.cuts == 0 and file.endswith(".safetensors"):
            handler.connection.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
            return
        real(handler, name, file)

    monkeypatch.setattr(server.RequestHandlerClass, "_file", gone)
    with pytest.raises(EncoderUnavailableError, match="broke off") as caught:
        download_encoder(REFERENCE)
    assert f"imseek encoders get {REFERENCE}" in (caught.value.hint or "")
    (left,) = cache.rglob("*.incomplete")
    assert left.read_bytes() == WEIGHTS[: 1 << 20]

    monkeypatch.setattr(server.RequestHandlerClass, "_file", real)
    server.requests.clear()
    assert download_encoder(REFERENCE).path.read_bytes() == WEIGHTS
    assert ranges(server) == [f"bytes={1 << 20}-"]


def test_a_killed_download_goes_on(server: FakeHub, cache: Path) -> None:
    server.cut_after, server.cuts, server.stall = 3_300_000, 1, threading.Event()
    script = f"from imseek.encoders import download_encoder; download_encoder({REFERENCE!r})"
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment)
    partial = cache / "models--some--model" / "blobs"
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size >= 3 << 20 for path in partial.glob("*.incomplete")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.stall.set()
    server.requests.clear()

    offers = []
    fetched = download_encoder(REFERENCE, offered=offers.append)
    assert fetched.path.read_bytes() == WEIGHTS
    assert ranges(server) == [f"bytes={3 << 20}-"]


def test_threads_of_a_process_fetch_once(server: FakeHub) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(hub.ensure_cached(REFERENCE, [PART]))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 3
    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == WEIGHTS
    assert len(ranges(server)) == 1


def test_two_processes_fetch_once(server: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub holds the weights back until both processes have asked for their size, and so are about to fetch."""
    both = threading.Barrier(2, timeout=60)
    handler = server.RequestHandlerClass
    describe = handler._describe  # type: ignore[attr-defined]

    def together(request: object, name: str) -> None:
        both.wait()
        describe(request, name)

    monkeypatch.setattr(handler, "_describe", together)
    script = (
        "from imseek.encoders import hub; "
        f"print(hub.ensure_cached({REFERENCE!r}, [hub.Part({PART.repository!r}, {PART.names!r})]))"
    )
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    paths = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert paths == {try_to_load_from_cache("some/model", "open_clip_model.safetensors")}
    assert Path(paths.pop()).read_bytes() == WEIGHTS
    assert ranges(server) == [None]


def test_damage_on_the_way_is_noticed_and_removed(server: FakeHub, cache: Path) -> None:
    server.damage = True
    with pytest.raises(EncoderError, match=f"damaged: its sha256 is .* not {hashlib.sha256(WEIGHTS).hexdigest()[:12]}"):
        download_encoder(REFERENCE)
    assert list(cache.rglob("*.incomplete")) == []
    assert hub.cached_path(PART) is None
    server.damage = False
    assert download_encoder(REFERENCE).path.read_bytes() == WEIGHTS


def test_a_server_that_knows_no_ranges_starts_anew(
    server: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = cache / "models--some--model" / "blobs" / f"{hashlib.sha256(WEIGHTS).hexdigest()}.incomplete"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(WEIGHTS[:1_000_000])
    real = server.RequestHandlerClass._file  # type: ignore[attr-defined]

    def whole(handler: object, name: str, file: str) -> None:
        del handler.headers["Range"]  # type: ignore[attr-defined]
        real(handler, name, file)

    monkeypatch.setattr(server.RequestHandlerClass, "_file", whole)
    assert download_encoder(REFERENCE).path.read_bytes() == WEIGHTS


@pytest.mark.parametrize("left", [b"", WEIGHTS, WEIGHTS + b"more"], ids=["nothing", "all", "more than all"])
def test_whatever_a_broken_download_left(left: bytes, server: FakeHub, cache: Path) -> None:
    blob = cache / "models--some--model" / "blobs" / f"{hashlib.sha256(WEIGHTS).hexdigest()}.incomplete"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(left)
    assert download_encoder(REFERENCE).path.read_bytes() == WEIGHTS
    assert ranges(server) == ([] if left == WEIGHTS else [None])


def test_no_room_is_said_before_anything_is_fetched(
    server: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "imseek.encoders.resumable_download.shutil.disk_usage", lambda _: SimpleNamespace(free=5_000_000)
    )
    with pytest.raises(EncoderUnavailableError, match=r"the disk is full: .* takes 6 MB in") as caught:
        download_encoder(REFERENCE)
    assert "HF_HUB_CACHE" in (caught.value.hint or "")
    assert ranges(server) == []


def test_a_disk_that_fills_up_keeps_what_has_come(
    server: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As /dev/full answers: the third write finds no space."""
    real = resumable_download._ProgressFile.write
    writes = []

    def write(self: resumable_download._ProgressFile, data: bytes) -> int:
        writes.append(len(data))
        if len(writes) == 3:
            raise OSError(28, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(resumable_download._ProgressFile, "write", write)
    with pytest.raises(EncoderUnavailableError, match="the disk is full"):
        download_encoder(REFERENCE)
    (left,) = cache.rglob("*.incomplete")
    assert left.read_bytes() == WEIGHTS[: 2 << 20]
    monkeypatch.setattr(resumable_download._ProgressFile, "write", real)
    server.requests.clear()
    assert download_encoder(REFERENCE).path.read_bytes() == WEIGHTS
    assert ranges(server) == [f"bytes={2 << 20}-"]


# -- licences ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "named"),
    [
        (None, "not stated"),
        ({"license": "cc-by-nc-4.0"}, "cc-by-nc-4.0"),
        ({"license": "other", "license_name": "x-1"}, "x-1"),
    ],
)
def test_what_is_not_for_any_use_wants_its_licence_accepted(
    server: FakeHub, card: dict[str, str] | None, named: str
) -> None:
    server.repositories["some/model"].card = card
    for fetch in (lambda: download_encoder(REFERENCE), lambda: hub.ensure_cached(REFERENCE, [PART])):
        with pytest.raises(LicenceError, match=re.escape(named)) as caught:
            fetch()
        assert f"imseek encoders get {REFERENCE} --accept-license" in (caught.value.hint or "")
        assert caught.value.exit_code == 1
    assert ranges(server) == []
    fetched = download_encoder(REFERENCE, accept_license=True)
    assert fetched.path.read_bytes() == WEIGHTS
    assert hub.ensure_cached(REFERENCE, [PART]) == fetched.path, "in the cache means accepted"


def test_a_restricted_repository_stays_so_whatever_its_card_says(server: FakeHub) -> None:
    server.repositories["apple/MobileCLIP-S1-OpenCLIP"] = FakeRepository(FILES)
    with pytest.raises(LicenceError):
        download_encoder("openclip:MobileCLIP-S1/datacompdr")


def test_a_card_that_has_become_stricter_counts(server: FakeHub) -> None:
    server.repositories["laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K"] = FakeRepository(
        FILES, card={"license": "cc-by-nc-4.0"}
    )
    with pytest.raises(LicenceError, match=r"cc-by-nc-4\.0"):
        download_encoder("default")


# -- what is not there -------------------------------------------------------------------------------------


def test_a_repository_that_is_not_there(server: FakeHub) -> None:
    with pytest.raises(EncoderUnavailableError, match="the hub has no repository for hf-hub:some/other"):
        download_encoder("hf-hub:some/other")


def test_a_repository_of_something_else(server: FakeHub) -> None:
    server.repositories["some/dataset"] = FakeRepository({"README.md": b"x"})
    with pytest.raises(EncoderUnavailableError, match=r"holds no open_clip_model\.safetensors"):
        download_encoder("hf-hub:some/dataset")


class Answers(queue.SimpleQueue[Any]):
    """Notes how long an answer is waited for; ``None`` seconds would be for ever."""

    waits: ClassVar[list[float | None]] = []

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self.waits.append(timeout)
        return super().get(block, timeout)


class NoAnswers(Answers):
    """Time flies: what was to be waited for has not come."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self.waits.append(timeout)
        raise queue.Empty


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """How many seconds the hub was given, question by question."""
    monkeypatch.setattr(Answers, "waits", [])
    monkeypatch.setattr("imseek.encoders.hub.queue", SimpleNamespace(SimpleQueue=Answers, Empty=queue.Empty))
    return Answers.waits


def expect_unreachable() -> str:
    """An explicit reference says that the hub cannot be reached."""
    with pytest.raises(EncoderUnavailableError) as caught:
        hub.first_file("openclip:a/b", "some/model", PART.names)
    assert "unset HF_HUB_OFFLINE" in (caught.value.hint or "")
    return str(caught.value)


def test_offline_is_said_at_once(waits: list[float | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked: list[str] = []
    monkeypatch.setattr(hub, "_describe_repository", asked.append)
    assert "HF_HUB_OFFLINE is set" in expect_unreachable()
    assert (asked, waits) == ([], [])


def test_a_refused_port(waits: list[float | None], monkeypatch: pytest.MonkeyPatch) -> None:
    point_at("http://127.0.0.1:9", monkeypatch)
    assert "refused" in expect_unreachable()
    assert waits == [5]


def test_a_host_that_accepts_and_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "DEADLINE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        point_at(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch)
        expect_unreachable()


def test_a_resolver_that_hangs(waits: list[float | None], monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs in the C library, where no timeout of the client reaches it."""
    begun, released = threading.Event(), threading.Event()

    def hanging(*_: object, **__: object) -> list[object]:
        begun.set()
        released.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    monkeypatch.setattr("imseek.encoders.hub.queue.SimpleQueue", NoAnswers)
    point_at("http://hub.invalid", monkeypatch)
    assert "did not answer within 5 seconds" in expect_unreachable()
    assert waits == [5]
    assert begun.wait(60), "the question was asked, by a thread that is left behind"
    released.set()


def test_a_portal_that_answers_for_the_hub(monkeypatch: pytest.MonkeyPatch, server: FakeHub) -> None:
    monkeypatch.setattr(
        server.RequestHandlerClass,
        "_describe",
        lambda handler, name: handler._send(200, b"<html>please log in</html>", {"Content-Type": "text/html"}),
    )
    assert "did not answer" not in expect_unreachable()


def test_offline_for_others_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub.offline():
        assert constants.is_offline_mode()
    assert not constants.is_offline_mode()


def test_a_cache_that_cannot_be_written_is_named(server: FakeHub, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(EncoderUnavailableError, match=f"cannot be written.*{re.escape(str(cache))}") as caught:
        download_encoder(REFERENCE)
    assert "HF_HUB_CACHE" in (caught.value.hint or "")


def test_a_folder_of_a_repositorys_name_is_no_repository(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert download_encoder(REFERENCE).path.read_bytes() == WEIGHTS
