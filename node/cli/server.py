"""`server`: parse the flags, check the configuration, hand over to the node.

Without `-config`, `-data` means one uninitialised node of profile dev: for test suites, on loopback.
"""

from __future__ import annotations

import gc
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .configuration import config_option, flags_of, set_option
from .failures import LocalError
from .parts import HELP_NAMES, Command
from .session import option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..config import Config


def dev_flags(
    listen: str, data: Path, audit_dir: Path | None, locked_listener: str | None, *, plain_http: bool
) -> dict[str, object]:
    """The settings of a node that is started without a configuration file. Pure."""
    flags: dict[str, object] = {
        "profile": "dev",
        "node.id": "n1",
        "node.data_dir": str(data),
        "api.address": listen,
        "api.unauthenticated_rekey": True,
        "api.tls": "off" if plain_http else "on",
        "peer.address": "",
    }
    if audit_dir is not None:
        flags["audit.directory"] = str(audit_dir)
    if locked_listener is not None:
        flags["api.locked_address"] = locked_listener
    return flags


def configured(files: Sequence[Path], environ: Mapping[str, str], flags: Mapping[str, object]) -> Config:
    """The configuration to serve. Raises LocalError with every objection if there is one."""
    from .. import config as configuration

    loaded = configuration.load(files, environ, flags)
    _refuse(loaded.problems, "strongroom config reference")
    return loaded.config


def _with_files(config: Config) -> Config:
    """The same, if the files that it names are there and fit. Raises LocalError with every objection else."""
    from .. import config as configuration

    _refuse(configuration.file_problems(config, starting=True), "strongroom config validate")
    return config


def _refuse(problems: Sequence[str], following: str) -> None:
    if problems:
        listed = "\n".join(f"  * {sentence}" for sentence in problems)
        raise LocalError(f"the configuration cannot be served:\n{listed}\nnext: {following}")


@click.command("server", cls=Command, context_settings=HELP_NAMES)
@config_option
@set_option
@option("--listen", default="127.0.0.1:8200", help="without -config: HOST:PORT of the API, on loopback")
@option("--data", type=click.Path(file_okay=False, path_type=Path), help="without -config: the node's data folder")
@option("--audit-dir", type=click.Path(file_okay=False, path_type=Path), help="without -config: audit.directory")
@option("--locked-listener", help="without -config: a listener that refuses unauthenticated rekey")
@option("--dev-http", is_flag=True, help="without -config: plain HTTP instead of a self-signed certificate")
@click.pass_context
def server(
    ctx: click.Context,
    files: tuple[Path, ...],
    settings: tuple[str, ...],
    listen: str,
    data: Path | None,
    audit_dir: Path | None,
    locked_listener: str | None,
    dev_http: bool,
) -> int:
    """Run one node until SIGTERM: from -config FILE and the environment, or with -data DIR one node of profile dev."""
    import os

    asked = [name for name in ("listen", "audit_dir", "locked_listener", "dev_http") if _was_given(ctx, name)]
    flags: dict[str, object] = {}
    if data is not None:
        if files:
            raise click.UsageError("-data starts a node without a configuration file; leave out -data or -config")
        flags |= dev_flags(
            listen, data.absolute(), audit_dir and audit_dir.absolute(), locked_listener, plain_http=dev_http
        )
    elif asked:
        raise click.UsageError(f"-{asked[0].replace('_', '-')} goes with -data DIR, not with a configuration file")
    flags |= flags_of(settings)

    def read() -> Config:
        return _with_files(configured(files, os.environ, flags))

    config = read()
    gc.disable()  # what is loaded stays: to look for garbage in it is a tenth of the start
    serve: Callable[[Config, Callable[[], Config]], int] = importlib.import_module("node.build").serve
    gc.enable()
    return serve(config, read)


def _was_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
