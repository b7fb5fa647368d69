"""`token create`, `token lookup`, `token renew`, `token revoke`.

Without a TOKEN each speaks of the caller's own. `-` reads it from standard input, because the command line is seen
by every user of the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import values
from .output import pairs
from .parts import LazyGroup
from .session import api_command, option
from .values import read_stdin

if TYPE_CHECKING:
    from .http import Reply
    from .session import Session

token = LazyGroup(
    "token",
    help="Tokens say who asks.",
    lazy={
        "create": ("token", "create", "create a token"),
        "lookup": ("token", "lookup", "show what a token is"),
        "renew": ("token", "renew", "make a token live longer"),
        "revoke": ("token", "revoke", "end a token and all its children"),
    },
)

accessor_option = option("--accessor", is_flag=True, help="TOKEN is an accessor")


def _show(session: Session, reply: Reply) -> None:
    auth = reply.document.get("auth") or {}
    known = {
        "token": auth.get("client_token"),
        "token_accessor": auth.get("accessor"),
        "token_duration": auth.get("lease_duration"),
        "token_renewable": auth.get("renewable"),
        "token_policies": auth.get("token_policies"),
        "policies": auth.get("policies"),
    }
    session.output.data(reply.body, known, pairs(known))


def _given(text: str | None) -> str | None:
    return read_stdin().strip() if text == "-" else text


@api_command("create")
@option("--policy", "policies", multiple=True, help="a policy of the token; may be repeated; default: the caller's")
@option("--ttl", help="a duration such as 1h")
@option("--period", help="a duration within which the token must be renewed, for ever")
@option("--explicit-max-ttl", help="a duration the token never outlives")
@option("--use-limit", "num_uses", type=click.IntRange(min=0), help="requests the token may make; 0 is any number")
@option("--renewable", type=click.BOOL, help="whether it may be renewed")
@option("--orphan", is_flag=True, help="the token does not end with the caller's")
@option("--no-default-policy", is_flag=True, help="without the policy `default`")
@option("--display-name", help="a name for audit records")
@option("--metadata", "meta", multiple=True, help="KEY=TEXT for audit records; may be repeated")
@option("--type", "type_", type=click.Choice(["service", "batch"]), help="kind of token")
@option("--role", help="a token role to create it by")
def create(session: Session, role: str | None, orphan: bool, no_default_policy: bool, **given: Any) -> None:
    """Create a token as a child of the caller's."""
    policies, meta = list(given.pop("policies")), values.texts(given.pop("meta"))
    body: dict[str, Any] = {name.rstrip("_"): value for name, value in given.items() if value is not None}
    body |= {"policies": policies} if policies else {}
    body |= {"meta": meta} if meta else {}
    body |= {"no_parent": True} if orphan else {}
    body |= {"no_default_policy": True} if no_default_policy else {}
    _show(session, session.call("PUT", f"auth/token/create/{role}" if role else "auth/token/create", body=body))


@api_command("lookup")
@accessor_option
@click.argument("token_", metavar="[TOKEN]", required=False)
def lookup(session: Session, token_: str | None, accessor: bool) -> None:
    """Show policies, time to live and origin of a token."""
    asked = _given(token_)
    if accessor:
        if not asked:
            raise click.UsageError("-accessor needs the accessor as argument")
        reply = session.call("PUT", "auth/token/lookup-accessor", body={"accessor": asked})
    elif asked:
        reply = session.call("PUT", "auth/token/lookup", body={"token": asked})
    else:
        reply = session.call("GET", "auth/token/lookup-self")
    session.output.data(reply.body, reply.data)


@api_command("renew")
@accessor_option
@option("--increment", help="a duration to ask for, such as 1h")
@click.argument("token_", metavar="[TOKEN]", required=False)
def renew(session: Session, token_: str | None, accessor: bool, increment: str | None) -> None:
    """Make a token live longer."""
    asked = _given(token_)
    if accessor and not asked:
        raise click.UsageError("-accessor needs the accessor as argument")
    body = {"increment": increment} if increment else {}
    if accessor:
        reply = session.call("PUT", "auth/token/renew-accessor", body=body | {"accessor": asked})
    elif asked:
        reply = session.call("PUT", "auth/token/renew", body=body | {"token": asked})
    else:
        reply = session.call("PUT", "auth/token/renew-self", body=body)
    _show(session, reply)


@api_command("revoke")
@accessor_option
@option("--self", "own", is_flag=True, help="the caller's own token")
@option("--mode", type=click.Choice(["orphan"]), help="orphan: the children live on")
@click.argument("token_", metavar="[TOKEN]", required=False)
def revoke(session: Session, token_: str | None, accessor: bool, own: bool, mode: str | None) -> None:
    """End a token and all its children, on every node at once."""
    asked = _given(token_)
    if own == bool(asked):
        raise click.UsageError("give either a TOKEN or -self")
    if mode and (own or accessor):
        raise click.UsageError("-mode=orphan goes with a TOKEN alone")
    if own:
        reply = session.call("PUT", "auth/token/revoke-self", body={})
    elif accessor:
        reply = session.call("PUT", "auth/token/revoke-accessor", body={"accessor": asked})
    else:
        reply = session.call("PUT", f"auth/token/revoke{'-orphan' if mode else ''}", body={"token": asked})
    session.output.done(reply.body, "Success! Revoked token (if it existed)")
