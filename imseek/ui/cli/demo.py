"""``imseek demo``: index and search photographs that are already on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from imseek import library
from imseek.home import home
from imseek.ui.cli.command_classes import Group

app = Group()


@app.command("imseek demo", "imseek demo --folder /tmp/imseek-demo")
def demo(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", metavar="DIR", help="The folder for the contact sheet (default: one of imseek's own)."
        ),
    ] = None,
) -> int:
    """Index and search the photographs that come with scikit-image and scikit-learn."""
    from imseek.ui.cli import demo_run

    return demo_run.run(folder or home(os.environ) / library.DEMO_NAME, os.environ)
