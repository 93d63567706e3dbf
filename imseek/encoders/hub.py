"""Files from the model hub: taken from its cache without a request, or downloaded with resumption.

The cache is the hub client's own, shared with other programs. The client manages its layout; large files are downloaded
here, because the client restarts from zero after a kill. Every failure is an EncoderUnavailableError, raised within
five seconds where the hub does not answer.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from imseek.encoders import licences
from imseek.errors import EncoderError, EncoderUnavailableError

# Time limit for the hub to describe a repository.
DEADLINE_SECONDS: Final = 5.0

# Files that transformers reads to build a tokenizer or the configuration of a text tower.
TOKENIZER_FILES: Final = (
    "config.json", "merges.txt", "sentencepiece.bpe.model", "special_tokens_map.json", "spiece.model",
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
)  # fmt: skip

_ABSENT: Final = ".no_exist"  # the client's folder of marks for files that a repository lacks
_RETRY_HINT: Final = "go online (and unset HF_HUB_OFFLINE) and try again, or name another encoder, such as builtin"


@dataclass(frozen=True, slots=True)
class Part:
    """Files needed from one repository: the first of ``names`` that exists, or with ``every`` all that exist."""

    repository: str
    names: tuple[str, ...]
    every: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """Progress of a download. ``done`` and ``total`` are bytes over all its files, ``file`` is the current one."""

    file: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the hub. ``sha256`` is None for a small file, which the hub stores under another kind of hash."""

    name: str
    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Repository:
    """The hub's description of a repository. ``licence`` is the one on its card, verbatim."""

    name: str
    commit: str
    licence: str | None
    files: tuple[RemoteFile, ...]

    def select(self, part: Part) -> list[RemoteFile]:
        """Select the files of ``part``, in its order. Raises EncoderUnavailableError if there is none."""
        by_name = {file.name: file for file in self.files}
        matching = [by_name[name] for name in part.names if name in by_name]
        if not matching:
            raise EncoderUnavailableError(
                f"the repository {self.name} holds no {' or '.join(part.names)}",
                hint="is it a repository of this kind of encoder?",
            )
        return matching if part.every else matching[:1]


TransferCallback: TypeAlias = Callable[[Transfer], None]

_watcher: ContextVar[TransferCallback | None] = ContextVar("imseek_downloads", default=None)
# Held during downloads and while the client is offline (see `offline`).
_client_lock = threading.RLock()


@contextlib.contextmanager
def report_downloads(callback: TransferCallback | None) -> Iterator[None]:
    """Report every download that this thread starts to ``callback``, whichever function triggers it.

    None reports nothing and leaves an outer callback in place.
    """
    if callback is None:
        yield
        return
    token = _watcher.set(callback)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Make the hub's client answer from its cache, as if HF_HUB_OFFLINE were set.

    Some libraries query the hub for each file they load: behind a hanging resolver that blocks for ever, and online it
    may load other files than the ones inspected before.
    """
    from huggingface_hub import constants

    with _client_lock:
        before = constants.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before


def cached_path(part: Part) -> Path | None:
    """Return the first of the part's files in the hub's cache, at the most recently fetched commit, or None.

    The client's ``try_to_load_from_cache`` gives the same, but takes 0.2 s to import.
    """
    commit = _commit(part.repository)
    if commit is None:
        return None
    snapshot = folder_of(part.repository) / "snapshots" / commit
    return next((snapshot / name for name in part.names if (snapshot / name).is_file()), None)


def is_complete(part: Part) -> bool:
    """Return whether all of ``part`` is in the hub's cache.

    With ``every``, each missing file must bear the client's mark that the repository lacks it: otherwise a transfer
    broke off, or another program needed fewer files.
    """
    if not part.every:
        return cached_path(part) is not None
    commit = _commit(part.repository)
    if commit is None:
        return False
    folder = folder_of(part.repository)
    return all(
        (folder / "snapshots" / commit / name).is_file() or (folder / _ABSENT / commit / name).is_file()
        for name in part.names
    )


def folder_of(repository: str) -> Path:
    """Return the client's folder for ``repository``. It need not exist."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


def _commit(repository: str) -> str | None:
    """Return the most recently fetched commit of ``repository``, or None."""
    try:
        return (folder_of(repository) / "refs" / "main").read_text("ascii").strip()
    except (OSError, ValueError):
        return None


def first_file(reference: str, repository: str, names: Sequence[str]) -> Path:
    """Return the first of the files ``names`` that ``repository`` has: see :func:`ensure_cached`."""
    return ensure_cached(reference, [Part(repository, tuple(names))])


def ensure_cached(reference: str, parts: Sequence[Part]) -> Path:
    """Return the file of the first part, after downloading all ``parts`` if it is not in the hub's cache.

    A cached file's licence was accepted when it was downloaded. Raises LicenceError for weights that need acceptance
    first, EncoderUnavailableError, whose text names ``reference``, and EncoderError for a file that arrived damaged.
    """
    path = cached_path(parts[0])
    if path is None:
        licences.refuse_restricted(reference, parts[0].repository)
        repositories = describe(parts, reference)
        licences.check_licence(reference, parts[0].repository, repositories[0].licence, accepted=False)
        fetch(reference, parts, repositories)
        path = cached_path(parts[0])
    if path is None:
        raise EncoderUnavailableError(f"the weights of {reference} were fetched, but are not in the hub's cache")
    return path


def describe(parts: Sequence[Part], reference: str) -> list[Repository]:
    """Query the hub for each part's repository. Raises EncoderUnavailableError within five seconds.

    The queries run in a thread that is abandoned at the deadline, because a hanging resolver ignores timeouts.
    """
    from huggingface_hub import constants

    answers: queue.SimpleQueue[list[Repository] | Exception] = queue.SimpleQueue()

    def query_hub() -> None:
        try:
            names = dict.fromkeys(part.repository for part in parts)
            by_name = {name: _describe_repository(name) for name in names}
            answers.put([by_name[part.repository] for part in parts])
        except Exception as error:  # from the client, its HTTP library, or the answer of a captive portal
            answers.put(error)

    with _client_lock:  # keeps other threads from switching it offline
        if constants.HF_HUB_OFFLINE:
            raise unavailable_error(reference, "HF_HUB_OFFLINE is set")
        threading.Thread(target=query_hub, name="imseek-hub", daemon=True).start()
        try:
            answer = answers.get(timeout=DEADLINE_SECONDS)
        except queue.Empty:
            answer = TimeoutError(f"the hub did not answer within {DEADLINE_SECONDS:g} seconds")
    if isinstance(answer, Exception):
        raise _refusal_error(reference, answer) from answer
    return answer


def fetch(reference: str, parts: Sequence[Part], repositories: Sequence[Repository]) -> None:
    """Download the files of ``parts`` that the hub's cache lacks; ``repositories`` is what :func:`describe` returns."""
    from imseek.encoders.resumable_download import DISK_FULL_ERRNOS, client_settings, disk_full_error

    files = [
        (repository, file)
        for part, repository in zip(parts, repositories, strict=True)
        for file in repository.select(part)
    ]
    report = _watcher.get()
    total, done = sum(file.size for _, file in files), 0
    for repository, file in files:

        def report_progress(size: int, name: str = file.name, before: int = done) -> None:
            if report is not None:
                report(Transfer(name, before + size, total))

        report_progress(0)
        try:
            with _client_lock, client_settings():
                _fetch(repository, file, report_progress)
        except EncoderError:
            raise
        except OSError as error:
            if error.errno in DISK_FULL_ERRNOS:
                raise disk_full_error(file.name, file.size) from error
            if error.filename is not None:  # not a network error
                raise _not_writable_error(error) from error
            raise _transfer_error(reference, error) from error
        except Exception as error:  # from the HTTP library, which depends on the client's version
            raise _transfer_error(reference, error) from error
        done += file.size
        report_progress(0, before=done)
    for part, repository in zip(parts, repositories, strict=True):
        if part.every:
            _mark_absent(repository, part.names)


def unavailable_error(reference: str, reason: object) -> EncoderUnavailableError:
    """Return the error for weights that are neither cached nor available for download."""
    return EncoderUnavailableError(
        f"the weights of {reference} are neither in the hub's cache nor to be fetched: {_first_line(reason)}",
        hint=_RETRY_HINT,
    )


def revision(file: Path) -> str | None:
    """Return the hub's commit of ``file`` if it lies in the hub's cache (``…/snapshots/COMMIT/FILE``), else None."""
    for folder in file.parents:
        if folder.parent.name == "snapshots":
            return folder.name
    return None


def _describe_repository(name: str) -> Repository:
    from huggingface_hub import HfApi

    info = HfApi().model_info(name, files_metadata=True, timeout=DEADLINE_SECONDS)
    if info.sha is None:
        raise ValueError("what answers is not the hub: it names no commit")
    card = info.card_data
    return Repository(
        name=name,
        commit=info.sha,
        licence=None if card is None else (card.get("license_name") or card.get("license")),
        files=tuple(
            RemoteFile(file.rfilename, file.size or 0, None if file.lfs is None else file.lfs["sha256"])
            for file in info.siblings or ()
        ),
    )


def _fetch(repository: Repository, file: RemoteFile, report: Callable[[int], None]) -> None:
    from huggingface_hub import hf_hub_download

    from imseek.encoders.resumable_download import fetch_blob

    if file.sha256 is not None and cached_path(Part(repository.name, (file.name,))) is None:
        fetch_blob(folder_of(repository.name), repository.name, repository.commit, file, report)
    # Links a large file found under its hash; downloads a small one.
    hf_hub_download(repository.name, file.name)


def _mark_absent(repository: Repository, names: Sequence[str]) -> None:
    """Leave the client's own mark for files that the repository lacks.

    Without it, transformers takes a tokenizer's missing ``config.json`` for an unreachable one, and refuses the
    tokenizer whenever the hub is offline.
    """
    marks = folder_of(repository.name) / _ABSENT / repository.commit
    for name in set(names) - {file.name for file in repository.files}:
        marks.mkdir(parents=True, exist_ok=True)
        (marks / name).touch()


def _not_writable_error(error: OSError) -> EncoderUnavailableError:
    return EncoderUnavailableError(
        f"the hub's cache cannot be written: {error.strerror}: {os.fsdecode(error.filename)}",
        hint="set HF_HUB_CACHE to a folder that can be",
    )


def _transfer_error(reference: str, error: Exception) -> EncoderUnavailableError:
    return EncoderUnavailableError(
        f"fetching {reference} broke off: {_first_line(error)}",
        hint=f"what has come is kept: `imseek encoders get {reference}` goes on from there",
    )


def _refusal_error(reference: str, error: Exception) -> EncoderUnavailableError:
    """Explain why the hub gave no description: no such repository, no access, or no connection."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return EncoderUnavailableError(
            f"the hub gives the weights of {reference} only to accounts that it has let in",
            hint="ask for access on the repository's page, then `hf auth login`",
        )
    if isinstance(error, RepositoryNotFoundError):
        return EncoderUnavailableError(
            f"the hub has no repository for {reference}, or keeps it private",
            hint="is it spelled right? For a private one: `hf auth login`",
        )
    return unavailable_error(reference, error)


def _first_line(reason: object) -> str:
    lines = str(reason).strip().splitlines()
    return lines[0] if lines else type(reason).__name__
