"""No module of the package imports itself by way of others, not even inside functions."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

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
