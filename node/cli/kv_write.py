"""`kv put`, `kv patch` and `kv rollback`: writes that make a new version.

Each write carries an id, so that a write whose outcome is unknown can be repeated without being applied twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import values
from .failures import LocalError, Refused
from .kv_read import mount_option
from .kv_target import find
from .output import heading, pairs
from .session import WRITE_ID_HEADER, api_command, failure, option
from .write_id import fresh

if TYPE_CHECKING:
    from .http import Reply
    from .kv_target import Target
    from .session import Session

write_id_option = option("--write-id", default=fresh, help="id of a write to repeat; it is applied at most once")
cas_option = option("--cas", type=click.IntRange(min=0), help="write only if this is the current version; 0 = none yet")
_MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


def _written(session: Session, reply: Reply, where: str) -> None:
    if not reply.body.strip():
        session.output.done(reply.body, f"Success! Data written to: {where}")
        return
    session.output.data(
        reply.body, reply.data, heading("Secret Path") + f"{where}\n\n" + heading("Metadata") + pairs(reply.data)
    )


def _put(session: Session, target: Target, data: dict[str, Any], cas: int | None, write_id: str) -> None:
    body: dict[str, Any] = data
    if target.version == 2:
        body = {"data": data, "options": {} if cas is None else {"cas": cas}}
    elif cas is not None:
        raise LocalError("-cas needs a KV version 2 mount; this one is version 1")
    where = target.path("data")
    _written(session, session.call("PUT", where, body=body, headers={WRITE_ID_HEADER: write_id}), where)


def _data(words: tuple[str, ...]) -> dict[str, Any]:
    if not words:
        raise click.UsageError("give at least one KEY=TEXT, KEY=@FILE, KEY=-, @FILE.json or -")
    return values.parse(words)


@api_command("put")
@mount_option
@cas_option
@write_id_option
@click.argument("path")
@click.argument("data", nargs=-1)
def put(session: Session, path: str, data: tuple[str, ...], mount: str | None, cas: int | None, write_id: str) -> None:
    """Write DATA as the secret at PATH; fields not named are gone.

    DATA is KEY=TEXT, KEY=@FILE, KEY=- (standard input), @FILE.json or -. What stands in the command line is seen
    by every user of the machine: prefer files and standard input.
    """
    found = _data(data)
    _put(session, find(session, path, mount), found, cas, write_id)


@api_command("patch")
@mount_option
@cas_option
@write_id_option
@option(
    "--method", type=click.Choice(["patch", "rw"]), help="patch at the server, or read and write; default: what works"
)
@option("--remove-data", multiple=True, help="a field to remove; may be repeated")
@click.argument("path")
@click.argument("data", nargs=-1)
def patch(
    session: Session,
    path: str,
    data: tuple[str, ...],
    mount: str | None,
    cas: int | None,
    write_id: str,
    method: str | None,
    remove_data: tuple[str, ...],
) -> None:
    """Change the named fields of the secret at PATH and keep the others."""
    changes = dict.fromkeys(remove_data) | (values.parse(data) if data else {})
    if not changes:
        raise click.UsageError("give a field to change or -remove-data")
    target = find(session, path, mount)
    target.only_version_2("kv patch")
    if method == "rw":
        _read_and_write(session, target, changes, cas, write_id)
        return
    where = target.path("data")
    body = {"data": changes, "options": {} if cas is None else {"cas": cas}}
    headers = {WRITE_ID_HEADER: write_id, **_MERGE_PATCH}
    reply = session.ask("PATCH", where, body=body, headers=headers)
    if reply.status in {403, 405} and method is None:
        _read_and_write(session, target, changes, cas, write_id)
        return
    if not reply.ok:
        raise failure("PATCH", where, reply, has_token=bool(session.settings.token), write_id=write_id)
    _written(session, reply, where)


def _read_and_write(session: Session, target: Target, changes: dict[str, Any], cas: int | None, write_id: str) -> None:
    reply = session.call("GET", target.path("data"))
    kept = reply.data.get("data")
    if not isinstance(kept, dict):
        raise Refused(f"there is no data to patch at {target.path('data')}")
    merged = {key: value for key, value in (kept | changes).items() if value is not None or key not in changes}
    current = reply.data.get("metadata", {}).get("version")
    _put(session, target, merged, current if cas is None else cas, write_id)


@api_command("rollback")
@mount_option
@write_id_option
@option("--version", type=click.IntRange(min=1), required=True, help="the version to write again")
@click.argument("path")
def rollback(session: Session, path: str, mount: str | None, version: int, write_id: str) -> None:
    """Write an old version of the secret at PATH again, as a new version.

    Refused if somebody writes in between.
    """
    target = find(session, path, mount)
    target.only_version_2("kv rollback")
    current = session.call("GET", target.path("metadata")).data.get("current_version")
    where = target.path("data")
    reply = session.ask("GET", where, query={"version": version})
    data = reply.data.get("data")
    if reply.status == 404 or (reply.ok and not isinstance(data, dict)):
        raise Refused(
            f"version {version} of {where} is not there or deleted; next: `strongroom kv metadata get {path}`"
        )
    if not reply.ok:
        raise failure("GET", where, reply, has_token=bool(session.settings.token))
    assert isinstance(data, dict)
    _put(session, target, data, current, write_id)
