"""A node's data folder belongs to one process and to one profile.

The lock is inherited by the journal's writer, so that the next life waits until that child is gone, too. The profile
is written once: a folder that began as `dev` is never served in production.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from .errors import StrongroomError
from .files import read_file, write_file

if TYPE_CHECKING:
    from pathlib import Path

    from .seams import Disk

LOCK = "lock"
PROFILE = "profile"
PROFILES = frozenset({"production", "dev"})
RESTORING = "restoring"  # stands in a folder while a restore fills it


class FolderError(StrongroomError):
    """The folder cannot be served; the text says why."""


def lock_folder(root: Path) -> int:
    """A descriptor that holds the folder until it is closed here and in every child. Raises FolderError."""
    fd = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise FolderError(f"{root} is in use by another process") from None
    return fd


def lock_for_reading(root: Path) -> int | None:
    """A descriptor that keeps every server out until it is closed; None where there is no lock, for none ever served.

    Nothing is made or written. Raises FolderError while a process serves from the folder.
    """
    try:
        fd = os.open(root / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise FolderError(f"{root} is in use by another process") from None
    return fd


def check_profile(disk: Disk, profile: str) -> None:
    """The folder has this profile, from now on and for ever. Raises FolderError if it has another."""
    if not has_profile(disk, profile):
        write_file(disk, PROFILE, profile.encode() + b"\n")


def has_profile(disk: Disk, profile: str) -> bool:
    """Whether the folder has a profile, which is then this one. Raises FolderError if it has another."""
    found = read_file(disk, PROFILE)
    if found is None:
        return False
    known = found.decode("ascii", "replace").strip()
    if known not in PROFILES:  # whatever stands there is not repeated
        raise FolderError(f"the data folder's file {PROFILE} is damaged: it must hold the word {profile!r}")
    if known != profile:
        raise FolderError(f"the data folder is of profile {known!r}, not {profile!r}")
    return True


def check_whole(disk: Disk) -> None:
    """No restore into the folder was interrupted. Raises FolderError."""
    if read_file(disk, RESTORING) is not None:
        raise FolderError("a restore into the data folder did not come to its end: run it again, it begins anew")
