"""Output flags of `imseek search` and `imseek similar`, parsed into one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from imseek.errors import UsageError
from imseek.ui.cli import common_options as options
from imseek.ui.cli.common_options import IdsOption, JsonOption, rare
from imseek.ui.cli.flag_groups import flag_group
from imseek.ui.cli.hit_listing import print_paths, print_table, say_notes
from imseek.ui.cli.output import has_colour, print_ids, say
from imseek.ui.cli.output_files import IMAGE_COLUMNS, check_csv, check_new, is_stdout, new_path, write_csv
from imseek.ui.render.words import printable

if TYPE_CHECKING:
    from imseek.search import Query
    from imseek.types.search_results import SearchResult


_CSV_COLUMNS: Final = ("rank", "score", *IMAGE_COLUMNS, "collection", "caption", "taken_at", "width", "height")


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """The output flags."""

    paths: Annotated[
        bool,
        typer.Option("--paths", "-p", help="Print only the paths, one per line, with unprintable bytes escaped."),
    ] = False
    null: Annotated[
        bool,
        typer.Option("--null", "-0", help="Print only the paths, unescaped, each followed by a NUL byte."),
    ] = False
    ids: IdsOption = False
    csv: Annotated[Path | None, options.csv("Also write the hits as CSV, one hit per row.")] = None
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Also show the pictures in the terminal (docs/terminal.md)."),
    ] = False
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="FILE.png", help="Also write the hits as a contact sheet."),
    ] = None
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing contact sheet or CSV file.")] = False
    open_nth: Annotated[
        int | None,
        typer.Option(
            "--open",
            metavar="[N]",
            min=1,
            help="Open the Nth hit (by default the first) in the image viewer.",
        ),
    ] = None
    color: Annotated[
        Literal["auto", "always", "never"],
        rare("--color", help="Highlight the table; auto: in a terminal, unless NO_COLOR is set."),
    ] = "auto"
    vectors: Annotated[bool, rare("--vectors", help="With --json: include the stored vector of each hit.")] = False
    as_json: JsonOption = False

    @property
    def is_list(self) -> bool:
        """Whether hits are listed for people."""
        return not (self.as_json or self.paths or self.null or self.ids)

    def checked(self, *, many: bool) -> OutputOptions:
        """Check the flags before any search. Raises UsageError if they conflict or the sheet cannot be written."""
        pictured = self.preview or self.sheet is not None or self.open_nth is not None
        if many and (self.paths or self.null or self.ids or self.csv is not None or pictured):
            hint = "leave out --paths, --null, --ids, --csv, --preview, --sheet and --open"
            raise UsageError("--queries always prints JSON Lines", hint=hint)
        if self.vectors and not (many or self.as_json):
            raise UsageError("--vectors needs JSON output", hint="add --json")
        if self.preview and not self.is_list:
            raise UsageError(
                "--preview cannot be combined with machine-readable output",
                hint="leave out --json, --paths, --null and --ids",
            )
        if self.ids and (self.paths or self.null or self.as_json):
            raise UsageError("--ids cannot be combined with --paths, --null or --json", hint="choose one of them")
        rivals = {"--json": self.as_json, "--paths": self.paths, "--null": self.null, "--ids": self.ids}
        check_csv(self.csv, force=self.force, rivals=rivals)
        if self.sheet is not None:
            if self.sheet.suffix.lower() != ".png":
                raise UsageError(
                    f"a contact sheet is a PNG file, but {self.sheet} does not end in .png",
                    hint="--sheet hits.png",
                )
            check_new(self.sheet, force=self.force)
        return replace(self, as_json=self.as_json or many)

    def show(
        self,
        result: SearchResult,
        query: Query,
        names: Mapping[str, str],
        *,
        following: str | None,
        has_where: bool,
    ) -> None:
        """Print the hits as a table or as paths.

        ``names`` maps collection UUIDs to names; ``following`` is what ``--page`` takes for the next page, if any;
        ``has_where`` says whether the user gave a condition.
        """
        if is_stdout(self.csv):  # CSV for another program must be alone on stdout.
            say_notes(result)
            return
        if self.ids:
            print_ids(hit.image_id for hit in result.hits)
            say_notes(result)
            return
        if self.paths or self.null:
            print_paths(result, exact=self.null)
            return
        if self.preview and result.hits:
            _preview(result, by_caption=query.by == "caption")
        colour = self.color == "always" or (self.color == "auto" and has_colour())
        # Captions are searched where there are any, so that none searched says nothing of the condition.
        is_filtered = has_where and not result.searched and query.by != "caption"
        empty = "no hits: no image meets --where" if is_filtered else "no hits"
        print_table(result, query.by, names, colour=colour, empty=empty)
        if following is not None:
            say(f"more: --page {following}")

    def write(self, result: SearchResult) -> None:
        """Write the CSV file, if requested. Raises as :func:`new_file`."""
        if self.csv is None:
            return
        from imseek.ui.render.result_json import to_json

        rows = ({"rank": rank, **hit.metadata, **to_json(hit)} for rank, hit in enumerate(result.hits, start=1))
        write_csv(self.csv, _CSV_COLUMNS, rows, force=self.force)

    def draw(self, result: SearchResult, query: Query) -> None:
        """Write the contact sheet, if requested. Raises as :func:`new_path`."""
        if self.sheet is None:
            return
        from imseek.showing import MAX_SHEET_HITS, render_sheet

        assert result.pictures is not None
        with new_path(self.sheet, force=self.force) as temporary, result.pictures.opened() as read_picture:
            temporary.write_bytes(render_sheet(query, result, read_picture))
        left = f": the first {MAX_SHEET_HITS} of {len(result):,} hits" if len(result) > MAX_SHEET_HITS else ""
        say(f"wrote {printable(str(self.sheet))}{left}")


#: Flags that yield an :class:`OutputOptions`.
OUTPUT_FLAGS: Final = flag_group(OutputOptions)


def _preview(result: SearchResult, *, by_caption: bool) -> None:
    from imseek.ui.terminal import detect_terminal

    terminal = detect_terminal()
    if terminal.protocol is None:
        say(f"no preview: {terminal.reason}; --sheet FILE.png writes the hits as a picture")
        return
    from imseek.showing import name_of
    from imseek.ui.terminal import MAX_HITS, print_preview

    assert result.pictures is not None
    names: Sequence[str] = [
        printable(str(hit.metadata.get("caption", ""))) if by_caption else name_of(hit.place, hit.image_id)
        for hit in result.hits
    ]
    with result.pictures.opened() as read_picture:
        print_preview(result.hits, names, read_picture, terminal)
    if len(result) > MAX_HITS:
        say(f"the first {MAX_HITS} of {len(result):,} hits are shown")
