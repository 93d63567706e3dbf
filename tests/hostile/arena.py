"""A folder with a home, a library, pictures and canaries: all that a run of a hostile case may and may not use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from hostile.findings import MARK

_TESTS: Final = Path(__file__).parent.parent
#: Real paths below which anybody may read: what Python and its packages are made of, and what systems offer to all.
_SYSTEM: Final = (
    "/proc",
    "/sys",
    "/usr",
    "/lib",
    "/lib64",
    "/dev/null",
    "/dev/urandom",
    "/dev/shm/sem.",
    "/etc/localtime",
    "/etc/fonts",
    "/etc/ssl",
    "/etc/mime.types",
    "/var/cache/fontconfig",
)


class Arena:
    """A folder with all that a run may use, and canaries beside that it may not.

    ``library`` is imseek's own home, where it keeps what it likes. ``shared`` is for what strangers made, with a canary
    beside. A run may write to :attr:`own` and read :attr:`inputs`; everything else in the arena is a canary.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.home = self.root / "home"
        self.library = self.root / "library"
        self.shared = self.root / "shared"
        self.photos = self.root / "photos"
        self.canary = self.root / "canary"
        #: What a run may read beside pictures: plans, vectors, a pipe.
        self.tools = self.root / "tools"
        self.cwd = self.root / "cwd"
        self.out = self.root / "out"
        #: Folders that a run may read.
        self.inputs = (self.photos, self.tools)
        #: Folders that a run may write to.
        self.own = (self.library, self.cwd, self.out, self.root / "cache", self.root / "tmp")

    def make(self) -> None:
        """Make the folders, and the canaries that every arena has."""
        for folder in (self.home, self.shared, self.canary, *self.inputs, *self.own):
            folder.mkdir(parents=True, exist_ok=True)
        self.plant(
            {
                self.home / "thesis.txt": b"the only copy",
                self.home / ".ssh/id_rsa": b"a private key",
                self.home / ".pgpass": b"*:*:*:*:a password",
                self.home / ".config/autostart/other.desktop": b"[Desktop Entry]",
                self.root / "canary.txt": b"beside the library",
                self.shared / "canary.txt": b"beside what is shared",
            }
        )
        (self.home / ".ssh/id_rsa").chmod(0o600)

    def plant(self, contents: Mapping[Path, bytes]) -> None:
        """Write canary files, each with the mark at its end."""
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content + f"\n{MARK}\n".encode())

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a process that lives in this arena."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("IMSEEK_", "XDG_"))},
            "HOME": str(self.home),
            "IMSEEK_HOME": str(self.library),
            "IMSEEK_CACHE": str(self.root / "cache"),
            "HF_HOME": str(self.root / "cache/hub"),
            "HF_HUB_OFFLINE": "1",
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "TMPDIR": str(self.root / "tmp"),
            "PGPASSWORD": MARK,
            "COLUMNS": "100",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(_TESTS.parent), str(_TESTS)]),
        }

    @property
    def readable(self) -> tuple[str, ...]:
        """Real paths below which a run may read."""
        package = Path(sys.prefix).resolve()
        own = (
            self.photos,
            self.tools,
            _TESTS.parent / "imseek",
            _TESTS,
            *_TESTS.parent.glob("*.egg-info"),  # An editable installation has its metadata there.
            package,
            Path(sys.base_prefix).resolve(),
        )
        return (*_SYSTEM, *(os.path.realpath(path) for path in own))

    def writable(self, *more: Path) -> tuple[str, ...]:
        """Real paths below which a run may write."""
        return tuple(str(path) for path in (*self.own, *more))

    def canaries(self, spare: Sequence[Path]) -> Iterator[Path]:
        """All folders and files of the arena outside of its own folders, the pictures, and ``spare``."""
        apart = {*self.own, *self.inputs, *spare}
        for folder, folders, names in os.walk(self.root):
            inside = Path(folder)
            folders[:] = [name for name in folders if inside / name not in apart]
            yield inside
            yield from (inside / name for name in names if inside / name not in apart)
