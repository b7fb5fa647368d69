"""Click, bent to Vault's fingers: one or two dashes before a long option, sub-commands imported when they are run.

Invariants: `--help` of a group imports no command; an unknown command or option is answered with what is near to it;
every way to end goes through `Root.main`, which owns the exit codes.
"""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .failures import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HELP_NAMES = {"help_option_names": ["--help", "-help", "-h"]}


class LongOption(click.Option):
    """An option whose `--name` may also be written `-name`."""

    def __init__(self, param_decls: Sequence[str] | None = None, **attributes: Any) -> None:
        names = list(param_decls or ())
        self.single_dash = [name[1:] for name in names if name.startswith("--")]
        super().__init__([*names, *self.single_dash], **attributes)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The help line, with the two-dash spelling alone."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        spelling, text = record
        for name in self.single_dash:
            spelling = spelling.replace(f"{name}, ", "", 1)
        return spelling, text


class Command(click.Command):
    """A command whose unknown options are named whole, with near ones."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click, but `-o=json` sets `-o`, and `-filed=x` is no cluster of one-letter options."""
        given = _split_short(args)
        try:
            return super().parse_args(ctx, list(given))
        except click.NoSuchOption as error:
            names = [name for option in self.get_params(ctx) for name in option.opts if name.startswith("--")]
            raise _whole_option(error.option_name, given, names, ctx) from None


def _split_short(args: Sequence[str]) -> list[str]:
    end = args.index("--") if "--" in args else len(args)
    split = [part for word in args[:end] for part in (word.split("=", 1) if re.match(r"-[a-z]=", word) else [word])]
    return [*split, *args[end:]]


def _whole_option(reported: str, given: Sequence[str], names: Sequence[str], ctx: click.Context) -> click.NoSuchOption:
    words = [word.split("=", 1)[0] for word in given]
    asked = next((word for word in words if word == reported), None)
    asked = asked or next((word for word in words if word.startswith(reported)), reported)
    near = difflib.get_close_matches(f"--{asked.lstrip('-')}", names)
    return click.NoSuchOption(asked, possibilities=near or None, ctx=ctx)


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported when they are run.

    `lazy` maps a name to (module beside this one, attribute, help line); `absent` maps a name to why it is not there.
    """

    def __init__(
        self,
        name: str,
        *,
        lazy: Mapping[str, tuple[str, str, str]],
        absent: Mapping[str, str] | None = None,
        **attributes: Any,
    ) -> None:
        super().__init__(name, context_settings=HELP_NAMES, **attributes)
        self._lazy = lazy
        self._absent = absent or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order they were written."""
        del ctx
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now. Raises LocalError for one that this version does not have."""
        del ctx
        if cmd_name in self._absent:
            raise LocalError(f"{self.name} {cmd_name}: {self._absent[cmd_name]}")
        if cmd_name not in self._lazy:
            return None
        module, attribute, _ = self._lazy[cmd_name]
        command = getattr(importlib.import_module(f".{module}", __package__), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, but near names are looked for among commands not imported yet."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=list(self._lazy), ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in the help, from the table alone."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in self._lazy.items()])


class Root(LazyGroup):
    """The outermost group: it turns every way to end into an exit code of ours."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run and end the process: click's own 2 for usage errors becomes 1, because 2 means that a server refused."""
        del standalone_mode
        try:
            result = super().main(args, prog_name or "strongroom", complete_var, standalone_mode=False, **extra)
        except click.UsageError as error:
            error.show()
            sys.exit(1)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo("Aborted.", err=True)
            sys.exit(1)
        sys.exit(result if isinstance(result, int) else 0)
