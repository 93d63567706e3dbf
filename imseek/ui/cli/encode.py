"""``imseek encode``: write the vectors of pictures or texts, without a collection."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from imseek.errors import UsageError
from imseek.input_file import read_input
from imseek.ui.cli import notice_history
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import ForceOption, JsonOption, strict
from imseek.ui.cli.output import say
from imseek.ui.cli.output_files import new_path
from imseek.ui.cli.progress import stoppable
from imseek.ui.cli.runtime_flags import with_runtime
from imseek.ui.render.result_json import print_json
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    from imseek import Runtime
    from imseek.types.encode_report import EncodedKind, EncodeReport

#: Pictures that could not be used, as named in messages.
_MAX_SKIPPED: Final = 10


app = Group()


@app.command(
    "imseek encode a.jpg b.jpg -o vectors.npy",
    "imseek encode --texts 'a red car' 'a dog' -o words.npy",
    "find ~/Pictures -name '*.jpg' | imseek encode --from - -o vectors.parquet",
)
@with_runtime("device", "precision", "batch_size", "threads")
def encode(
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[PICTURE]...", help="Paths of pictures; with --texts, texts.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write: .npy or .parquet."),
    ] = None,
    texts: Annotated[bool, typer.Option("--texts", help="Encode texts, not pictures.")] = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FILE", help="Read further pictures or texts from FILE, one per line; - for stdin."
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option("--encoder", metavar="ENCODER", help="The encoder (`imseek encoders list`); auto as for `index`."),
    ] = "auto",
    force: ForceOption = False,
    as_strict: Annotated[bool, strict("Exit with 3 if a picture could not be used.")] = False,
    as_json: JsonOption = False,
    *,
    runtime: Runtime,
) -> int:
    """Write the vectors of pictures or texts to a file, in their order, as unit rows of float32 (docs/python.md)."""
    if output is None:
        raise UsageError("no file is named to write to", hint="-o vectors.npy, or -o vectors.parquet")
    names = [*(inputs or ()), *(() if source is None else _read_lines(source))]
    if not texts and (folder := next((one for one in names if Path(one).is_dir()), None)) is not None:
        hint = f"find {shlex.quote(folder)} -name '*.jpg' | imseek encode --from - -o FILE"
        raise UsageError(f"{folder} is a folder", hint=hint)
    from imseek.embedding import check_request, encode_file, load_encoder

    kind: EncodedKind = "texts" if texts else "images"
    check_request(names, output, kind)
    with stoppable("interrupted: nothing was written") as controls, new_path(output, force=force) as temporary:
        model = load_encoder(encoder, runtime=runtime, notify=_say_due)
        report = encode_file(model, names, output, kind=kind, made=temporary, **controls)
    if as_json:
        print_json(report)
    else:
        _say_report(report)
    return 3 if not report.vectors or (as_strict and report.skipped) else 0


def _read_lines(file: str) -> Sequence[str]:
    """Read a list, one entry a line, without empty lines. Raises UsageError."""
    if file == "-" and sys.stdin.isatty():
        raise UsageError("- reads from stdin, but stdin is the terminal", hint="pipe paths or texts into the command")
    try:
        data = sys.stdin.buffer.read() if file == "-" else read_input(file)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from error
    return [line for line in os.fsdecode(data).removeprefix("\ufeff").splitlines() if line.strip()]


def _say_due(note: str) -> None:
    for one in notice_history.due_notes((note,)):
        say(one)


def _say_report(report: EncodeReport) -> None:
    for one in report.skipped[:_MAX_SKIPPED]:
        say(printable(one.message))
    if (more := len(report.skipped) - _MAX_SKIPPED) > 0:
        say(f"and {format_count(more, 'more picture')} could not be used (all of them with --json)")
    if report.target is None:
        say("no picture could be read, so nothing was written; --texts encodes what is given as texts")
        return
    shape = f"{format_count(report.vectors, 'vector')} of {report.dim} dimensions ({report.encoder})"
    say(f"wrote {printable(os.fsdecode(report.target))}: {shape}")
