"""Tools for assistants, by the protocol's own client in this process: what they answer, and what they refuse."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema
import pytest
import reranking
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ImageContent, TextContent
from PIL import Image

import imseek
from imseek.ui.mcp import tools as tools_module
from imseek.ui.mcp.arguments import query_arguments
from imseek.ui.mcp.server import make_server
from imseek.ui.mcp.tools import Tools
from imseek.ui.server.pictures import ThumbnailCache
from imseek.ui.server.service import Service
from imseek.ui.server.settings import Settings

Talk: TypeAlias = Callable[[Client], Awaitable[Any]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    folder = tmp_path_factory.mktemp("mcp")
    pictures = folder / "pictures"
    pictures.mkdir()
    for file in photo_files:
        (pictures / file.name).write_bytes(file.read_bytes())
    for copy in ("copy-a.png", "copy-b.png"):
        (pictures / copy).write_bytes((pictures / "rocket.jpg").read_bytes())
    with Image.open(pictures / "coffee.png") as coffee:
        coffee.convert("RGB").save(pictures / "coffee-again.jpg", quality=80)
    with imseek.create(folder / "photos", encoder="fake") as collection:
        collection.index([pictures])
    return folder / "photos"


@pytest.fixture
def settings(root: Path) -> Settings:
    return Settings((("photos", root),))


def talk(settings: Settings, work: Talk, **options: bool) -> Any:
    """Run ``work`` with a client of a server in this process."""

    async def run() -> Any:
        service = Service(settings)
        try:
            tools = Tools(service, ThumbnailCache(settings.pixels), **options)
            async with Client(make_server(tools)) as client:
                return await work(client)
        finally:
            await service.close()

    return asyncio.run(run())


def call(settings: Settings, tool: str, arguments: dict[str, Any] | None = None, **options: bool) -> CallToolResult:
    """Call one tool. The client checks structured content against the schema that the tool declares."""
    found = talk(settings, lambda client: client.call_tool(tool, arguments or {}), **options)
    assert isinstance(found, CallToolResult)
    return found


def answer(settings: Settings, tool: str, arguments: dict[str, Any] | None = None, **options: bool) -> Any:
    found = call(settings, tool, arguments, **options)
    assert not found.is_error, found.content
    (text,) = [one for one in found.content if isinstance(one, TextContent)]
    assert json.loads(text.text) == found.structured_content
    return found.structured_content


def refusal(settings: Settings, tool: str, arguments: dict[str, Any], **options: bool) -> str:
    found = call(settings, tool, arguments, **options)
    assert found.is_error
    assert found.structured_content is None
    (text,) = found.content
    assert isinstance(text, TextContent)
    assert "Traceback" not in text.text
    assert len(text.text) < 1500
    assert all(line.isprintable() for line in text.text.split("\n"))
    return text.text


# -- what tools declare --------------------------------------------------------------------------------------


def test_tools_declare_what_they_take_and_answer(settings: Settings) -> None:
    listed = talk(settings, lambda client: client.list_tools()).tools
    assert [one.name for one in listed] == ["search", "similar", "get_image", "facets", "duplicates", "collections"]
    for one in listed:
        jsonschema.Draft202012Validator.check_schema(one.input_schema)
        jsonschema.Draft202012Validator.check_schema(one.output_schema)
        assert one.annotations.read_only_hint
        for name, member in one.input_schema["properties"].items():
            assert member.get("description"), f"{one.name}: {name}"


def test_no_tool_writes_unless_that_is_allowed(settings: Settings) -> None:
    async def look(client: Client) -> None:
        with pytest.raises(MCPError, match="no tool is called tag"):
            await client.call_tool("tag", {"tag": "x", "image_ids": [0]})

    talk(settings, look)
    listed = talk(settings, lambda client: client.list_tools(), allow_tags=True).tools
    assert [one.name for one in listed if not one.annotations.read_only_hint] == ["tag"]


# -- answers -------------------------------------------------------------------------------------------------


def test_a_search_finds_what_the_library_finds(settings: Settings, root: Path) -> None:
    query = imseek.Query((imseek.Term(text="red"), imseek.Term(text="blue", weight=-0.5)), 3, where="width > 400")
    with imseek.open(root) as collection:
        expected = collection.search(query)
    found = answer(settings, "search", {"text": "red", "not": "blue", "limit": 3, "where": "width > 400"})
    assert [hit["image_id"] for hit in found["hits"]] == [hit.image_id for hit in expected]
    assert [hit["path"] for hit in found["hits"]] == [hit.path for hit in expected]
    assert found["collection"] == "photos"
    rest = answer(
        settings,
        "search",
        {"text": "red", "not": "blue", "limit": 3, "where": "width > 400", "page": found["next_page"]},
    )
    assert not {hit["image_id"] for hit in rest["hits"]} & {hit["image_id"] for hit in found["hits"]}


def test_rerankers_are_offered_by_name(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    search, *_ = talk(settings, lambda client: client.list_tools()).tools
    assert search.input_schema["properties"]["rerank"]["enum"] == ["captions", "tokens", None]
    reranking.install(monkeypatch, reranking.by_brightness())
    query_arguments.cache_clear()
    try:
        search, *_ = talk(settings, lambda client: client.list_tools()).tools
        assert search.input_schema["properties"]["rerank"]["enum"] == ["captions", "tokens", "brightness", None]
        found = answer(settings, "search", {"text": "red", "rerank": "brightness"})
        scores = [hit["matches"][0]["score"] for hit in found["hits"]]
        assert scores == sorted(scores, reverse=True)
        assert "reranker brightness 1.0" in found["notes"][-1]
    finally:
        query_arguments.cache_clear()


def test_stored_images_and_pictures_find_themselves(settings: Settings, photo_files: list[Path]) -> None:
    assert answer(settings, "similar", {"image_id": 3, "limit": 1})["hits"][0]["image_id"] == 3
    assert answer(settings, "search", {"like": [3], "limit": 1})["hits"][0]["image_id"] == 3
    picture = base64.b64encode(photo_files[2].read_bytes()).decode()
    (hit,) = answer(settings, "similar", {"picture": picture, "limit": 1})["hits"]
    assert Path(hit["path"]).name == photo_files[2].name


def test_an_image_is_shown(settings: Settings) -> None:
    found = call(settings, "get_image", {"image_id": 1, "side": 64})
    text, picture = found.content
    assert isinstance(text, TextContent)
    assert isinstance(picture, ImageContent)
    assert picture.mime_type == "image/webp"
    with Image.open(io.BytesIO(base64.b64decode(picture.data))) as opened:
        assert max(opened.size) == 64
    assert found.structured_content["image_id"] == 1
    assert found.structured_content["metadata"]["width"] > 64


def test_an_image_whose_file_has_gone_is_described(tmp_path: Path, photo_files: list[Path]) -> None:
    file = tmp_path / "one.png"
    file.write_bytes(photo_files[0].read_bytes())
    with imseek.create(tmp_path / "photos", encoder="fake") as collection:
        collection.index(names=[file])
    file.unlink()
    found = call(Settings((("photos", tmp_path / "photos"),)), "get_image", {"image_id": 0})
    assert len(found.content) == 1
    assert found.structured_content["problem"]
    assert found.structured_content["metadata"]["width"] == 512


def test_columns_with_their_values(settings: Settings) -> None:
    columns = {one["column"]: one for one in answer(settings, "facets")["columns"]}
    assert {value for value, _ in columns["format"]["values"]} == {"JPEG", "PNG"}
    assert columns["width"]["low"] > 0
    (one,) = answer(settings, "facets", {"column": "format", "values": 1})["columns"]
    assert len(one["values"]) == 1
    assert "did you mean format?" in refusal(settings, "facets", {"column": "fromat"})
    few = answer(settings, "facets", {"where": "format = 'PNG'"})
    assert {one["column"]: one["values"] for one in few["columns"]}["format"] == [["PNG", few["images"]]]
    assert "hint" in refusal(settings, "facets", {"where": "fromat = 'PNG'"})


def test_duplicates_come_in_pages(settings: Settings) -> None:
    async def look(client: Client) -> list[CallToolResult]:
        said: list[float] = []

        async def on_progress(progress: float, _total: float | None, _message: str | None) -> None:
            said.append(progress)

        first = await client.call_tool("duplicates", {"limit": 1}, progress_callback=on_progress)
        assert said
        assert said == sorted(set(said))  # The protocol wants numbers that grow.
        said.clear()
        second = await client.call_tool("duplicates", {"limit": 1, "page": first.structured_content["next_page"]})
        assert not said  # From the report of the first call.
        return [first, second]

    first, second = (one.structured_content for one in talk(settings, look))
    assert first["group_count"] == second["group_count"] == 2
    assert first["surplus"] == 3
    assert second["next_page"] is None
    names = [{Path(m["path"]).name for m in page["groups"][0]["members"]} for page in (first, second)]
    assert names == [{"rocket.jpg", "copy-a.png", "copy-b.png"}, {"coffee.png", "coffee-again.jpg"}]


def test_judgements_stand_beside_duplicates(tmp_path: Path, root: Path) -> None:
    import shutil

    shutil.copytree(root, tmp_path / "photos")
    settings = Settings((("photos", tmp_path / "photos"),))
    (group,) = answer(settings, "duplicates", {"kinds": ["same"]})["groups"]
    keeper, other = (member["image_id"] for member in group["members"])
    imseek.duplicates.judge(tmp_path / "photos", [keeper, other], "same")
    found = answer(settings, "duplicates", {"kinds": ["same"]})
    assert [one["verdict"] for one in found["judgements"]] == ["same"]
    imseek.duplicates.judge(tmp_path / "photos", [keeper, other], "different")
    assert answer(settings, "duplicates", {"kinds": ["same"]})["group_count"] == 0


def test_a_search_for_duplicates_ends_when_its_time_is_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools_module, "DUPLICATE_SECONDS", 0.0)
    assert answer(settings, "duplicates", {"kinds": ["same"]})["interrupted"]


def test_waiting_for_another_search_is_part_of_the_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second call comes while the first one searches, which goes on until the second has given up."""
    monkeypatch.setattr(tools_module, "DUPLICATE_SECONDS", 0.3)
    began, over = threading.Event(), threading.Event()
    real = imseek.duplicates.find

    def find(*arguments: Any, **options: Any) -> Any:
        began.set()
        assert over.wait(60)
        return real(*arguments, **options)

    monkeypatch.setattr(tools_module.duplicates, "find", find)

    async def look(client: Any) -> list[Any]:
        first = asyncio.create_task(client.call_tool("duplicates", {"kinds": ["same"]}))
        await asyncio.to_thread(began.wait, 60)
        second = await client.call_tool("duplicates", {"kinds": ["exact"]})
        over.set()
        return [await first, second]

    _, second = talk(settings, look)
    found = second.structured_content
    assert (found["interrupted"], found["groups"]) == (True, [])
    assert found["notes"] == ["another search is under way: call again"]


def test_collections_and_their_names(root: Path, tmp_path: Path) -> None:
    settings = Settings((("photos", root), ("scans", tmp_path / "gone")))
    photos, scans = answer(settings, "collections")["collections"]
    assert (photos["name"], photos["images"], photos["encoder"], photos["problem"]) == ("photos", 11, "fake", None)
    assert scans == {**dict.fromkeys(scans), "name": "scans", "problem": "the collection has gone from its place"}
    assert "name one" in refusal(settings, "search", {"text": "red"})
    assert "did you mean photos?" in refusal(settings, "search", {"text": "red", "collection": "fotos"})
    assert answer(settings, "search", {"text": "red", "collection": "photos"})["hits"]


def test_tags_are_added_and_removed(tmp_path: Path, root: Path) -> None:
    import shutil

    shutil.copytree(root, tmp_path / "photos")
    settings = Settings((("photos", tmp_path / "photos"),))
    done = answer(settings, "tag", {"tag": "beach", "image_ids": [1, 2]}, allow_tags=True)
    assert (done["changed"], done["unchanged"]) == (2, 0)
    tagged = imseek.tags.of(tmp_path / "photos", [1])[1]
    assert [(one.tag, one.provenance) for one in tagged] == [("beach", "assistant")]
    found = answer(settings, "search", {"text": "red", "where": "tag('beach')"})
    assert {hit["image_id"] for hit in found["hits"]} == {1, 2}
    answer(settings, "tag", {"tag": "beach", "image_ids": [1], "remove": True}, allow_tags=True)
    assert imseek.tags.of(tmp_path / "photos", [1])[1] == ()
    assert "no image 999" in refusal(settings, "tag", {"tag": "beach", "image_ids": [999]}, allow_tags=True)
    assert "one line" in refusal(settings, "tag", {"tag": "a\nb", "image_ids": [1]}, allow_tags=True)


def test_places_stay_on_the_machine(root: Path) -> None:
    settings = Settings((("photos", root),), host="0.0.0.0", token="x" * 16)
    folder = str(root.parent)
    for tool, arguments in [
        ("search", {"text": "rocket", "group_by": "folder"}),
        ("get_image", {"image_id": 1}),
        ("facets", {}),
        ("duplicates", {}),
        ("collections", {}),
    ]:
        found = json.dumps(answer(settings, tool, arguments))
        assert folder not in found, tool
        assert "rocket.jpg" not in found, tool


# -- hostile arguments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("search", {}, "text or like"),
        ("search", {"text": ""}, "text"),
        ("search", {"text": " \t"}, "text"),
        ("search", {"text": 3}, "text"),
        ("search", {"text": ["red"] * 65}, "text"),
        ("search", {"text": "x" * (1 << 20)}, "text"),
        ("search", {"text": "red", "limit": 0}, "at least 1"),
        ("search", {"text": "red", "limit": 10**12}, "at most 100"),
        ("search", {"text": "red", "limit": 2.0}, "integer"),
        ("search", {"text": "red", "limit": True}, "integer"),
        ("search", {"text": "red", "limit": "5"}, "integer"),
        ("search", {"text": "red", "by": "magic"}, "auto, image"),
        ("search", {"text": "red", "cutoff": "10"}, "cutoff is auto, or a share of the relevant images"),
        ("search", {"text": "red", "nope": 1}, "no argument 'nope'"),
        ("search", {"text": "red", "\x1b[31m": 1}, "no argument"),
        ("search", {"text": "red", "vectors": True}, "no argument"),
        ("search", {"text": "red", "where": "nope = 1"}, "nope"),
        ("search", {"text": "red", "where": "1=1; drop table images"}, ""),
        ("search", {"text": "red", "where": "read_csv('/etc/passwd') = 1"}, ""),
        ("search", {"text": "red", "where": "(" * 3000}, ""),
        ("search", {"text": "red", "where": "x" * 4001}, "4,000"),
        ("search", {"text": "red", "page": "nope"}, "page token"),
        ("search", {"text": "red", "more": [999]}, "no image 999"),
        ("search", {"text": "red", "more": [1 << 70]}, "more"),
        ("search", {"like": ["/etc/passwd"]}, "like"),
        ("search", {"like": "https://example.org/?secret"}, "like"),
        ("search", {"like": {"path": "/etc/passwd"}}, "like"),
        ("search", {"text": "red", "collection": "nope"}, "no collection 'nope'"),
        ("search", {"text": "red", "collection": "../../etc"}, "no collection"),
        ("search", {"text": "red", "collection": "a\x00\x1b[2J"}, "no collection"),
        ("search", {"text": "red", "collection": ""}, "collection"),
        ("similar", {}, "image_id or picture"),
        ("similar", {"image_id": "rocket.jpg"}, "integer"),
        ("similar", {"image_id": -1}, "at least 0"),
        ("similar", {"image_id": 3, "region": [0.5, 0.5, 0.6, 0.2]}, "reaches beyond"),
        ("similar", {"image_id": 3, "region": [0, 0, 1]}, "region"),
        ("similar", {"image_id": 3, "picture": "bm9wZQ==", "region": [0, 0, 1, 1]}, "one picture"),
        ("similar", {"image_id": 999}, "no image 999"),
        ("similar", {"image_id": 1 << 63}, "at most"),
        ("similar", {"picture": "bm9wZQ=="}, "matches no known image"),
        ("similar", {"picture": "%%%"}, "base64"),
        ("similar", {"picture": "/etc/passwd"}, ""),
        ("get_image", {}, "image_id is missing"),
        ("get_image", {"image_id": 999}, "no image 999"),
        ("get_image", {"image_id": 1, "side": 100_000}, "at most 1024"),
        ("get_image", {"image_id": [1]}, "integer"),
        ("facets", {"column": "'; --"}, "no column"),
        ("facets", {"values": 10**6}, "at most 200"),
        ("duplicates", {"kinds": ["inside"]}, "kinds[0]"),
        ("duplicates", {"kinds": []}, "kinds"),
        ("duplicates", {"where": "nope = 1"}, "nope"),
        ("duplicates", {"page": "99.0"}, "has changed"),
        ("duplicates", {"page": "-1.-1"}, "damaged"),
        ("duplicates", {"page": "1.٣"}, "damaged"),
        ("collections", {"collection": "photos"}, "no argument"),
    ],
)
def test_bad_arguments_are_refused_in_words(
    settings: Settings, tool: str, arguments: dict[str, Any], says: str
) -> None:
    text = refusal(settings, tool, arguments)
    assert says in text
    assert str(settings.collections[0][1].parent) not in text


def test_a_page_beyond_the_end_is_empty(settings: Settings) -> None:
    generation = answer(settings, "duplicates")["generation"]
    found = answer(settings, "duplicates", {"page": f"{generation}.{10**17}"})
    assert (found["groups"], found["next_page"]) == ([], None)


def test_control_characters_in_words_are_words(settings: Settings) -> None:
    assert answer(settings, "search", {"text": "red\x00\x1b[31m\u202e", "limit": 1})["hits"]


def test_many_calls_at_once(settings: Settings) -> None:
    async def ask(client: Client) -> list[CallToolResult]:
        calls = [client.call_tool("search", {"text": f"red {n}", "limit": 2}) for n in range(40)]
        calls += [client.call_tool("get_image", {"image_id": n % 11, "side": 32}) for n in range(20)]
        calls += [client.call_tool("duplicates", {}) for _ in range(4)]
        calls += [client.call_tool("similar", {"image_id": 10**6}) for _ in range(4)]
        return await asyncio.gather(*calls)

    found = talk(settings, ask)
    assert [one.is_error for one in found] == [False] * 64 + [True] * 4
    alone = answer(settings, "search", {"text": "red 7", "limit": 2})
    assert [hit["image_id"] for hit in found[7].structured_content["hits"]] == [
        hit["image_id"] for hit in alone["hits"]
    ]


def test_a_failure_inside_is_named_by_a_reference_only(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret /root/place")

    monkeypatch.setattr(tools_module.overview, "summarise_facets", fail)
    text = refusal(settings, "facets", {})
    assert "secret" not in text
    reference = text.rpartition(" ")[2]
    assert any(reference in record.getMessage() for record in caplog.records)
