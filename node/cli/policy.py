"""`policy list`, `policy read`, `policy write`, `policy delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .failures import Refused
from .output import columns
from .parts import LazyGroup
from .session import api_command
from .values import read_file, read_stdin

if TYPE_CHECKING:
    from .session import Session

policy = LazyGroup(
    "policy",
    help="Policies say what a token may do.",
    lazy={
        "list": ("policy", "list_", "list the policies"),
        "read": ("policy", "read", "print a policy"),
        "write": ("policy", "write", "write a policy from a file"),
        "delete": ("policy", "delete", "delete a policy"),
    },
)


@api_command("list")
def list_(session: Session) -> None:
    """List the names of the policies."""
    reply = session.call("GET", "sys/policies/acl", query={"list": "true"})
    names = reply.data.get("keys") or []
    session.output.data(reply.body, reply.data, columns([[name] for name in names], ("Policies",)))


@api_command("read")
@click.argument("name")
def read(session: Session, name: str) -> None:
    """Print the policy NAME."""
    where = f"sys/policies/acl/{name}"
    reply = session.ask("GET", where)
    if reply.status == 404 and not reply.errors:
        raise Refused(f"No policy named: {name}\nnext: strongroom policy list")
    if not reply.ok:
        reply = session.call("GET", where)
    text = str(reply.data.get("policy", ""))
    session.output.data(reply.body, reply.data, text if text.endswith("\n") else f"{text}\n")


@api_command("write")
@click.argument("name")
@click.argument("file")
def write(session: Session, name: str, file: str) -> None:
    """Write the policy NAME from FILE; - is standard input."""
    text = read_stdin() if file == "-" else read_file(file)
    reply = session.call("PUT", f"sys/policies/acl/{name}", body={"policy": text})
    session.output.done(reply.body, f"Success! Uploaded policy: {name.lower()}")


@api_command("delete")
@click.argument("name")
def delete(session: Session, name: str) -> None:
    """Delete the policy NAME; tokens that carry it lose what it allowed at once."""
    reply = session.call("DELETE", f"sys/policies/acl/{name}")
    session.output.done(reply.body, f"Success! Deleted policy: {name}")
