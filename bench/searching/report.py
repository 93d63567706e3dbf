"""Tables of the figures that bench/search.py measures, with ratios to imseek, and the record of all runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from searching.measure import KINDS

HEAD = (
    "system",
    "thr",
    "setting i/t",
    "recall i/t",
    "p50 ms i/t",
    "p99 ms i/t",
    "CPU ms i/t",
    "queries/s i/t",
    "x p50 i/t",
    "x CPU i/t",
    "x queries/s i/t",
    "RSS MB",
    "anon MB",
    "x RSS",
    "build s",
    "CPU s",
    "file MB",
)


#: A peer takes as little memory if its resident memory is at most this many times imseek's.
SAME_MEMORY = 1.1


def append_result(work: Path, row: dict[str, Any]) -> None:
    """Append a result to ``results.jsonl``."""
    with (work / "results.jsonl").open("a") as out:
        out.write(json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), **row}) + "\n")


#: Names of figures, with their units.
UNITS = {
    "p50": "p50_ms",
    "p99": "p99_ms",
    "cpu": "cpu_ms",
    "first": "first_ms",
    "qps": "queries_per_s",
    "value": "setting",
}


def with_units(cell: dict[str, Any]) -> dict[str, Any]:
    return {UNITS.get(name, name): value for name, value in cell.items()}


def figures(row: dict[str, Any]) -> dict[str, Any]:
    """The figures of a row of the table, for bench/recorder.py."""
    cells = {name: row.get(name) for name in ("system", "threads", "count", "failed")}
    if "failed" in row:
        return cells
    build, memory = row["built"], row["asked"]
    cells |= {kind: with_units(row[kind]) for kind in KINDS}
    cells |= {"build_s": build["wall"], "build_cpu_s": build["cpu"], "file_mb": build["file_mb"]}
    return {**cells, "resident_mb": memory["rss"], "anonymous_mb": memory["anonymous"]}


def table(rows: Sequence[dict[str, Any]], target: float) -> str:
    blocks = []
    for count in dict.fromkeys(row["count"] for row in rows):
        for threads in dict.fromkeys(row["threads"] for row in rows):
            group = [row for row in rows if (row["count"], row["threads"]) == (count, threads)]
            ours = next((r for r in group if r["system"] == "imseek" and "failed" not in r), None)
            lines = [HEAD, *(_line(row, ours) for row in group)]
            blocks += [
                f"\n{count:,} vectors, {threads} thread(s); i = image queries, t = text-like ones",
                _align(lines),
            ]
            blocks += _claims(group, ours, target)
    return "\n".join(blocks)


def _line(row: dict[str, Any], ours: dict[str, Any] | None) -> tuple[str, ...]:
    if "failed" in row:
        return (row["system"], str(row["threads"]), row["failed"], *[""] * (len(HEAD) - 3))
    build, rss = row["built"], row["asked"]["rss"]

    def both(name: str, form: str) -> str:
        return "/".join("-" if row[kind][name] is None else format(row[kind][name], form) for kind in KINDS)

    def ratios(name: str) -> str:
        if ours is None:
            return ""
        return "/".join(f"{row[kind][name] / ours[kind][name]:.2f}" for kind in KINDS)

    return (
        row["system"] + (f" ({row['kind']})" if row.get("kind") else ""),
        str(row["threads"]),
        both("value", "d"),
        both("recall", ".3f"),
        both("p50", ".2f"),
        both("p99", ".2f"),
        both("cpu", ".2f"),
        both("qps", ".0f"),
        ratios("p50"),
        ratios("cpu"),
        ratios("qps"),
        f"{rss:.0f}",
        f"{row['asked']['anonymous']:.0f}",
        "" if ours is None else f"{rss / ours['asked']['rss']:.2f}",
        f"{build['wall']:.1f}",
        f"{build['cpu']:.1f}",
        f"{build['file_mb']:.0f}",
    )


def _claims(rows: Sequence[dict[str, Any]], ours: dict[str, Any] | None, target: float) -> list[str]:
    """Answer issue 6: the best peers that reach the recall, and what the whole call adds to FAISS's own."""
    if ours is None:
        return []
    lines = []
    peers = [r for r in rows if "failed" not in r and not r["system"].startswith("imseek")]
    for kind in KINDS if peers else ():
        able = [row for row in peers if row[kind]["recall"] >= target]
        lean = [row for row in able if row["asked"]["rss"] <= SAME_MEMORY * ours["asked"]["rss"]]
        lines.append(f"{kind}: imseek at recall {ours[kind]['recall']:.3f}")
        for which, group in (("peers", able), ("peers in as little memory", lean)):
            if not group:
                lines.append(f"  none of the {which} reaches {target}")
                continue
            fastest = min(group, key=lambda row: row[kind]["p50"])
            busiest = max(group, key=lambda row: row[kind]["qps"])
            lines.append(
                f"  of the {which} at {target} or more, the best p50 is {fastest['system']}'s "
                f"({fastest[kind]['p50'] / ours[kind]['p50']:.2f} of imseek's, CPU "
                f"{fastest[kind]['cpu'] / ours[kind]['cpu']:.2f}), "
                f"the most queries/s {busiest['system']}'s ({busiest[kind]['qps'] / ours[kind]['qps']:.2f} of imseek's)"
            )
        raw = next((row for row in peers if row["system"] == "faiss-ivf"), None)
        if raw is not None:
            more = ours[kind]["p50"] - raw[kind]["p50"]
            lines.append(f"  p50 of the whole call is FAISS's own IVF call {more:+.2f} ms")
    spread = max(row[kind]["spread"] for row in rows if "failed" not in row for kind in KINDS)
    return [*lines, f"p50 differed between rounds by {spread:.0%} at the most"]


def filtered_table(cell_of: dict[str, Any], count: int, shares: Sequence[float | str]) -> str:
    lines = [("", "queries", *(f"{share}".rjust(22) for share in shares))]
    for name in dict.fromkeys(key.rsplit(f" {kind} ", 1)[0] for kind in KINDS for key in cell_of if f" {kind} " in key):
        for kind in KINDS:
            cells = [cell_of.get(f"{name} {kind} {share}") for share in shares]
            if any(cells):
                each = (f"{c['recall']:.3f} {c['cpu']:.2f} {c['p50']:.2f}{_first(c)}" if c else "" for c in cells)
                lines.append((name, kind, *each))
    head = f"\n{count:,} vectors, by the share that passes: recall, CPU and p50 ms (first of all). "
    return f"{head}Peers at their setting without a filter\n{_align(lines)}"


def _first(cell: dict[str, float]) -> str:
    return f" ({cell['first']:.0f})" if "first" in cell else ""


def _align(lines: Iterable[Sequence[str]]) -> str:
    rows = [list(map(str, line)) for line in lines]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
