"""`kv delete`, `kv undelete` and `kv destroy`: what becomes of versions that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .kv_read import mount_option
from .kv_target import find
from .kv_write import write_id_option
from .session import WRITE_ID_HEADER, api_command, option

if TYPE_CHECKING:
    from .session import Session


class _Versions(click.ParamType[tuple[int, ...]]):
    """`1,2,3` as a list of numbers."""

    name = "versions"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers. Usage error for anything else."""
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",")]
        if not all(word.isascii() and word.isdigit() and int(word) for word in words):
            self.fail("must be version numbers such as 1,2", param, ctx)
        return tuple(int(word) for word in words)


def _flat(given: tuple[tuple[int, ...], ...]) -> list[int]:
    return [number for numbers in given for number in numbers]


def _post(session: Session, where: str, versions: list[int], write_id: str, text: str) -> None:
    reply = session.call("PUT", where, body={"versions": versions}, headers={WRITE_ID_HEADER: write_id})
    session.output.done(reply.body, f"Success! {text}: {where}")


@api_command("delete")
@mount_option
@write_id_option
@option("--versions", type=_Versions(), multiple=True, help="versions to delete, such as 1,2; default: the latest")
@click.argument("path")
def delete(
    session: Session, path: str, mount: str | None, versions: tuple[tuple[int, ...], ...], write_id: str
) -> None:
    """Delete the latest version of the secret at PATH, or the named ones. On KV version 1 the secret is gone."""
    target = find(session, path, mount)
    if versions:
        target.only_version_2("kv delete -versions")
        _post(session, target.path("delete"), _flat(versions), write_id, "Data deleted (if it existed) at")
        return
    where = target.path("data")
    reply = session.call("DELETE", where, headers={WRITE_ID_HEADER: write_id})
    session.output.done(reply.body, f"Success! Data deleted (if it existed) at: {where}")


@api_command("undelete")
@mount_option
@write_id_option
@option("--versions", type=_Versions(), multiple=True, required=True, help="versions to bring back, such as 1,2")
@click.argument("path")
def undelete(
    session: Session, path: str, mount: str | None, versions: tuple[tuple[int, ...], ...], write_id: str
) -> None:
    """Bring deleted versions of the secret at PATH back."""
    target = find(session, path, mount)
    target.only_version_2("kv undelete")
    _post(session, target.path("undelete"), _flat(versions), write_id, "Data written to")


@api_command("destroy")
@mount_option
@write_id_option
@option("--versions", type=_Versions(), multiple=True, required=True, help="versions to destroy, such as 1,2")
@click.argument("path")
def destroy(
    session: Session, path: str, mount: str | None, versions: tuple[tuple[int, ...], ...], write_id: str
) -> None:
    """Remove the data of versions of the secret at PATH for good; they cannot be undeleted."""
    target = find(session, path, mount)
    target.only_version_2("kv destroy")
    _post(session, target.path("destroy"), _flat(versions), write_id, "Data destroyed at")
