"""What the web site needs beside docs/, as a hook of mkdocs: pages from elsewhere, and links that lead out of docs/.

The README is the first page, and docs/api.md gets the docstrings. Links to files that are no pages lead to where the
repository is published.
"""

from __future__ import annotations

import posixpath
import re
from inspect import ismodule
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import imseek

ROOT: Final = Path(__file__).parents[1]
#: Pages of the site by the files that they are made of, both from the top of the repository.
OUTSIDE: Final = {
    "README.md": "docs/index.md",
    "CONTRIBUTING.md": "docs/contributing.md",
    "CHANGELOG.md": "docs/changelog.md",
}
#: Where a program begins, at the top of the API's page.
FIRST: Final = (
    "create",
    "open",
    "connect",
    "search_all",
    "Collection",
    "RemoteCollection",
    "Query",
    "Term",
    "SearchResult",
    "Hit",
)
_LINK: Final = re.compile(r"(\]\()([^)\s:]+?)(#[^)\s]*)?(\))")
_ROLE: Final = re.compile(r":(?:attr|class|data|exc|func|meth|mod):(<code>)~?")
_CODE: Final = re.compile(r"(^ *```.*?^ *```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decisions in the navigation, in the order of their numbers."""
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    for section in config.nav or ():
        for entries in section.values():
            for entry in entries:
                if isinstance(entry, dict) and "Decisions" in entry:
                    entry["Decisions"] = [f"decisions/{name}" for name in decisions]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/."""
    for source, target in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, target.removeprefix("docs/"), content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links lead to pages of the site where there is one, and else into the published repository."""
    place = f"docs/{page.file.src_uri}"
    if place == "docs/api.md":
        return markdown + _docstrings()
    source = next((name for name, target in OUTSIDE.items() if target == place), place)

    def follow(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        target = OUTSIDE.get(target, target)
        inside = files.get_file_from_path(target.removeprefix("docs/")) if target.startswith("docs/") else None
        if inside is not None:
            target = posixpath.relpath(target, posixpath.dirname(place))
        elif (ROOT / target).exists():
            target = f"{config.repo_url}/blob/main/{target}"
        else:
            target = link[2]  # mkdocs names it in a warning
        return f"{link[1]}{target}{link[3] or ''}{link[4]}"

    pieces: list[Any] = _CODE.split(markdown)
    return "".join(piece if n % 2 else _LINK.sub(follow, piece) for n, piece in enumerate(pieces))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Remove the roles of reStructuredText that docstrings have before names."""
    return _ROLE.sub(r"\1", html)


def _docstrings() -> str:
    """Return the directives of mkdocstrings for all that imseek exports: first things, features, types of results."""
    exported = [name for name in imseek.__all__ if name != "__version__"]
    modules = sorted(
        {one.__name__: one for name in exported if ismodule(one := getattr(imseek, name))}.values(), key=str
    )
    rest = [name for name in exported if name not in FIRST and not ismodule(getattr(imseek, name))]
    parts = ["\n## Collections, queries, hits\n", *map(_directive, FIRST), "\n## Features\n"]
    for module in modules:
        names = sorted(name for name, value in vars(module).items() if _is_own(name, value, module))
        parts.append(f"\n::: {module.__name__}\n    options: {{heading_level: 3, members: [{', '.join(names)}]}}\n")
    return "".join([*parts, "\n## Results and settings\n", *map(_directive, rest)])


def _directive(name: str) -> str:
    value = getattr(imseek, name)
    options = f"{{heading_level: 3, heading: imseek.{name}, toc_label: {name}}}"
    return f"\n::: {value.__module__}.{value.__qualname__}\n    options: {options}\n"


def _is_own(name: str, value: object, module: ModuleType) -> bool:
    """Tell whether ``name`` is a public function or class of ``module``: defined there, or in its ``__all__``."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return name in listed
    return callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
