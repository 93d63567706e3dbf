"""Text output of ``imseek probe``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from imseek.ui.render.text import format_interval, format_place, table
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    from imseek.probes.results import ProbeApplyReport, ProbeEvaluation, ProbeInfo, ProbeMethod, Proposals

#: Rows per table.
_ROWS: Final = 20
#: Methods, in words.
_METHOD_LABELS: Final[Mapping[ProbeMethod, str]] = {
    "linear": "linear classifier",
    "cache": "cache of labelled images",
    "coop": "learned prompts, CoOp",
    "cocoop": "learned prompts that depend on the picture, CoCoOp",
}


def class_counts(probe: ProbeInfo) -> str:
    counts = [f"{printable(name)} {n:,}" for name, n in zip(probe.classes, probe.counts, strict=True)]
    more = f", and {len(counts) - _ROWS:,} more" if len(counts) > _ROWS else ""
    return ", ".join(counts[:_ROWS]) + more


def probe_lines(probe: ProbeInfo) -> list[str]:
    several = " (an image may have several)" if probe.several else ""
    out = [
        f"probe {printable(probe.name)!r} ({_METHOD_LABELS[probe.method]}), "
        f"{format_count(len(probe.classes), 'class', 'classes')}{several}: "
        f"{class_counts(probe)}",
        f"learned from {printable(probe.labels)}"
        + (f", where {printable(probe.where)}" if probe.where else "")
        + f"; vectors of {printable(probe.encoder)}",
    ]
    rows = []
    for score in probe.scores:
        settings = ", ".join(f"{name} {value:.3g}" for name, value in score.settings.items() if name != "pivot")
        mark = "*" if score.method == probe.method else ""
        if score.accuracy is None:
            rows.append((mark, score.method, "not measured", "", "", settings))
            continue
        interval = format_interval(score.accuracy)
        rows.append((mark, score.method, interval, f"{score.log_loss:.3f}", f"{score.ece:.3f}", settings))
    out.append(table(("", "kind", "cross-validated accuracy", "log loss", "ECE", "settings"), rows))
    losses = [score.log_loss for score in probe.scores if score.log_loss is not None]
    if len(losses) > 1:
        out.append(
            f"* preferred: it has the lowest log loss ({min(losses):.3f}), so its probabilities are the most reliable"
        )
    return out + [printable(note) for note in probe.notes]


def applied_lines(report: ProbeApplyReport) -> list[str]:
    order = sorted(report.counts.items(), key=lambda one: -one[1])
    rows = [(f"{n:,}", printable(name)) for name, n in order[:_ROWS]]
    if report.none:
        rows.append((f"{report.none:,}", "(none of them)"))
    out = [table(("images", "class"), rows, right=(0,))]
    if len(order) > _ROWS:
        out.append(f"and {len(order) - _ROWS:,} more classes (--json has all)")
    examples = [
        (
            certainty,
            f"{one.probability:.3f}",
            str(one.image_id),
            printable(one.label),
            format_place(one.place, one.image_id),
        )
        for certainty, some in (("surest", report.surest), ("least sure", report.unsurest))
        for one in some
    ]
    if examples:
        out.append(table(("", "p", "id", "class", "image"), examples, right=(1, 2)))
    if report.saved is not None:
        out.append(
            f"saved as columns {report.saved} and {report.saved}_score: "
            f"imseek search … --where \"{report.saved} = '…'\""
        )
    if report.tagged or report.untagged or report.kept:
        line = (
            f"tagged {format_count(report.tagged, 'image')}, took {format_count(report.untagged, 'tag')} of before away"
        )
        out.append(line + (f"; {report.kept:,} are tagged by somebody else, and stay so" if report.kept else ""))
    return out


def proposal_lines(report: Proposals) -> list[str]:
    rows = [
        (
            str(one.image_id),
            one.reason,
            "" if one.probability is None else f"{one.probability:.3f}",
            "" if one.label is None else printable(one.label),
            format_place(one.place, one.image_id),
        )
        for one in report.proposals
    ]
    out = [table(("id", "why", "p", "perhaps", "image"), rows, right=(0, 2))] if rows else []
    copies = f"; {report.copies:,} {'copy' if report.copies == 1 else 'copies'} skipped" if report.copies else ""
    out.append(f"{report.labelled:,} labelled, {format_count(report.looked, 'image')} looked at{copies}")
    return out + [printable(note) for note in report.notes]


def evaluation_lines(report: ProbeEvaluation) -> list[str]:
    subject = printable(report.probe) if report.probe else "a probe of half of the labels"
    left = f"; {report.left_out:,} left out: learned from, or copies of that" if report.left_out else ""
    out = [
        f"{subject} ({report.method}), truth: {printable(report.truth)}; learned from {report.learned:,}, "
        f"tested on {report.tested:,}{left}",
        f"accuracy {format_interval(report.accuracy)}, mean per class {format_interval(report.per_class)}, "
        f"ECE {report.ece:.3f}",
    ]
    if report.unknown:
        out.append(f"classes that the probe does not know: {printable(', '.join(report.unknown))}")
    rows = [
        (
            f"{one.tested:,}",
            "" if one.accuracy is None else f"{one.accuracy:.3f}",
            "" if one.precision is None else f"{one.precision:.3f}",
            printable(one.name),
        )
        for one in sorted(report.classes, key=lambda one: -one.tested)[:_ROWS]
    ]
    out.append(table(("tested", "found", "right", "class"), rows, right=(0, 1, 2)))
    if report.confusions:
        mistakes = [
            (f"{one.count:,}", printable(one.truth), printable(one.predicted)) for one in report.confusions[:10]
        ]
        out.append(table(("times", "is", "was called"), mistakes, right=(0,)))
    if report.curve:
        points = [
            (
                f"{one.shots:,}",
                f"{one.learned:,}",
                format_interval(one.accuracy),
                format_interval(one.per_class),
            )
            for one in report.curve
        ]
        out.append(table(("of each class", "in all", "accuracy", "mean per class"), points, right=(0, 1)))
    return out + [printable(note) for note in report.notes]
