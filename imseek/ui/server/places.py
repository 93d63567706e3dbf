"""Results without places, for clients on other machines: no folder, file name or URI of this one."""

from __future__ import annotations

from dataclasses import replace

from imseek.search import FacetSummary
from imseek.types.search_results import Hit, Match, SearchResult


def without_places(result: SearchResult) -> SearchResult:
    """Return a result without the places of its hits, the names of their groups, and matches of names."""
    hits = tuple(replace(hit, place=None, group=None, matches=_without_names(hit)) for hit in result.hits)
    groups = tuple(replace(group, name=None) for group in result.groups)
    return replace(result, hits=hits, groups=groups)


def _without_names(hit: Hit) -> tuple[Match, ...]:
    """Return why an image is a hit, without the names of folders and files."""
    return tuple(match for match in hit.matches if match.field != "name")


def without_folders(summary: FacetSummary) -> FacetSummary:
    """Leave out the folders of images."""
    return replace(summary, columns=tuple(one for one in summary.columns if one.column != "folder"))
