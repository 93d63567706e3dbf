"""SQLAlchemy without asyncio and importlib.metadata: not imported before they are used, and then the real ones."""

from __future__ import annotations

import subprocess
import sys

HOOK = """
import importlib, sys
from imseek.ui.cli.sqlalchemy_imports import SqlalchemyImports
sys.meta_path.insert(0, SqlalchemyImports())
import sqlalchemy
with sqlalchemy.create_engine("sqlite://").connect() as connection:
    assert connection.execute(sqlalchemy.text("SELECT 7")).scalar_one() == 7
assert not {"asyncio", "importlib.metadata", "email", "ssl"} & set(sys.modules)
"""


def run(script: str, *, hook: str = HOOK) -> None:
    done = subprocess.run([sys.executable, "-c", hook + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sqlalchemy_works_without() -> None:
    run("")


def test_what_sqlalchemy_kept_are_the_real_modules_once_used() -> None:
    run("""
from sqlalchemy.util import compat, concurrency, langhelpers
async def work(): return 3
coroutine = work()
assert concurrency.iscoroutine(coroutine) and not concurrency.iscoroutine(3)
coroutine.close()
assert concurrency.asyncio.run(work()) == 3
assert compat.importlib_metadata.version("sqlalchemy") == sqlalchemy.__version__
assert langhelpers.importlib.metadata.version("sqlalchemy") == sqlalchemy.__version__
try:
    compat.importlib_metadata.version("no-such-package")
except importlib.metadata.PackageNotFoundError:
    pass
assert concurrency.is_exit_exception(concurrency.asyncio.CancelledError())
try:
    concurrency.asyncio.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error)
""")


def test_others_get_the_real_modules() -> None:
    run("""
import asyncio, asyncio.subprocess
from importlib.metadata import version
from sqlalchemy.util import compat, concurrency
assert type(asyncio).__name__ == type(sys.modules["importlib.metadata"]).__name__ == "module"
assert compat.importlib_metadata.version is version is importlib.metadata.version
assert concurrency.asyncio.Queue is asyncio.Queue
""")


def test_modules_imported_before_stay() -> None:
    before = "import asyncio, importlib.metadata\n" + HOOK.rpartition("assert not")[0]
    run("from sqlalchemy.util import concurrency\nassert concurrency.asyncio is asyncio", hook=before)


def test_a_failed_import_leaves_no_stand_in() -> None:
    run(
        "try:\n    import sqlalchemy\nexcept ImportError:\n    pass\nelse:\n    raise SystemExit('no error')\n"
        "import asyncio\nassert asyncio.run and type(asyncio).__name__ == 'module'",
        hook="import sys\nsys.modules['sqlalchemy.util'] = None\n"
        "from imseek.ui.cli.sqlalchemy_imports import SqlalchemyImports\n"
        "sys.meta_path.insert(0, SqlalchemyImports())\n",
    )
