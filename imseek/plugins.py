"""Plugins: encoders, formats, kinds of sources and rerankers of other packages, as entry points (docs/plugins.md).

Names are read from the metadata of installed packages. The code of a plugin is imported when it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from imseek.errors import PluginError
from imseek.types.json_form import Json, Printable

#: Groups of entry points.
PluginGroup: TypeAlias = Literal["imseek.encoders", "imseek.exports", "imseek.sources", "imseek.rerankers"]
GROUPS: Final[tuple[PluginGroup, ...]] = get_args(PluginGroup)
#: A name that can stand in references of encoders and on command lines.
_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin of an installed package."""

    group: Annotated[PluginGroup, Json(hidden=True)]
    name: Printable
    """The scheme of an encoder's reference, the name of a format or a reranker, or the kind of a source."""
    package: Printable
    version: Printable
    entry: Annotated[Any, Json(hidden=True)]
    """The entry point, which loads it."""

    def load(self) -> Any:
        """Import and return the object. Raises PluginError, whatever goes wrong in the package."""
        try:
            return self.entry.load()
        except (Exception, SystemExit) as error:
            raise self.error(f"does not load: {type(error).__name__}: {error}") from error

    def error(self, problem: str) -> PluginError:
        """Return an error that names the plugin."""
        return PluginError(
            f"the plugin {self.name} of {self.package} {self.version} {problem}",
            hint=f"pip install --upgrade {self.package}, or pip uninstall it",
        )


def find_plugins(group: PluginGroup) -> Mapping[str, Plugin]:
    """Return the plugins of a group by name, without importing them.

    If two plugins have one name, the first package's counts.
    """
    by_name: dict[str, Plugin] = {}
    for plugin in list_plugins(group):
        if is_name(plugin.name):
            by_name.setdefault(plugin.name, plugin)
    return by_name


@cache
def list_plugins(group: PluginGroup) -> tuple[Plugin, ...]:
    """Return all plugins of a group, by name and package."""
    from importlib.metadata import entry_points

    plugins = [
        Plugin(group, entry.name, entry.dist.name, entry.dist.version, entry)
        for entry in entry_points(group=group)
        if entry.dist is not None
    ]
    return tuple(sorted(plugins, key=lambda one: (one.name, one.package)))


def is_name(name: str) -> bool:
    """Whether a plugin may have a name."""
    return _NAME.fullmatch(name) is not None
