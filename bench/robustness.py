"""Damaged pictures of every format: crashes, hangs, memory.

    python bench/robustness.py [--mutations 5000] [--only HEIC] [--files DIR] [--seeds DIR] [--workers 2]

Each format's sound files (tests/mutations.py makes them) are damaged ``--mutations`` times: flipped bits, cuts,
splices, lengths and counts with the values that they break at. Every one must end as a picture or as a MediaError,
within ``--seconds`` of processor time and ``--mib`` of resident memory. Files are decoded in child processes, so that
a crash costs one file, is counted, and its file kept under ``--keep``; memory is the peak of each single file
(/proc/self/clear_refs).

``--seeds`` adds files of yours to the sound ones, by content. ``--files`` decodes the files below a folder as they are,
such as Pillow's own test pictures: ``pip download --no-binary :all: --no-deps pillow`` brings ``Tests/images``.
Exit code 1 where a file crashed the process, raised anything but MediaError, or took too long or too much memory.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import recorder
from mutations import mutant, seeds

from imseek.errors import MediaError
from imseek.media import pillow
from imseek.media.decode import DEFAULT_LIMITS, decode
from imseek.media.formats import sniff
from imseek.types.arrays import Pixels

#: A format and the number of a mutation, or "" and the path of a file.
Job: TypeAlias = tuple[str, int | str]
_BATCH = 250  # jobs per child
HANG, DIED = "hang", "died"
_DRAFT = 256  # every other file is decoded as the indexer does it


@dataclass(slots=True)
class Tally:
    """Outcomes of the files of one format."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: tuple[float, Job] = (0.0, ("", ""))
    mib: tuple[int, Job] = (0, ("", ""))
    faults: list[str] = field(default_factory=list)


# --- the child ----------------------------------------------------------------------------------------------


def child(files: Path, address_space: int) -> None:
    """Read jobs as lines of JSON from standard input; print a line before each, and the outcome after it."""
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sound = pickle.loads(files.read_bytes())
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)  # libtiff prints its warnings there
    for line in sys.stdin:
        job = json.loads(line)
        data = content(job, sound)
        print("start", file=answers)
        reset_peak()
        start = processor_seconds()
        outcome = attempt(data, job)
        print(json.dumps([outcome, processor_seconds() - start, peak_mib()]), file=answers)


def content(job: Job, sound: dict[str, Sequence[bytes]]) -> bytes:
    name, which = job
    return mutant(name, which, sound[name]) if isinstance(which, int) else Path(which).read_bytes()


def attempt(data: bytes, job: Job) -> str:
    draft = _DRAFT if isinstance(job[1], int) and job[1] % 2 else None
    try:
        pixels = decode_here(data, draft)
    except MediaError as error:
        return f"!{error}" if " died of " in str(error) else str(error.reason)
    except BaseException as error:
        return f"!{type(error).__name__}: {error}"
    return "decoded" if pixels.ndim == 3 and pixels.dtype == "uint8" and pixels.size else "!no pixels"


def decode_here(data: bytes, draft: int | None) -> Pixels:
    """Decode as ``decode`` does, but in this process, where crashes and memory show; SVG has to be left out."""
    name = sniff(data)
    if name in (None, "SVG"):
        return decode(data, min_side=draft).pixels
    return pillow.read(data, name, min_side=draft, max_pixels=DEFAULT_LIMITS.max_pixels)[0]


def processor_seconds() -> float:
    """Processor seconds of this process and of those that draw SVG, so that a busy machine does not count."""
    return sum(os.times()[:4])


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> int:
    """Peak of this process since the reset, or of the largest process that has drawn SVG so far."""
    status = Path("/proc/self/status").read_text()
    own = int(status.partition("VmHWM:")[2].split()[0])
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) >> 10


# --- the parent ---------------------------------------------------------------------------------------------


class Runner:
    """Give jobs to children and collect the outcomes; a child that dies or hangs is replaced."""

    def __init__(self, options: argparse.Namespace, files: Path, sound: dict[str, Sequence[bytes]]) -> None:
        self._options = options
        self._files = files
        self._sound = sound
        self._lock = threading.Lock()
        self.tallies: dict[str, Tally] = defaultdict(Tally)

    def run(self, jobs: Sequence[Job]) -> None:
        remaining = list(jobs)
        while remaining:
            remaining = self._run_child(remaining)

    def _run_child(self, jobs: list[Job]) -> list[Job]:
        """Run jobs in one child; return those that are left if it ended early."""
        command = [sys.executable, __file__, "--child", str(self._files), "--address-space"]
        with subprocess.Popen(
            [*command, str(self._options.address_space)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            lines: queue.SimpleQueue[str] = queue.SimpleQueue()
            reader = threading.Thread(target=self._read, args=(process.stdout, lines))
            reader.start()
            try:
                for number, job in enumerate(jobs):
                    process.stdin.write(json.dumps(job) + "\n")
                    process.stdin.flush()
                    outcome = self._outcome(lines)
                    if isinstance(outcome, str):
                        if outcome == HANG:
                            os.killpg(process.pid, signal.SIGKILL)
                        status = process.wait()
                        self._note(job, f"!{outcome if outcome == HANG else describe_exit(status)}", 0.0, 0)
                        return jobs[number + 1 :]
                    self._note(job, *outcome)
                process.stdin.close()
                return []
            finally:
                if process.poll() is None and not process.stdin.closed:
                    process.kill()
                process.wait()
                reader.join()

    @staticmethod
    def _read(stream: Any, lines: queue.SimpleQueue[str]) -> None:
        for line in stream:
            lines.put(line)
        lines.put("")

    def _outcome(self, lines: queue.SimpleQueue[str]) -> tuple[str, float, int] | str:
        """Return the outcome of a job, or that the child died, or hangs; it takes a while to start."""
        try:
            answer = lines.get(timeout=120) and lines.get(timeout=self._options.hang)
        except queue.Empty:
            return HANG
        return tuple(json.loads(answer)) if answer else DIED

    def _note(self, job: Job, outcome: str, seconds: float, mib: int) -> None:
        name = job[0] or str(sniff(Path(str(job[1])).read_bytes()))
        if seconds > self._options.seconds:
            outcome = f"!{outcome} after {seconds:.1f} s"
        elif mib > self._options.mib:
            outcome = f"!{outcome} with {mib} MiB"
        with self._lock:
            tally = self.tallies[name]
            tally.outcomes["FAULT" if outcome.startswith("!") else outcome] += 1
            tally.seconds = max(tally.seconds, (seconds, job))
            tally.mib = max(tally.mib, (mib, job))
            if outcome.startswith("!"):
                tally.faults.append(f"{job}: {outcome[1:]}")
                self._options.keep.mkdir(parents=True, exist_ok=True)
                (self._options.keep / f"{name}-{Path(str(job[1])).name}").write_bytes(content(job, self._sound))


def describe_exit(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def make_jobs(options: argparse.Namespace, sound: dict[str, Sequence[bytes]]) -> Iterator[Job]:
    if options.files:
        for path in sorted(options.files.rglob("*")):
            if path.is_file():
                yield ("", str(path))
        return
    for name in sound:
        if options.only in (None, name):
            yield from ((name, number) for number in range(options.first, options.first + options.mutations))


def report(tallies: dict[str, Tally]) -> int:
    faults = 0
    for name, tally in tallies.items():
        counts = ", ".join(f"{reason} {count:,}" for reason, count in tally.outcomes.most_common())
        print(f"{name:<11}{tally.outcomes.total():>7,}  {counts}")
        print(f"{'':<20}slowest {tally.seconds[0]:.2f} s {tally.seconds[1][1]}, most memory {tally.mib[0]:,} MiB "
              f"{tally.mib[1][1]}")  # fmt: skip
        for fault in tally.faults[:20]:
            print(f"{'':<20}FAULT {fault}")
        faults += len(tally.faults)
        recorder.add_row(
            "formats",
            format=name,
            outcomes=dict(tally.outcomes),
            slowest_s=tally.seconds[0],
            most_mib=tally.mib[0],
            faults=len(tally.faults),
        )
    total = sum(tally.outcomes.total() for tally in tallies.values())
    print(f"{total:,} files, {faults} faults")
    recorder.put(files=total, faults=faults)
    return 1 if faults else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=5000, help="of each format")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--only", help="one format")
    parser.add_argument("--files", type=Path, help="decode the files of this folder instead, as they are")
    parser.add_argument("--seeds", type=Path, help="further sound files")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="of processor time that a file may take")
    parser.add_argument("--hang", type=float, default=120.0, help="seconds after which a child is killed")
    parser.add_argument("--mib", type=int, default=3072, help="of memory that a file may take")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "robustness")
    parser.add_argument("--address-space", type=int, default=6 * 2**30, help="bytes, the limit of a child")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.address_space)
        return 0
    sound: dict[str, list[bytes]] = {name: list(files) for name, files in seeds().items()}
    for path in sorted(options.seeds.rglob("*")) if options.seeds else ():
        if path.is_file() and (name := sniff(path.read_bytes())) in sound:
            sound[str(name)].append(path.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "sound"
        files.write_bytes(pickle.dumps(sound))
        jobs = list(make_jobs(options, sound))
        runner = Runner(options, files, sound)
        with ThreadPoolExecutor(options.workers) as pool:
            list(pool.map(runner.run, [jobs[at : at + _BATCH] for at in range(0, len(jobs), _BATCH)]))
    return report(runner.tallies)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
