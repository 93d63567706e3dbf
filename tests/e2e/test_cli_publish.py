"""`imseek publish`, and searches of what it has published, as they are typed and printed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from templates import Templates

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")


@pytest.fixture
def made(tmp_path: Path, photos: Path, templates: Templates) -> Path:
    return templates.indexed(tmp_path / "c", photos)


def test_publish_and_search(cli: Any, made: Path, tmp_path: Path) -> None:
    lite = tmp_path / "photos.db"
    first = cli("publish", made, lite)
    assert (first.code, first.out.split(":")[0]) == (0, "published generation 2 at milvus")
    assert "8 images, 8 rows sent, 0 removed" in first.out
    again = cli("publish", "-c", made, lite, "--json").json("publish")
    assert (again["outcome"], again["sent"], again["before"]) == ("already", 0, 2)
    address = again["address"]
    assert address == f"milvus://{lite}#imseek"

    expected = cli("search", "-c", made, "red", "-n", "3", "--json").json("search")["hits"]
    found = cli("search", "--server", address, "red", "-n", "3", "--json").json("search")
    assert found["hits"] == expected
    assert found["collection"] == {"name": "imseek", "path": address}
    shown = cli("search", "--server", address, "red", "-n", "1", "-p")
    assert shown.out.strip() == expected[0]["path"]
    assert "collection: imseek (--server)" in shown.err
    like = cli("similar", "--server", address, expected[1]["path"], "-n", "1", "--json").json("search")
    assert like["hits"][0]["image_id"] == expected[1]["image_id"]
    filtered = cli("search", "--server", address, "red", "--where", "name = 'coffee.png'", "--json").json("search")
    assert [Path(hit["path"]).name for hit in filtered["hits"]] == ["coffee.png"]


def test_many_queries_of_a_publication(cli: Any, made: Path, tmp_path: Path) -> None:
    cli("publish", made, tmp_path / "m.db")
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"text": "red"}\n{"text": "blue", "where": "lower(name) = \'x\'"}\n{"text": "green"}\n')
    outcome = cli("search", "--server", f"milvus://{tmp_path}/m.db", "--queries", queries)
    assert outcome.code == 1
    assert "cannot be evaluated by Milvus" in outcome.err
    assert len(outcome.out.splitlines()) == 3


REFUSED: list[tuple[tuple[str, ...], int, str]] = [
    (("publish",), 2, "ADDRESS is missing"),
    (("publish", "photos"), 2, "not a Milvus address"),
    (("publish", "a", "b", "c.db"), 2, "one collection and one address"),
    (("publish", "milvus://me:secret@host"), 2, "IMSEEK_MILVUS_TOKEN"),
    (("search", "--server", "milvus:///nowhere/m.db", "red"), 2, "no Milvus Lite"),
    (("search", "--server", "milvus:///nowhere/m.db", "-c", "x", "red"), 2, "-c does not go with it"),
    (("search", "--server", "milvus://127.0.0.1:9", "red"), 1, "127.0.0.1:9"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused(
    cli: Any, made: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.setenv("IMSEEK_COLLECTION", str(made))
    outcome = cli(*arguments)
    assert outcome.code == code
    assert said in outcome.err
    assert "secret" not in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(("module", "package"), [("pymilvus", "pymilvus"), ("milvus_lite", "milvus-lite")])
def test_without_the_extra(
    cli: Any, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    for name in [one for one in sys.modules if one == module or one.startswith(f"{module}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.server_manager", None)
    outcome = cli("publish", made, tmp_path / "m.db")
    assert outcome.code == 1
    assert f"{package} is not installed" in outcome.err
    assert "[milvus]" in outcome.err


def test_a_run_that_is_interrupted(cli: Any, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    from imseek.search.milvus import rows

    monkeypatch.setattr(rows, "_MAX_ROWS", 3)
    real: Callable[..., Any] = rows._rows

    def interrupting(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*given)

    monkeypatch.setattr(rows, "_rows", interrupting)
    outcome = cli("publish", made, tmp_path / "m.db")
    assert outcome.code == 130
    assert "the same command goes on" in outcome.out
    monkeypatch.setattr(rows, "_rows", real)
    assert "8 rows sent" in cli("publish", made, tmp_path / "m.db").out
