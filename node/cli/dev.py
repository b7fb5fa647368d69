"""`dev`: parse the flags of a cluster on this machine, hand over to its supervisor."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import LocalError
from .parts import HELP_NAMES, Command
from .session import option

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What `dev` was asked for. `data` None means a temporary folder, removed at the end."""

    nodes: int = 3
    data: Path | None = None
    port_base: int = 8200  # API ports from here, ten apart; the peer port is one above each
    json: bool = False  # one line on stdout when ready
    restart: bool = False  # a node that died is started again
    restore: bool = False  # node folders that are gone come back from the backup


@click.command("dev", cls=Command, context_settings=HELP_NAMES)
@option("--nodes", type=click.IntRange(1, 9), default=3, help="how many nodes")
@option("--data", type=click.Path(file_okay=False, path_type=Path), help="folder to keep; default: a temporary one")
@option(
    "--port-base", type=click.IntRange(1024, 65400), default=8200, help="port of the first API; the next is 10 above"
)
@option("--json", is_flag=True, help="print one line of JSON when ready")
@option("--restart", is_flag=True, help="start a node again that died")
@option("--restore", is_flag=True, help="bring a cluster back from its backup")
def dev(nodes: int, data: Path | None, port_base: int, json: bool, restart: bool, restore: bool) -> int:
    """Run a whole cluster on loopback, unsealed, with KV version 2 at secret/. Never for real secrets."""
    if restore and data is None:
        raise LocalError("dev -restore needs -data DIR, the folder that holds backup.db and dev-secrets.json")
    options = DevOptions(nodes, data.absolute() if data else None, port_base, json, restart, restore)
    run: Callable[[DevOptions], int] = importlib.import_module("node.dev").run
    return run(options)
