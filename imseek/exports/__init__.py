"""Export a collection for other tools: the images (``selection``), the ``formats`` and the output
(``output_target``). What a format of another package needs is exported here (docs/plugins.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names

if TYPE_CHECKING:
    from imseek.exports.base import ExportJob, Format, WriteResult

__all__ = ["ExportJob", "Format", "WriteResult"]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, {"imseek.exports.base": "ExportJob Format WriteResult"})
