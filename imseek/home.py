"""The user's imseek folder: named collections, state of the web pages, records of trust.

Little but the standard library is imported at module level, because every command imports this module.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from imseek.tilde_expansion import expand_user

HOME_VARIABLE = "IMSEEK_HOME"
#: Folder inside a folder of pictures for a collection that is kept with them.
LOCAL_FOLDER = ".imseek"
#: Names of collections: visible, safe to type in a shell, and never mistaken for an option or a path.
COLLECTION_NAME = re.compile(r"\w[\w.-]{0,63}")


def home(environ: Mapping[str, str]) -> Path:
    """Return ``IMSEEK_HOME``, or the platform's folder for user data. It need not exist yet."""
    folder = environ.get(HOME_VARIABLE)
    if folder:
        return expand_user(folder).absolute()
    from platformdirs import user_data_path

    return user_data_path("imseek", appauthor=False)


def named_collections(environ: Mapping[str, str]) -> Path:
    """Return the folder that holds each named collection in a folder of its name. It need not exist yet."""
    return home(environ) / "collections"


def make_home(environ: Mapping[str, str]) -> Path:
    """Create the folder if it is missing, and restrict it to its owner whatever the umask.

    It holds captions, places and tokens. Raises OSError.
    """
    folder = home(environ)
    folder.mkdir(0o700, parents=True, exist_ok=True)
    info = folder.stat()
    if info.st_mode & 0o077 and info.st_uid == os.geteuid():
        folder.chmod(info.st_mode & 0o700)
    return folder


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``; readers see either all of it or the previous content. Raises OSError."""
    import tempfile  # 5 ms that no other command needs

    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
