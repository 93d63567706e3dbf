"""Render two encoders side by side on a sample of pictures: a summary in words, and a page with the differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from imseek.evaluate.results import AgreementReport, EncoderCost
from imseek.ui.render.embedded_thumbnails import EmbeddedThumbnails
from imseek.ui.render.html_templates import render
from imseek.ui.render.text import format_interval
from imseek.ui.render.words import format_count, format_duration, format_size

#: The columns of :func:`cost_cells`, after A or B.
COST_HEAD: Final = ("", "encoder", "dim", "pictures/s", "texts/s", "whole collection", "vectors")
#: Encoders this close in speed count as equally fast.
_SAME_SPEED: Final = 1.2


def page(report: AgreementReport, thumbnail: Callable[[int], bytes | None], *, title: str) -> Iterator[str]:
    """Yield the page in pieces. ``thumbnail`` returns an image's WebP by id, or None if it cannot be read."""
    return render(
        "encoder_agreement.html.j2",
        title=title,
        report=report,
        head=COST_HEAD,
        facts=[("A", *cost_cells(report.a)), ("B", *cost_cells(report.b))],
        agreement=agreement_lines(report),
        advice=advice(report),
        thumbnails=EmbeddedThumbnails(),
        read=thumbnail,
    )


def image_ids(report: AgreementReport) -> list[int]:
    """Return the ids of the pictures on the page, in its order."""
    return [
        image.image_id
        for one in report.differences
        for image in (*(() if one.image is None else (one.image,)), *one.a, *one.b)
    ]


def cost_cells(cost: EncoderCost) -> tuple[str, ...]:
    """Return name, dimension, speed and cost for the whole collection, in the order of ``COST_HEAD``."""
    texts = "none" if cost.texts_per_second is None else f"{cost.texts_per_second:.0f}"
    return (
        cost.encoder,
        str(cost.dim),
        f"{cost.images_per_second:.1f}",
        texts,
        format_duration(cost.collection_seconds),
        format_size(cost.vector_bytes),
    )


def agreement_lines(report: AgreementReport) -> list[str]:
    """Say how far the encoders agree, and what captions say of their quality."""
    lines = [
        f"pictures: of the {report.neighbours} nearest, {format_interval(report.picture_overlap, '.0%')} are the same"
        f" (by chance {report.chance:.0%})"
    ]
    if report.text_overlap is not None:
        lines.append(
            f"words: of the {report.neighbours} best, {format_interval(report.text_overlap, '.0%')} are the same"
        )
    if (comparison := report.text_to_image) is not None:
        lines.append(
            f"{format_count(report.captions, 'caption')}: mAP {comparison.a.mean_average_precision.value:.3f} with A,"
            f" {comparison.b.mean_average_precision.value:.3f} with B"
            f" (B − A: {format_interval(comparison.mean_average_precision, '+.3f')})"
        )
    return lines


def advice(report: AgreementReport) -> str:
    """Say in one sentence which encoder fits this machine and collection."""
    fast, slow = (report.a, report.b) if report.faster == "a" else (report.b, report.a)
    ratio = fast.images_per_second / slow.images_per_second
    images = format_count(report.collection_images, "image")
    if report.better is not None:
        best, other = (report.a, report.b) if report.better == "a" else (report.b, report.a)
        price = (
            f"and encodes all {images} in {format_duration(best.collection_seconds)} on this machine"
            if best is fast
            else f"at {format_duration(best.collection_seconds)} for all {images} on this machine, where "
            f"{other.encoder} takes {format_duration(other.collection_seconds)}"
        )
        return f"Take {best.encoder}: it finds more pictures by their captions, {price}."
    reason = _quality_reason(report)
    if ratio < _SAME_SPEED:
        return f"Either will do: they are equally fast here, and {reason}."
    return (
        f"Take {fast.encoder}: it is {ratio:.1f} times as fast here "
        f"({format_duration(fast.collection_seconds)} instead of {format_duration(slow.collection_seconds)} "
        f"for all {images}), and {reason}."
    )


def _quality_reason(report: AgreementReport) -> str:
    """Say why captions do not tell the better one."""
    wordless = [one.encoder for one in (report.a, report.b) if one.texts_per_second is None]
    if report.text_to_image is not None:
        return "no difference in quality is shown by the captions"
    if wordless:
        return f"{' and '.join(wordless)} {'knows' if len(wordless) == 1 else 'know'} no words to find pictures by"
    evidence = f"with {format_count(report.captions, 'caption')}" if report.captions else "without captions"
    return f"which one finds more cannot be said {evidence}"
