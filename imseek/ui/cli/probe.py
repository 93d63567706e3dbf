"""``imseek probe``: classes learned from a few labelled images."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final

import typer

from imseek import library
from imseek.errors import UsageError
from imseek.ui.cli import jsonout, probejson
from imseek.ui.cli.output import count, say, say_collection, table
from imseek.ui.cli.progress import StopSignals, progress_bar
from imseek.ui.cli.texts import CollectionOption, JsonOption, current_folder, examples, printable

if TYPE_CHECKING:
    from imseek.probes import Labels
    from imseek.types import Place
    from imseek.types.probes import ProbeApplied, ProbeEvaluation, ProbeInfo, Proposals

app = typer.Typer(
    help="Learn classes from a few labelled images, and label the others.",
    epilog=examples(
        "imseek probe fit pets --tags cat,dog",
        "imseek probe apply pets --save pets",
        "imseek probe propose pets",
    ),
    rich_markup_mode=None,
)

#: So many rows of tables.
_ROWS: Final = 20

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of the probe.")]
TagsOption = Annotated[
    str | None, typer.Option("--tags", metavar="A,B,…", help="The tags to tell apart (default: all).")
]
ColumnOption = Annotated[
    str | None, typer.Option("--column", metavar="COLUMN", help="Take the classes from a column instead.")
]
FolderOption = Annotated[
    str | None,
    typer.Option(
        "--folder",
        metavar="inner|N",
        help="Or from the names of folders: the one an image lies in, or the Nth below the source.",
    ),
]
BinaryOption = Annotated[
    str | None, typer.Option("--binary", metavar="TAG", help="One tag against images tagged otherwise.")
]
SeveralOption = Annotated[
    bool, typer.Option("--several", help="An image may have several of the tags, or none.")
]
NegativesOption = Annotated[
    str | None,
    typer.Option(
        "--negatives", metavar="TAG", help="With --binary, --several: this tag is for none of them."
    ),
]
WhereOption = Annotated[
    str | None, typer.Option("--where", metavar="EXPR", help="Only images that meet this (docs/where.md).")
]
SpaceOption = Annotated[
    str | None,
    typer.Option("--space", metavar="N|ENCODER", help="One of several spaces (default: the first)."),
]
WordsOption = Annotated[
    bool, typer.Option("--words/--no-words", help="Let the names of the classes speak too, where they can.")
]


@app.command(epilog=examples("imseek probe fit pets --tags cat,dog", "imseek probe fit sharp --binary sharp"))
def fit(
    name: NameArgument,
    tags: TagsOption = None,
    column: ColumnOption = None,
    folder: FolderOption = None,
    binary: BinaryOption = None,
    several: SeveralOption = False,
    negatives: NegativesOption = None,
    where: WhereOption = None,
    space: SpaceOption = None,
    words: WordsOption = True,
    force: Annotated[
        bool, typer.Option("--force", help="Put it in the place of a probe of the name.")
    ] = False,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn to tell classes apart from labelled images, and keep that under a name."""
    labels = _labels(tags, column, folder, binary, several, negatives)
    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    from imseek import probes

    found = probes.fit(chosen.path, name, labels, where=where, space=space, words=words, force=force)
    if as_json:
        jsonout.print_json(probejson.probe(found, chosen))
        return
    print("\n".join(_shown(found)))
    say(
        f"imseek probe apply {printable(name)} labels the images; imseek probe evaluate {printable(name)} judges it"
    )


@app.command(epilog=examples("imseek probe apply pets", "imseek probe apply pets --tag --threshold 0.95"))
def apply(
    name: NameArgument,
    where: WhereOption = None,
    save: Annotated[
        str | None,
        typer.Option(
            "--save", metavar="COLUMNS", help="Store class and probability as columns of this name."
        ),
    ] = None,
    tag: Annotated[bool, typer.Option("--tag", help="Give images their class as a tag.")] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="P",
            help="From which probability on (default: 0.9; with several tags 0.5).",
        ),
    ] = None,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say of all images which class they are of. Nothing is stored without --save and --tag."""
    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    from imseek import probes

    with StopSignals() as signals, progress_bar() as progress:
        found = probes.apply(
            chosen.path,
            name,
            where=where,
            save=save,
            tag=tag,
            threshold=threshold,
            progress=progress,
            stop=signals.event,
        )
    if as_json:
        jsonout.print_json(probejson.applied(found, chosen))
    elif not found.interrupted:
        print("\n".join(_applied(found)))
    if found.interrupted:
        say("interrupted: nothing was stored")
    return signals.exit_code if found.interrupted else 0


@app.command(epilog=examples("imseek probe propose pets", "imseek probe propose --tags cat,dog -n 50 --json"))
def propose(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A probe; without, one is learned from the labels.")
    ] = None,
    tags: TagsOption = None,
    column: ColumnOption = None,
    folder: FolderOption = None,
    binary: BinaryOption = None,
    several: SeveralOption = False,
    negatives: NegativesOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", help="How many images.")] = 20,
    where: WhereOption = None,
    space: SpaceOption = None,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """List images that are worth labelling next: unsure ones, far from each other and from what is labelled."""
    given = tags, column, folder, binary, several or None, negatives
    if name is not None and any(one is not None for one in given):
        raise UsageError("a probe has its labels already", hint="leave out its name, or --tags and the like")
    labels = _labels(tags, column, folder, binary, several, negatives)
    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    from imseek import probes

    with StopSignals() as signals, progress_bar() as progress:
        try:
            found = probes.propose(
                chosen.path,
                name,
                labels,
                n=limit,
                where=where,
                space=space,
                progress=progress,
                stop=signals.event,
            )
        except InterruptedError:
            say("interrupted")
            return signals.exit_code
    if as_json:
        jsonout.print_json(probejson.proposed(found, chosen))
    else:
        print("\n".join(_proposed(found)))
    return 0


@app.command(
    epilog=examples(
        "imseek probe evaluate pets --truth folder",
        "imseek probe evaluate --truth tags:cat,dog --curve 1,2,4,8",
    )
)
def evaluate(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="A probe; without, half of the labels are held out from a new one."
        ),
    ] = None,
    truth: Annotated[
        str,
        typer.Option(
            "--truth", metavar="TRUTH", help="tags, tags:a,b, a column, folder, folder:N (docs/probes.md)."
        ),
    ] = "tags",
    curve: Annotated[
        str | None,
        typer.Option("--curve", metavar="1,2,4,…", help="Also learn from so many images of each class."),
    ] = None,
    where: WhereOption = None,
    space: SpaceOption = None,
    words: WordsOption = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the split.")] = 0,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Judge a probe on images that it has not learned from, nor from a copy or near-duplicate of."""
    shots = _shots(curve)
    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    from imseek import probes

    with StopSignals() as signals, progress_bar() as progress:
        try:
            found = probes.evaluate(
                chosen.path,
                name,
                truth,
                where=where,
                space=space,
                words=words,
                curve=shots,
                seed=seed,
                progress=progress,
                stop=signals.event,
            )
        except InterruptedError:
            say("interrupted")
            return signals.exit_code
    if as_json:
        jsonout.print_json(probejson.evaluated(found, chosen))
    else:
        print("\n".join(_evaluated(found)))
    return 0


@app.command("list", epilog=examples("imseek probe list"))
def list_(collection: CollectionOption = None, as_json: JsonOption = False) -> None:
    """List the probes of a collection."""
    from imseek import probes

    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    found = probes.list_(chosen.path)
    if as_json:
        jsonout.print_json(probejson.probes(found, chosen))
    elif found:
        rows = [
            (
                printable(one.name),
                one.method,
                f"{sum(one.counts):,}",
                "" if one.score.accuracy is None else f"{one.score.accuracy.value:.3f}",
                one.created,
                _classes(one),
            )
            for one in found
        ]
        print(table(("name", "kind", "labels", "accuracy", "learned", "classes"), rows, right=(2, 3)))
    else:
        say("no probe yet: `imseek probe fit NAME` learns one from tags")


@app.command(epilog=examples("imseek probe show pets"))
def show(name: NameArgument, collection: CollectionOption = None, as_json: JsonOption = False) -> None:
    """Show what a probe has learned from, and how good it is by cross-validation."""
    from imseek import probes

    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
    found = probes.get(chosen.path, name)
    if as_json:
        jsonout.print_json(probejson.probe(found, chosen))
    else:
        print("\n".join(_shown(found)))


@app.command(epilog=examples("imseek probe drop pets"))
def drop(name: NameArgument, collection: CollectionOption = None) -> None:
    """Forget a probe, with the columns of its name and the tags that it gave."""
    from imseek import probes

    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    say_collection(chosen)
    gone = probes.drop(chosen.path, name)
    print(
        f"dropped the probe {printable(name)}" + (f", and {count(gone, 'tag')} that it gave" if gone else "")
    )


# -- what is typed ---------------------------------------------------------------------------------------


def _labels(
    tags: str | None,
    column: str | None,
    folder: str | None,
    binary: str | None,
    several: bool,
    negatives: str | None,
) -> Labels:
    """Raises UsageError for flags that do not go together."""
    from imseek.probes import Labels

    named = [one for one in (tags, column, folder, binary) if one is not None]
    if len(named) > 1:
        raise UsageError("classes come from one place", hint="one of --tags, --column, --folder and --binary")
    if (several or negatives) and (column is not None or folder is not None):
        raise UsageError("--several and --negatives go with tags")
    if negatives is not None and not several and binary is None:
        raise UsageError("--negatives goes with --binary or --several")
    if binary is not None and several:
        raise UsageError("--binary is one tag, --several is more", hint="--tags a,b --several")
    if column is not None:
        return Labels.parse(f"column:{column}")
    if folder is not None:
        return Labels.parse("folder" if folder == "inner" else f"folder:{folder}")
    if binary is not None:
        return Labels("tags", (_one(binary),), several=True, negatives=negatives)
    names = Labels.parse(f"tags:{tags or ''}").names
    if tags is not None and not names:
        raise UsageError("no tag is named", hint="--tags cat,dog")
    return Labels("tags", names, several=several, negatives=negatives)


def _one(tag: str) -> str:
    if not tag.strip():
        raise UsageError("no tag is named", hint="--binary cat")
    return tag.strip()


def _shots(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"{text!r} are no numbers of images", hint="--curve 1,2,4,8")
    return tuple(int(part) for part in parts)


# -- what is shown ---------------------------------------------------------------------------------------


def _classes(found: ProbeInfo) -> str:
    shown = [f"{printable(name)} {n:,}" for name, n in zip(found.classes, found.counts, strict=True)]
    more = f", and {len(shown) - _ROWS:,} more" if len(shown) > _ROWS else ""
    return ", ".join(shown[:_ROWS]) + more


def _shown(found: ProbeInfo) -> list[str]:
    several = " (an image may have several)" if found.several else ""
    out = [
        f"{printable(found.name)}: {found.method}, {count(len(found.classes), 'class', 'classes')}{several}: "
        f"{_classes(found)}",
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
        interval = f"{one.accuracy.value:.3f} [{one.accuracy.low:.3f}, {one.accuracy.high:.3f}]"
        rows.append((mark, one.method, interval, f"{one.log_loss:.3f}", f"{one.ece:.3f}", settings))
    out.append(table(("", "kind", "cross-validated accuracy", "log loss", "ECE", "settings"), rows))
    return out + [printable(note) for note in found.notes]


def _placed(place: Place | None, image_id: int) -> str:
    return f"(image {image_id}: place unknown)" if place is None else place.display


def _applied(found: ProbeApplied) -> list[str]:
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
            _placed(one.place, one.image_id),
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
        line = f"tagged {count(found.tagged, 'image')}, took {count(found.untagged, 'tag')} of before away"
        out.append(
            line + (f"; {found.kept:,} are tagged by somebody else, and stay so" if found.kept else "")
        )
    return out


def _proposed(found: Proposals) -> list[str]:
    rows = [
        (
            str(one.image_id),
            one.reason,
            "" if one.probability is None else f"{one.probability:.3f}",
            "" if one.label is None else printable(one.label),
            _placed(one.place, one.image_id),
        )
        for one in found.proposals
    ]
    out = [table(("id", "why", "p", "perhaps", "image"), rows, right=(0, 2))] if rows else []
    copies = f"; {found.copies:,} copies passed over" if found.copies else ""
    out.append(f"{found.labelled:,} labelled, {count(found.looked, 'image')} looked at{copies}")
    return out + [printable(note) for note in found.notes]


def _evaluated(found: ProbeEvaluation) -> list[str]:
    what = printable(found.probe) if found.probe else "a probe of half of the labels"
    left = f"; {found.left_out:,} left out: learned from, or copies of that" if found.left_out else ""
    out = [
        f"{what} ({found.method}), truth: {printable(found.truth)}; learned from {found.learned:,}, "
        f"tested on {found.tested:,}{left}",
        f"accuracy {_estimate(found.accuracy)}, mean per class {_estimate(found.per_class)}, ECE {found.ece:.3f}",
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
        mistakes = [
            (f"{one.count:,}", printable(one.truth), printable(one.predicted))
            for one in found.confusions[:10]
        ]
        out.append(table(("times", "is", "was called"), mistakes, right=(0,)))
    if found.curve:
        points = [
            (f"{one.shots:,}", f"{one.learned:,}", _estimate(one.accuracy), _estimate(one.per_class))
            for one in found.curve
        ]
        out.append(table(("of each class", "in all", "accuracy", "mean per class"), points, right=(0, 1)))
    return out + [printable(note) for note in found.notes]


def _estimate(found: object) -> str:
    from imseek.types.evaluate import Estimate

    assert isinstance(found, Estimate)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
