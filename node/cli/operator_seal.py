"""`operator init`, `operator unseal`, `operator seal`.

Invariants: keys are read from standard input or a prompt without echo; the one place they are printed is the answer
of init, on stdout.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from .failures import LocalError, Refused
from .output import columns, remark
from .session import api_command, option
from .values import read_file, read_stdin

if TYPE_CHECKING:
    from .http import Reply
    from .session import Session


@api_command("init")
@option("--key-shares", "-n", type=click.IntRange(1, 255), default=5, help="keys to make")
@option("--key-threshold", "-t", type=click.IntRange(1, 255), default=3, help="keys needed to unseal")
@option("--pgp-keys", help="files of PGP keys, one for each share, separated by commas")
@option(
    "--init-secret-file",
    envvar="STRONGROOM_INIT_SECRET_FILE",
    help="the file init-secret of the node's data folder; needed from another machine",
)
@option("--status", is_flag=True, help="only say whether it is initialised: exit 0 yes, 2 no")
def init(
    session: Session,
    key_shares: int,
    key_threshold: int,
    pgp_keys: str | None,
    init_secret_file: str | None,
    status: bool,
) -> int | None:
    """Make the keys of a new cluster. Every configured member must run. The keys are shown once and never again."""
    if status:
        reply = session.call("GET", "sys/init")
        session.output.data(reply.body, reply.document)
        return 0 if reply.document.get("initialized") else 2
    if key_threshold > key_shares:
        raise click.UsageError("-key-threshold must not exceed -key-shares")
    # Where a node opens itself, people's keys open nothing: they recover. The server takes either sort, not both.
    by_people = session.ask("GET", "sys/seal-status").document.get("type", "shamir") == "shamir"
    sort = "secret" if by_people else "recovery"
    body: dict[str, Any] = {f"{sort}_shares": key_shares, f"{sort}_threshold": key_threshold}
    if pgp_keys:
        body["pgp_keys"] = [read_file(name.strip()).strip() for name in pgp_keys.split(",")]
    secret = read_file(init_secret_file).strip() if init_secret_file else None
    headers = {"X-Strongroom-Init-Secret": secret} if secret else None
    reply = session.call("PUT", "sys/init", body=body, headers=headers)
    answer = reply.document
    field = "keys" if by_people else "recovery_keys"
    keys = answer.get(f"{field}_base64") or answer.get(field) or []
    name = "Unseal" if by_people else "Recovery"
    lines = [f"{name} Key {number}: {key}" for number, key in enumerate(keys, 1)]
    session.output.data(
        reply.body, answer, "\n".join([*lines, "", f"Initial Root Token: {answer.get('root_token', '')}", ""])
    )
    what = "open a sealed node" if by_people else "open a backup, or a node that an operator sealed"
    remark(f"Give each key to another person. Any {key_threshold} of {key_shares} {what}; fewer open nothing.")
    remark("next: strongroom operator unseal" if by_people else "next: strongroom status")
    return None


@api_command("unseal")
@option("--reset", is_flag=True, help="forget the keys given so far")
@option("--migrate", is_flag=True, help="change the cluster's seal to the one of this node's configuration")
@click.argument("key", required=False)
def unseal(session: Session, key: str | None, reset: bool, migrate: bool) -> int:
    """Give keys to a sealed node. Ends with 0 once it is unsealed, with 2 while keys are missing.

    Without KEY, keys are read from standard input, one a line, or asked for without echo. A KEY in the command line
    is seen by every user of the machine.
    """
    if reset:
        return _progress(session, session.call("PUT", "sys/unseal", body={"reset": True}))
    reply: Reply | None = None
    for share in keys_given(key):
        reply = session.call("PUT", "sys/unseal", body={"key": share, "migrate": True} if migrate else {"key": share})
        if not reply.document.get("sealed", True):
            break
    if reply is None:
        raise LocalError("no key was given\nnext: strongroom operator unseal, and type one key at the prompt")
    return _progress(session, reply)


def keys_given(argument: str | None) -> list[str]:
    """The argument, or what is typed without echo, or the lines of standard input."""
    if argument is not None and argument != "-":
        remark("WARNING: the key stood in the command line; next time leave it out and type it at the prompt")
        return [argument.strip()]
    if argument is None and sys.stdin.isatty():
        return [str(click.prompt("Unseal Key (not shown)", hide_input=True, err=True)).strip()]
    return [line.strip() for line in read_stdin().splitlines() if line.strip()]


def _progress(session: Session, reply: Reply) -> int:
    answer = reply.document
    known = {
        "Seal Type": answer.get("type"),
        "Sealed": answer.get("sealed"),
        "Unseal Progress": f"{answer.get('progress', 0)}/{answer.get('t', 0)}",
    }
    session.output.data(reply.body, answer, columns(known.items(), ("Key", "Value")))
    if not answer.get("sealed", True):
        remark("The node is unsealed.")
        return 0
    remark(f"{answer.get('progress', 0)} of {answer.get('t', 0)} keys are given; next: strongroom operator unseal")
    return 2


@api_command("seal")
@option("--cluster", is_flag=True, help="every node, not only the one that is asked")
def seal(session: Session, cluster: bool) -> None:
    """Seal the node, or the whole cluster. Only a threshold of keys opens it again."""
    reply = session.call("PUT", "sys/seal", body={"cluster": True} if cluster else {})
    check = session.ask("GET", "sys/seal-status")
    if check.ok and not check.document.get("sealed", True):
        raise Refused("the server said yes, but is not sealed\nnext: strongroom status")
    session.output.done(reply.body, f"Success! {'The cluster' if cluster else 'The node'} is sealed.")
