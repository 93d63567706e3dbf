"""For the fork server: the command line, made once. Making it takes ten times as long as most commands do."""

from __future__ import annotations

from imseek.ui.cli.app import command

command()
