"""`secrets list`, `secrets enable`, `secrets disable`, `secrets tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import values
from .output import columns
from .parts import LazyGroup
from .session import api_command, option

if TYPE_CHECKING:
    from .session import Session

secrets = LazyGroup(
    "secrets",
    help="Secret engines: what lies where.",
    lazy={
        "list": ("secrets_engines", "list_", "list the mounts"),
        "enable": ("secrets_engines", "enable", "mount an engine"),
        "disable": ("secrets_engines", "disable", "unmount an engine; all its secrets are gone"),
        "tune": ("secrets_engines", "tune", "change settings of a mount"),
    },
)


@api_command("list")
@option("--detailed", is_flag=True, help="show options and times to live too")
def list_(session: Session, detailed: bool) -> None:
    """List the mounted secret engines."""
    reply = session.call("GET", "sys/mounts")
    rows = []
    for path, mount in reply.entries:
        row = [path, mount.get("type"), mount.get("accessor"), mount.get("description") or "n/a"]
        config = mount.get("config") or {}
        more = [config.get("default_lease_ttl"), config.get("max_lease_ttl"), mount.get("options"), mount.get("uuid")]
        rows.append([*row, *more] if detailed else row)
    header = ("Path", "Type", "Accessor", "Description")
    more_header = ("Default TTL", "Max TTL", "Options", "UUID") if detailed else ()
    session.output.data(reply.body, reply.data, columns(rows, (*header, *more_header)))


def _config(default_lease_ttl: str | None, max_lease_ttl: str | None) -> dict[str, str]:
    given = {"default_lease_ttl": default_lease_ttl, "max_lease_ttl": max_lease_ttl}
    return {name: text for name, text in given.items() if text is not None}


default_ttl_option = option("--default-lease-ttl", help="a duration such as 24h")
max_ttl_option = option("--max-lease-ttl", help="a duration such as 768h")
version_option = option("--version", type=click.IntRange(1, 2), help="version of the KV engine")
options_option = option("--options", multiple=True, help="KEY=TEXT for the engine; may be repeated")


def _options(words: tuple[str, ...], version: int | None) -> dict[str, str]:
    return values.texts(words) | ({"version": str(version)} if version is not None else {})


@api_command("enable")
@option("--path", help="where to mount; default: the type")
@option("--description", default="", help="text for people")
@default_ttl_option
@max_ttl_option
@version_option
@options_option
@click.argument("type_", metavar="TYPE")
def enable(
    session: Session,
    type_: str,
    path: str | None,
    description: str,
    default_lease_ttl: str | None,
    max_lease_ttl: str | None,
    version: int | None,
    options: tuple[str, ...],
) -> None:
    """Mount a secret engine of TYPE, for example `secrets enable -path=team kv-v2`."""
    where = (path or type_).strip("/")
    body: dict[str, Any] = {"type": type_, "description": description}
    config, given = _config(default_lease_ttl, max_lease_ttl), _options(options, version)
    body |= {"config": config} if config else {}
    body |= {"options": given} if given else {}
    reply = session.call("PUT", f"sys/mounts/{where}", body=body)
    session.output.done(reply.body, f"Success! Enabled the {type_} secrets engine at: {where}/")


@api_command("disable")
@click.argument("path")
def disable(session: Session, path: str) -> None:
    """Unmount the engine at PATH. All its secrets are gone, with every version."""
    where = path.strip("/")
    reply = session.call("DELETE", f"sys/mounts/{where}")
    session.output.done(reply.body, f"Success! Disabled the secrets engine (if it existed) at: {where}/")


@api_command("tune")
@option("--description", help="text for people")
@default_ttl_option
@max_ttl_option
@version_option
@options_option
@click.argument("path")
def tune(
    session: Session,
    path: str,
    description: str | None,
    default_lease_ttl: str | None,
    max_lease_ttl: str | None,
    version: int | None,
    options: tuple[str, ...],
) -> None:
    """Change settings of the mount at PATH."""
    where = path.strip("/")
    body: dict[str, Any] = dict(_config(default_lease_ttl, max_lease_ttl))
    given = _options(options, version)
    body |= {"description": description} if description is not None else {}
    body |= {"options": given} if given else {}
    if not body:
        raise click.UsageError("name a setting to change")
    reply = session.call("PUT", f"sys/mounts/{where}/tune", body=body)
    session.output.done(reply.body, f"Success! Tuned the secrets engine at: {where}/")
