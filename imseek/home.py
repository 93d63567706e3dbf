"""The folder of everything imseek keeps for a user: named collections, what the pages remember, trusted collections.

Only the standard library is imported at module level, since every command passes through here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

HOME_VARIABLE = "IMSEEK_HOME"


def home(environ: Mapping[str, str]) -> Path:
    """``IMSEEK_HOME``, or the platform's folder for user data. It need not exist yet."""
    given = environ.get(HOME_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("imseek", appauthor=False)


def make_home(environ: Mapping[str, str]) -> Path:
    """Make the folder where it is missing, and close it to everybody else, whatever the umask says.

    Captions, places and tokens are private. Raises OSError.
    """
    folder = home(environ)
    folder.mkdir(0o700, parents=True, exist_ok=True)
    info = folder.stat()
    if info.st_mode & 0o077 and info.st_uid == os.geteuid():
        folder.chmod(info.st_mode & 0o700)
    return folder
