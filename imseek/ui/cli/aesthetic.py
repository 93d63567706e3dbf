"""``imseek aesthetic``: score pictures with LAION's predictors, from weights that the user has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imseek.errors import UsageError
from imseek.ui.cli import common_options as options
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.common_options import CollectionOption, SaveScoresOption, WhereOption
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.cli.output import say
from imseek.ui.cli.output_files import IMAGE_COLUMNS
from imseek.ui.render.result_json import to_json
from imseek.ui.render.text import format_place, table
from imseek.ui.render.words import format_count

if TYPE_CHECKING:
    from imseek.ui.cli.score_answers import ScoredPictures


app = Group()


@app.command("imseek aesthetic --weights sac+logos+ava1-l14-linearMSE.pth --save aesthetic")
@with_groups(output=LIST_FLAGS)
def aesthetic(
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="The predictor's weights, as its project publishes them (.pth or .safetensors).",
        ),
    ] = None,
    save: SaveScoresOption = None,
    where: WhereOption = None,
    limit: Annotated[int, options.limit("How many images to show.")] = 10,
    collection: CollectionOption = None,
    *,
    output: ListFlags,
) -> int:
    """Score how pleasing pictures are, from about 1 to 10, with one of LAION's aesthetic predictors. Needs vectors
    of OpenAI's CLIP."""
    from imseek import evaluate, overview
    from imseek.clusters.results import Shown
    from imseek.ui.cli.score_answers import ScoredPictures

    if weights is None:
        from imseek.aesthetic import WEIGHTS_HINT

        raise UsageError("no weights are given: add --weights FILE", hint=WEIGHTS_HINT)
    run = Run.on(collection, as_json=output.as_json)
    with run.work() as controls:
        scores = evaluate.aesthetic_scores(run.path, weights, where=where, **controls)
    if scores.interrupted:
        say(run.interrupted)
        return run.exit_code(interrupted=True)
    if save is not None:
        evaluate.save(run.path, scores, save)
    ranked = scores.best(limit)
    places = overview.find_places(run.path, [image_id for image_id, _ in ranked])
    best = tuple(Shown(image_id, score, places.get(image_id)) for image_id, score in ranked)
    stored = f"stored as the column {save}: imseek search … --where '{save} > 5'"
    answer = ScoredPictures(scores, best, save)
    output.write(("score", *IMAGE_COLUMNS), map(to_json, best))
    return run.finish(answer, output.lines(lambda: _lines(answer)), notes=[] if save is None else [stored])


def _lines(answer: ScoredPictures) -> list[str]:
    result = answer.scores
    summary = f"{format_count(len(result.ids), 'image')} scored by LAION's predictor"
    rows = [(f"{one.score:.3f}", str(one.image_id), format_place(one.place, one.image_id)) for one in answer.best]
    scores = [table(("score", "id", "image"), rows, right=(0, 1))] if rows else []
    return [f"{summary}, version {result.version} ({result.encoder})", *scores]
