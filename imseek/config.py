"""The user's settings: ``config.toml`` in imseek's home, with environment variables above it.

    encoder = "default"       # of new collections
    device = "cpu"

    [index]
    ocr = true

Flags of the command line stand above both. Settings are for the command line; the Python API does not read them.

Only the standard library is imported at module level, because every command imports this module.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imseek.errors import ImseekError, UsageError
from imseek.home import home, make_home, write_atomically

#: A larger file is not a settings file.
_MAX_BYTES: Final = 1_000_000
_AT_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)$")
_TRUE: Final = ("1", "on", "true", "yes")
_FALSE: Final = ("0", "off", "false", "no")
_KIND_NAMES: Final[Mapping[type, str]] = {str: "a text", bool: "true or false", int: "a whole number above 0"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting. A dotted ``name`` is a key of a table in the file; ``variable`` is its environment variable."""

    name: str
    kind: type
    variable: str
    default: str
    """What holds without it, in words."""
    help: str

    def parse(self, text: str) -> Any:
        """Parse a value as it is typed. Raises UsageError."""
        if self.kind is bool and text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
        if self.kind is int and re.fullmatch(r"[1-9][0-9]{0,8}", text):
            return int(text)
        if self.kind is str and text.strip():
            return text
        raise UsageError(f"{self.name} is {_KIND_NAMES[self.kind]}, not {text!r}")

    def accepts(self, value: object) -> bool:
        """Whether a value in the file is valid for this setting."""
        if self.kind is int:
            return type(value) is int and value > 0
        return type(value) is self.kind and value != ""


SETTINGS: Final = {
    one.name: one
    for one in (
        Setting(
            "collection",
            str,
            "IMSEEK_COLLECTION",
            "the only one, or default",
            "The collection, where no .imseek is near.",
        ),
        Setting("encoder", str, "IMSEEK_ENCODER", "auto", "The encoder of new collections."),
        Setting("device", str, "IMSEEK_DEVICE", "auto", "Where encoders run: auto, cpu, cuda, …"),
        Setting("precision", str, "IMSEEK_PRECISION", "auto", "Precision of image vectors."),
        Setting("index.ocr", bool, "IMSEEK_INDEX_OCR", "as the collection", "Read the text in new pictures."),
        Setting("index.batch_size", int, "IMSEEK_INDEX_BATCH_SIZE", "automatic", "Pictures to encode at once."),
        Setting("index.threads", int, "IMSEEK_INDEX_THREADS", "all processors", "CPU threads for encoding."),
        Setting("index.untrusted", bool, "IMSEEK_INDEX_UNTRUSTED", "false", "Decode pictures in a confined process."),
    )
}


@dataclass(frozen=True, slots=True)
class SettingValue:
    """The value in force for a setting, and its origin; ``value`` is None if that is the default."""

    setting: Setting
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The valid settings of the file by name, and what is wrong with the others; ``broken`` if it is no TOML at all."""

    path: Path
    values: Mapping[str, Any]
    problems: tuple[str, ...] = ()
    broken: bool = False


def path_of_config(environ: Mapping[str, str]) -> Path:
    """Return the path of the file, which need not exist."""
    return home(environ) / "config.toml"


def read(environ: Mapping[str, str]) -> ConfigFile:
    """Read the file. A damaged one, unknown names and impossible values are reported as problems, not raised."""
    path = path_of_config(environ)
    try:
        text = _read_text(path)
    except FileNotFoundError:
        return ConfigFile(path, {})
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or ("it is not UTF-8" if isinstance(error, UnicodeError) else error)
        return ConfigFile(path, {}, (f"{path} cannot be read: {reason}",), broken=True)
    import tomllib  # 5 ms, and most have no such file

    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        match = _AT_LINE.search(str(error))
        line = f", line {match[1]}" if match else ""
        return ConfigFile(path, {}, (f"{path}{line}: {_AT_LINE.sub('', str(error))}",), broken=True)
    values, problems = {}, []
    for name, value in _flatten(document):
        if (setting := SETTINGS.get(name)) is None:
            problems.append(f"{path}: there is no setting {name!r}{_near(name)}")
        elif not setting.accepts(value):
            problems.append(f"{path}: {name} is {_KIND_NAMES[setting.kind]}, not {value!r}")
        else:
            values[name] = value
    return ConfigFile(path, values, tuple(problems))


def values(environ: Mapping[str, str], file: ConfigFile) -> list[SettingValue]:
    """Return what holds for each setting. Raises UsageError for an environment variable with an impossible value."""
    return [value_of(setting, environ, file) for setting in SETTINGS.values()]


def value_of(setting: Setting, environ: Mapping[str, str], file: ConfigFile) -> SettingValue:
    """Return what holds for one setting. Raises UsageError for an environment variable with an impossible value."""
    if text := environ.get(setting.variable):
        try:
            return SettingValue(setting, setting.parse(text), setting.variable)
        except UsageError as error:
            raise UsageError(f"{setting.variable}: {error}") from None
    if setting.name in file.values:
        return SettingValue(setting, file.values[setting.name], str(file.path))
    return SettingValue(setting, None, "default")


def find_setting(name: str) -> Setting:
    """Return the setting of a name. Raises UsageError."""
    if (setting := SETTINGS.get(name)) is None:
        raise UsageError(f"there is no setting {name!r}{_near(name)}", hint=f"there are: {', '.join(SETTINGS)}")
    return setting


def set_value(name: str, text: str | None, environ: Mapping[str, str]) -> Any:
    """Set a value in the file, or with None remove it; comments and all else stay. Returns the value.

    Raises UsageError for an unknown name or a wrong value, ImseekError where the file is damaged or cannot be written.
    """
    import tomlkit  # read the same by tomllib; only this writes

    setting = find_setting(name)
    value = None if text is None else setting.parse(text)
    file = read(environ)
    if file.broken:
        raise ImseekError(file.problems[0], hint="correct it in an editor, or delete the file")
    document = tomlkit.parse(_read_text(file.path) if file.path.exists() else "")
    table_name, _, key = name.rpartition(".")
    table: Any = document
    if table_name:
        if not isinstance(document.get(table_name, {}), dict):
            raise ImseekError(f"{file.path}: {table_name} is not a table", hint="correct it in an editor")
        if table_name not in document and value is not None:
            document[table_name] = tomlkit.table()
        table = document.get(table_name, {})
    if value is not None:
        table[key] = value
    elif key in table:
        del table[key]
    try:
        make_home(environ)
        # A link, as of those who have their settings in Git, stays one.
        write_atomically(Path(os.path.realpath(file.path)), tomlkit.dumps(document).encode())
    except OSError as error:
        raise ImseekError(f"cannot write {file.path}: {error.strerror or error}") from error
    return value


def _read_text(path: Path) -> str:
    """Read a text of limited size. Raises OSError, ValueError."""
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError("it is too large for a file of settings")
    return data.decode()


def _flatten(document: Mapping[str, Any]) -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in document.items():
        if isinstance(value, dict):
            flat += [(f"{name}.{inner}", one) for inner, one in value.items()]
        else:
            flat.append((name, value))
    return flat


def _near(name: str) -> str:
    from difflib import get_close_matches

    matches = get_close_matches(name, SETTINGS, n=1)
    return f" (did you mean {matches[0]}?)" if matches else ""
