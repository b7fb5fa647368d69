"""`operator rotate`, `operator key-status`, `operator rekey`, `operator generate-root`.

With a token the paths below `sys/rotate` and `sys/generate-root-token` are asked, which every server has; without one
the old ones, which few have open. Invariants: keys are read from standard input or a prompt without echo; new keys and
the encoded token are printed once, on stdout; a root token is decoded here, and by no server.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import click

from .failures import LocalError
from .jsontext import encode
from .operator_seal import keys_given
from .output import columns, pairs, remark
from .session import api_command, option
from .values import read_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from .http import Reply
    from .session import Session


def _fields(reply: Reply) -> dict[str, Any]:
    """Of an answer in an envelope, or of a bare one."""
    found = reply.document.get("data")
    return found if isinstance(found, dict) else reply.document


@api_command("rotate")
def rotate(session: Session) -> None:
    """Seal what is stored from now on with a new key term. Nothing stops, and the keys of `operator init` stay."""
    session.call("PUT", "sys/rotate")
    remark("Success! The keys were rotated.")
    _show_status(session)


@api_command("key-status")
def key_status(session: Session) -> None:
    """Say which key term seals, since when, and how often it did."""
    _show_status(session)


def _show_status(session: Session) -> None:
    reply = session.call("GET", "sys/key-status")
    status = _fields(reply)
    rows = (
        ("Key Term", status.get("term")),
        ("Install Time", status.get("install_time")),
        ("Encryption Count", status.get("encryptions")),
    )
    session.output.data(reply.body, status, columns(rows, ("Key", "Value")))


# ---- rekey
@api_command("rekey")
@option("--init", is_flag=True, help="begin; then every holder runs the command with a key")
@option("--cancel", is_flag=True, help="give up what was begun; the present keys stay valid")
@option("--status", is_flag=True, help="say how far it is")
@option("--verify", is_flag=True, help="with -init: nothing changes before the new keys came back; else give one back")
@option("--key-shares", "-n", type=click.IntRange(1, 255), default=5, help="new keys to make")
@option("--key-threshold", "-t", type=click.IntRange(1, 255), default=3, help="new keys needed to unseal")
@option("--nonce", help="of the operation, as -init printed it; asked of the server if left out")
@option("--target", type=click.Choice(["barrier", "recovery"]), help="which keys; the sort that the cluster has")
@option("--pgp-keys", help="files of PGP keys, separated by commas; the server refuses them")
@option("--backup", is_flag=True, help="keep new keys, sealed with PGP keys, in the server; it refuses that")
@option("--backup-retrieve", is_flag=True, help="show the keys that were kept")
@option("--backup-delete", is_flag=True, help="remove the keys that were kept")
@click.argument("key", required=False)
def rekey(session: Session, key: str | None, nonce: str | None, target: str | None, **asked: Any) -> int | None:
    """Make new keys, and a new root key, by a threshold of the present ones, which then open only old backups.

    Use -init -verify: then the cluster changes only after a threshold of the new keys was given back.
    """
    operations = [name for name in ("init", "cancel", "status", "backup_retrieve", "backup_delete") if asked[name]]
    if len(operations) > 1:
        raise click.UsageError("only one of -init, -cancel, -status, -backup-retrieve, -backup-delete")
    path = _rekey_path(session, target)
    match operations:
        case ["init"]:
            _begin_rekey(session, path, asked)
        case ["cancel"]:
            session.output.done(session.call("DELETE", f"{path}/init").body, "Success! The rekey is cancelled.")
        case ["status"]:
            reply = session.call("GET", f"{path}/verify" if asked["verify"] else f"{path}/init")
            session.output.data(reply.body, _fields(reply), pairs(_fields(reply)))
        case ["backup_retrieve"]:
            reply = session.call("GET", _backup_path(path))
            session.output.data(reply.body, _fields(reply), pairs(_fields(reply)))
        case ["backup_delete"]:
            session.output.done(session.call("DELETE", _backup_path(path)).body, "Success! No keys are kept.")
        case _:
            step = "verify" if asked["verify"] else "update"
            return _give(session, path, step, key, nonce)
    return None


def _rekey_path(session: Session, target: str | None) -> str:
    if target is None:
        seal = session.ask("GET", "sys/seal-status").document.get("type", "shamir")
        target = "barrier" if seal == "shamir" else "recovery"
    if session.settings.token:
        return "sys/rotate/root" if target == "barrier" else "sys/rotate/recovery"
    return "sys/rekey" if target == "barrier" else "sys/rekey-recovery-key"


def _backup_path(path: str) -> str:
    return "sys/rekey/recovery-key-backup" if path == "sys/rekey-recovery-key" else f"{path}/backup"


def _begin_rekey(session: Session, path: str, asked: dict[str, Any]) -> None:
    if asked["key_threshold"] > asked["key_shares"]:
        raise click.UsageError("-key-threshold must not exceed -key-shares")
    body: dict[str, Any] = {
        "secret_shares": asked["key_shares"],
        "secret_threshold": asked["key_threshold"],
        "require_verification": asked["verify"],
        "backup": asked["backup"],
    }
    if asked["pgp_keys"]:
        body["pgp_keys"] = [read_file(name.strip()).strip() for name in asked["pgp_keys"].split(",")]
    reply = session.call("PUT", f"{path}/init", body=body)
    session.output.data(reply.body, _fields(reply), pairs(_fields(reply)))
    if not asked["verify"]:
        remark("WARNING: if the new keys are lost on the way, so is the cluster when it restarts; -verify is safer.")
    remark("next: every holder runs `strongroom operator rekey`, and types a present key at the prompt")


def _give(session: Session, path: str, step: str, key: str | None, nonce: str | None) -> int:
    """0 once it is complete, 2 while keys are missing."""
    nonce = nonce or _nonce_of(session, f"{path}/{'verify' if step == 'verify' else 'init'}", "rekey")
    reply = _give_each(session, f"{path}/{step}", key, nonce)
    answer = _fields(reply)
    if not answer.get("complete"):
        required = answer.get("required", answer.get("t", 0))
        session.output.data(reply.body, answer, pairs(answer))
        remark(f"{answer.get('progress', 0)} of {required} keys are given")
        return 2
    keys = _show_keys(session, reply)
    if answer.get("verification_required") and keys:
        remark("Nothing has changed yet. Give each key to another person, and keep the old ones.")
        remark("next: `strongroom operator rekey -verify`, with the new keys")
        return 0
    at = answer.get("old_keys_open_backups_before_index")
    remark(f"Success! The old keys open only backups of what was stored before index {at}; keep them as long as those.")
    return 0


def _show_keys(session: Session, reply: Reply) -> list[str]:
    """The new keys of the answer are printed."""
    keys: list[str] = _fields(reply).get("keys_base64") or []
    text = "".join(f"Key {number}: {one}\n" for number, one in enumerate(keys, 1))
    session.output.data(reply.body, _fields(reply), text)
    return keys


def _nonce_of(session: Session, path: str, what: str) -> str:
    answer = _fields(session.call("GET", path))
    if not answer.get("started"):
        raise LocalError(f"no {what} is under way\nnext: strongroom operator {what} -init")
    return str(answer.get("nonce", ""))


def _give_each(session: Session, path: str, key: str | None, nonce: str) -> Reply:
    def failed(answer: Reply) -> None:  # new keys are told also where nobody knows whether they are in force
        if _fields(answer).get("keys_base64"):
            _show_keys(session, answer)

    reply: Reply | None = None
    for share in keys_given(key):
        reply = session.call("PUT", path, body={"key": share, "nonce": nonce}, on_failure=failed)
        if _fields(reply).get("complete"):
            break
    if reply is None:
        raise LocalError("no key was given\nnext: leave KEY out, and type it at the prompt")
    return reply


# ---- generate-root
@api_command("generate-root")
@option("--init", is_flag=True, help="begin, and print the one-time password if none is given")
@option("--cancel", is_flag=True, help="give up what was begun")
@option("--status", is_flag=True, help="say how far it is")
@option("--decode", help="the encoded token, to be decoded with -otp; no server is asked")
@option("--otp", help="one-time password: with -init one of your own, with -decode that of -init")
@option("--nonce", help="of the operation, as -init printed it; asked of the server if left out")
@option("--pgp-key", help="file of a PGP key; the server refuses it")
@click.argument("key", required=False)
def generate_root(session: Session, key: str | None, decode: str | None, otp: str | None, **asked: Any) -> int | None:
    """Make a root token from a threshold of keys, for when every other one is lost. Revoke it when you are done."""
    if decode is not None:
        if not otp:
            raise click.UsageError("-decode needs -otp")
        token = decode_token(decode, otp)
        session.output.data(encode({"token": token}).encode() + b"\n", {"token": token}, f"{token}\n")
        return None
    operations = [name for name in ("init", "cancel", "status") if asked[name]]
    if len(operations) > 1:
        raise click.UsageError("only one of -init, -cancel, -status")
    path = "sys/generate-root-token" if session.settings.token else "sys/generate-root"
    acts: dict[str, Callable[[], None]] = {
        "init": lambda: _begin_root(session, path, otp, asked["pgp_key"]),
        "cancel": lambda: session.output.done(
            session.call("DELETE", f"{path}/attempt").body, "Success! The attempt is cancelled."
        ),
        "status": lambda: _show(session, session.call("GET", f"{path}/attempt")),
    }
    if operations:
        acts[operations[0]]()
        return None
    nonce = asked["nonce"] or _nonce_of(session, f"{path}/attempt", "generate-root")
    reply = _give_each(session, f"{path}/update", key, nonce)
    _show(session, reply)
    answer = _fields(reply)
    if not answer.get("complete"):
        remark(f"{answer.get('progress', 0)} of {answer.get('required', 0)} keys are given")
        return 2
    remark("next: `strongroom operator generate-root -decode ENCODED_TOKEN -otp OTP`")
    return 0


def _show(session: Session, reply: Reply) -> None:
    session.output.data(reply.body, _fields(reply), pairs(_fields(reply)))


def _begin_root(session: Session, path: str, otp: str | None, pgp_key: str | None) -> None:
    body = {"otp": otp} if otp else {}
    if pgp_key:
        body["pgp_key"] = read_file(pgp_key).strip()
    _show(session, session.call("PUT", f"{path}/attempt", body=body))
    remark("Keep the one-time password: the token cannot be read without it.")
    remark("next: every holder runs `strongroom operator generate-root`, and types a key at the prompt")


def decode_token(encoded: str, otp: str) -> str:
    """The token whose XOR with the password, in base64, this is. Raises LocalError. Pure."""
    try:
        mixed = base64.b64decode(encoded.strip() + "=" * (-len(encoded.strip()) % 4), validate=True)
        return bytes(a ^ b for a, b in zip(mixed, otp.strip().encode(), strict=True)).decode("ascii")
    except ValueError:
        raise LocalError("encoded token and one-time password do not fit") from None
