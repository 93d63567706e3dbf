"""What is installed, and the contracts between packages: one copy of each module, one top-level name."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOORS = ("data", "indexer", "search", "ui")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files of a wheel built from the tree, without a build environment of its own (no network)."""
    source = tmp_path_factory.mktemp("tree")
    for name in ("imseek", *DOORS, "pyproject.toml", "README.md", "LICENSE"):
        origin, copy = ROOT / name, source / name
        if origin.is_symlink():
            copy.symlink_to(origin.readlink())
        elif origin.is_dir():
            shutil.copytree(origin, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_every_file_of_the_package_once(wheel_names: list[str]) -> None:
    in_tree = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "imseek").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    in_wheel = Counter(name for name in wheel_names if ".dist-info/" not in name)
    assert set(in_wheel) == in_tree
    assert set(in_wheel.values()) == {1}


def test_the_only_top_level_name_is_imseek(wheel_names: list[str]) -> None:
    assert {name.partition("/")[0] for name in wheel_names if ".dist-info/" not in name} == {"imseek"}
    installed = packages_distributions()
    ours = {name for name, owners in installed.items() if "imseek" in owners and not name.startswith("__editable__")}
    assert ours == {"imseek"}


@pytest.mark.parametrize("door", DOORS)
def test_the_doors_are_relative_links_into_the_package(door: str) -> None:
    link = ROOT / door
    assert link.is_symlink()
    assert str(link.readlink()) == f"imseek/{door}"
    assert (link / "__init__.py").is_file()


def test_the_entry_point_and_the_module_run_the_same_command() -> None:
    outputs = set()
    for command in ([str(Path(sys.executable).with_name("imseek"))], [sys.executable, "-P", "-m", "imseek"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_constraints_pin_releases_and_leave_torch_a_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    ranges = [line for line in pins if re.match(r"torch(vision)?\b", line)]
    assert {re.split(r"[=<>]", line)[0] for line in ranges} == {"torch", "torchvision"}
    assert all(">=" in line and "==" not in line for line in ranges)
    for line in set(pins) - set(ranges):
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), line


def test_constraints_cover_every_direct_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonical(re.split(r"[=<>]", line)[0]) for line in lines if line and line[0] != "#"}
    project = CONFIG["project"]
    # What needs a card or an account is installed by those who have one.
    untested = {"gpu", "gcs"}
    extras = {n: wanted for n, wanted in project["optional-dependencies"].items() if n not in untested}
    direct = [*project["dependencies"], *(one for wanted in extras.values() for one in wanted)]
    assert {canonical(re.split(r"[=<>\[]", one)[0]) for one in direct} <= pinned


#: What comes with a package that is declared, and is part of what that one promises.
INDIRECT = {
    "grpc": "pymilvus takes its channels and raises its errors",
    "mcp_types": "mcp's messages are its",
    "pydantic": "FastAPI's bodies are its models",
}


def test_what_is_imported_is_declared() -> None:
    """Each package that a module imports is a dependency by name, of the base or of an extra."""
    project = CONFIG["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    declared = {canonical(re.split(r"[=<>\[;]", one)[0].strip()) for one in wanted}
    distributions = packages_distributions()
    missing = {}
    for path in (ROOT / "imseek").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for top in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"imseek"}:
                if not {canonical(one) for one in distributions.get(top, [top])} & declared:
                    missing[top] = str(path.relative_to(ROOT))
    assert missing.keys() == INDIRECT.keys(), missing


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# A module each, put into a copy of the package: imports that the contracts must refuse, inside functions too.
OFFENDERS = {
    "imseek/search/offender_pillow.py": ("from PIL import Image", "Only media imports Pillow"),
    "imseek/search/offender_http.py": ("import httpx", "Only media imports an HTTP client"),
    "imseek/indexer/offender_fsspec.py": ("import fsspec", "Only remote sources and staging import fsspec"),
    "imseek/indexer/offender_ray.py": ("import ray.data", "Only indexer.executors.ray_cluster imports ray"),
    "imseek/indexer/offender_trash.py": (
        "from send2trash import send2trash",
        "Only duplicates.actions.trash imports",
    ),
    "imseek/indexer/offender_torch.py": ("import torch.nn", "Only encoders import what runs"),
    "imseek/ui/offender_storage.py": ("import sqlalchemy.orm", "Only storage imports SQLAlchemy"),
    "imseek/data/offender_postgres.py": ("import psycopg", "Only data.postgres imports psycopg"),
    "imseek/data/offender_filters.py": ("import duckdb", "Only search.where imports duckdb"),
    "imseek/search/offender_milvus.py": ("import pymilvus", "Only storage for Milvus imports pymilvus"),
    "imseek/media/offender_terminal.py": ("from rich.console import Console", "Only ui imports what draws"),
    "imseek/ui/cli/offender_textual.py": ("import textual.app", "Only ui imports what draws"),
    "imseek/ui/offender_textual_image.py": ("from textual_image import widget", "Only ui imports what draws"),
    "imseek/ui/cli/offender_templates.py": ("import jinja2", "Only ui.render.html_templates imports jinja2"),
    "imseek/data/offender_media.py": ("from imseek.media import decode", "Storage knows neither"),
    "imseek/media/offender_data.py": ("import imseek.data.layout", "Media knows neither"),
    "imseek/encoders/offender_data.py": ("from imseek.data import layout", "Encoders do not know storage"),
    "imseek/search/offender_ocr.py": ("import rapidocr", "Only ocr.pp_ocr imports what finds"),
    "imseek/search/offender_stemmer.py": ("import snowballstemmer", "Only data.words imports a stemmer"),
    "imseek/ui/cli/offender_settings.py": ("import tomlkit", "Only config imports tomlkit"),
    "imseek/search/offender_learning.py": ("import sklearn", "Only features import what learns"),
    "imseek/search/offender_server.py": (
        "import fastapi",
        "Only the HTTP service, the web pages and what they share import",
    ),
    "imseek/ui/server/offender_protocol.py": ("import mcp.server", "Only ui.mcp imports the protocol of assistants"),
    "imseek/ui/offender_pages.py": ("import streamlit", "Only the web pages import Streamlit"),
    "imseek/search/offender_indexer.py": ("import imseek.indexer", "Each layer imports only"),
    "imseek/ui/web/offender_commands.py": (
        "from imseek.ui.cli import app",
        "Interfaces do not know each other",
    ),
    "imseek/ui/web/offender_inside.py": ("import imseek.search.ranking_stages", "Interfaces are thin"),
    "imseek/ui/cli/offender_door.py": (
        "import imseek.ui.web.auth",
        "The command line starts other interfaces",
    ),
}


def test_lazy_imports_cannot_evade_the_contracts(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "imseek", tmp_path / "imseek", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    clean = lint(tmp_path)
    assert "0 broken" in clean
    for path, (statement, _) in OFFENDERS.items():
        (tmp_path / path).write_text(f"def later():\n    {statement}\n")
    broken = lint(tmp_path)
    summary, _, details = broken.partition("Broken contracts")
    for path, (_, contract) in OFFENDERS.items():
        assert re.search(rf"^{contract}.*", summary, re.MULTILINE), summary
        assert path.removesuffix(".py").replace("/", ".") in details, broken
    assert "0 kept" in summary


def test_a_new_package_must_take_its_place_in_the_layers(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "imseek", tmp_path / "imseek", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "imseek" / "elsewhere.py").write_text("")
    assert "imseek.elsewhere" in lint(tmp_path)


def lint(tree: Path) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "250", "LANG": "C.UTF-8"},
    )
    return done.stdout + done.stderr
