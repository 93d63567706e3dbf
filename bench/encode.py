"""From file to vector: `imseek index` beside clip-retrieval's `inference` and rclip's indexing, whole commands.

    python bench/encode.py --peers /tmp/peers --hub /tmp/peers/hf --photos /tmp/peers/photos

All three run ViT-B-32-256 with the same weights (random ones will do: speed does not depend on them), each in the
precision that it picks, on all processors. Every command is a fresh process with a fresh output; it runs on all
photographs and on eight of them, and the difference is the time needed beyond starting up. Rounds are interleaved, and
ratios are taken within a round. The table also has rows of imseek in other precisions.

The peers and the photographs: bench/README.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import recorder

MODEL, TAG = "ViT-B-32-256", "datacomp_s34b_b86k"
FEW = 8  # photographs that show what starting up takes


@dataclass(frozen=True)
class Tool:
    """``command`` may contain {photos} and {out}, and runs in the folder of the photographs."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def seconds(self, photos: Path, scratch: Path, models: Path) -> float:
        """Wall time of one run with a fresh output. Prints the output of a failed run, and raises CalledProcessError.

        ``models`` is the folder where rclip keeps its models.
        """
        with TemporaryDirectory(dir=scratch) as out:
            for model in models.iterdir():  # rclip keeps its database in the same place, which is to be fresh
                if model.name in ("tokenizer", f"{MODEL}-{TAG}") and self.name == "rclip":
                    (Path(out) / model.name).symlink_to(model)
            return self._run(photos, Path(out))

    def _run(self, photos: Path, out: Path) -> float:
        places = {"photos": photos, "out": out}
        command = [word.format(**places) for word in self.command]
        environment = {name: value.format(**places) for name, value in self.environment.items()}
        start = time.perf_counter()
        process = subprocess.run(
            command,
            cwd=photos,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - start
        if process.returncode:
            print(process.stdout[-2000:], process.stderr[-2000:], sep="\n", file=sys.stderr)
            process.check_returncode()
        return seconds


def imseek(precision: str, hub: Path) -> Tool:
    reference = f"openclip:{MODEL}/{TAG}"
    index = ("index", "{photos}", "--collection", "{out}/c", "--encoder", reference, "--precision", precision)
    return Tool(
        f"imseek {precision}",
        (sys.executable, "-P", "-m", "imseek", *index),
        {**offline(hub), "IMSEEK_HOME": "{out}/home"},
    )


def clip_retrieval(peers: Path, hub: Path) -> Tool:
    options = {
        "input_dataset": "{photos}",
        "output_folder": "{out}",
        "input_format": "files",
        "enable_text": "False",
        "clip_model": f"open_clip:{MODEL}/{TAG}",
        "use_jit": "False",
        "num_prepro_workers": str(cores()),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Tool("clip-retrieval", (str(peers / "pcr/bin/clip-retrieval"), "inference", *words), offline(hub))


def rclip(peers: Path) -> Tool:
    """rclip, with a query, since it cannot index without one."""
    return Tool("rclip", (str(peers / "prc/bin/rclip"), "-f", "a cat"), {"RCLIP_DATADIR": "{out}"})


def offline(hub: Path) -> dict[str, str]:
    return {"HF_HOME": str(hub), "HF_HUB_OFFLINE": "1"}


def cores() -> int:
    return len(os.sched_getaffinity(0))


def rates(tools: list[Tool], photos: Path, rounds: int, models: Path, scratch: Path) -> Iterator[dict[str, float]]:
    """Yield for each round the photographs per second beyond the start, by name of the tool."""
    files = sorted(photos.iterdir())
    few = scratch / f"few-{photos.name}"
    few.mkdir()
    for path in files[:FEW]:
        shutil.copy(path, few)
    for _ in range(rounds):
        of_round = {}
        for tool in tools:
            seconds = [tool.seconds(folder, scratch, models) for folder in (few, photos)]
            of_round[tool.name] = (len(files) - FEW) / (seconds[1] - seconds[0])
            print(
                f"  {photos.name:6} {tool.name:15} {of_round[tool.name]:7.1f} img/s "
                f"({len(files)} in {seconds[1]:.1f} s, {FEW} in {seconds[0]:.1f} s)",
                flush=True,
            )
        yield of_round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    parser.add_argument("--hub", type=Path, help="HF_HOME with the weights (default: PEERS/hf)")
    parser.add_argument("--photos", type=Path, help="folders `big` and `small` (default: PEERS/photos)")
    parser.add_argument("--rclip-models", type=Path, default=Path("~/.local/share/rclip"))
    parser.add_argument("--precision", action="append", help="of imseek; may be repeated (default: auto, fp32)")
    parser.add_argument("--set", action="append", choices=("big", "small"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    hub, photos = options.hub or options.peers / "hf", options.photos or options.peers / "photos"
    precisions = options.precision or ["auto", "fp32"]
    ours = [imseek(precision, hub) for precision in precisions]
    tools = [*ours, clip_retrieval(options.peers, hub), rclip(options.peers)]
    print(f"{processor()}, {cores()} cores, torch {version('torch')}, onnxruntime {version('onnxruntime')}")
    with TemporaryDirectory() as scratch:
        for name in options.set or ("big", "small"):
            models = options.rclip_models.expanduser()
            rates_by_tool: dict[str, list[float]] = defaultdict(list)
            for of_round in rates(tools, photos / name, options.rounds, models, Path(scratch)):
                for tool, rate in of_round.items():
                    rates_by_tool[tool].append(rate)
            report(name, rates_by_tool, [tool.name for tool in ours])


def report(photos: str, rates: Mapping[str, list[float]], ours: list[str]) -> None:
    """Medians, and ratios of the rates within a round."""
    print(f"\n| {photos} | img/s | × clip-retrieval | × rclip |\n|---|---|---|---|")
    for tool, values in rates.items():
        ratios = [f"{_ratio(values, rates[peer]):.2f}" if tool in ours else "" for peer in ("clip-retrieval", "rclip")]
        print(f"| {tool} | {statistics.median(values):.1f} | {' | '.join(ratios)} |")
        recorder.add_row(
            "tools",
            photos=photos,
            tool=tool,
            images_per_s=statistics.median(values),
            times_clip_retrieval=_ratio(values, rates["clip-retrieval"]) if tool in ours else None,
            times_rclip=_ratio(values, rates["rclip"]) if tool in ours else None,
        )
    print(flush=True)


def _ratio(values: Sequence[float], peers: Sequence[float]) -> float:
    """The median of the ratios within a round."""
    return statistics.median(a / b for a, b in zip(values, peers, strict=True))


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if platform.system() == "Linux" else []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = [flag for flag in ("avx512_vnni", "avx512_bf16", "amx_bf16") if flag in facts.get("flags", "").split()]
    return f"{facts.get('model name', platform.processor())} ({', '.join(flags) or 'none of VNNI, BF16, AMX'})"


if __name__ == "__main__":
    sys.exit(recorder.run(main))
