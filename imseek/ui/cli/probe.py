"""``imseek probe``: learn classes from a few labelled images, and apply them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from imseek.errors import UsageError
from imseek.probes.results import ProbeInfo
from imseek.ui.cli import common_options as options
from imseek.ui.cli import probetext
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, JsonOption, WhereOption, examples
from imseek.ui.cli.output import say
from imseek.ui.cli.probeflags import (
    BinaryOption,
    ColumnOption,
    FolderOption,
    NameArgument,
    NegativesOption,
    SeveralOption,
    SpaceOption,
    TagsOption,
    WordsOption,
    labels_of,
    parse_shots,
)
from imseek.ui.cli.run import Run
from imseek.ui.render.result_json import print_answer
from imseek.ui.render.text import table
from imseek.ui.render.words import format_count, printable

app = Group(
    "Learn classes from a few labelled images, and label the others.",
    epilog=examples(
        "imseek probe fit pets --tags cat,dog",
        "imseek probe apply pets --save pets",
        "imseek probe propose pets",
    ),
)


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """A probe."""

    probe: ProbeInfo


@dataclass(frozen=True, slots=True)
class ProbeList:
    """All probes of a collection."""

    probes: tuple[ProbeInfo, ...]


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
    force: Annotated[bool, options.force("Put it in the place of a probe of the name.")] = False,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Learn to tell classes apart from labelled images, and keep that under a name."""
    labels = labels_of(tags, column, folder, binary, several, negatives)
    run = Run.on(collection, as_json=as_json)
    from imseek import probes

    with run.work() as controls:
        found = probes.fit(
            run.path,
            name,
            labels,
            where=where,
            space=space,
            words=words,
            force=force,
            **controls,
        )
    shown = printable(name)
    hint = f"imseek probe apply {shown} labels the images; imseek probe evaluate {shown} judges it"
    return run.finish(ProbeAnswer(found), lambda: probetext.probe_lines(found), notes=[hint])


@app.command(epilog=examples("imseek probe apply pets", "imseek probe apply pets --tag --threshold 0.95"))
def apply(
    name: NameArgument,
    where: WhereOption = None,
    save: Annotated[
        str | None, options.save("Store class and probability as columns of this name.", metavar="COLUMNS")
    ] = None,
    tag: Annotated[bool, options.tag("Give images their class as a tag.")] = False,
    threshold: Annotated[
        float | None, options.threshold("From which probability on (default: 0.9; with several tags 0.5).")
    ] = None,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say of all images which class they are of. Nothing is stored without --save and --tag."""
    run = Run.on(collection, as_json=as_json)
    from imseek import probes

    with run.work() as controls:
        found = probes.apply(
            run.path,
            name,
            where=where,
            save=save,
            tag=tag,
            threshold=threshold,
            **controls,
        )
    return run.finish(
        found,
        lambda: [] if found.interrupted else probetext.applied_lines(found),
        interrupted=found.interrupted,
    )


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
    limit: Annotated[int, options.limit("How many images.", least=None)] = 20,
    where: WhereOption = None,
    space: SpaceOption = None,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """List images that are worth labelling next: unsure ones, far from each other and from what is labelled."""
    given = tags, column, folder, binary, several or None, negatives
    if name is not None and any(one is not None for one in given):
        raise UsageError("a probe has its labels already", hint="leave out its name, or --tags and the like")
    labels = labels_of(tags, column, folder, binary, several, negatives)
    run = Run.on(collection, as_json=as_json, interrupted="interrupted")
    from imseek import probes

    with run.work() as controls:
        found = probes.propose(
            run.path,
            name,
            labels,
            n=limit,
            where=where,
            space=space,
            **controls,
        )
    return run.finish(found, lambda: probetext.proposal_lines(found))


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
    seed: Annotated[int, options.seed("Of the split.", metavar=None)] = 0,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Judge a probe on images that it has not learned from, nor from a copy or near-duplicate of."""
    shots = parse_shots(curve)
    run = Run.on(collection, as_json=as_json, interrupted="interrupted")
    from imseek import probes

    with run.work() as controls:
        found = probes.evaluate(
            run.path,
            name,
            truth,
            where=where,
            space=space,
            words=words,
            curve=shots,
            seed=seed,
            **controls,
        )
    return run.finish(found, lambda: probetext.evaluation_lines(found))


@app.command("list", epilog=examples("imseek probe list"))
def list_(collection: CollectionOption = None, as_json: JsonOption = False) -> None:
    """List the probes of a collection."""
    from imseek import probes

    chosen = choose_collection(collection, quiet=as_json)
    found = probes.list_(chosen.path)
    if as_json:
        print_answer(ProbeList(found), chosen)
    elif found:
        rows = [
            (
                printable(one.name),
                one.method,
                f"{sum(one.counts):,}",
                "" if one.score.accuracy is None else f"{one.score.accuracy.value:.3f}",
                one.created,
                probetext.class_counts(one),
            )
            for one in found
        ]
        print(table(("name", "kind", "labels", "accuracy", "learned", "classes"), rows, right=(2, 3)))
    else:
        say("no probe yet: `imseek probe fit NAME` learns one from tags")


@app.command(epilog=examples("imseek probe show pets"))
def show(name: NameArgument, collection: CollectionOption = None, as_json: JsonOption = False) -> int:
    """Show what a probe has learned from, and how good it is by cross-validation."""
    from imseek import probes

    run = Run.on(collection, as_json=as_json)
    found = probes.get(run.path, name)
    return run.finish(ProbeAnswer(found), lambda: probetext.probe_lines(found))


@app.command(epilog=examples("imseek probe drop pets"))
def drop(name: NameArgument, collection: CollectionOption = None) -> None:
    """Forget a probe, with the columns of its name and the tags that it gave."""
    from imseek import probes

    chosen = choose_collection(collection)
    gone = probes.drop(chosen.path, name)
    print(
        f"dropped the probe {printable(name)}"
        + (f", and {format_count(gone, 'tag')} that it gave" if gone else "")
    )
