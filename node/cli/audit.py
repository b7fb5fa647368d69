"""`audit list`, `audit enable`, `audit disable`; `audit verify` and `audit tail` are in files of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import values
from .output import columns, remark
from .parts import LazyGroup
from .session import api_command, option

if TYPE_CHECKING:
    from .session import Session

audit = LazyGroup(
    "audit",
    help="Look after audit devices: while one is enabled, nothing is answered before it is recorded.",
    lazy={
        "list": ("audit", "list_", "list the devices"),
        "enable": ("audit", "enable", "enable a device"),
        "disable": ("audit", "disable", "disable a device"),
        "verify": ("audit_verify", "verify", "check the chain of audit files"),
        "tail": ("audit_tail", "tail", "show the newest lines of an audit file, and follow it"),
    },
)


@api_command("list")
@option("--detailed", is_flag=True, help="show options too")
def list_(session: Session, detailed: bool) -> None:
    """List the audit devices."""
    reply = session.call("GET", "sys/audit")
    rows = []
    for path, device in reply.entries:
        row = [path, device.get("type"), device.get("description") or "n/a"]
        rows.append([*row, device.get("local"), device.get("options")] if detailed else row)
    header = ("Path", "Type", "Description", "Local", "Options") if detailed else ("Path", "Type", "Description")
    if not rows and session.output.format == "table":
        remark("No audit devices are enabled.\nnext: strongroom audit enable file file_path=audit.log")
        return
    session.output.data(reply.body, reply.data, columns(rows, header))


@api_command("enable")
@option("--path", help="name of the device; default: its type")
@option("--description", default="", help="text for people")
@option("--local", is_flag=True, help="this node alone")
@click.argument("type_", metavar="TYPE")
@click.argument("options", nargs=-1, metavar="[KEY=TEXT]...")
def enable(
    session: Session, type_: str, options: tuple[str, ...], path: str | None, description: str, local: bool
) -> None:
    """Enable an audit device of type file, socket or syslog, for example `audit enable file file_path=audit.log`."""
    where = (path or type_).strip("/")
    body = {"type": type_, "description": description, "local": local, "options": values.texts(options)}
    reply = session.call("PUT", f"sys/audit/{where}", body=body)
    session.output.done(reply.body, f"Success! Enabled the {type_} audit device at: {where}/")


@api_command("disable")
@click.argument("path")
def disable(session: Session, path: str) -> None:
    """Disable the audit device at PATH; its file stays."""
    where = path.strip("/")
    reply = session.call("DELETE", f"sys/audit/{where}")
    session.output.done(reply.body, f"Success! Disabled audit device (if it was enabled) at: {where}/")
