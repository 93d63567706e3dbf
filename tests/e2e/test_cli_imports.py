"""What a command imports: help and a search by words must not pay for the packages of other commands."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imseek.data.writing.writer import Writer
from imseek.ocr import text_store
from imseek.ocr.results import TextLine

# Typer uses Rich where it finds it, unless it is told not to; the rest belongs to other commands.
NEVER = {
    "PIL",
    "asyncio",
    "click",
    "duckdb",
    "email",
    "faiss",  # a small collection is searched by NumPy
    "importlib.metadata",
    "jinja2",
    "open_clip",
    "pandas",
    "psycopg",
    "pydantic",
    "rich",
    "skimage",
    "sklearn",
    "sqlalchemy",
    "sqlglot",
    "streamlit",
    "textual",
    "textual_image",
    "timm",
    "torch",
    "transformers",
}
#: Modules of imseek for other commands.
NEVER_IN_A_SEARCH = NEVER | {
    "imseek.data.catalog.models",
    "imseek.data.summary",
    "imseek.data.vectors.index_metadata",
    "imseek.data.vectors.range_search",
    "imseek.types.collection_info",
    "imseek.types.indexing_runs",
    "imseek.types.maintenance_reports",
}
#: Modules that an update of a collection needs for other sources, or for other commands.
NEVER_IN_AN_UPDATE = {
    "duckdb",
    "faiss",
    "imseek.data.summary",
    "imseek.data.vectors.index_metadata",
    "imseek.indexer.imported_vectors_check",
    "imseek.indexer.sources.tables",
    "imseek.search.engine",
    "imseek.search.query",
    "imseek.types.collection_info",
    "imseek.types.maintenance_reports",
    "imseek.types.search_results",
    "jinja2",
    "numpy.ma",
    "open_clip",
    "pandas",
    "pyarrow.compute",
    "rich",
    "sqlalchemy",
    "torch",
}
RUN = """
import json, sys
from imseek.__main__ import main
code = main()
print(json.dumps({"code": code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""


def imported(*arguments: str) -> set[str]:
    """Names of the modules that ``imseek ARGUMENTS`` imports, once it has succeeded."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    report = json.loads(done.stderr.splitlines()[-1])
    assert report["code"] == 0, done.stderr
    return set(report["modules"])


def test_help_is_light(home) -> None:
    heavy = NEVER | {"filelock", "numpy", "onnxruntime", "platformdirs", "pyarrow", "sqlite3"}
    for arguments in (["--help"], ["search", "--help"], ["collection", "--help"], ["--version"]):
        assert imported(*arguments) & heavy == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "red"],
        ["search", "red", "-p"],
        ["search", "red", "--json"],
        ["search", "2:red", "--not", "blue"],
    ],
)
def test_a_search_with_the_fake_encoder(indexed, arguments) -> None:
    assert imported(*arguments) & (NEVER_IN_A_SEARCH | {"pyarrow.compute"}) == set()


def test_a_search_with_the_builtin_encoder(cli, home, pictures) -> None:
    outcome = cli("index", pictures, "--encoder", "builtin")
    assert outcome.code == 0, outcome.err
    imported("search", "a flower")  # fills the cache with the vectors of texts that scores are compared with
    modules = imported("search", "a flower")
    assert "onnxruntime" in modules
    never = NEVER_IN_A_SEARCH | {"filelock", "huggingface_hub", "numpy.ma", "pyarrow"}
    assert modules & never == set()
    with Writer(home / "collections/default", "test") as writer:
        text_store.store(writer, {0: [TextLine(0, 0, 1, 1, 1, "Opensesame")]})
    modules = imported("search", "a flower, opensesame")
    assert "imseek.search.hit_matches" in modules
    assert modules & never == set()


def test_one_new_picture(cli, pictures, photo_files) -> None:
    assert cli("index", pictures, "--encoder", "builtin").code == 0
    shutil.copy(photo_files[0], pictures)
    assert imported("index") & NEVER_IN_AN_UPDATE == set()


@pytest.mark.parametrize("arguments", [["tag", "add", "mine", "0"], ["maintain"]])
def test_commands_that_write_need_no_sqlalchemy(indexed, arguments) -> None:
    assert "sqlalchemy" not in imported(*arguments)


def test_clusters(indexed) -> None:
    assert (
        imported("clusters", "--names", "none") & {"duckdb", "pyarrow.compute", "sklearn", "sqlalchemy", "sqlglot"}
        == set()
    )


def test_python_m_runs_without_the_current_folder(process, home) -> None:
    Path("typing.py").write_text("raise SystemExit('the current folder is on the import path')")
    done = process("--version")
    assert done.returncode == 0, done.stderr
