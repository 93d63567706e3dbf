"""``imseek probe``: learn classes from a few labelled images, and apply them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from imseek.errors import UsageError
from imseek.probes.results import ProbeInfo
from imseek.ui.cli import common_options as options
from imseek.ui.cli import probe_text
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption, WhereOption
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.cli.output_files import IMAGE_COLUMNS
from imseek.ui.cli.probe_flags import (
    BinaryOption,
    ColumnOption,
    ContextsOption,
    FolderOption,
    MethodOption,
    NameArgument,
    NegativesOption,
    PerClassOption,
    SeveralOption,
    SpaceOption,
    TagsOption,
    WordsOption,
    labels_of,
    parse_shots,
)
from imseek.ui.render.result_json import to_json
from imseek.ui.render.text import table
from imseek.ui.render.words import format_count, printable

app = Group(
    "Learn classes from a few labelled images, and label the rest.",
    "imseek probe fit pets --tags cat,dog",
    "imseek probe apply pets --save pets",
    "imseek probe propose pets",
)

_LIST_COLUMNS: Final = ("name", "method", "labels", "accuracy", "created", "classes", "encoder")
_PROPOSAL_COLUMNS: Final = (*IMAGE_COLUMNS, "reason", "label", "probability")


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """A probe."""

    probe: ProbeInfo


@dataclass(frozen=True, slots=True)
class ProbeList:
    """All probes of a collection."""

    probes: tuple[ProbeInfo, ...]


@app.command("imseek probe fit pets --tags cat,dog", "imseek probe fit sharp --binary sharp")
def fit(
    run: Run,
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
    method: MethodOption = "auto",
    contexts: ContextsOption = None,
    per_class: PerClassOption = False,
    force: Annotated[bool, options.force("Replace an existing probe of this name.")] = False,
) -> int:
    """Learn a classifier from labelled images, and store it as a named probe."""
    labels = labels_of(tags, column, folder, binary, several, negatives)
    from imseek import probes

    with run.work() as controls:
        probe = probes.fit(
            run.path,
            name,
            labels,
            where=where,
            space=space,
            words=words,
            method=method,
            contexts=contexts,
            per_class=per_class,
            force=force,
            **controls,
        )
    printable_name = printable(name)
    hint = f"imseek probe apply {printable_name} labels the images; imseek probe evaluate {printable_name} judges it"
    return run.finish(ProbeAnswer(probe), lambda: probe_text.probe_lines(probe), notes=[hint])


@app.command("imseek probe apply pets", "imseek probe apply pets --tag --threshold 0.95")
def apply(
    run: Run,
    name: NameArgument,
    where: WhereOption = None,
    save: Annotated[
        str | None,
        options.save("Store the classes and their probabilities as columns of this name.", metavar="COLUMNS"),
    ] = None,
    tag: Annotated[bool, options.tag("Tag images with their class.")] = False,
    threshold: Annotated[
        float | None,
        options.threshold("The least probability for a tag (default: 0.9, or 0.5 if images may have several)."),
    ] = None,
) -> int:
    """Predict the class of every image. Nothing is stored without --save and --tag."""
    from imseek import probes

    with run.work() as controls:
        report = probes.apply(
            run.path,
            name,
            where=where,
            save=save,
            tag=tag,
            threshold=threshold,
            **controls,
        )
    return run.finish(
        report,
        lambda: [] if report.interrupted else probe_text.applied_lines(report),
        interrupted=report.interrupted,
    )


@app.command("imseek probe propose pets", "imseek probe propose --tags cat,dog -n 50 --csv to-label.csv")
@with_groups(output=LIST_FLAGS)
def propose(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The probe (default: one learned from the labels).")
    ] = None,
    tags: TagsOption = None,
    column: ColumnOption = None,
    folder: FolderOption = None,
    binary: BinaryOption = None,
    several: SeveralOption = False,
    negatives: NegativesOption = None,
    limit: Annotated[int, options.limit("How many images to show.", min=None)] = 20,
    where: WhereOption = None,
    space: SpaceOption = None,
    collection: CollectionOption = None,
    *,
    output: ListFlags,
) -> int:
    """List images worth labelling next: uncertain ones, far from each other and from labelled images."""
    label_options = tags, column, folder, binary, several or None, negatives
    if name is not None and any(one is not None for one in label_options):
        raise UsageError(
            "the probe has its labels already", hint="leave out its name, or the options that choose labels"
        )
    labels = labels_of(tags, column, folder, binary, several, negatives)
    run = Run.on(collection, as_json=output.as_json, interrupted="interrupted")
    from imseek import probes

    with run.work() as controls:
        report = probes.propose(
            run.path,
            name,
            labels,
            n=limit,
            where=where,
            space=space,
            **controls,
        )
    output.write(_PROPOSAL_COLUMNS, map(to_json, report.proposals))
    return run.finish(report, output.lines(lambda: probe_text.proposal_lines(report)))


@app.command("imseek probe evaluate pets --truth folder", "imseek probe evaluate --truth tags:cat,dog --curve 1,2,4,8")
def evaluate(
    run: Run,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="The probe (default: a new one, learned from half of the labels and measured on the rest).",
        ),
    ] = None,
    truth: Annotated[
        str,
        typer.Option(
            "--truth",
            metavar="TRUTH",
            help="Where the true classes come from: tags, tags:a,b, a column, folder or folder:N (docs/probes.md).",
        ),
    ] = "tags",
    curve: Annotated[
        str | None,
        typer.Option(
            "--curve",
            metavar="1,2,4,…",
            help="Also measure probes learned from only this many images of each class.",
        ),
    ] = None,
    where: WhereOption = None,
    space: SpaceOption = None,
    words: WordsOption = True,
    seed: Annotated[int, options.seed("Random seed of the split.")] = 0,
) -> int:
    """Measure a probe on images that it has not learned from, and that are not near-duplicates of those."""
    shots = parse_shots(curve)
    run.interrupted = "interrupted"
    from imseek import probes

    with run.work() as controls:
        report = probes.evaluate(
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
    return run.finish(report, lambda: probe_text.evaluation_lines(report))


@app.command("imseek probe list", name="list")
@with_groups(output=LIST_FLAGS)
def list_(collection: CollectionOption = None, *, output: ListFlags) -> int:
    """List the probes of a collection."""
    from imseek import probes

    run = Run.on(collection, as_json=output.as_json)
    every = probes.list_(run.path)
    output.write(_LIST_COLUMNS, map(_csv_row, every))
    rows = [
        (
            printable(one.name),
            one.method,
            f"{sum(one.counts):,}",
            "" if one.score.accuracy is None else f"{one.score.accuracy.value:.3f}",
            one.created,
            probe_text.class_counts(one),
        )
        for one in every
    ]
    lines = [table(("name", "kind", "labels", "accuracy", "learned", "classes"), rows, right=(2, 3))] if every else []
    notes = [] if every else ["no probe yet: `imseek probe fit NAME` learns one from tags"]
    return run.finish(ProbeList(every), output.lines(lambda: lines), notes=notes)


def _csv_row(probe: ProbeInfo) -> dict[str, Any]:
    accuracy = probe.score.accuracy
    return {
        **to_json(probe),
        "labels": sum(probe.counts),
        "accuracy": None if accuracy is None else accuracy.value,
        "classes": probe_text.class_counts(probe),
    }


@app.command("imseek probe show pets")
def show(run: Run, name: NameArgument) -> int:
    """Show what a probe was learned from, and its cross-validated accuracy."""
    from imseek import probes

    probe = probes.get(run.path, name)
    return run.finish(ProbeAnswer(probe), lambda: probe_text.probe_lines(probe))


@app.command("imseek probe drop pets")
def drop(name: NameArgument, collection: CollectionOption = None) -> None:
    """Delete a probe, with its columns and the tags that it added."""
    from imseek import probes

    target = choose_collection(collection)
    tags = probes.drop(target.path, name)
    print(f"dropped the probe {printable(name)}" + (f", and {format_count(tags, 'tag')} that it gave" if tags else ""))
