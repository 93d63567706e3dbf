"""A PostgreSQL server of the tests' own: Debian's, started on first use, one for each process of tests.

Postgres refuses to run as root. There it runs as the user ``postgres``, whom Debian's package makes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

#: Where tests are killed, so that no fixture ends the server, the kernel does.
_UNTIL_WE_DIE = ("setpriv", "--pdeathsig", "INT") if shutil.which("setpriv") else ()
#: The role that owns what the tests make.
OWNER = "imseek"


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; None where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("postgres")
    return None if there is None else Path(there).resolve().parent


def missing() -> str | None:
    """Why no server can be started here, or asked, or None."""
    if find_spec("psycopg") is None:
        return "psycopg is missing (the extra postgres)"
    if programs() is None:
        return "PostgreSQL is missing (Debian: apt install postgresql)"
    if os.getuid() == 0 and _unprivileged() is None:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return None


def require() -> None:
    """Skip the test, with the reason, where there is no server to be had."""
    if (why := missing()) is not None:
        pytest.skip(why)


def _unprivileged() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


def _as_user() -> dict[str, Any]:
    """For :mod:`subprocess`: who runs the server."""
    user = _unprivileged() if os.getuid() == 0 else None
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@dataclass
class Server:
    """A running server on the loopback interface."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    settings: Sequence[str] = ()
    _made: set[str] = field(default_factory=set)

    def start(self) -> None:
        import psycopg

        binaries = programs()
        assert binaries is not None
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *_UNTIL_WE_DIE,
                    binaries / "postgres",
                    *("-D", self.folder / "data", "-p", str(self.port), "-k", self.folder),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60"),
                    *(part for setting in self.settings for part in ("-c", setting)),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C at the tests is none at the server: it would refuse to answer them.
                cwd=self.folder,
                **_as_user(),
            )
        until = time.monotonic() + 60
        while True:
            try:
                self.admin("SELECT 1")
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: sessions are ended. SIGQUIT: as in a crash; the log is replayed at the next start."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def url(self, database: str, user: str = OWNER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def admin(self, statement: str, database: str = "postgres") -> list[Any]:
        import psycopg  # Not for those who test without the extra.

        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str = "shared") -> str:
        """The URL of a database, made when it is asked for first. Its locale is one that orders words as people do,
        unlike SQLite."""
        if name not in self._made:
            self.admin(
                f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' "
                "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'"
            )
            self._made.add(name)
        return self.url(name)

    def end_sessions(self) -> int:
        """End every session but that which asks, as an administrator would, and wait until they have gone.

        Returns how many there were.
        """
        return len(
            self.admin(
                "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )


@contextmanager
def started(*, durable: bool = False) -> Iterator[Server]:
    """A new cluster, running, that goes with the ``with``. Unless ``durable`` it trusts that there is no power cut."""
    binaries = programs()
    assert binaries is not None
    # Not in pytest's folders: only their owner gets into them, and a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="imseek-postgres-") as name:
        folder = Path(name)
        if user := _as_user():
            os.chown(folder, user["user"], user["group"])
        command = [binaries / "initdb", "-D", folder / "data", "-U", OWNER, "-A", "trust", "-E", "UTF8"]
        command += ["--locale=C.UTF-8", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **_as_user())
        quick = () if durable else ("fsync=off", "full_page_writes=off")
        server = Server(folder, _free_port(), settings=quick)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


#: For ``pytestmark`` of a module whose tests take ``collection`` or ``catalog``.
BOTH_CATALOGS = pytest.mark.parametrize("catalog", ["sqlite", "postgres"], indirect=True)
