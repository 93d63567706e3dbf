"""``imseek config``: list, get and set the user's settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from imseek import config
from imseek.errors import ImseekError
from imseek.types.json_form import FilePath
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import JsonOption
from imseek.ui.cli.output import say
from imseek.ui.render.result_json import print_json
from imseek.ui.render.text import table
from imseek.ui.render.words import printable

app = Group(
    "List, get and set your settings, which flags and environment variables override.",
    "imseek config",
    "imseek config set device cpu",
    "imseek config set index.ocr true",
    default="list",
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The name of a setting, as `imseek config list` shows it.")
]


@dataclass(frozen=True, slots=True)
class SettingState:
    """What holds for a setting, and where it comes from."""

    name: str
    value: str | bool | int | None
    """Null where it is not set, so that the default holds."""
    default: str
    """What holds without it, in words."""
    origin: Literal["default", "environment", "file"]
    variable: str
    """Its environment variable, which stands above the file."""

    @classmethod
    def of(cls, value: config.SettingValue) -> SettingState:
        setting = value.setting
        in_file = "default" if value.value is None else "file"
        origin: Any = "environment" if value.origin == setting.variable else in_file
        return cls(setting.name, value.value, setting.default, origin, setting.variable)


@dataclass(frozen=True, slots=True)
class SettingList:
    """The settings."""

    path: FilePath
    """The file, which need not exist."""
    settings: tuple[SettingState, ...]


@app.command("imseek config list", "imseek config list --json", name="list")
def list_(as_json: JsonOption = False) -> None:
    """List the settings: what holds, and where it comes from."""
    file = config.read(os.environ)
    if as_json:
        states = map(SettingState.of, config.values(os.environ, file))
        print_json(SettingList(os.fsencode(file.path), tuple(states)))
        return
    rows = [
        (
            one.setting.name,
            printable(one.setting.default if one.value is None else _text(one.value)),
            printable(one.origin),
            one.setting.help,
        )
        for one in config.values(os.environ, file)
    ]
    print(table(("setting", "value", "from", ""), rows))
    if not file.path.exists():
        say(f"`imseek config set NAME VALUE` writes {printable(str(file.path))}")


@app.command("imseek config get device")
def get(name: NameArgument, as_json: JsonOption = False) -> int:
    """Print what holds for a setting. Exits with 1 if it is not set."""
    file = config.read(os.environ)
    value = config.value_of(config.find_setting(name), os.environ, file)
    if file.broken and value.value is None:
        raise ImseekError(file.problems[0], hint="correct it in an editor, or delete the file")
    if as_json:
        print_json(SettingState.of(value))
        return int(value.value is None)
    if value.value is None:
        say(f"{name} is not set: {value.setting.default}")
        return 1
    print(printable(_text(value.value)))
    return 0


@app.command("imseek config set encoder multilingual", "imseek config set collection photos", name="set")
def set_(
    name: NameArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its new value.")],
) -> None:
    """Set a value in config.toml. Comments there stay."""
    config.find_setting(name).parse(value)
    _check_value(name, value)
    stored = config.set_value(name, value, os.environ)
    path = config.path_of_config(os.environ)
    print(f"{name} is now {printable(_text(stored))} ({printable(str(path))})")
    variable = config.SETTINGS[name].variable
    if os.environ.get(variable):
        say(f"note: {variable} is set, and overrides it")


@app.command("imseek config unset device")
def unset(name: NameArgument) -> None:
    """Remove a value from config.toml, so that the default holds again."""
    config.set_value(name, None, os.environ)
    print(f"{name} is not set: {config.SETTINGS[name].default}")


def _check_value(name: str, value: str) -> None:
    """Raise UsageError for a value that the next command would refuse without saying where it stands."""
    if name == "encoder":
        from imseek.encoders import AUTO, canonical

        if value != AUTO:
            canonical(value)
    elif name in ("device", "precision"):
        from imseek.encoders import Runtime

        Runtime(device=value) if name == "device" else Runtime(precision=value)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
