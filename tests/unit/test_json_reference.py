"""The schemas of answers and docs/json.md: sound, complete and current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import documentation
import jsonschema
import pytest
from documentation import ROOT

from imseek.ui.cli.app import command
from imseek.ui.cli.json_reference import page
from imseek.ui.cli.json_schemas import ANSWERS, commands_of, schemas, write_schemas

PAGE = ROOT / "docs" / "json.md"


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}


def with_json(found: Any, *words: str) -> set[str]:
    """The commands that have ``--json``."""
    if not hasattr(found, "commands"):
        return {" ".join(words)} if any("--json" in one.opts for one in found.params) else set()
    return set().union(*(with_json(inner, *words, name) for name, inner in found.commands.items()))


@pytest.mark.parametrize("name", ANSWERS)
def test_schemas_are_sound_and_state_version_1(name: str) -> None:
    schema = schemas()[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    assert schema["properties"]["schema"] == {"const": 1}
    assert "schema" in schema["required"]


def test_answers_are_sorted_and_those_of_all_commands() -> None:
    assert list(ANSWERS) == sorted(ANSWERS)
    known = {words.partition(" --")[0] for name in ANSWERS for words in commands_of(name)}
    assert known == with_json(command())


def test_docs_schemas_are_current(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    assert contents(ROOT / "docs" / "schemas") == contents(tmp_path), "run `make json-docs`"


def test_schemas_of_no_answer_are_removed(tmp_path: Path) -> None:
    (tmp_path / "gone.json").touch()
    write_schemas(tmp_path)
    assert set(contents(tmp_path)) == {f"{name}.json" for name in (*ANSWERS, "query")}
    assert json.loads((tmp_path / "tag.json").read_text()) == schemas()["tag"]


def test_docs_json_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make json-docs`"


def test_the_page_describes_every_member(tmp_path: Path) -> None:
    """In tables that Markdown takes as such, and with links that lead somewhere."""
    written = tmp_path / "json.md"
    written.write_text(page(), encoding="utf-8")
    lines = written.read_text(encoding="utf-8").splitlines()
    assert all(line.replace(r"\|", "").count("|") == 4 for line in lines if line.startswith("|"))
    anchors = documentation.anchors(written)
    for _, link in documentation.links(written):
        file, _, anchor = link.partition("#")
        assert not anchor or anchor in anchors, link
        assert not file or file in ("cli.md", "schemas") or file.removeprefix("schemas/")[:-5] in ANSWERS
    shown = {line.split("`")[1] for line in lines if line.startswith("| `")}
    for schema in schemas().values():
        for found in (schema, *schema.get("$defs", {}).values()):
            assert set(found["properties"]) - shown <= {"schema", "path_b64"}
