"""Connect to a Ray cluster, or start one on this machine for a run. The only module that imports ray."""

from __future__ import annotations

import logging
import math
import os
import pickle
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final

from imseek._version import __version__
from imseek.encoders.input_checks import available_cpus
from imseek.errors import ExecutorError, ImseekError, MissingExtraError, UsageError
from imseek.indexer.executors.worker import Setup
from imseek.types.executors import Ray

#: Object store of our own cluster in bytes: shards are small.
OBJECT_STORE: Final = 256 * 2**20
#: Maximum CPUs that workers of our own cluster may claim per processor: more is a typing mistake, and each worker is a
#: process.
MAX_CPUS_PER_PROCESSOR: Final = 16
#: Timeout in seconds for reaching a cluster.
CONNECT_SECONDS: Final = 10.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def connect_ray(options: Ray) -> Iterator[Any]:
    """Yield the module ``ray``, connected to the requested cluster. A connection made here is closed afterwards.

    Raises MissingExtraError; ExecutorError if no cluster is available; UsageError if the options ask for too many
    CPUs.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    if ray.is_initialized():
        yield ray
        return
    address = replace(options, address=options.address or os.environ.get("RAY_ADDRESS") or None).address
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    folder = None
    try:
        with _preserve_signal_handlers():
            try:
                if address is None:
                    folder = tempfile.mkdtemp(prefix="imseek-ray-", dir=_short_folder())
                    with _isolate_cluster(ray):
                        # Ray makes its folder accessible to everybody, so it lies inside a private one.
                        ray.init(address="local", _temp_dir=f"{folder}/r", **_local_settings(options), **quiet)
                else:
                    _probe(address)
                    ray.init(address=address, **quiet)
            except ImseekError:
                raise
            except Exception as error:  # of many types, none documented
                where = "on this machine" if address is None else f"at {address}"
                raise ExecutorError(
                    f"no Ray cluster {where}: {error}",
                    hint="`ray start --head` begins one; one that has a token wants RAY_AUTH_MODE=token here too",
                ) from error
        with _silence_worker_logs(ray):
            yield ray
    finally:
        with _preserve_signal_handlers():
            ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _probe(address: str) -> None:
    """Check that a host answers, because Ray would wait for minutes. Raises OSError, ValueError."""
    host, colon, port = address.rpartition(":")
    if colon and not host:
        raise ValueError("no host is named")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


@contextmanager
def _silence_worker_logs(ray: Any) -> Iterator[None]:
    """Stop Ray from printing lost workers to standard output, which carries the run's report.

    Ray prints these whatever its options say; it has one switch for it, which is undocumented.
    """
    inner: Any = getattr(getattr(ray, "_private", None), "worker", None)
    before = getattr(inner, "_worker_logs_enabled", None)
    if before is None:
        yield
        return
    inner._worker_logs_enabled = False
    try:
        yield
    finally:
        inner._worker_logs_enabled = before


@contextmanager
def _isolate_cluster(ray: Any) -> Iterator[None]:
    """Restrict a cluster started inside to this machine, and send no usage statistics.

    Its processes listen on the loopback address. Ray's only switch for this is named after other systems, on which it
    is the default.
    """
    constants: Any = getattr(getattr(ray, "_private", None), "ray_constants", None)
    before = getattr(constants, "ENABLE_RAY_CLUSTER", None)
    log = logging.getLogger("ray")
    level = log.level
    with _environment(RAY_USAGE_STATS_ENABLED="0", RAY_DEDUP_LOGS="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0"):
        if before is not None:
            constants.ENABLE_RAY_CLUSTER = False
        log.setLevel(logging.ERROR)  # Ray warns that its cluster has a token
        try:
            yield
        finally:
            log.setLevel(level)
            if before is not None:
                constants.ENABLE_RAY_CLUSTER = before


def _local_settings(options: Ray) -> dict[str, Any]:
    """Return the settings of a cluster for one run: large enough for the requested workers, local to this machine."""
    own_cpus = available_cpus()
    cpus = max(own_cpus, math.ceil((options.workers or 1) * options.cpus))
    if cpus > MAX_CPUS_PER_PROCESSOR * own_cpus:
        raise UsageError(
            f"workers that take {cpus:,} CPUs are too many for this machine, which has {own_cpus:,}",
            hint="a cluster of several machines is joined with --address; docs/scale.md",
        )
    return {
        "num_cpus": cpus,
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE,
        "_node_ip_address": "127.0.0.1",
    }


def _short_folder() -> str:
    """Return a short folder for temporary files: names of sockets in it may have at most 107 bytes."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= 20 else "/tmp"  # noqa: S108 - mkdtemp makes a folder that is ours alone


def plan_workers(ray: Any, options: Ray) -> tuple[int, float]:
    """Return how many workers to start, and the share of GPUs that each takes. Raises UsageError if none fits."""
    resources: Mapping[str, float] = ray.cluster_resources()
    cpus, cards = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    gpus = options.gpus if options.gpus is not None else float(cards >= 1)
    most = int(min(cpus // options.cpus, cards // gpus if gpus else math.inf))
    if most < 1:
        raise UsageError(
            f"a worker takes {options.cpus:g} CPUs and {gpus:g} GPUs, and the cluster has {cpus:g} and {cards:g}"
        )
    return options.workers or most, gpus


def start_worker(ray: Any, options: Ray, gpus: float) -> Any:
    """Start a worker; ``hello`` sets it up. Ray neither restarts it nor repeats its calls; the run handles both."""

    # Defined here, so that Ray sends the class itself: only then can a machine without imseek report that.
    class ImseekWorker:
        def __init__(self) -> None:
            self.worker: Any = None

        def hello(self, version: str, setup: bytes) -> Any:
            import os
            import pickle
            import socket

            where = f"process {os.getpid()} on {socket.gethostname()}"
            try:
                from imseek._version import __version__ as here
            except ImportError as error:
                return f"{where}: imseek is not installed there ({error})"
            if here != version:
                return f"{where} has imseek {here}, this process {version}"
            return self._catch(lambda: self._begin(pickle.loads(setup)), where)  # noqa: S301 - our own

        def read(self, *arguments: Any) -> Any:
            return self._catch(lambda: self.worker.read(*arguments))

        def make(self, *arguments: Any) -> Any:
            return self._catch(lambda: self.worker.make(*arguments))

        def _begin(self, setup: Any) -> Any:
            from imseek.indexer.executors.worker import Worker

            self.worker = Worker(setup)
            return self.worker.hello()

        def _catch(self, call: Any, where: str = "") -> Any:
            """Return errors as values, because not every error can be pickled."""
            try:
                return call()
            except Exception as error:
                import socket

                hint = getattr(error, "hint", None)
                kind = "" if hasattr(error, "hint") else f"{type(error).__name__}: "
                return ("refused", f"{where or socket.gethostname()}: {kind}{error}", hint)

    settings = {"num_cpus": options.cpus, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
    return ray.remote(ImseekWorker).options(max_concurrency=2, **settings).remote()


def send_setup(actor: Any, setup: Setup) -> Any:
    """Send a worker this version of imseek and its setup."""
    return actor.hello.remote(__version__, pickle.dumps(setup))


def answer_of(answer: Any) -> Any:
    """Return what a worker has answered. Raises ExecutorError if it reported a failure."""
    if isinstance(answer, str):
        raise ExecutorError(
            f"a worker does not fit: {answer}", hint="install the same imseek on all machines; docs/scale.md"
        )
    if isinstance(answer, tuple) and answer[0] == "refused":
        raise ExecutorError(f"a worker failed: {answer[1]}", hint=answer[2])
    return answer


@contextmanager
def _preserve_signal_handlers() -> Iterator[None]:
    """Restore the process's signal handlers, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for processes started inside; variables that exist already are kept."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def stop_worker(ray: Any, actor: Any) -> None:
    """Stop a worker."""
    with suppress(ImseekError, ray.exceptions.RayError, ValueError):
        ray.kill(actor)
