"""`operator step-down`, `operator raft list-peers`, `operator certs`."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import LocalError
from .output import columns, remark
from .parts import HELP_NAMES, Command
from .session import api_command, option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .session import Session


@api_command("step-down")
def step_down(session: Session) -> None:
    """Make the leader hand over to another member; clients see a short pause of writes."""
    reply = session.call("PUT", "sys/step-down", body={})
    session.output.done(reply.body, "Success! The leader steps down.")


@api_command("list-peers")
def list_peers(session: Session) -> None:
    """List the members with their addresses, who leads and who votes."""
    reply = session.call("GET", "sys/storage/raft/configuration")
    config = reply.data.get("config") or {}
    rows = [
        [
            server.get("node_id"),
            server.get("address"),
            "leader" if server.get("leader") else "follower",
            server.get("voter"),
        ]
        for server in config.get("servers") or []
    ]
    session.output.data(reply.body, reply.data, columns(rows, ("Node", "Address", "State", "Voter")))


def hosts_of(words: Sequence[str]) -> dict[str, list[str]]:
    """{"n1": ["host", …]} of `n1=host,host` words. Raises LocalError for anything else. Pure."""
    nodes: dict[str, list[str]] = {}
    for word in words:
        node_id, equals, listed = word.partition("=")
        hosts = [host.strip() for host in listed.split(",")]
        if not equals or not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", node_id) or not all(hosts):
            raise LocalError("each node must be ID=HOST[,HOST]… with an id of lower-case letters, digits and hyphens")
        if node_id in nodes:
            raise LocalError(f"node {node_id} is named twice")
        nodes[node_id] = hosts
    return nodes


@click.command("certs", cls=Command, context_settings=HELP_NAMES)
@option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="folder to write to")
@option("--ca", type=click.Path(exists=True, path_type=Path), help="an existing node CA to go on with")
@option("--cluster-name", default="strongroom", help="stands in every certificate; node.cluster_name must be the same")
@click.argument("nodes", nargs=-1, required=True, metavar="ID=HOST[,HOST]...")
def certs(out: Path, ca: Path | None, cluster_name: str, nodes: tuple[str, ...]) -> None:
    """Make the node CA, unless one is given, and a certificate for each node."""
    from .backup_options import ending

    named = hosts_of(nodes)
    write: Callable[[Path, dict[str, list[str]], Path | None, str], list[Path]] = importlib.import_module(
        "cluster.links.certs"
    ).write_certificates
    with ending():
        written = write(out, named, ca, cluster_name)
    for path in written:
        click.echo(str(path))
    remark("Each node gets its own key and certificate and the CA's certificate; keep the CA's key off the nodes.")
