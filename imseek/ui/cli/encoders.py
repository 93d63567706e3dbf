"""``imseek encoders``: list encoders, fetch one, check one, and compare two on one's own pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import ForceOption, JsonOption, WhereOption
from imseek.ui.cli.download_progress import download_bar
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.cli.output import say
from imseek.ui.cli.output_files import check_new, new_file
from imseek.ui.cli.runtime_flags import with_runtime
from imseek.ui.render.result_json import print_json, to_json
from imseek.ui.render.text import table
from imseek.ui.render.words import format_count, format_size, printable

if TYPE_CHECKING:
    from imseek import Runtime
    from imseek.encoders import EncoderCheck, Entry, Offer, TowerStatistics
    from imseek.evaluate.results import AgreementReport

INTERRUPTED = 130
#: The encoder that is in no catalogue, since it is not downloaded.
_BUILTIN = "builtin"
_COLUMNS: Final = (
    *("reference", "family", "repository", "preset", "modalities", "dim", "image_size", "context_length", "languages"),
    *("image_parameters", "text_parameters", "image_gflops", "text_gflops", "speed"),
    *("licence", "licence_name", "any_use", "download_bytes", "cached"),
)
_GROUP: Final = "imseek.encoders"
#: Longer side of thumbnails on a page, in pixels.
_THUMBNAIL_SIDE: Final = 160


app = Group(
    "List encoders, download one, check one, compare two.",
    "imseek encoders",
    "imseek encoders siglip --any-use",
    "imseek encoders get multilingual",
    default="list",
)

ReferenceArgument = Annotated[
    str,
    typer.Argument(metavar="REFERENCE", help="The encoder: default, openclip:MODEL/TAG, hf-hub:ORG/REPO, …"),
]


@app.command("imseek encoders list dinov2", "imseek encoders --any-use --csv encoders.csv", name="list")
@with_groups(output=LIST_FLAGS)
def list_(
    word: Annotated[
        str | None,
        typer.Argument(metavar="[WORD]", help="List only encoders whose reference or family contains this word."),
    ] = None,
    family: Annotated[
        str | None, typer.Option("--family", metavar="NAME", help="List only encoders of this family.")
    ] = None,
    any_use: Annotated[
        bool, typer.Option("--any-use", help="List only encoders whose licence allows any use.")
    ] = False,
    *,
    output: ListFlags,
) -> None:
    """List encoders with trained weights: download size, speed, licence, languages."""
    from imseek.encoders import EncoderList, list_encoders
    from imseek.plugins import find_plugins

    entries = tuple(
        entry
        for entry in list_encoders()
        if _matches(entry, word) and (family is None or _is_same_family(entry.family, family))
        if entry.any_use or not any_use
    )
    if family is not None and not entries:
        _check_family(family)
    # A plugin's family and licence are known when it is loaded.
    plugins = () if family or any_use else tuple(p for p in find_plugins(_GROUP).values() if (word or "") in p.name)
    output.write(_COLUMNS, ({**to_json(one), "modalities": " ".join(one.modalities)} for one in entries))
    if output.as_json:
        print_json(EncoderList(entries, plugins))
        return
    if word is not None and word.lower() in _BUILTIN and family is None:
        say(f"{_BUILTIN}: comes with imseek, needs no download, any use; basic quality (docs/encoders.md)")
    elif not entries and not plugins:
        say("no encoder matches; `imseek encoders` lists all")
    if not entries and not plugins:
        return
    if entries:
        output.print_list(table(_HEAD, [_row(entry) for entry in entries], right=(0, 4)))
    for plugin in plugins:
        output.print_list(printable(f"plugin: {plugin.name} ({plugin.package} {plugin.version})"))
    say(
        f"{format_count(len(entries), 'encoder')}; `imseek encoders get REFERENCE` downloads one, "
        "docs/encoders.md says more"
    )


@app.command("imseek encoders get default", "imseek encoders get openclip:MobileCLIP2-S2/dfndr2b --accept-license")
def get(
    reference: ReferenceArgument,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept a licence that restricts use; you have read it.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Download the weights of an encoder into the model hub's cache. An interrupted download is resumed."""
    from imseek.encoders import download_encoder

    def show(offer: Offer) -> None:
        if not as_json:
            say("\n".join(_offer_lines(offer)))

    try:
        with download_bar():
            weights = download_encoder(reference, accept_license=accept_license, offered=show)
    except KeyboardInterrupt:
        say(f"interrupted; `imseek encoders get {reference}` resumes the download")
        return INTERRUPTED
    if as_json:
        print_json(weights)
        return 0
    was = "was there before" if weights.offer is None else "is there now"
    print(f"{weights.reference} {was}: {printable(str(weights.path))}")
    return 0


@app.command("imseek encoders check builtin", "imseek encoders check default --precision fp32")
@with_runtime("device", "precision")
def check(reference: ReferenceArgument, runtime: Runtime, as_json: JsonOption = False) -> int:
    """Encode synthetic pictures and a few texts, and print the results. Exits with 1 if something is wrong."""
    from imseek.encoders import check_encoder, resolve

    resolution = resolve(reference)
    if resolution.download is not None:
        weights = resolution.download
        say(f"downloading {weights.reference}: {format_size(weights.download_bytes)}, licence {weights.licence}")
    with download_bar():
        report = check_encoder(resolution.reference, runtime=runtime, notify=say)
    if as_json:
        print_json(report)
    else:
        print("\n".join(_check_lines(report)))
    return 1 if report.problems else 0


@app.command(
    "imseek encoders compare builtin default",
    "imseek encoders compare default best -c photos --sample 500 --html encoders.html",
    "imseek encoders compare default multilingual --text 'ein Hund' --text 'un chien'",
)
@with_runtime("device", "precision")
def compare(
    run: Run,
    a: Annotated[str, typer.Argument(metavar="A", help="An encoder: builtin, default, openclip:MODEL/TAG, …")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another encoder.")],
    sample: Annotated[int, typer.Option("--sample", metavar="N", help="How many pictures to try.", min=5)] = 200,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="TEXT", help="A query to compare; may be repeated (default: common words)."),
    ] = None,
    where: WhereOption = None,
    seed: Annotated[int, options.seed("Random seed; another seed draws other pictures.")] = 0,
    html: Annotated[Path | None, options.html("Write an HTML page with the pictures on which they differ.")] = None,
    force: ForceOption = False,
    *,
    runtime: Runtime,
) -> int:
    """Try two encoders on a sample of your own pictures: how fast they are on this machine, how far they agree, where
    they differ, and which to take. Nothing is stored."""
    from imseek import evaluate, overview

    if html is not None:
        check_new(html, force=force)
    with run.work() as controls, download_bar():
        report = evaluate.agreement(
            run.path, a, b, sample=sample, where=where, texts=text, seed=seed, runtime=runtime, notify=say, **controls
        )
    if html is not None:
        from imseek.ui.render import encoder_agreement_page

        ids = encoder_agreement_page.image_ids(report)
        with overview.thumbnails(run.path, ids, _THUMBNAIL_SIDE) as read_thumbnail, new_file(html, force=force) as file:
            title = f"{report.a.encoder} and {report.b.encoder}"
            file.writelines(encoder_agreement_page.page(report, read_thumbnail, title=title))
    return run.finish(
        report,
        lambda: _agreement_lines(report),
        written={"html": html},
    )


_HEAD = ("download", "speed", "licence", "languages", "pixels", "here", "family", "encoder")


def _row(entry: Entry) -> tuple[str, ...]:
    preset = entry.preset
    return (
        format_size(entry.download_bytes),
        entry.speed,
        entry.licence_name or entry.licence,
        entry.languages or "pictures only",
        str(entry.image_size),
        "yes" if entry.is_cached else "",
        entry.family,
        entry.reference + (f"  ({preset.name}: {preset.why})" if preset else ""),
    )


def _matches(entry: Entry, word: str | None) -> bool:
    return (
        word is None
        or word.lower() in f"{entry.reference} {entry.family} {entry.preset.name if entry.preset else ''}".lower()
    )


def _is_same_family(family: str, reference: str) -> bool:
    return family.lower().replace(" ", "") == reference.lower().replace(" ", "")


def _check_family(reference: str) -> None:
    from imseek.encoders import families
    from imseek.errors import UsageError

    if not any(_is_same_family(family, reference) for family in families()):
        raise UsageError(f"no family is called {reference!r}", hint=f"there are {', '.join(families())}")


def _offer_lines(offer: Offer) -> list[str]:
    licence_name = f" ({offer.licence_name})" if offer.licence_name and offer.licence != offer.licence_name else ""
    left = "" if offer.missing == offer.bytes else f", {format_size(offer.missing)} of it still to come"
    return [
        f"encoder: {offer.reference}, from {offer.repository}",
        f"licence: {offer.licence}{licence_name}",
        f"size: {format_size(offer.bytes)} in {format_count(offer.files, 'file')}{left}",
    ]


def _check_lines(report: EncoderCheck) -> list[str]:
    lines = [
        f"encoder      {report.info.reference}",
        f"fingerprint  {report.fingerprint}",
        f"precision    {report.precision}",
        f"loaded in    {report.load_seconds:.1f} s",
        f"pictures     {_rows_line(report.images)}",
    ]
    lines.append(f"texts        {'none: it knows pictures only' if report.texts is None else _rows_line(report.texts)}")
    return [*lines, *(f"problem      {problem}" for problem in report.problems)]


def _agreement_lines(report: AgreementReport) -> list[str]:
    from imseek.ui.render.encoder_agreement_page import COST_HEAD, advice, agreement_lines, cost_cells

    lines = [
        f"{format_count(report.images, 'picture')} of {report.collection_images:,}, drawn at random",
        table(COST_HEAD, [("A", *cost_cells(report.a)), ("B", *cost_cells(report.b))], right=(2, 3, 4, 5, 6)),
        "",
        *agreement_lines(report),
    ]
    texts = [one for one in report.differences if one.text is not None]
    if texts:
        names = ", ".join(printable(f"“{one.text}”") for one in texts)
        lines.append(f"words on which they differ most: {names}")
    if report.unreadable:
        lines.append(f"left out, since they cannot be read: {format_count(report.unreadable, 'picture')}")
        lines += [f"  {printable(reason)}" for reason in report.reasons]
    return [*lines, "", printable(advice(report))]


def _rows_line(rows: TowerStatistics) -> str:
    return (
        f"{rows.count}, {rows.per_second:.1f} a second; length {rows.norm_min:.5f} to {rows.norm_max:.5f};"
        f" cosine {rows.cosine_min:.3f} to {rows.cosine_max:.3f}, mean {rows.cosine_mean:.3f}"
    )
