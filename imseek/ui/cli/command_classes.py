"""Groups of commands with a default, and the layout of a command's help."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, Final, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from imseek.errors import UsageError
from imseek.ui.cli.common_options import ARGUMENTS, RARELY_USED, example_lines
from imseek.ui.cli.flag_groups import with_groups

T = TypeVar("T", bound=Callable[..., Any])
#: Options that stand last among the ordinary ones, since every command has them.
_LAST: Final = ("--collection", "--json", "--help")


class Command(TyperCommand):
    """A command; its help shows rarely used options (`common_options.rare`) in a section of their own."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[Any]] = {"Arguments": [], "Options": [], RARELY_USED: []}
        for parameter in sorted(self.get_params(ctx), key=_rank):
            if (line := parameter.get_help_record(ctx)) is not None:
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                title = "Arguments" if parameter.param_type_name == "argument" else panel
                sections[title].append(line)
        for title, lines in sections.items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        arguments = list(args)
        ctx.meta[ARGUMENTS] = arguments
        if not (ctx.resilient_parsing or set(ctx.help_option_names) & set(args)):
            from imseek.ui.cli.configured_defaults import configured_defaults

            names = [str(one.name) for one in self.params]
            ctx.default_map = configured_defaults(self.name or "", names, quiet="--json" in args)
        if not ctx.resilient_parsing:
            self._refuse_names_as_values(args)
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            group = ctx.parent and ctx.parent.command
            too_many = type(error).__name__ == "UsageError"  # its subclasses are of wrong options and values
            if too_many and isinstance(group, CommandGroup) and group.default == self.name:
                error.message = _say_other_command(error.message, group, ctx.parent.command_path, arguments)
            raise

    def _refuse_names_as_values(self, args: list[str]) -> None:
        """Raise UsageError for an option without its value, which would take the next option's name for it."""
        options = [one for one in self.params if one.param_type_name == "option"]
        names = {name for one in options for name in (*one.opts, *one.secondary_opts) if name.startswith("--")}
        valued = {name for one in options if not getattr(one, "is_flag", False) for name in one.opts}
        for name, value in pairwise(args[: args.index("--")] if "--" in args else args):
            if name in valued and value in names:
                raise UsageError(f"{name} needs a value, and {value} is an option", hint=f"{name}={value} means it so")


def _rank(parameter: Any) -> int:
    return max((_LAST.index(name) + 1 for name in parameter.opts if name in _LAST), default=0)


def _say_other_command(message: str, group: CommandGroup, path: str, arguments: list[str]) -> str:
    """Return the message of an error of the default command, with another command that may have been meant."""
    if commands := [word for word in arguments[1:] if word in group.commands]:
        return f"the command comes first: {path} {commands[0]} …"
    matches = get_close_matches(arguments[0], group.commands) if arguments else []
    return f"{message}. Did you mean '{path} {matches[0]}'?" if matches else message


class CommandGroup(TyperGroup):
    """A group of commands; ``default`` is run where none is named, or else the help is shown."""

    default: str | None = None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if self.default is None and args in ([], ["--"]) and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(2)
        if self.default is not None and self._is_for_default(self.default, ctx, args):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def _is_for_default(self, default: str, ctx: Any, args: list[str]) -> bool:
        if not args:  # the shell completes the name of a command here
            return not ctx.resilient_parsing
        if args[0] in self.commands or args[0] in ctx.help_option_names:
            return False
        takes_words = any(one.param_type_name == "argument" for one in self.commands[default].params)
        return takes_words or args[0].startswith("-")

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        number = args[0]
        if number.isdecimal() and number not in self.commands and (names := self._commands_of_numbers()):
            suggestions = ", ".join(f"{ctx.command_path} {name} {number}" for name in names)
            ctx.fail(f"the command comes before {number}: {suggestions}")
        return super().resolve_command(ctx, args)

    def _commands_of_numbers(self) -> list[str]:
        """Return the names of the commands whose first argument is a whole number."""
        firsts = {
            name: next((one for one in command.params if one.param_type_name == "argument"), None)
            for name, command in self.commands.items()
            if not command.hidden
        }
        return [name for name, first in firsts.items() if first is not None and first.type.name == "int"]

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        if self.default is None or not incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        command = self.commands[self.default]
        inner = command.make_context(self.default, [], parent=ctx, resilient_parsing=True)
        return command.shell_complete(inner, incomplete)


class Group(typer.Typer):
    """Declares the commands of a module: a family with a ``summary``, or without one commands that stand alone.

    ``default`` is the command of a family that runs if none is named.
    """

    def __init__(self, summary: str = "", *examples: str, default: str | None = None) -> None:
        self.is_family = bool(summary)
        super().__init__(
            cls=type("CommandGroup", (CommandGroup,), {"default": default}),
            help=summary if default is None else f"{summary} Without a command, it runs `{default}`.",
            subcommand_metavar="COMMAND [ARGS]..." if default is None else "[COMMAND] [ARGS]...",
            epilog=example_lines(examples),
            rich_markup_mode=None,  # Rich costs 50 ms and reads markup in file names
        )

    def command(self, *examples: str, name: str | None = None) -> Callable[[T], T]:  # type: ignore[override]
        """Declare a command, by default of its function's name; its help ends with the examples.

        A parameter ``run`` stands for the options of :class:`imseek.ui.cli.command_run.Run`.
        """
        declare = super().command(name, cls=Command, epilog=example_lines(examples))

        def with_run(command: T) -> T:
            if "run" not in command.__annotations__:
                return declare(command)
            from imseek.ui.cli.command_run import RUN_FLAGS

            declare(with_groups(run=RUN_FLAGS)(command))
            return command

        return with_run
