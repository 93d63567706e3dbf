"""What PostgreSQL says, in words that tell a user what to do: no server is needed for that."""

from __future__ import annotations

import pytest

from imseek.data.catalog.postgres.errors import is_programming_error, storage_error
from imseek.errors import CorruptCollectionError, LockedError, ReadOnlyError, StorageError


class ServerSaidError(Exception):
    """As psycopg raises it: a text of several lines, and a code where the server has spoken."""

    def __init__(self, text: str, sqlstate: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("code", "writing", "kind", "hint"),
    [
        ("55P03", True, LockedError, "try again"),
        ("40001", False, LockedError, "try again"),
        ("40P01", True, LockedError, "try again"),
        ("25006", True, ReadOnlyError, "a role with write access"),
        ("42501", True, ReadOnlyError, "a role with write access"),
        ("42501", False, ReadOnlyError, "GRANT USAGE ON SCHEMA"),
        ("42P01", False, CorruptCollectionError, "pg_restore"),
        ("53100", True, StorageError, "on the server: "),
        ("XX001", False, CorruptCollectionError, "pg_amcheck"),
        ("57P01", False, StorageError, "committed data is safe"),
        ("08006", False, StorageError, "committed data is safe"),
        (None, False, StorageError, "check that the server is running"),
        ("53200", False, StorageError, None),
    ],
)
def test_each_code_has_its_kind_and_its_hint(
    code: str | None, writing: bool, kind: type[StorageError], hint: str | None
) -> None:
    found = storage_error(ServerSaidError("ERROR: so it is\nLINE 1: SELECT", code), "db/schema", writing=writing)
    assert type(found) is kind
    assert str(found) == "the catalog at db/schema: ERROR: so it is"
    assert found.hint is None if hint is None else hint in str(found.hint)


def test_a_way_to_tell_a_password_that_we_refuse_is_told() -> None:
    found = storage_error(ServerSaidError('authentication method requirement "scram-sha-256" failed'), "db")
    assert "scram-sha-256; PGREQUIREAUTH" in str(found.hint)


def test_an_error_without_words_has_the_name_of_its_kind() -> None:
    assert str(storage_error(ServerSaidError(" \n"), "db")) == "the catalog at db: ServerSaidError"


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("42601", True),
        ("23505", True),
        ("22003", True),
        ("42501", False),
        ("42P01", False),
        ("57P01", False),
        (None, False),
    ],
)
def test_a_mistake_of_ours_is_not_told_as_one_of_the_server(code: str | None, ours: bool) -> None:
    assert is_programming_error(ServerSaidError("x", code)) is ours
