"""No module of the package imports itself by way of others; interfaces see no package from inside."""

from __future__ import annotations

import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

grimp = pytest.importorskip("grimp", reason="import-linter is not installed")


def test_imports_form_no_cycle() -> None:
    graph = grimp.build_graph("imseek", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        # Each module of the list is imported by the next one.
        pytest.fail("modules import each other: " + " -> ".join(reversed(error.args[1])))


def test_the_contract_of_interfaces_names_every_package() -> None:
    """import-linter has no pattern for "inside any package", so pyproject.toml lists them."""
    root = Path(__file__).parents[2]
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    thin = next(one for one in contracts if one["name"].startswith("Interfaces are thin"))
    listed = {module.split(".")[1] for module in thin["forbidden_modules"]}
    packages = {file.parent.name for file in root.glob("imseek/*/__init__.py")}
    assert listed == packages - {"types", "ui"}
