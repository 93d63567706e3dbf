"""Statements are plain SQL: each names only tables and columns that migrations make."""

from __future__ import annotations

import ast
import itertools
import pkgutil
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import imseek.data
from imseek.data.catalog.migrations import MIGRATIONS, make_empty
from imseek.data.catalog.reflected_tables import load_tables

DATA = Path(imseek.data.__file__).parent
#: Statements for a server or for the index of words only, and those that make the tables.
ELSEWHERE = {"migrations.py", "word_index.py", *(DATA / "catalog" / "postgres").glob("*.py")}
MODULES = [path for path in sorted(DATA.rglob("*.py")) if not {path, path.name} & ELSEWHERE]
IS_STATEMENT = re.compile(r"(SELECT|UPDATE|DELETE FROM|INSERT INTO|WITH) ")
#: Where the text has a variable, the name of a table follows these words; elsewhere it may be any of these.
VARIABLES = ["1", "", "rowid", "rowid = 1", "SELECT 1 AS id"]
TABLE = re.compile(r"(FROM|JOIN|UPDATE|INTO) $")


def texts(module: Path) -> Iterator[tuple[int, list[str | ast.expr]]]:
    """Statements of a module with their lines, as their texts and the expressions between these."""
    tree = ast.parse(module.read_text())
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            parts: list[str | ast.expr] = [node.value]
        elif isinstance(node, ast.JoinedStr):
            parts = [
                part.value if isinstance(part, ast.FormattedValue) else ast.literal_eval(part) for part in node.values
            ]
        else:
            continue
        if isinstance(parts[0], str) and IS_STATEMENT.match(parts[0]):
            yield node.lineno, parts


def readings(module: Path, parts: list[str | ast.expr]) -> Iterator[str]:
    """Statements that the parts may make: constants of the module in their places, else a condition or a table."""
    name = ".".join(module.with_suffix("").relative_to(DATA.parents[1]).parts).removesuffix(".__init__")
    choices = []
    before = ""
    for part in parts:
        if isinstance(part, str):
            choices.append([part])
            before = part
            continue
        try:
            known = eval(compile(ast.Expression(part), name, "eval"), dict(vars(pkgutil.resolve_name(name))))
            choices.append([str(known)])
        except NameError:
            choices.append([*load_tables().tables] if TABLE.search(before) else VARIABLES)
    for made in itertools.product(*choices):
        yield "".join(made)


def fault(catalog: sqlite3.Connection, statement: str) -> str | None:
    """What SQLite says of a statement that it cannot prepare."""
    query = statement.replace("??", "?, ?")
    named = dict.fromkeys(re.findall(r":([a-z_]+)", query))
    try:
        catalog.execute(f"EXPLAIN {query}", named or [None] * query.count("?"))
    except sqlite3.Error as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def catalog() -> Iterator[sqlite3.Connection]:
    with closing(make_empty(MIGRATIONS)) as made:
        yield made


def test_statements_fit_the_schema(catalog: sqlite3.Connection) -> None:
    wrong = []
    seen = 0
    for module in MODULES:
        for line, parts in texts(module):
            faults = [fault(catalog, statement) for statement in readings(module, parts)]
            seen += 1
            if None not in faults:
                wrong.append((f"{module.relative_to(DATA)}:{line}", faults[0]))
    assert wrong == []
    assert seen > 200


@pytest.mark.parametrize(
    "statement",
    ["SELECT colour FROM images", "UPDATE tags SET ended = ?", "DELETE FROM pictures", "SELECT t.born FROM meta t"],
)
def test_one_that_does_not_fit_is_found(catalog: sqlite3.Connection, statement: str) -> None:
    assert "no such" in str(fault(catalog, statement))


def test_rows_are_inserted_with_columns_of_their_table() -> None:
    tables = load_tables().tables
    seen = 0
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "insert"):
                continue
            _, table, rows = node.args
            if not isinstance(table, ast.Constant):
                continue
            assert table.value in tables, f"{module}:{node.lineno}"
            keys = [key for made in ast.walk(rows) if isinstance(made, ast.Dict) for key in made.keys]
            names = {key.value for key in keys if isinstance(key, ast.Constant)}
            assert names <= {*tables[table.value].columns.keys()}, f"{module}:{node.lineno}"
            seen += bool(names)
    assert seen > 8
