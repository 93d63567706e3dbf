"""Our kinds of sources, as the contract suite needs them. A case joins the suite by its place in ``CASES``."""

from __future__ import annotations

from imseek.testing.sources import FolderCase, Picture, SourceCase, draw
from sourcing import archives, exports
from sourcing.tables import TABLES

__all__ = ["CASES", "Picture", "SourceCase", "draw"]

CASES: list[SourceCase] = [FolderCase(), *archives.CASES, *exports.CASES, *TABLES]
