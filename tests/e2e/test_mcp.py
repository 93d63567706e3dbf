"""``imseek mcp`` as a process that a host starts, and ``imseek serve --mcp``, by the protocol's own client."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import documentation
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from serving import TOKEN, Server, served

import imseek
from imseek.ui.cli import main

Talk: TypeAlias = Callable[[Client], Awaitable[Any]]
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    made = tmp_path_factory.mktemp("mcp") / "photos"
    with imseek.create(made, encoder="builtin") as collection:
        collection.index(names=photo_files)
    return made


def over_stdio(root: Path, work: Talk, options: Sequence[str] = ()) -> Any:
    """Start `imseek mcp` as a host does, and run ``work`` with a client of it."""
    command = ["-P", "-m", "imseek", "mcp", "-c", str(root), *options]
    server = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))

    async def run() -> Any:
        async with asyncio.timeout(120), Client(stdio_client(server)) as client:
            return await work(client)

    return asyncio.run(run())


def test_words_find_a_photograph_and_it_is_shown(root: Path) -> None:
    """As the transcript in docs/mcp.md has it; photographs are smaller here."""

    async def look(client: Client) -> tuple[Any, Any]:
        found = await client.call_tool("search", {"text": "a cup of coffee", "limit": 1})
        (hit,) = found.structured_content["hits"]
        return hit, await client.call_tool("get_image", {"image_id": hit["image_id"], "side": 128})

    hit, shown = over_stdio(root, look)
    assert Path(hit["path"]).name == "coffee.png"
    page = documentation.read(documentation.ROOT / "docs" / "mcp.md")
    (score, *_) = re.findall(r'"image_id": 5, "score": ([\d.]+)', page)
    assert hit["score"] == pytest.approx(float(score), abs=0.03)
    assert [one.type for one in shown.content] == ["text", "image"]


def test_several_calls_at_once_and_a_bad_one(root: Path) -> None:
    async def ask(client: Client) -> list[Any]:
        calls = [client.call_tool("search", {"text": word}) for word in ("coffee", "a cat", "x" * (1 << 20))]
        return await asyncio.gather(*calls, client.call_tool("duplicates", {}), client.call_tool("facets", {}))

    found = over_stdio(root, ask)
    assert [one.is_error for one in found] == [False, False, True, False, False]
    assert Path(found[0].structured_content["hits"][0]["path"]).name == "coffee.png"


def test_tags_where_they_are_allowed(root: Path) -> None:
    async def tag(client: Client) -> Any:
        return await client.call_tool("tag", {"tag": "liked", "image_ids": [1]})

    assert over_stdio(root, tag, ["--allow-tags"]).structured_content["named"] == 1
    assert [one.tag for one in imseek.tags.of(root, [1])[1]] == ["liked"]


def _process(root: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "imseek", "mcp", "-c", str(root)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _lines(*messages: dict[str, Any] | bytes) -> bytes:
    return b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in messages)


HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "a host", "version": "1"},
    },
}


def test_stdout_carries_the_protocol_and_nothing_else(root: Path) -> None:
    """Whatever a client writes: every line on stdout is a message, and the process ends when its input does."""
    search = {"name": "search", "arguments": {"text": "a rocket", "limit": 1}}
    with _process(root) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(_lines(HELLO, {"jsonrpc": "2.0", "method": "notifications/initialized"}))
        process.stdin.write(_lines(b"no JSON\n", b"\xff\xfe\n", b"[]\n", b'{"jsonrpc": "2.0"}\n', b"\n"))
        process.stdin.write(_lines({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": search}))
        process.stdin.flush()
        answers = {}
        while 1 not in answers:
            line = process.stdout.readline()
            assert line, "the server has gone"
            message = json.loads(line)
            assert message["jsonrpc"] == "2.0"
            answers[message.get("id")] = message
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert answers[0]["result"]["serverInfo"]["name"] == "imseek"
    assert answers[1]["result"]["structuredContent"]["hits"]


def test_a_library_that_prints_does_not_disturb_the_protocol(root: Path) -> None:
    """Neither from Python nor from native code; and the tools need nothing of the HTTP service."""
    script = f"""
import os, sys
for name in ("fastapi", "prometheus_client"):
    sys.modules[name] = None
from imseek import overview
from imseek.ui.cli import main
facets = overview.facets
def noisy(collection):
    print("printed by Python", flush=True)
    os.write(1, b"printed by native code\\n")
    return facets(collection)
overview.facets = noisy
sys.exit(main(["mcp", "-c", {str(root)!r}]))
"""
    server = StdioServerParameters(command=sys.executable, args=["-P", "-c", script], env=dict(os.environ))

    async def look() -> list[str]:
        strange: list[str] = []

        async def on_message(message: object) -> None:
            if isinstance(message, Exception):  # A line that is no message.
                strange.append(str(message))

        async with asyncio.timeout(120), Client(stdio_client(server), message_handler=on_message) as client:
            assert not (await client.call_tool("facets")).is_error
            assert not (await client.call_tool("facets")).is_error
        return strange

    assert asyncio.run(look()) == []


def test_a_client_that_goes_ends_the_process(root: Path) -> None:
    """It goes while its calls run."""
    calls = [
        {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate([("duplicates", {"kinds": ["same", "scene"]}), ("facets", {})], 1)
    ]
    with _process(root) as process:
        process.communicate(_lines(HELLO, {"jsonrpc": "2.0", "method": "notifications/initialized"}, *calls), 60)
        assert process.returncode == 0


def test_collections_that_are_made_later_are_there(
    tmp_path: Path, photo_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host may start the command before anything is indexed."""
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("IMSEEK_COLLECTION", raising=False)
    monkeypatch.chdir(tmp_path)
    server = StdioServerParameters(command=sys.executable, args=["-P", "-m", "imseek", "mcp"], env=dict(os.environ))

    async def look() -> None:
        async with asyncio.timeout(120), Client(stdio_client(server)) as client:
            assert (await client.call_tool("collections")).structured_content["collections"] == []
            refused = await client.call_tool("search", {"text": "red"})
            assert refused.is_error
            assert "there is no collection yet" in refused.content[0].text
            assert main(["index", str(photo_files[0]), "-c", "photos", "--encoder", "fake"]) == 0
            (one,) = (await client.call_tool("collections")).structured_content["collections"]
            assert (one["name"], one["images"]) == ("photos", 1)
            assert (await client.call_tool("search", {"text": "red"})).structured_content["hits"]

    asyncio.run(look())


def test_a_collection_that_is_not_there_is_said_on_stderr(tmp_path: Path) -> None:
    with _process(tmp_path / "nothing") as process:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (2, b"")
        assert b"imseek: no collection" in err


def test_the_configurations_in_the_docs_start_it(capsys: pytest.CaptureFixture[str]) -> None:
    page = documentation.ROOT / "docs" / "mcp.md"
    blocks = [json.loads(block.text) for block in documentation.blocks(page) if block.language == "json"]
    blocks += [tomllib.loads(block.text) for block in documentation.blocks(page) if block.language == "toml"]
    servers = [one["imseek"] for block in blocks for one in block.values()]
    started = [one for one in servers if "command" in one]
    assert len(started) == 3
    for one in started:
        assert Path(one["command"]).is_absolute()
        assert main([*one["args"], "--help"]) == 0
        assert "imseek mcp" in capsys.readouterr().out
    (remote,) = [one for one in servers if "url" in one]
    assert remote["url"].endswith(":1234/mcp")


# -- over HTTP -----------------------------------------------------------------------------------------------


def over_http(server: Server, work: Talk, headers: dict[str, str] | None = None) -> Any:
    async def run() -> Any:
        async with (
            asyncio.timeout(120),
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as client,
        ):
            return await work(client)

    return asyncio.run(run())


def _post(server: Server, headers: dict[str, str], body: bytes | None = None) -> int:
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **headers}
    data = json.dumps(CALL).encode() if body is None else body
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{server.url}/mcp", data, sent), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_service_offers_the_tools_behind_its_guard(root: Path) -> None:
    async def look(client: Client) -> tuple[Any, Any, list[float]]:
        said: list[float] = []

        async def on_progress(progress: float, _total: float | None, _message: str | None) -> None:
            said.append(progress)

        found = await client.call_tool("search", {"text": "a rocket", "limit": 1})
        return found, await client.call_tool("duplicates", {}, progress_callback=on_progress), said

    with served(root, options=["--mcp"]) as server:
        found, duplicates, said = over_http(server, look)
        assert Path(found.structured_content["hits"][0]["path"]).name == "rocket.jpg"
        assert not duplicates.is_error
        assert said
        assert _post(server, {}) == 200
        assert _post(server, {"Host": "evil.example"}) == 421
        assert _post(server, {"Origin": "https://evil.example"}) == 403
        assert _post(server, {"Authorization": "Bearer wrong"}) == 200  # It reads only.
        assert _post(server, {"Content-length": str(1 << 30)}) == 413
        assert _post(server, {}, b"no JSON") == 400
        with pytest.raises(urllib.error.HTTPError, match="405"):
            urllib.request.urlopen(f"{server.url}/mcp", timeout=30)
        assert server.end() == 143


def test_a_service_that_lets_assistants_tag_wants_its_token(root: Path) -> None:
    async def tag(client: Client) -> Any:
        return await client.call_tool("tag", {"tag": "over-http", "image_ids": [2]})

    with served(root, options=["--mcp", "--allow-tags"]) as server:
        assert _post(server, {}) == 401
        assert _post(server, {"Authorization": "Bearer wrong-wrong-wrong-wrong"}) == 401
        assert over_http(server, tag, {"Authorization": f"Bearer {TOKEN}"}).structured_content["named"] == 1
    assert [one.tag for one in imseek.tags.of(root, [2])[2]] == ["over-http"]


def test_a_service_without_assistants_has_no_such_route(root: Path) -> None:
    with served(root) as server:
        assert _post(server, {"Authorization": f"Bearer {TOKEN}"}) == 404
