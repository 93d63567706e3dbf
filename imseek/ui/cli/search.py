"""``imseek search`` and ``imseek similar``: a query, and its hits."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

import imseek
from imseek import library
from imseek.errors import ImseekError, UsageError
from imseek.ui.cli import jsonout
from imseek.ui.cli.asking import ASKING, Asking
from imseek.ui.cli.flags import with_groups
from imseek.ui.cli.output import say, say_collection, table
from imseek.ui.cli.runtime import runtime_flags
from imseek.ui.cli.texts import CollectionOption, JsonOption, current_folder, examples, printable, shortened

if TYPE_CHECKING:
    from imseek import Collection, Runtime
    from imseek.search.query import By
    from imseek.types import Hit, SearchResult

PathsOption: TypeAlias = Annotated[
    bool, typer.Option("--paths", "-p", help="Print paths only, one a line (unprintable bytes escaped).")
]
NullOption: TypeAlias = Annotated[
    bool, typer.Option("--null", "-0", help="Print paths only, as they are, each followed by NUL.")
]
OpenOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--open", metavar="[N]", min=1, help="Open the Nth hit (without N: the first) in the viewer."
    ),
]
_CAPTION_WIDTH = 60


def register(app: typer.Typer) -> None:
    app.command(
        "search",
        epilog=examples(
            "imseek search 'a red bicycle'",
            "imseek search 'a red car' --like night.jpg --not snow",
            "imseek search 2:beach 'at night'",
            "imseek search -n 50 -0 receipts | xargs -0 ls -l",
            "imseek search 'the old harbour' --by caption",
        ),
    )(search)
    app.command(
        "similar",
        epilog=examples(
            "imseek similar holiday.jpg",
            "imseek similar scan.png --open",
            "curl -s https://example.org/photo.jpg | imseek similar -",
        ),
    )(similar)


@with_groups(asking=ASKING, runtime=runtime_flags("device", "precision"))
def search(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="What the picture shows, in words; each is a term, and 2:TEXT counts twice.",
        ),
    ] = None,
    paths: PathsOption = False,
    null: NullOption = False,
    open_nth: OpenOption = None,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
    *,
    asking: Asking,
    runtime: Runtime,
) -> None:
    """Find pictures by words, by pictures, or by both (docs/queries.md)."""
    _answer(text or [], asking, paths, null, open_nth, collection, as_json, runtime)


@with_groups(asking=ASKING, runtime=runtime_flags("device", "precision"))
def similar(
    image: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="A picture: a file, which need not be indexed, a URL, id:N, or - for stdin.",
        ),
    ],
    paths: PathsOption = False,
    null: NullOption = False,
    open_nth: OpenOption = None,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
    *,
    asking: Asking,
    runtime: Runtime,
) -> None:
    """Find pictures that look like another one: `imseek search --like IMAGE`."""
    _answer([], asking.also_like(image), paths, null, open_nth, collection, as_json, runtime)


def with_open_default(arguments: Sequence[str]) -> list[str]:
    """``--open`` without a number means ``--open 1``: Typer has no options whose value may be left out."""
    out = list(arguments)
    end = out.index("--") if "--" in out else len(out)
    if "--open" in out[:end]:
        at = out.index("--open") + 1
        if at == len(out) or not out[at].isdecimal():
            out.insert(at, "1")
    return out


def _table(hits: Sequence[Hit], by: By) -> str:
    rows = [(str(n), f"{hit.score:.3f}", _shown(hit)) for n, hit in enumerate(hits, start=1)]
    if by == "caption":
        said = [shortened(str(hit.metadata.get("caption", "")), _CAPTION_WIDTH) for hit in hits]
        return table(
            ("#", "score", "caption", "image"),
            [(n, score, caption, image) for (n, score, image), caption in zip(rows, said, strict=True)],
            right=(0, 1),
        )
    return table(("#", "score", "image"), rows, right=(0, 1))


def _answer(
    texts: list[str],
    asking: Asking,
    paths: bool,
    null: bool,
    open_nth: int | None,
    collection: str | None,
    as_json: bool,
    runtime: Runtime,
) -> None:
    if asking.many and (paths or null or open_nth is not None):
        raise UsageError("--queries answers in JSON Lines", hint="without --paths, --null and --open")
    as_json |= asking.many
    queries = asking.batch(texts) if asking.many else [asking.query(texts)]
    chosen = library.resolve(collection, cwd=current_folder(), environ=os.environ)
    if not as_json:
        say_collection(chosen)
        for note in asking.notes(texts):
            say(note)
    with imseek.open(chosen.path, runtime=runtime, notify=say) as opened:
        if asking.many:
            for query in queries:
                result = opened.search(query)
                jsonout.print_json(jsonout.search(result, chosen), line=True)
            return
        result = opened.search(queries[0], metadata=as_json or asking.by == "caption")
        if as_json:
            jsonout.print_json(jsonout.search(result, chosen))
        elif paths or null:
            _print_paths(result, exact=null)
        else:
            _print_table(result, asking.by)
        if open_nth is not None:
            _open(opened, result, open_nth)


def _print_table(result: SearchResult, by: By) -> None:
    print(_table(result.hits, by) if result.hits else "no hits")
    if len(result.spaces) > 1:
        shares = (f"{share.weight:.0%} {printable(share.encoder)}" for share in result.spaces)
        print(f"score: the mean of the cosines in {len(result.spaces)} spaces ({', '.join(shares)})")
    for note in result.notes:
        print(printable(note))


def _print_paths(result: SearchResult, *, exact: bool) -> None:
    places = [hit.place for hit in result.hits if hit.place is not None]
    if exact:
        sys.stdout.buffer.write(b"".join(place.path + b"\0" for place in places))
    else:
        for place in places:
            print(place.display)
    for note in result.notes:
        say(printable(note))


def _open(opened: Collection, result: SearchResult, nth: int) -> None:
    if nth > len(result.hits):
        raise UsageError(f"there is no hit {nth} to open: {len(result.hits)} found")
    target = _viewable(opened, result.hits[nth - 1], nth)
    if typer.launch(target) != 0:
        raise ImseekError(f"no viewer could be started for {target}", hint="install xdg-utils or use --paths")


def _viewable(opened: Collection, hit: Hit, nth: int) -> str:
    """A file or URL that a viewer takes; what lies in an archive or a table is copied to a temporary file."""
    uri, path = hit.uri or "", hit.path or ""
    if uri.startswith(("http://", "https://")) and uri == path:
        return uri
    if not uri.startswith("file:") or "#" in uri:
        name = f"imseek-{hit.image_id}{Path(path).suffix or '.image'}"
        copy = Path(tempfile.mkdtemp(prefix="imseek-")) / name  # It stays: viewers go on when we have ended.
        copy.write_bytes(opened.read(hit.image_id))
        return str(copy)
    if not Path(path).is_file():
        raise ImseekError(f"the file of hit {nth} is gone", hint="`imseek index` updates the collection")
    return path


def _shown(hit: Hit) -> str:
    return hit.place.display if hit.place is not None else f"(image {hit.image_id}: place unknown)"
