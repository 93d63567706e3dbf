"""Where a command's processor time goes, as a picture: an icicle of its call stacks.

    python bench/icicles.py clusters.svg [--runs 5] -- clusters -c photos
    python bench/icicles.py one-photo.svg --add photos/ -- index -c photos      # each run finds a photo that is new

The command runs in processes of its own, and a timer of processor time (of all threads, at most 250 times a second on
Linux) notes where the main thread is. One run is not counted: it fills caches. The width of a box is its share of the
samples, what it calls lies below it; frames of the import system and of the command line's parser are left out,
neighbouring frames of another package are one box, and boxes narrower than a three-hundredth are not drawn.
"""

from __future__ import annotations

import argparse
import collections
import html
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import recorder
from photos import SIZES, make_photos

HERE = Path(__file__).resolve().parents[1]
SAMPLER = """
import collections, json, signal, sys, time
out, sys.argv = sys.argv[1], ["imseek", *sys.argv[2:]]
stacks = collections.Counter()
def sample(number, frame):
    names = []
    while frame is not None:
        names.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
        frame = frame.f_back
    stacks["\\n".join(reversed(names))] += 1
signal.signal(signal.SIGPROF, sample)
signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
try:
    from imseek.__main__ import main
    code = main()
except SystemExit as end:
    code = end.code
signal.setitimer(signal.ITIMER_PROF, 0)
with open(out, "w") as file:
    json.dump([time.process_time(), stacks], file)
sys.exit(code)
"""
LEFT_OUT = re.compile(r"^<(string|frozen)|/(importlib|typer)/|/imseek/(__main__|_lazy)\.py|/cli/(app|flag_groups)\.py")
WIDTH, ROW, LEAST = 1200, 17, 1 / 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="SVG to write")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--add", type=Path, metavar="FOLDER", help="put a new photo here before each run")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    photos = make_photos(options.runs + 1, SIZES["small"], os.getpid())
    samples: collections.Counter[tuple[str, ...]] = collections.Counter()
    seconds = 0.0
    for run in range(options.runs + 1):
        if options.add:
            next(photos).save(options.add / f"icicle-{os.getpid()}-{run}.jpg", quality=90)
        cpu, stacks = sample_stacks(options.command)
        if run:
            seconds += cpu / options.runs
            for stack, count in stacks.items():
                samples[boxes(stack)] += count
    recorder.put(processor_s=seconds, samples=sum(samples.values()))
    options.picture.write_text(draw_icicle(samples, 1000 * seconds, options.runs, " ".join(options.command)), "utf-8")


def sample_stacks(command: list[str]) -> tuple[float, dict[str, int]]:
    """Run the command; return its seconds of processor time, and its samples by stack."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "stacks.json"
        subprocess.run(
            [sys.executable, "-P", "-c", SAMPLER, str(out), *command],
            env=environment | {"PYTHONPATH": str(HERE)}, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        cpu, stacks = json.loads(out.read_text())
        return cpu, stacks


def boxes(stack: str) -> tuple[str, ...]:
    """Names of the boxes of a stack, from the outermost."""
    names: list[str] = []
    for frame in stack.split("\n"):
        if LEFT_OUT.search(frame) or frame.startswith("<string>"):
            continue
        file, _, function = frame.rpartition(":")
        package = re.search(r"site-packages/([^/.]+)", file) or re.search(r"lib/python3\.\d+/([^/.]+)", file)
        inside = re.search(r"/(imseek/.*)\.py$", file)
        if inside and not package:
            module = inside[1].removesuffix("/__init__").replace("/", ".")
            name = f"import {module}" if function == "<module>" else f"{module}.{function}"
        else:
            name = package[1] if package else "Python"
            name = f"import {name}" if function == "<module>" else name
        if not names or names[-1] != name:
            names.append(name)
    return tuple(names) or ("Python",)


def draw_icicle(samples: collections.Counter[tuple[str, ...]], milliseconds: float, runs: int, title: str) -> str:
    total, parts, deepest = sum(samples.values()), [], 0
    level = [(0.0, (), list(samples.items()))]
    while level:
        below = []
        for left, above, stacks in level:
            groups: dict[str, list[tuple[tuple[str, ...], int]]] = collections.defaultdict(list)
            for stack, count in stacks:
                if len(stack) > len(above):
                    groups[stack[len(above)]].append((stack, count))
            for name, members in sorted(groups.items(), key=lambda group: -sum(count for _, count in group[1])):
                count = sum(count for _, count in members)
                if count >= LEAST * total:
                    parts.append(box(left, len(above), count / total, name, milliseconds * count / total))
                    deepest = max(deepest, len(above) + 1)
                    below.append((left, (*above, name), members))
                left += count / total
        level = below
    height = ROW * (deepest + 2)
    mean = f", mean of {runs} runs" if runs > 1 else ""
    heading = f"imseek {title}: {milliseconds:,.0f} ms of processor time{mean}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
        f'<text x="4" y="{ROW - 4}" font-size="13">{html.escape(heading)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def box(left: float, depth: int, share: float, name: str, milliseconds: float) -> str:
    x, y, width = left * WIDTH, ROW * (depth + 1.5), share * WIDTH
    colour = "#9ecae1" if name.startswith("import ") else "#fdd0a2" if name.startswith("imseek") else "#d9d9d9"
    room = int(width / 6)
    short = name.removeprefix("import ").removeprefix("imseek.")
    text = short if len(short) <= room else f"{short[: room - 1]}…" if room > 3 else ""
    tip = html.escape(f"{name}: {milliseconds:,.0f} ms, {share:.1%}")
    return (
        f'<g><title>{tip}</title><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{ROW - 1}" fill="{colour}" '
        f'stroke="#fff"/><text x="{x + 3:.1f}" y="{y + 12:.1f}">{html.escape(text)}</text></g>'
    )


if __name__ == "__main__":
    sys.exit(recorder.run(main))
