"""Convert values between PostgreSQL and Python, so that both kinds of catalog return the same."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.string import StrDumper, StrDumperUnknown

#: PostgreSQL's text holds every character but NUL.
_NUL_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class _IntegerLoader(Loader):
    """Loads ``SUM`` over integers, which PostgreSQL returns as ``numeric``, as int."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


class _TextDumper(StrDumper):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", _NUL_REPLACEMENT))


class _UnknownDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", _NUL_REPLACEMENT))


def register_adapters(connection: Connection[Any]) -> None:
    connection.adapters.register_loader("numeric", _IntegerLoader)
    connection.adapters.register_dumper(str, _TextDumper)
    connection.adapters.register_dumper(str, _UnknownDumper)  # The last one registered takes precedence.
