"""Fuzz the readers of strangers' files by coverage (atheris over libFuzzer); the targets are in tests/fuzz.

    python bench/fuzz.py --seconds 240 --jobs 2             # every target; `make fuzz` is one minute of each
    python bench/fuzz.py where tar --runs 1000000
    python bench/fuzz.py --seconds 240 --write-corpus       # the inputs that reach the most, into tests/fuzz/corpus
    python bench/fuzz.py --input crash-0123 --target tar    # one input once more, without atheris

An input that makes a target raise, crash or take more than ten seconds ends the target's run, and is named. The table
has the runs, how many a second, and the features (edges and how often they are taken) that the corpus reaches. Exits
with 1 where there is a finding, or where a target failed. Needs the extra ``fuzz``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeAlias

import recorder

TESTS: Final = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))

#: Seconds after which an input counts as one that hangs.
HANG: Final = 10
#: MiB that a target may take, the libraries it imports included.
MEMORY: Final = 4096
#: The longest input.
MAX_LENGTH: Final = 4096
#: Greatest size of a target's corpus in the repository, in bytes of its inputs.
CORPUS_BYTES: Final = 16 * 1024
PACKAGE: Final = "/imseek/"
Line: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a run of one target."""

    name: str
    runs: int
    seconds: float
    features: int
    findings: tuple[str, ...]
    #: Why the run failed without a finding; empty after success or with findings.
    failure: str = ""


def main() -> int:
    options = _options()
    if options.child:
        _fuzz(options.child, options.arguments)
        return 0
    from fuzz.targets import TARGETS

    if problem := _problem(options, TARGETS):
        print(f"fuzz.py: error: {problem}", file=sys.stderr)
        return 2
    if options.input is not None:
        TARGETS[options.target].run(options.input.read_bytes())
        return 0
    names = list(dict.fromkeys(options.names)) or list(TARGETS)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="imseek-fuzz-"))
    print(f"seed {options.seed}; inputs and findings in {folder}")
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda name: _run(name, folder, options), names))
    print("\n| target | runs | runs/s | features | findings |\n|---|---|---|---|---|")
    for one in results:
        print(f"| {_row(one)} |")
        recorder.add_row(
            "targets",
            target=one.name,
            runs=one.runs,
            seconds=one.seconds,
            features=one.features,
            findings=len(one.findings),
            failure=one.failure or None,
        )
    print(f"{sum(one.runs for one in results):,} runs, {sum(len(one.findings) for one in results)} findings")
    for one in results:
        if one.failure:
            print(f"{one.name} failed: {one.failure} ({folder / one.name / 'log'})", file=sys.stderr)
    recorder.put(seed=options.seed)
    return int(any(one.findings or one.failure for one in results))


def _problem(options: argparse.Namespace, targets: Collection[str]) -> str | None:
    """Return the problem with the arguments, or None."""
    names = [*options.names, *([] if options.target is None else [options.target])]
    listing = f"the targets are {', '.join(targets)}"
    if unknown := [name for name in names if name not in targets]:
        return f"no target {unknown[0]!r}: {listing}"
    if (options.input is None) != (options.target is None):
        return f"--input FILE and --target TARGET go together; {listing}"
    if options.input is not None:
        return None if options.input.is_file() else f"no file {options.input}"
    if options.seconds < 1 or options.jobs < 1:
        return "--seconds and --jobs are 1 or more"
    if options.folder is not None and options.folder.exists() and not options.folder.is_dir():
        return f"{options.folder} is not a folder"
    if importlib.util.find_spec("atheris") is None:
        return "atheris is not installed: pip install -e '.[fuzz]'"
    return None


def _row(one: Result) -> str:
    rate = one.runs / max(one.seconds, 1e-9)
    return f"{one.name} | {one.runs:,} | {rate:,.0f} | {one.features:,} | {len(one.findings)}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="TARGET", help="which targets (all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (1 or more)")
    parser.add_argument("--runs", type=int, default=-1, help="at most this many for each target")
    parser.add_argument("--jobs", type=int, default=1, help="targets at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where inputs are kept, to go on from")
    parser.add_argument("--write-corpus", action="store_true")
    parser.add_argument("--input", type=Path, help="run the target of --target on this file, and end")
    parser.add_argument("--target")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--arguments", nargs=argparse.REMAINDER, default=[], help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(name: str, folder: Path, options: argparse.Namespace) -> Result:
    """Fuzz one target in a process of its own, which a finding ends."""
    from fuzz.corpus import read_corpus
    from fuzz.targets import TARGETS

    inputs, artifacts = folder / name / "inputs", folder / name / "findings"
    inputs.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(exist_ok=True)
    for n, data in enumerate((*TARGETS[name].seeds(), *read_corpus(name))):
        (inputs / f"seed-{n}").write_bytes(data)
    arguments = (
        f"-seed={options.seed}", f"-runs={options.runs}", f"-max_total_time={options.seconds}", f"-timeout={HANG}",
        f"-rss_limit_mb={MEMORY}", f"-max_len={MAX_LENGTH}", f"-artifact_prefix={artifacts}/", "-print_final_stats=1",
    )  # fmt: skip
    begin = time.monotonic()
    status, output = _child(name, *arguments, str(inputs))
    (folder / name / "log").write_text(output)
    findings = tuple(map(str, artifacts.iterdir()))
    features = [int(one) for one in re.findall(r" ft: (\d+)", output)]
    runs = re.search(r"number_of_executed_units: (\d+)", output)
    result = Result(
        name,
        int(runs[1]) if runs else max(map(int, re.findall(r"^#(\d+)", output, re.MULTILINE)), default=0),
        time.monotonic() - begin,
        features[-1] if features else 0,
        findings,
        (output.strip() or f"exit code {status}").splitlines()[-1] if status and not findings else "",
    )
    print(_row(result), *(f"\n    {one}" for one in result.findings), flush=True)
    if options.write_corpus:
        _write_corpus(name, inputs)
    return result


def _write_corpus(name: str, inputs: Path) -> None:
    """Put the inputs that reach a further line of imseek, the shortest first, into the repository."""
    from fuzz.corpus import write_corpus
    from fuzz.targets import TARGETS

    reached: set[Line] = set()
    selection, total = [], 0
    for data in sorted((path.read_bytes() for path in inputs.iterdir()), key=lambda one: (len(one), one)):
        lines = _lines(TARGETS[name].run, data)
        if lines <= reached or total + len(data) > CORPUS_BYTES:
            continue
        reached |= lines
        selection.append(data)
        total += len(data)
    write_corpus(name, selection)


def _lines(run: Callable[[bytes], None], data: bytes) -> set[Line]:
    """Return the lines of imseek that a run executes."""
    lines: set[Line] = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if PACKAGE not in frame.f_code.co_filename:
            return None
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        run(data)
    finally:
        sys.settrace(None)
    return lines


def _child(name: str, *arguments: str) -> tuple[int, str]:
    """Fuzz one target in a child process; return its exit code and output."""
    command = (sys.executable, __file__, "--child", name, "--arguments", *arguments)
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return process.returncode, process.stdout.decode(errors="replace")


def _fuzz(name: str, arguments: Sequence[str]) -> None:
    """Run atheris in this process, over imseek's own modules: it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["imseek"]):
        from fuzz.targets import TARGETS

        for data in TARGETS[name].seeds():  # Late imports happen now.
            with contextlib.suppress(Exception):
                TARGETS[name].run(data)
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(recorder.run(main))
