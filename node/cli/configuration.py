"""`config show`, `config validate`, `config reference`: what a server would do, without starting one.

Nothing here talks to a server. Secrets are shown as `***`, URLs as scheme, host and name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .failures import LocalError
from .jsontext import encode
from .output import columns, remark
from .parts import HELP_NAMES, Command, LazyGroup
from .session import option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..config import Loaded

config = LazyGroup(
    "config",
    help="The configuration of a server.",
    lazy={
        "show": ("configuration", "show", "each value and where it came from"),
        "validate": ("configuration", "validate", "every objection to a configuration"),
        "reference": ("configuration", "reference", "every key with its default and its reason"),
    },
)

config_option = option(
    "--config", "files", multiple=True, type=click.Path(path_type=Path), help="a TOML file; may be repeated"
)
set_option = option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="one key, such as log.level=debug")


def flags_of(settings: Sequence[str]) -> dict[str, str]:
    """{"section.key": text} of `section.key=text` words. Raises LocalError for anything else; repeats no value."""
    flags = {}
    for word in settings:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise LocalError("-set needs KEY=VALUE, such as log.level=debug")
        flags[key.strip()] = text
    return flags


def load(files: Sequence[Path], settings: Sequence[str]) -> Loaded:
    """The configuration from these files, the environment and these flags."""
    from .. import config as configuration

    return configuration.load(files, os.environ, flags_of(settings))


def _local_command(name: str) -> Callable[[Callable[..., Any]], Command]:
    return click.command(name, cls=Command, context_settings=HELP_NAMES)


@_local_command("show")
@config_option
@set_option
@option("--format", "-o", "form", type=click.Choice(["table", "json"]), default="table", help="form of the output")
def show(files: tuple[Path, ...], settings: tuple[str, ...], form: str) -> None:
    """Print each key with its value and where that came from."""
    from .. import config as configuration

    loaded = load(files, settings)
    if form == "json":
        click.echo(encode({"config": configuration.tree(loaded.config), "sources": loaded.sources}))
    else:
        rows = [(key, encode(value), source) for key, value, source in configuration.settings(loaded)]
        click.echo(columns(rows, ("Key", "Value", "Source")), nl=False)
    for sentence in loaded.problems:
        remark(f"problem: {sentence}")


@_local_command("validate")
@config_option
@set_option
def validate(files: tuple[Path, ...], settings: tuple[str, ...]) -> int:
    """Print every objection to a configuration and the files it names; end with 0 if there is none, else with 1."""
    from .. import config as configuration

    loaded = load(files, settings)
    found = loaded.problems or configuration.file_problems(loaded.config)
    for sentence in found:
        click.echo(sentence, err=True)
    if not found:
        remark("The configuration is valid.")
    return 1 if found else 0


@_local_command("reference")
@option(
    "--format", "-o", "form", type=click.Choice(["markdown", "toml"]), default="markdown", help="form of the output"
)
def reference(form: str) -> None:
    """Print every key with its type, its default and the reason for it."""
    from .. import config as configuration

    click.echo(configuration.reference_toml() if form == "toml" else configuration.reference_markdown(), nl=False)
