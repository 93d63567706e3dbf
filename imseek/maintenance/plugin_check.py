"""Check the plugins of other packages: which load, and which cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from imseek.errors import PluginError
from imseek.plugins import GROUPS, Plugin, PluginGroup, find_plugins, is_name, list_plugins


@dataclass(frozen=True, slots=True)
class PluginCheck:
    """A plugin, and why it cannot be used; None if it can."""

    plugin: Plugin
    problem: str | None


def check_plugins() -> tuple[PluginCheck, ...]:
    """Load every plugin, and say which cannot be used."""
    return tuple(PluginCheck(plugin, _problem_of(plugin)) for group in GROUPS for plugin in list_plugins(group))


def _problem_of(plugin: Plugin) -> str | None:
    if not is_name(plugin.name):
        return "its name is none: lower-case letters, digits, '.', '-' and '_'"
    if plugin.name in _OWN_NAMES[plugin.group]():
        return "imseek itself has that name"
    if find_plugins(plugin.group)[plugin.name] != plugin:
        return "another package has a plugin of that name"
    try:
        if plugin.group == "imseek.exports":
            from imseek.exports.formats import load_format

            load_format(plugin)
        elif not callable(plugin.load()):
            return "it is not a function"
    except PluginError as error:
        return str(error)
    return None


def _encoder_names() -> Collection[str]:
    from imseek.encoders.registry import scheme_names

    return scheme_names()


def _export_names() -> Collection[str]:
    from imseek.exports.formats import FORMATS

    return FORMATS


def _source_names() -> Collection[str]:
    from imseek.indexer.sources import KINDS

    return KINDS | {"file"}


def _reranker_names() -> Collection[str]:
    from imseek.search.rerankers import OWN

    return OWN


_OWN_NAMES: Final[Mapping[PluginGroup, Callable[[], Collection[str]]]] = {
    "imseek.encoders": _encoder_names,
    "imseek.exports": _export_names,
    "imseek.sources": _source_names,
    "imseek.rerankers": _reranker_names,
}
