"""`kv get` and `kv list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .failures import Refused
from .jsontext import one_line
from .kv_target import find
from .output import columns, heading, pairs
from .session import api_command, option

if TYPE_CHECKING:
    from .http import Reply
    from .session import Session

mount_option = option("--mount", help="path of the mount; PATH is then the key below it")


@api_command("get")
@mount_option
@option("--version", type=click.IntRange(min=0), default=0, help="the version to read; 0 is the latest")
@click.argument("path")
def get(session: Session, path: str, mount: str | None, version: int) -> int | None:
    """Read the secret at PATH.

    A deleted version shows its metadata and ends with exit code 2.
    """
    target = find(session, path, mount)
    where = target.path("data")
    query = {"version": version} if version and target.version == 2 else None
    reply = session.ask("GET", where, query=query)
    if reply.status == 404 and reply.data.get("metadata"):
        _show(session, reply, where, {})
        raise Refused(f"that version of {where} is deleted; next: `strongroom kv undelete -versions=N {path}`")
    if reply.status == 404 and not reply.errors:
        raise Refused(f"No value found at {where}")
    if not reply.ok:
        reply = session.call("GET", where, query=query)
    if target.version == 1:
        session.output.data(reply.body, reply.data)
        return None
    values = reply.data.get("data")
    if not isinstance(values, dict):
        raise Refused(f"No data found at {where}")
    if session.output.field is not None:
        session.output.one_field(values)
    else:
        _show(session, reply, where, values)
    return None


def _show(session: Session, reply: Reply, where: str, values: dict[str, object]) -> None:
    if session.output.field is not None:
        return
    table = f"{heading('Secret Path')}{one_line(where)}\n\n{heading('Metadata')}{pairs(reply.data['metadata'])}"
    if values:
        table += f"\n{heading('Data')}{pairs(values)}"
    session.output.body(reply.body, table)


@api_command("list")
@mount_option
@click.argument("path", default="")
def list_(session: Session, path: str, mount: str | None) -> None:
    """List the names below PATH; a name that ends in / is a folder."""
    if not path and not mount:
        raise click.UsageError("name a PATH or a -mount")
    target = find(session, path, mount)
    where = target.path("metadata").rstrip("/") + "/"
    reply = session.ask("GET", where, query={"list": "true"})
    if reply.status == 404 and not reply.errors:
        raise Refused(f"No value found at {where}")
    if not reply.ok:
        reply = session.call("GET", where, query={"list": "true"})
    names = reply.data.get("keys") or []
    session.output.data(reply.body, reply.data, columns([[name] for name in names], ("Keys",)))
