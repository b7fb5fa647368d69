"""`operator raft snapshot save`: the state of the cluster as one sealed file.

Writes that file and nothing else. Invariant: a file with the name asked for is whole, and nobody's file is replaced.
"""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import click

from .failures import LocalError
from .jsontext import encode
from .output import pairs, remark
from .session import api_command

if TYPE_CHECKING:
    from .session import Session

PATH = "sys/storage/raft/snapshot"
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
    remark(f"next, if it is ever needed: strongroom backup restore -from snapshot://{found['file']}")


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
