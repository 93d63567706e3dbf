"""The public surface: what `import imseek` gives, and what it costs."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from typing import Any

import pytest
from masks import TextFile

import imseek

PACKAGES = [
    "imseek",
    "imseek.data.vectors",
    "imseek.duplicates",
    "imseek.encoders",
    "imseek.indexer",
    "imseek.media",
    "imseek.search",
    "imseek.showing",
]


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_what_can_be_imported(name: str) -> None:
    module = importlib.import_module(name)  # noqa: TID251 - the name is a parameter
    assert len(set(module.__all__)) == len(module.__all__)
    for exported in module.__all__:
        assert getattr(module, exported) is not None, exported


def test_dir_and_unknown_names() -> None:
    assert dir(imseek) == sorted(imseek.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        imseek.nothing  # noqa: B018


def test_collection_is_no_god_object() -> None:
    methods = [n for n, _ in inspect.getmembers(imseek.Collection, inspect.isfunction) if not n.startswith("_")]
    assert len(methods) <= 13, methods
    for name in methods:
        assert inspect.getdoc(getattr(imseek.Collection, name)), f"{name} has no docstring"


def test_importing_imseek_costs_next_to_nothing() -> None:
    script = (
        "import sys, imseek\nprint(sorted(m for m in sys.modules if m.startswith('imseek')), 'numpy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "['imseek', 'imseek._lazy', 'imseek._version'] False\n"


def test_every_error_is_drawn_in_the_tree() -> None:
    from imseek import errors

    found = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.ImseekError)]
    assert len(found) > 15
    for error in found:
        assert error.__name__ in (errors.__doc__ or "")


def test_signatures(snapshot: Any) -> None:
    """Names, parameters, defaults and fields that programs may use. After a change that is meant, and has an alias:
    ``pytest tests/unit/test_public_api.py --snapshot-update``."""
    lines: list[str] = []
    for name in sorted(imseek.__all__):
        value = getattr(imseek, name)
        if inspect.ismodule(value):
            # Some are imported on first use.
            homes = (value.__name__, f"{value.__name__}.operations")
            for inner in sorted({*vars(value), *getattr(value, "__all__", ())}):
                function = getattr(value, inner)
                if not inner.startswith("_") and getattr(function, "__module__", None) in homes:
                    lines += _describe(f"{name}.{inner}", function)
        else:
            lines += _describe(name, value)
    assert "\n".join(lines) + "\n" == snapshot.use_extension(TextFile)


def _describe(name: str, value: Any) -> list[str]:
    if not callable(value):
        return [name]
    try:
        lines = [f"{name}{_parameters(value)}"]
    except ValueError:  # a class that is written in C
        lines = [name]
    if inspect.isclass(value):
        for inner in sorted(set(dir(value)) - set(dir(object))):
            if not inner.startswith("_"):
                member = inspect.getattr_static(value, inner)
                member = getattr(member, "__func__", member)
                shown = _parameters(member) if inspect.isfunction(member) else ""
                lines.append(f"    {inner}{shown}")
    return lines


def _parameters(value: Any) -> str:
    signature = inspect.signature(value)
    bare = [
        one.replace(annotation=one.empty, default=one.default if one.default is one.empty else _DEFAULT)
        for one in signature.parameters.values()
    ]
    return str(inspect.Signature(bare))


class _Default:
    def __repr__(self) -> str:
        return "..."


_DEFAULT = _Default()
