"""Draws what `bench/search.py --curves` has recorded: recall@10 against the time of a query, one line for each system.

    python bench/curves.py bench/results/2026-11-30-search.json --out docs/pictures/search-curves.png

Needs matplotlib. Times are medians of processor time, of one thread; imseek's are those of the whole call.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

KINDS = {"image": "pictures ask", "text": "words ask"}
#: The least recall that is drawn.
LEAST = 0.8
#: Where a recall lies on the axis: as far from 1 as its logarithm says, so that .9 and .99 are told apart.
TICKS = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)


def draw(figures: dict[str, Any], machine: str, out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    points = figures["curves"]
    systems = list(dict.fromkeys(point["system"] for point in points))
    figure, axes = pyplot.subplots(1, len(KINDS), figsize=(11, 4.6), sharey=True)
    for axis, (kind, title) in zip(axes, KINDS.items(), strict=True):
        for number, system in enumerate(systems):
            mine = [p for p in points if (p["system"], p["queries"]) == (system, kind) and p["recall"] >= LEAST]
            style = {"color": "black", "linewidth": 2.4} if system == "imseek" else {"color": f"C{number}"}
            axis.plot([1 - min(p["recall"], 0.999) for p in mine], [p["cpu_ms"] for p in mine], "o-", ms=3.5,
                      label="imseek (whole call)" if system == "imseek" else system, **style)  # fmt: skip
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlim(1 - LEAST, 0.001)
        axis.set_xticks([1 - tick for tick in TICKS], [f"{tick:g}" for tick in TICKS])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.axvline(0.01, color="grey", linewidth=0.8, linestyle=":")
        axis.grid(alpha=0.3)
        axis.set_title(title)
        axis.set_xlabel("recall@10")
    axes[0].set_ylabel("ms of CPU for a query, one thread")
    axes[-1].legend(fontsize=8, loc="upper left")
    count = points[0]["count"]
    figure.suptitle(f"{count:,} vectors of 512 numbers as CLIP's ({machine})", fontsize=10)
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    record = json.loads(options.results.read_text("utf-8"))
    machine = record["machine"]
    draw(record["figures"], f"{machine['cpu']}, load {machine['load_before'][0]:.0f}", options.out)


if __name__ == "__main__":
    main()
