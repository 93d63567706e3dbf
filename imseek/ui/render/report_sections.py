"""The content of a report, section by section, independent of the output format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from imseek.dataset.results import QualityReport, RatedImage
from imseek.report.results import CollectionReport, CollectionStatistics, Counts, ValueDistribution
from imseek.types.collection_info import SourceInfo
from imseek.types.pictures import Place
from imseek.ui.render.duplicates_page import KIND_LABELS, describe_unsure, totals
from imseek.ui.render.words import format_count, format_size

#: Limits: table rows, duplicate groups, images per group, examples of a failure.
_ROWS: Final = 12
_GROUPS: Final = 6
_MEMBERS: Final = 6
_EXAMPLES: Final = 3
_CLUSTERS: Final = 24

_METADATA_LABELS: Final = {
    "date": "a date",
    "camera": "a camera",
    "position": "a position",
    "caption": "a caption",
    "tag": "a tag",
}
_QUALITY_LABELS: Final = {
    "blurred": "Blurred",
    "dark": "Dark",
    "bright": "Overexposed, or on white",
    "empty": "Near-empty",
}


@dataclass(frozen=True, slots=True)
class Picture:
    image_id: int
    place: Place | None
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table; ``shares`` (0 … 1), if any, are drawn as bars; ``right`` lists the numeric columns."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int] = ()
    shares: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram; ``labels`` mark its first and last column, ``names`` every column."""

    title: str
    counts: Sequence[int]
    labels: tuple[str, str]
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Pictures:
    """A row of pictures; ``narrow`` if they are few enough to stand beside others."""

    title: str
    pictures: Sequence[Picture]
    narrow: bool = False


Block: TypeAlias = Text | Table | Histogram | Pictures


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def facts(report: CollectionReport) -> list[tuple[str, str]]:
    """Return the headline figures: value and label."""
    info, statistics = report.info, report.contents
    figures = [
        (f"{statistics.images:,}", "images"),
        (format_size(statistics.total_bytes), "of picture files"),
        (format_size(info.bytes_on_disk), "of collection"),
        (f"{len(info.sources):,}", "sources" if len(info.sources) != 1 else "source"),
    ]
    if statistics.years:
        first, last = statistics.years[0][0], statistics.years[-1][0]
        figures.append((first if first == last else f"{first}–{last}", "taken"))
    if report.duplicates is not None:
        figures.append((f"{report.duplicates.surplus:,}", "surplus copies"))
    figures.append((f"{len(info.failures):,}", "files left out"))
    return figures


def sections(report: CollectionReport) -> Iterator[Section]:
    """Yield the sections in order, without empty ones."""
    if report.notes or report.interrupted:
        notes = [Text(note, warning=True) for note in report.notes]
        if report.interrupted:
            notes.append(Text("It was interrupted: parts are missing.", warning=True))
        yield Section("Notes", notes)
    statistics = report.contents
    if statistics.images:
        yield Section("Pictures", list(_pictures(statistics)))
    yield Section(
        "Where they come from",
        [_sources(report.info.sources)] if report.info.sources else [Text("No source.")],
    )
    yield Section("Encoder and index", list(_encoder(report)))
    if report.quality is not None:
        yield Section("Quality", list(_quality(report.quality)))
    if report.clusters is not None:
        yield Section("Groups of alike pictures", list(_clusters(report)))
    if report.outliers is not None and report.outliers.outliers:
        yield Section("Like nothing else", list(_outliers(report)))
    if report.duplicates is not None:
        yield Section("Duplicates", list(_duplicates(report)))
    if report.info.failures:
        yield Section("Left out", list(_failures(report)))


def _pictures(statistics: CollectionStatistics) -> Iterator[Block]:
    yield _count_table("Formats", "format", statistics.formats, statistics.images)
    yield _histogram("Size of pictures, megapixels", statistics.megapixels, _format_number)
    yield _histogram("Size of files", statistics.bytes, lambda n: format_size(int(n)))
    yield _histogram("Light, from black to white", statistics.light, lambda n: f"{n:.0%}")
    if statistics.years:
        years = dict(statistics.years)
        names = [str(year) for year in range(int(statistics.years[0][0]), int(statistics.years[-1][0]) + 1)]
        if len(names) <= 300:
            yield Histogram("Years", [years.get(name, 0) for name in names], (names[0], names[-1]), names)
    if statistics.cameras:
        yield _count_table("Cameras", "camera", statistics.cameras, statistics.images)
    rows = [(f"{statistics.having[name]:,}", label) for name, label in _METADATA_LABELS.items()]
    shares = [statistics.having[name] / statistics.images for name in _METADATA_LABELS]
    yield Table("What is known of them", ("images", "have"), rows, (0,), shares)
    if statistics.tags:
        yield _count_table("Tags", "tag", statistics.tags, statistics.images)


def _sources(sources: Sequence[SourceInfo]) -> Table:
    from imseek.types.pictures import display_path

    rows = [
        (
            f"{one.images:,}",
            f"{one.failures:,}",
            one.kind + ("" if one.present else ", missing now"),
            display_path(one.path),
        )
        for one in sources[:_ROWS]
    ]
    if len(sources) > _ROWS:
        rows.append(("", "", "", f"and {len(sources) - _ROWS:,} more"))
    return Table("", ("images", "failures", "kind", "path"), rows, (0, 1))


def _encoder(report: CollectionReport) -> Iterator[Block]:
    info = report.info
    rows = [
        (
            str(one.space.space_id),
            "captions" if one.space.modality == "text" else "pictures",
            f"{one.space.dim:,}",
            one.space.encoder,
        )
        for one in info.spaces
    ]
    yield Table("", ("space", "of", "dimensions", "encoder"), rows, (0, 2))
    yield Text(f"Searched by: {info.index}.")
    if report.captions_embedded is not None:
        yield Text(
            f"{format_count(report.captions_embedded, 'caption')} can be searched by (`imseek search --by caption`)."
        )


def _quality(report: QualityReport) -> Iterator[Block]:
    measured = report.images - report.unknown
    if report.unknown:
        yield Text(
            f"{format_count(report.unknown, 'image')} of {report.images:,} were never measured; `imseek "
            "maintain --measure` does it.",
            warning=True,
        )
    if not measured:
        return
    rows = [
        (f"{one.count:,}", f"{one.count / measured:.1%}", _QUALITY_LABELS[one.kind], one.rule) for one in report.lists
    ]
    shares = [one.count / measured for one in report.lists]
    yield Table("", ("images", "share", "list", "which are listed"), rows, (0, 1), shares)
    for one in report.lists:
        if one.worst:
            yield Pictures(_QUALITY_LABELS[one.kind], [_quality_picture(image, one.kind) for image in one.worst])


def _quality_picture(image: RatedImage, kind: str) -> Picture:
    name, label = {
        "blurred": ("luma_blur", "edges {:.1f} px wide"),
        "dark": ("luma_mean", "light {:.0%}"),
        "bright": ("luma_bright", "{:.0%} burnt out"),
        "empty": ("luma_sd", "contrast {:.1%}"),
    }[kind]
    value = image.values.get(name)
    return Picture(image.image_id, image.place, "" if value is None else label.format(value))


def _clusters(report: CollectionReport) -> Iterator[Block]:
    clusters = report.clusters
    assert clusters is not None
    if not clusters.clusters:
        yield Text("There are none.")
        return
    yield Text(
        f"{format_count(len(clusters.clusters), 'group')} by {clusters.method}; {clusters.chosen}. Names are guesses."
    )
    for cluster in clusters.clusters[:_CLUSTERS]:
        share = f"{cluster.size / clusters.images:.0%}" if clusters.images else ""
        alike = "" if cluster.cohesion is None else f", alike {cluster.cohesion:.2f}"
        title = f"{cluster.name or 'no name'}: {format_count(cluster.size, 'image')} ({share}{alike})"
        yield Pictures(title, [Picture(image.image_id, image.place) for image in cluster.medoids[:_MEMBERS]], True)
    if len(clusters.clusters) > _CLUSTERS:
        yield Text(f"And {len(clusters.clusters) - _CLUSTERS:,} more.")


def _outliers(report: CollectionReport) -> Iterator[Block]:
    outliers = report.outliers
    assert outliers is not None
    usual = "" if outliers.typical is None else f"; usual is {outliers.typical:.2f}"
    yield Text(f"The distance to the nearest pictures is largest for these{usual}.")
    yield Pictures("", [Picture(one.image_id, one.place, f"distance {one.score:.2f}") for one in outliers.outliers])


def _duplicates(report: CollectionReport) -> Iterator[Block]:
    duplicates = report.duplicates
    assert duplicates is not None
    yield Text(totals(duplicates)[:1].upper() + totals(duplicates)[1:] + ".")
    if unsure := describe_unsure(duplicates):
        yield Text(f"{unsure}.")
    for note in duplicates.notes:
        yield Text(note, warning=True)
    largest = sorted(duplicates.groups, key=lambda group: -len(group.members))
    for group in largest[:_GROUPS]:
        members = [
            Picture(
                one.image_id,
                one.place,
                "keep" if group.keeps(one) else f"{one.width:,} × {one.height:,}, {format_size(one.bytes)}",
            )
            for one in group.members[:_MEMBERS]
        ]
        yield Pictures(f"{KIND_LABELS[group.kind]}: {format_count(len(group.members), 'image')}", members, True)
    if len(largest) > _GROUPS:
        yield Text(f"And {format_count(len(largest) - _GROUPS, 'more group')}: `imseek duplicates`.")


def _failures(report: CollectionReport) -> Iterator[Block]:
    from imseek.types.pictures import display_path

    by_reason: dict[str, list[tuple[bytes, str]]] = {}
    for failure in report.info.failures:
        by_reason.setdefault(str(failure.reason), []).append((failure.path, failure.message))
    reasons = sorted(by_reason.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    total = len(report.info.failures)
    rows = [(f"{len(files):,}", reason.replace("_", " ")) for reason, files in reasons]
    yield Table("", ("files", "reason"), rows, (0,), [len(files) / total for _, files in reasons])
    examples = [
        (reason.replace("_", " "), display_path(path), message)
        for reason, files in reasons
        for path, message in files[:_EXAMPLES]
    ]
    yield Table("Examples", ("reason", "file", "message"), examples)


def _count_table(title: str, label: str, counts: Counts, images: int) -> Table:
    rows = [(f"{n:,}", name) for name, n in counts[:_ROWS]]
    shares = [n / images for _, n in counts[:_ROWS]]
    if len(counts) > _ROWS:
        rest = sum(n for _, n in counts[_ROWS:])
        rows.append((f"{rest:,}", f"{len(counts) - _ROWS:,} more"))
        shares.append(min(1.0, rest / images))
    return Table(title, ("images", label), rows, (0,), shares)


def _histogram(title: str, spread: ValueDistribution, format_edge: Callable[[float], str]) -> Histogram:
    """Build a histogram without the empty columns at both ends."""
    occupied = [n for n, c in enumerate(spread.counts) if c] or [0]
    low, high = occupied[0], occupied[-1] + 1
    edges = [format_edge(edge) if edge != float("inf") else "" for edge in spread.edges]
    names = [
        f"{a}–{b}" if b else f"{a} and more" for a, b in zip(edges[low:high], edges[low + 1 : high + 1], strict=True)
    ]
    median = "" if spread.median is None else f" (median {format_edge(spread.median)})"
    return Histogram(
        title + median,
        spread.counts[low:high],
        (edges[low], edges[high] or f"{edges[high - 1]} and more"),
        names,
    )


def _format_number(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"
