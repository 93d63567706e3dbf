"""Import names of a package on first use (PEP 562), so that nobody pays for what they do not use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib import import_module


def lazy_names(package: str, homes: Mapping[str, str], submodules: Collection[str] = ()) -> Callable[[str], object]:
    """Return the ``__getattr__`` of ``package``. ``homes`` lists the names, by the module that defines them.

    The package imports the same names under ``TYPE_CHECKING``, where type checkers and import-linter see them.
    Names of ``submodules`` that no module is said to define are submodules, which become attributes without an import.
    """
    modules = {name: module for module, names in homes.items() for name in names.split()}

    def load(name: str) -> object:
        if name in modules:
            return getattr(import_module(modules[name]), name)
        if name in submodules:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load
