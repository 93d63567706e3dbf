"""For the fork server: the command line, built once. Building it takes ten times as long as most commands do."""

from __future__ import annotations

import functools

import typer.main

from imseek.ui.cli.app import app

typer.main.get_command = functools.cache(typer.main.get_command)
typer.main.get_command(app)
