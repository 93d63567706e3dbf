"""Spare a command the import of pandas, which pyarrow attempts before it makes its first array.

Nothing in imseek uses pandas; where it is installed, importing it takes a third of the time of adding one picture.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType


class PandasRefusal:
    """An import hook that refuses pandas to pyarrow, and to nobody else.

    pyarrow remembers the refusal for the life of the process, so this is for commands only, not for the library: a
    user's ``to_pandas`` must work.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ModuleNotFoundError for pandas where pyarrow's compiled code asks on behalf of imseek."""
        if name == "pandas" and _importer(sys._getframe(1)).partition(".")[0] == "imseek":
            raise ModuleNotFoundError("pandas is not used here", name=name)
        return None


def _importer(frame: FrameType | None) -> str:
    """Return the name of the module that imports; for compiled code, which has no frame, its caller's."""
    while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))
