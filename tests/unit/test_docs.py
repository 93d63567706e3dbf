"""The documentation: its links, commands, options, routes, variables and Python code are those that there are.

What its programs do when they run is in test_docs_programs.py.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import documentation
import pytest
from documentation import CURRENT, HISTORY, ROOT, Piece
from name_check import Instance, NameCheck
from typer import TyperException

import imseek
from imseek.ui.cli.app import command
from imseek.ui.cli.optional_values import insert_values

#: What may be the language of a block; text is what nobody can run.
LANGUAGES = {"", "console", "json", "mermaid", "python", "sql", "text", "toml", "yaml"}
#: Options and the like, in sentences, that belong to something else.
FOREIGN = {
    "-quickgelu": "the end of names of models of open_clip",
    "-ti": "an option of xterm",
    "-wal": "the end of a name that SQLite gives",
    "--columns_to_return": "an option of clip-retrieval",
    "--hypothesis-profile": "an option of pytest",
}
#: Texts that begin as a command does: marks in what is stored.
MARKS = {"imseek adapter 1", "imseek taken vector 1", "imseek tokens 1"}
#: Programs of others, the options of which are their own; for those in bench/ see below.
PROGRAMS = {
    "age",
    "cat",
    "clip-retrieval",
    "cp",
    "curl",
    "echo",
    "export",
    "find",
    "head",
    "hf",
    "journalctl",
    "jq",
    "less",
    "loginctl",
    "ls",
    "make",
    "milvus-lite",
    "mkdir",
    "pg_dump",
    "pip",
    "podman",
    "python",
    "python3",
    "ray",
    "restic",
    "rsync",
    "set",
    "source",
    "ssh",
    "systemctl",
    "tensorboard",
    "twine",
    "ulimit",
    "xargs",
    "zstd",
}
#: Files of other repositories.
ELSEWHERE = {"docs/openclip_results.csv"}
#: What looks like a module or a folder of ours, and is an ordinary name.
ORDINARY = {"__init__.py", "conftest.py", "results.py"}
#: Collections, as fragments of Python call them.
NAMES = {"imseek": imseek} | dict.fromkeys(("collection", "photos"), Instance(imseek.Collection))


def pieces(*languages: str) -> list[Piece]:
    return [block for page in CURRENT for block in documentation.blocks(page) if block.language in languages]


def sentences() -> list[Piece]:
    """Code in sentences; docs/cli.md has none but in its head."""
    return [piece for page in CURRENT for piece in documentation.inline(page)]


# Links


def test_links_lead_somewhere() -> None:
    wrong = []
    for page in (*CURRENT, *HISTORY):
        for line, link in documentation.links(page):
            target, _, anchor = link.partition("#")
            path = (page.parent / target).resolve() if target else page
            where = f"{page.relative_to(ROOT)}:{line}: {link}"
            if re.match(r"[a-z]+:", link):
                if not re.fullmatch(r"https://[\w.-]+\.[a-z]+(/[^\s<>\"]*)?", link):
                    wrong.append(f"{where} is no address of the web")
            elif not path.is_relative_to(ROOT) or not path.exists():
                wrong.append(f"{where}: no such file")
            elif anchor and anchor not in documentation.anchors(path):
                wrong.append(f"{where}: no such heading")
    assert wrong == []


def test_every_link_is_looked_at() -> None:
    """As many as there are ends of a link's text, but for those in code."""
    for page in (*CURRENT, *HISTORY):
        in_code = sum(piece.text.count("](") for piece in (*documentation.inline(page), *documentation.blocks(page)))
        assert len(list(documentation.links(page))) == documentation.read(page).count("](") - in_code, page


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The *first*, of `--two`!\n\n## Über [a link](x.md)\n### A_b – c\n## Twice\n## Twice\n"
        "```\n# no heading\n```\n"
    )
    assert documentation.anchors(page) == {"the-first-of---two", "über-a-link", "a_b--c", "twice", "twice-1"}


def test_files_that_are_named_are_there() -> None:
    """Pages, scripts and modules by their path, in sentences and in code."""
    path = re.compile(
        r"(?<![\w/.-])(?:docs|bench|tests|imseek|\.ci)/[\w./-]*\w\.(?:md|py|json|csv|png)\b|\b[A-Z]{5,}\.md\b"
    )
    wrong = []
    for page in CURRENT:
        for number, line in enumerate(documentation.read(page).splitlines(), 1):
            for name in path.findall(line):
                if name not in ELSEWHERE and not (ROOT / name).exists():
                    wrong.append(f"{page.relative_to(ROOT)}:{number}: {name}")
    assert wrong == []


#: Pages that say where things are: a folder that they name is one of the repository's.
MAPS = tuple(ROOT / name for name in ("CONTRIBUTING.md", "docs/architecture.md"))
#: Pages that name modules.
NAMING = (*CURRENT, *(page for page in HISTORY if page.parent.name == "decisions"))


def test_modules_that_are_named_in_sentences_are_there() -> None:
    """``search/query.py`` below imseek/ or tests/; in a row of a table below the package that the row is about."""
    wrong, checked = [], 0
    for page in NAMING:
        lines = documentation.read(page).splitlines()
        ending = r"\.py|/" if page in MAPS else r"\.py"
        for piece in documentation.inline(page):
            inside = re.match(r"(?:imseek|tests|docs|bench)/", piece.text) if page in MAPS else None
            if not re.fullmatch(rf"[\w-]+(/[\w-]+)*({ending})", piece.text) and not inside:
                continue
            line = lines[piece.line - 1]
            is_row = page == MAPS[1] and line.startswith("| ")
            row = re.findall(r"`([\w/]+)`", line.split("|")[1]) if is_row else []
            bases = [ROOT, ROOT / "imseek", ROOT / "tests", *(ROOT / "imseek" / name for name in row)]
            if piece.text not in ORDINARY and not any((base / piece.text).exists() for base in bases):
                wrong.append(f"{piece}: {piece.text}")
            checked += 1
    assert wrong == []
    assert checked > 150


def test_the_tree_in_contributing_is_that_of_the_repository() -> None:
    (tree,) = (block for block in documentation.blocks(MAPS[0]) if block.text.startswith("imseek/ "))
    for line in tree.text.splitlines():
        base = ROOT / "imseek" if line.startswith("  ") else ROOT
        words = line.split("  ", 1)[0].split() if base == ROOT else re.match(r" *((?:\w+/ ?)*)", line)[1].split()  # type: ignore[index]
        assert all((base / word).exists() for word in words), line


# The picture and the table of docs/architecture.md


@cache
def import_contracts() -> list[dict[str, Any]]:
    contracts: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    return contracts


def layers() -> dict[str, int]:
    """The height of each package, from the contract of import-linter: 0 is the top."""
    rows = next(one["layers"] for one in import_contracts() if one["type"] == "layers")
    return {name: height for height, row in enumerate(rows) for name in re.findall(r"\w+", row)}


def test_the_picture_of_the_architecture_shows_the_layers() -> None:
    """Every package is in one box, and arrows lead down."""
    (picture,) = (block for block in documentation.blocks(MAPS[1]) if block.language == "mermaid")
    height = layers()
    boxes = {
        box: [word for word in re.findall(r"\w+", label.replace("<br>", " ").split(":")[0]) if word in height]
        for box, label in re.findall(r"(\w+)\[\"(.*?)\"\]", picture.text)
    }
    assert sorted(name for names in boxes.values() for name in names) == sorted(height)
    arrows = 0
    for line in picture.text.splitlines():
        if "-->" not in line:
            continue
        sources, targets = (re.findall(r"\w+", side) for side in re.sub(r"\[.*?\]", "", line).split("-->"))
        for source, target in ((one, two) for one in sources for two in targets):
            lowest = max(height[name] for name in boxes[source])
            assert all(lowest < height[name] for name in boxes[target]), f"{source} --> {target}"
            arrows += 1
    assert arrows >= len(boxes) - 1


def test_the_table_of_the_architecture_shows_the_layers() -> None:
    """Every package is in one row, and its last column names libraries that it alone may import."""
    rows = [
        [re.findall(r"`(\w+)`", cell) for cell in line.strip("|").split("|")]
        for line in documentation.read(MAPS[1]).splitlines()
        if line.startswith("| `")
    ]
    assert sorted(name for row in rows for name in row[0]) == sorted(layers())
    for packages, _, libraries in rows:
        for library in libraries:
            (allowed,) = (
                one["ignore_imports"] for one in import_contracts() if library in one.get("forbidden_modules", ())
            )
            importers = {one.split(".")[1].split(" ")[0] for one in allowed if one.split(" -> ")[1] in (library, "*")}
            assert importers & set(packages), f"{library}: {packages}"


# Commands


@cache
def commands(path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every command, by its words."""
    found: Any = command()
    for word in path:
        found = found.commands[word]
    out = {path: found}
    for name in getattr(found, "commands", {}):
        out |= commands((*path, name))
    return out


def options(words: tuple[str, ...]) -> set[str]:
    return {"--help", "-h"} | {
        option for parameter in commands()[words].params for option in (*parameter.opts, *parameter.secondary_opts)
    }


def refusal(arguments: Sequence[str]) -> str | None:
    """What the command line has against arguments, up to where the command itself would begin."""
    arguments = insert_values(arguments)
    current: Any = command()
    name: str | None = "imseek"
    parent = None
    try:
        while True:
            context = current.make_context(name, list(arguments), parent=parent)
            rest = [*context._protected_args, *context.args]
            if not hasattr(current, "commands") or not rest:
                return None
            name, current, arguments = current.resolve_command(context, rest)
            parent = context
    except TyperException as error:
        return str(error.format_message())


def test_commands_in_blocks_are_accepted() -> None:
    """With all their options, and the types of their values."""
    wrong, checked = [], 0
    for block in pieces("console", "text", ""):
        for line in documentation.command_lines(block):
            for words in documentation.simple_commands(line.text):
                if words and words[0] == "imseek":
                    checked += 1
                    problem = refusal(words[1:])
                elif words and words[0] == "make":
                    problem = None if words[1] in targets() else "no such target"
                elif words[:2] == ["pip", "install"]:
                    asked = re.findall(r"[\w-]+", (re.search(r"\[(.*)\]", words[2]) or [""])[0])
                    problem = ", ".join(f"no extra {name}" for name in asked if name not in extras()) or None
                else:
                    problem = None if words and words[0] in PROGRAMS else "a program that is not in PROGRAMS"
                if problem:
                    wrong.append(f"{line}: {line.text}: {problem}")
    assert wrong == []
    assert checked > 300


def alternatives(words: list[str]) -> Iterator[list[str]]:
    """``tag add|remove`` means two commands; ``--by tag|COLUMN`` may be followed too."""
    for n, word in enumerate(words):
        if "|" in word:
            for choice in word.split("|"):
                yield from alternatives([*words[:n], choice, *words[n + 1 :]])
            return
    yield words


def unknown_option(words: Sequence[str]) -> str | None:
    """What is wrong with a command in a sentence: values may be missing, and stand for others."""
    path: tuple[str, ...] = ()
    for word in words:
        following = commands()[path]
        if word.startswith("-") or not hasattr(following, "commands"):
            break
        if word not in following.commands:
            if not path:
                return f"no command {word}"
            if path in (
                ("encoders",),
                ("backup",),
            ):  # `imseek encoders siglip` lists, `imseek backup FILE` creates
                break
            return f"no command {' '.join((*path, word))}"
        path = (*path, word)
    default = getattr(commands()[path], "default", None)
    known = options(path) | (set() if default is None else options((*path, default)))
    for word in words:
        option = word.partition("=")[0]
        if re.fullmatch(r"--?[a-zA-Z][\w-]*|-\d", option) and option not in known:
            return f"imseek {' '.join(path)} has no option {option}"
    return None


def test_commands_in_sentences_are_there() -> None:
    every = {option for words in commands() for option in options(words)}
    last = {words[-1] for words in commands() if words}
    wrong, checked = [], 0
    for piece in sentences():
        if piece.text in MARKS or not re.match(r"imseek( |$)|.*(^| )-", piece.text):
            continue
        for words in documentation.simple_commands(re.sub(r"(?<=\w)\|(?=\w)", "¦", piece.text)):
            for choice in alternatives([word.replace("¦", "|") for word in words]):
                problem = None
                if choice[:1] == ["imseek"]:
                    query = " " in "".join(choice[1:2])  # A query needs no word before it.
                    problem = unknown_option(["search", *choice[2:]] if query else choice[1:])
                elif choice and choice[0] in last - {"set"}:  # the shell has one, too
                    paths = [path for path in commands() if path and path[-1] == choice[0]]
                    found = [unknown_option([*path, *choice[1:]]) for path in paths]
                    problem = found[0] if all(found) else None
                elif script := next((word for word in choice[:2] if word.startswith("bench/")), None):
                    text = (ROOT / script).read_text()
                    given = [word for word in choice if word.startswith("--")]
                    problem = ", ".join(f"no {word}" for word in given if f'"{word}"' not in text) or None
                elif not choice or choice[0] not in PROGRAMS:
                    given = [word.partition("=")[0] for word in choice if re.match(r"--?[a-zA-Z0]", word)]
                    problem = ", ".join(f"no {word}" for word in given if word not in every | FOREIGN.keys()) or None
                checked += 1
                if problem:
                    wrong.append(f"{piece}: {piece.text}: {problem}")
    assert wrong == []
    assert checked > 400


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def extras() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def test_targets_and_extras_in_sentences_are_there() -> None:
    wrong = []
    for piece in sentences():
        if (found := re.match(r"make ([a-z-]+)$", piece.text)) and found[1] not in targets():
            wrong.append(f"{piece}: {piece.text}")
    for page in CURRENT:
        for name in re.findall(r"\bextra\s+`(\w+)`", documentation.read(page)):
            if name not in extras():
                wrong.append(f"{page.relative_to(ROOT)}: extra {name}")
    assert wrong == []


# Routes


@cache
def routes() -> set[str]:
    """``GET /collections/{}``: the methods and paths of the service, with nothing in place of parameters."""
    from imseek.ui.http.app import make_app
    from imseek.ui.mcp import http as mcp
    from imseek.ui.server.settings import Settings

    paths = make_app(Settings((), later=True)).openapi()["paths"]
    found = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    return {re.sub(r"\{\w+\}", "{}", route) for route in found} | {"GET /openapi.json", f"POST {mcp.PATH}"}


def named_routes(page: Path) -> dict[str, Piece]:
    pattern = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE) /[^\s?]*")
    return {
        re.sub(r"\{\w+\}", "{}", found[0]): piece
        for piece in documentation.inline(page)
        if (found := pattern.match(piece.text))
    }


def test_routes_are_there() -> None:
    wrong = {
        f"{piece}: {route}" for page in CURRENT for route, piece in named_routes(page).items() if route not in routes()
    }
    assert wrong == set()


def test_every_route_is_in_the_docs() -> None:
    assert routes() - named_routes(ROOT / "docs" / "http.md").keys() == set()


def test_addresses_of_the_service_are_routes() -> None:
    """As commands and programs use them: ``http://127.0.0.1:1234/collections/photos``."""
    patterns = [re.escape(route.split()[1]).replace(r"\{\}", "[^/]+") for route in routes()]
    for page in CURRENT:
        for path in re.findall(r"http://127\.0\.0\.1:1234(/[\w/.-]*\w)", documentation.read(page)):
            assert any(re.fullmatch(pattern, path) for pattern in patterns), f"{page.name}: {path}"


# Environment variables


def variables(*folders: str) -> set[str]:
    """Names of variables that Python code has as a text, so that it can read them."""
    found: set[str] = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            found.update(re.findall(r"[\"'](IMSEEK_[A-Z_]+)[\"']", path.read_text(encoding="utf-8")))
    return found


def test_variables_are_read() -> None:
    wrong = []
    known = variables("imseek", "tests", "bench")
    for page in CURRENT:
        for name in sorted(set(re.findall(r"\bIMSEEK_[A-Z_]*[A-Z]", documentation.read(page))) - known):
            wrong.append(f"{page.relative_to(ROOT)}: {name}")
    assert wrong == []


def documented(page: Path) -> set[str]:
    """The environment variables that a page names."""
    return set(re.findall(r"\bIMSEEK_[A-Z_]*[A-Z]", documentation.read(page)))


def test_every_variable_is_in_the_docs() -> None:
    """Those of the package in its documentation, those of the tests in CONTRIBUTING.md or bench/README.md too."""
    of_users = set().union(*(documented(page) for page in CURRENT if page.parent.name == "docs"))
    assert variables("imseek") - of_users == set()
    of_developers = set().union(*(documented(ROOT / page) for page in ("CONTRIBUTING.md", "bench/README.md")))
    assert variables("tests") - of_users - of_developers == set()


# Python and data


def test_python_blocks_name_what_is_there() -> None:
    """Imports, attributes and the arguments of calls. Blocks of a page follow each other."""
    wrong, checked = [], 0
    for page in CURRENT:
        check = NameCheck(NAMES)
        for block in documentation.blocks(page):
            if block.language == "python":
                check.visit(ast.parse(block.text, filename=str(block)))
                wrong += [f"{block}: {problem}" for problem in check.problems]
                check.problems.clear()
                checked += 1
    assert wrong == []
    assert checked > 15


def test_python_in_sentences_names_what_is_there() -> None:
    """``imseek.export.write(collection, "photos.csv")``, ``duplicates.rejudge``. Arguments may be left out."""
    modules = {name: getattr(imseek, name) for name in imseek.__all__}
    keys = "\n".join(path.read_text() for path in (ROOT / "imseek" / "exports").glob("*.py"))
    wrong, checked = [], 0
    for piece in sentences():
        begin = re.match(r"(\w+)\.\w+(?!\S*/)", piece.text)
        if not begin or begin[1] not in {"imseek", *modules} or f'"{piece.text}"' in keys:
            continue
        if re.fullmatch(r"[\w.]+\.(md|py|json|jsonl|csv|html|sqlite|tar|parquet|imseek|index|lock|db)", piece.text):
            continue  # a file
        try:
            code = ast.parse(piece.text.replace("…", "..."))
        except SyntaxError:
            wrong.append(f"{piece}: {piece.text} is no Python")
            continue
        check = NameCheck(modules | NAMES, partial=True)
        check.visit(code)
        wrong += [f"{piece}: {problem}" for problem in check.problems]
        checked += 1
    assert wrong == []
    assert checked > 30


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("imseek.nothing", "imseek.nothing: no such module or attribute"),
        ("from imseek import nothing", "imseek.nothing: no such module or attribute"),
        ("import imseek.nothing", "imseek.nothing: no such module or attribute"),
        ("imseek.export.nothing(photos)", "imseek.export.nothing: no such module or attribute"),
        ("imseek.open()", "imseek.open(): missing a required argument: 'path'"),
        (
            "imseek.Query((), limits=3)",
            "imseek.Query((), limits=3): got an unexpected keyword argument 'limits'",
        ),
        ("photos.find('x')", "photos.find: Collection has no such attribute"),
        ("for hit in photos.search('x'):\n    hit.points", "hit.points: Hit has no such attribute"),
        (
            "r = imseek.clusters.find(photos, k=2)\n[c.sum for c in r.clusters]",
            "c.sum: Cluster has no such attribute",
        ),
    ],
)
def test_what_is_wrong_in_python_is_found(code: str, problem: str) -> None:
    check = NameCheck(NAMES)
    check.visit(ast.parse(code))
    assert check.problems == [problem]


def test_blocks_have_a_language_that_is_known() -> None:
    every = [block for page in (*CURRENT, *HISTORY) for block in documentation.blocks(page)]
    assert [str(block) for block in every if block.language not in LANGUAGES] == []
    for page in CURRENT:
        assert documentation.read(page).count("```") == 2 * len(list(documentation.blocks(page))), page
        indented = re.findall(r"(?<=\n\n)    (?:imseek|import|\$) .*", documentation.read(page))
        assert not indented, "a block by its indentation is not checked"


def test_json_blocks_are_json() -> None:
    for block in pieces("json"):
        json.loads(block.text)


def test_addresses_in_sentences_are_whole() -> None:
    for page in CURRENT:
        for address in re.findall(r"https?://[^\s`'\")>\]]+", documentation.read(page)):
            assert urlsplit(address).netloc, f"{page.name}: {address}"


def test_the_readme_is_short() -> None:
    """What it is, why, install, eight commands, how good it is, links: everything else has a page."""
    page = ROOT / "README.md"
    (commands_block,) = (block for block in documentation.blocks(page) if "imseek serve" in block.text)
    assert len(list(documentation.command_lines(commands_block))) == 8
    text = documentation.read(page)
    assert len(text.split()) < 1000
    assert re.findall(r"^## .*", text, re.MULTILINE) == [
        "## Why not one of the others?",
        "## Install",
        "## Eight commands",
        "## How good is it?",
        "## Where to go from here",
    ]
    assert "| builtin | .264 |" in text


def test_sizes_are_the_same_wherever_they_are_stated() -> None:
    """Those of docs/log.md."""
    log = (ROOT / "docs" / "log.md").read_text()
    assert "`.` 1,211 MB in 58 packages; `.[builtin]` 1,461 in 66" in log
    assert "without PyTorch 651.2 in 51" in log
    for page in ("docs/install.md", "docs/comparison.md"):
        assert {"1,211", "1,461", "651"} <= set(re.findall(r"[\d,]*\d", documentation.read(ROOT / page))), page
