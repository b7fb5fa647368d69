"""`kv metadata get`, `put`, `patch` and `delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import values
from .failures import Refused
from .kv_read import mount_option
from .kv_target import Target, find
from .kv_write import _MERGE_PATCH, write_id_option
from .output import heading, pairs
from .parts import LazyGroup
from .session import WRITE_ID_HEADER, api_command, option

if TYPE_CHECKING:
    from collections.abc import Callable

    from .session import Session

metadata = LazyGroup(
    "metadata",
    help="Read and write what is known about a secret: its versions, its limits, its custom metadata.",
    lazy={
        "get": ("kv_metadata", "get", "show versions and settings"),
        "put": ("kv_metadata", "put", "set settings; custom metadata is replaced whole"),
        "patch": ("kv_metadata", "patch", "change some settings"),
        "delete": ("kv_metadata", "delete", "remove the secret with all its versions for good"),
    },
)


def _settings(function: Callable[..., None]) -> Callable[..., None]:
    for add in (
        option("--max-versions", type=click.IntRange(min=0), help="versions to keep"),
        option("--cas-required", type=click.BOOL, help="every write must name the version it replaces"),
        option("--delete-version-after", help="a duration such as 720h after which a version counts as deleted"),
        option("--custom-metadata", multiple=True, help="KEY=TEXT; may be repeated"),
    ):
        function = add(function)
    return function


def _body(given: dict[str, Any], custom: dict[str, Any] | None) -> dict[str, Any]:
    body = {name: value for name, value in given.items() if value is not None}
    return body | ({"custom_metadata": custom} if custom else {})


def _target(session: Session, path: str, mount: str | None, command: str) -> Target:
    target = find(session, path, mount)
    target.only_version_2(f"kv metadata {command}")
    return target


@api_command("get")
@mount_option
@click.argument("path")
def get(session: Session, path: str, mount: str | None) -> None:
    """Show the metadata of the secret at PATH."""
    where = _target(session, path, mount, "get").path("metadata")
    reply = session.ask("GET", where)
    if reply.status == 404 and not reply.errors:
        raise Refused(f"No value found at {where}")
    if not reply.ok:
        reply = session.call("GET", where)
    known = dict(reply.data)
    versions = known.pop("versions", None) or {}
    table = heading("Metadata Path") + f"{where}\n\n" + heading("Metadata") + pairs(known)
    for number, version in sorted(versions.items(), key=lambda item: int(item[0])):
        table += "\n" + heading(f"Version {number}") + pairs(version)
    session.output.data(reply.body, reply.data, table)


@api_command("put")
@mount_option
@write_id_option
@_settings
@click.argument("path")
def put(session: Session, path: str, mount: str | None, write_id: str, **given: Any) -> None:
    """Set the settings of the secret at PATH."""
    custom = values.texts(given.pop("custom_metadata"))
    where = _target(session, path, mount, "put").path("metadata")
    reply = session.call("PUT", where, body=_body(given, custom), headers={WRITE_ID_HEADER: write_id})
    session.output.done(reply.body, f"Success! Data written to: {where}")


@api_command("patch")
@mount_option
@write_id_option
@_settings
@option("--remove-custom-metadata", multiple=True, help="a key of the custom metadata to remove; may be repeated")
@click.argument("path")
def patch(
    session: Session,
    path: str,
    mount: str | None,
    write_id: str,
    remove_custom_metadata: tuple[str, ...],
    **given: Any,
) -> None:
    """Change settings of the secret at PATH and keep the others."""
    custom = dict.fromkeys(remove_custom_metadata) | values.texts(given.pop("custom_metadata"))
    where = _target(session, path, mount, "patch").path("metadata")
    headers = {WRITE_ID_HEADER: write_id, **_MERGE_PATCH}
    reply = session.call("PATCH", where, body=_body(given, custom), headers=headers)
    session.output.done(reply.body, f"Success! Data written to: {where}")


@api_command("delete")
@mount_option
@write_id_option
@click.argument("path")
def delete(session: Session, path: str, mount: str | None, write_id: str) -> None:
    """Remove the secret at PATH with its metadata and all versions, for good."""
    where = _target(session, path, mount, "delete").path("metadata")
    reply = session.call("DELETE", where, headers={WRITE_ID_HEADER: write_id})
    session.output.done(reply.body, f"Success! Data deleted (if it existed) at: {where}")
