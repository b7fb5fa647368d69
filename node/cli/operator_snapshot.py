"""`operator raft snapshot`: the state of the cluster as one sealed file, saved and put back.

Writes that file and nothing else. Invariants: a file with the name asked for is whole, and nobody's file is replaced;
one that is not whole is not sent.
"""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import click

from .failures import LocalError
from .jsontext import encode
from .output import pairs, remark
from .session import api_command, option

if TYPE_CHECKING:
    from .session import Session

PATH = "sys/storage/raft/snapshot"
FORCE = f"{PATH}-force"
LAST = "SHA256SUMS.sealed"


@api_command("save")
@click.argument("file", type=click.Path(dir_okay=False))
def save(session: Session, file: str) -> None:
    """Save the state of the cluster to FILE, a new one of mode 0600. What is in it opens with the unseal keys alone."""
    if os.path.lexists(file):
        raise LocalError(f"{file} is there already; nothing was changed")
    try:
        size_bytes = _saved(session, file)
    except OSError as error:
        raise LocalError(f"{error.filename or file} cannot be written: {error.strerror}") from None
    found = {"file": os.path.abspath(file), "bytes": size_bytes}  # noqa: PTH100 - not resolved: as it was named
    session.output.body(encode(found).encode() + b"\n", pairs(found))
    remark("next, if it is ever needed: strongroom operator raft snapshot restore FILE puts its secrets back, and")
    remark(f"strongroom backup restore -from snapshot://{found['file']} begins a new cluster from it")


@api_command("restore")
@click.argument("file", type=click.Path(dir_okay=False))
@option("--force", is_flag=True, help="also a snapshot from before a restore of this cluster")
def restore(session: Session, file: str, *, force: bool) -> None:
    """Put the secrets engines of the snapshot FILE back, with what they held. Who may do what stays as it is.

    A large one takes longer than -timeout: the server goes on, and its log and audit devices say what became of it.
    """
    if not _is_whole(file):
        raise LocalError(f"{file} is no whole snapshot; nothing was sent")
    leader = session.ask("GET", "sys/leader").document
    address = str(leader.get("leader_address") or "")
    there = session if leader.get("is_self") or not address else session.at(address)
    try:
        with open(file, "rb") as source:  # noqa: PTH123 - as it was named
            reply = there.upload(FORCE if force else PATH, source)
    finally:
        there.close()
    session.output.body(reply.body, pairs(reply.data))


def _saved(session: Session, file: str) -> int:
    """The bytes of the file, which is whole and on the disk. Raises OSError, LocalError."""
    partial = f"{file}.partial"
    fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "w+b") as target:
            session.download(PATH, target)
            size_bytes = target.tell()
            target.flush()
            os.fsync(target.fileno())
        if not _is_whole(partial):
            raise LocalError("what came is no whole snapshot; nothing was saved")
        os.link(partial, file)  # unlike a rename, it replaces nothing
    finally:
        os.unlink(partial)  # noqa: PTH108
    return size_bytes


def _is_whole(name: str) -> bool:
    """To its last file. The sums are compared when it is read again."""
    try:
        with tarfile.open(name, "r|gz") as tar:
            return [entry.name for entry in tar][-1:] == [LAST]
    except (tarfile.TarError, EOFError):
        return False
    except OSError as error:
        raise LocalError(f"{name} cannot be read: {error.strerror or 'no gzip'}") from None
