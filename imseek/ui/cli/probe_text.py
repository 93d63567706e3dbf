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


def class_counts(found: ProbeInfo) -> str:
    shown = [f"{printable(name)} {n:,}" for name, n in zip(found.classes, found.counts, strict=True)]
    more = f", and {len(shown) - _ROWS:,} more" if len(shown) > _ROWS else ""
    return ", ".join(shown[:_ROWS]) + more


def probe_lines(found: ProbeInfo) -> list[str]:
    several = " (an image may have several)" if found.several else ""
    out = [
        f"probe {printable(found.name)!r} ({_METHOD_LABELS[found.method]}), "
        f"{format_count(len(found.classes), 'class', 'classes')}{several}: "
        f"{class_counts(found)}",
        f"learned from {printable(found.labels)}"
        + (f", where {printable(found.where)}" if found.where else "")
        + f"; vectors of {printable(found.encoder)}",
    ]
    rows = []
    for one in found.scores:
        settings = ", ".join(f"{name} {value:.3g}" for name, value in one.settings.items() if name != "pivot")
        mark = "*" if one.method == found.method else ""
        if one.accuracy is None:
            rows.append((mark, one.method, "not measured", "", "", settings))
            continue
        interval = format_interval(one.accuracy)
        rows.append((mark, one.method, interval, f"{one.log_loss:.3f}", f"{one.ece:.3f}", settings))
    out.append(table(("", "kind", "cross-validated accuracy", "log loss", "ECE", "settings"), rows))
    losses = [one.log_loss for one in found.scores if one.log_loss is not None]
    if len(losses) > 1:
        out.append(
            f"* preferred: it has the lowest log loss ({min(losses):.3f}), so its probabilities are the most reliable"
        )
    return out + [printable(note) for note in found.notes]


def applied_lines(found: ProbeApplyReport) -> list[str]:
    order = sorted(found.counts.items(), key=lambda one: -one[1])
    rows = [(f"{n:,}", printable(name)) for name, n in order[:_ROWS]]
    if found.none:
        rows.append((f"{found.none:,}", "(none of them)"))
    out = [table(("images", "class"), rows, right=(0,))]
    if len(order) > _ROWS:
        out.append(f"and {len(order) - _ROWS:,} more classes (--json has all)")
    shown = [
        (
            how,
            f"{one.probability:.3f}",
            str(one.image_id),
            printable(one.label),
            format_place(one.place, one.image_id),
        )
        for how, some in (("surest", found.surest), ("least sure", found.unsurest))
        for one in some
    ]
    if shown:
        out.append(table(("", "p", "id", "class", "image"), shown, right=(1, 2)))
    if found.saved is not None:
        out.append(
            f"saved as columns {found.saved} and {found.saved}_score: imseek search … --where \"{found.saved} = '…'\""
        )
    if found.tagged or found.untagged or found.kept:
        line = (
            f"tagged {format_count(found.tagged, 'image')}, took {format_count(found.untagged, 'tag')} of before away"
        )
        out.append(line + (f"; {found.kept:,} are tagged by somebody else, and stay so" if found.kept else ""))
    return out


def proposal_lines(found: Proposals) -> list[str]:
    rows = [
        (
            str(one.image_id),
            one.reason,
            "" if one.probability is None else f"{one.probability:.3f}",
            "" if one.label is None else printable(one.label),
            format_place(one.place, one.image_id),
        )
        for one in found.proposals
    ]
    out = [table(("id", "why", "p", "perhaps", "image"), rows, right=(0, 2))] if rows else []
    copies = f"; {found.copies:,} {'copy' if found.copies == 1 else 'copies'} skipped" if found.copies else ""
    out.append(f"{found.labelled:,} labelled, {format_count(found.looked, 'image')} looked at{copies}")
    return out + [printable(note) for note in found.notes]


def evaluation_lines(found: ProbeEvaluation) -> list[str]:
    what = printable(found.probe) if found.probe else "a probe of half of the labels"
    left = f"; {found.left_out:,} left out: learned from, or copies of that" if found.left_out else ""
    out = [
        f"{what} ({found.method}), truth: {printable(found.truth)}; learned from {found.learned:,}, "
        f"tested on {found.tested:,}{left}",
        f"accuracy {format_interval(found.accuracy)}, mean per class {format_interval(found.per_class)}, "
        f"ECE {found.ece:.3f}",
    ]
    if found.unknown:
        out.append(f"classes that the probe does not know: {printable(', '.join(found.unknown))}")
    rows = [
        (
            f"{one.tested:,}",
            "" if one.accuracy is None else f"{one.accuracy:.3f}",
            "" if one.precision is None else f"{one.precision:.3f}",
            printable(one.name),
        )
        for one in sorted(found.classes, key=lambda one: -one.tested)[:_ROWS]
    ]
    out.append(table(("tested", "found", "right", "class"), rows, right=(0, 1, 2)))
    if found.confusions:
        mistakes = [(f"{one.count:,}", printable(one.truth), printable(one.predicted)) for one in found.confusions[:10]]
        out.append(table(("times", "is", "was called"), mistakes, right=(0,)))
    if found.curve:
        points = [
            (
                f"{one.shots:,}",
                f"{one.learned:,}",
                format_interval(one.accuracy),
                format_interval(one.per_class),
            )
            for one in found.curve
        ]
        out.append(table(("of each class", "in all", "accuracy", "mean per class"), points, right=(0, 1)))
    return out + [printable(note) for note in found.notes]
