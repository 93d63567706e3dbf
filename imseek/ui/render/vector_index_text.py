"""Approximate indexes, their policy and their builds as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imseek.ui.render.words import format_size, printable

if TYPE_CHECKING:
    from imseek.types.collection_info import IndexInfo, IndexPolicy
    from imseek.types.maintenance_reports import BuildReport


def build_lines(reports: Sequence[BuildReport]) -> list[str]:
    """Format build reports for the user."""
    outcomes = {
        "scan": "all vectors are scanned: exact, and no index was built",
        "dropped": "no index from now on: searches read all vectors",
        "interrupted": "interrupted: what there was before is still in use",
    }
    lines = []
    for report in reports:
        space = f"space {report.space_id}: " if len(reports) > 1 else ""
        if report.outcome in outcomes or report.index is None:
            lines.append(space + outcomes.get(report.outcome, report.outcome))
            continue
        facts = index_facts(report.index)
        lines.append(f"{space}vector index {report.outcome} in {report.seconds:.0f} s: {facts[0]}")
        lines += [f"  {fact}" for fact in facts[1:]]
    return lines


def index_facts(index: IndexInfo) -> list[str]:
    """Describe an index in words."""
    rest = [f"{index.tail:,} since then are scanned"] if index.tail else []
    rest += [f"{index.dead:,} have gone"] if index.dead else []
    pieces = f" in {index.parts} parts" if index.parts > 1 else ""
    lines = [
        f"{printable(index.kind)}, {index.rows:,} images{pieces}, {format_size(index.bytes)}, built {index.built}",
        f"recall@10 on {index.queries} held-out queries each: {index.image_recall:.3f} of pictures (probe "
        f"{index.image_probe}), {index.text_recall:.3f} of text-like ones {printable(index.texts)} (probe "
        f"{index.text_probe}); target {index.target}",
    ]
    return [*lines, ", ".join(rest)] if rest else lines


def device_fact(kind: str) -> str:
    """Describe where an index of this kind can be searched."""
    from imseek.search import runs_on_gpu

    return f"searched on the CPU, {'on a GPU with --device cuda' if runs_on_gpu(kind) else 'since no GPU supports it'}"


def policy_line(policy: IndexPolicy) -> str:
    """Describe the policy for later builds."""
    memory = "a quarter of the memory" if policy.memory is None else format_size(policy.memory)
    renewed = "renewed by runs" if policy.renew else "not renewed by runs"
    return f"{printable(policy.kind)}, recall {policy.recall}, {memory}, {renewed}"
