"""Draws what `bench/search.py` has recorded.

    python bench/searching/curves.py --out docs/pictures/search-curves.png bench/results/2026-11-30-search-curves.json
    python bench/searching/curves.py --out docs/pictures/search-growth.png RESULT.json RESULT.json...

For a run with `--curves`: recall@10 against the time of a query, with a line for each system. For other runs, one for
each number of vectors: how the time of imseek's whole call grows.

Needs matplotlib. Times are processor time of one thread: medians in curves, means in growth.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KINDS = {"image": "queries by picture", "text": "queries by words"}
#: The least recall that is drawn.
LEAST = 0.8
#: Recalls on the axis, which is logarithmic in 1 - recall, so that .9 and .99 are told apart.
TICKS = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)
#: On the axis of growth.
MILLISECONDS = (1, 2, 5, 10, 20, 50)


def draw(figures: dict[str, Any], kind_of_vectors: str, machine: str, out: Path) -> None:
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    points = figures["curves"]
    systems = list(dict.fromkeys(point["system"] for point in points))
    figure, axes = pyplot.subplots(1, len(KINDS), figsize=(11, 4.6), sharey=True)
    for axis, (kind, title) in zip(axes, KINDS.items(), strict=True):
        for number, system in enumerate(systems):
            visible = [p for p in points if (p["system"], p["queries"]) == (system, kind) and p["recall"] >= LEAST]
            style = {"color": "black", "linewidth": 2.4} if system == "imseek" else {"color": f"C{number}"}
            axis.plot([1 - min(p["recall"], 0.999) for p in visible], [p["cpu_ms"] for p in visible], "o-", ms=3.5,
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
    figure.suptitle(f"{count:,} {kind_of_vectors} of 512 numbers ({machine})", fontsize=10)
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def draw_growth(rows: Sequence[dict[str, Any]], machine: str, out: Path) -> None:
    from matplotlib import pyplot
    from matplotlib.ticker import NullLocator

    figure, axis = pyplot.subplots(figsize=(6, 4.2))
    own_rows = [row for row in rows if (row["system"], row["threads"]) == ("imseek", 1)]
    own_rows.sort(key=lambda row: int(row["count"]))
    for kind, title in KINDS.items():
        times = [row[kind]["cpu_ms"] for row in own_rows]
        axis.plot([row["count"] for row in own_rows], times, "o-", label=title)
        for row, time in zip(own_rows, times, strict=True):
            axis.annotate(f"{row[kind]['recall']:.3f}", (row["count"], time), fontsize=8, xytext=(4, 4),
                          textcoords="offset points")  # fmt: skip
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_yticks(MILLISECONDS, [f"{tick:g}" for tick in MILLISECONDS])
    axis.yaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("vectors of 512 numbers like CLIP's")
    axis.set_ylabel("ms of CPU of a whole call; recall@10 beside it")
    axis.set_title(machine, fontsize=9)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper left")
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    records = [json.loads(path.read_text("utf-8")) for path in options.results]
    machine = f"{records[0]['machine']['cpu']}, load {records[0]['machine']['load_before'][0]:.0f}"
    if "curves" in records[0]["figures"]:
        kind = "vectors like CLIP's," if "--profile clip" in records[0]["command"] else "hard vectors"
        draw(records[0]["figures"], kind, machine, options.out)
    else:
        draw_growth([row for one in records for row in one["figures"]["systems"]], machine, options.out)


if __name__ == "__main__":
    main()
