"""What a journal's mode promises, and whether a log may be believed when a life begins. Pure.

    fsync     an entry counts once it is on stable storage
    buffered  an entry counts once it is written; it is on stable storage a second later, and after a clean stop
    memory    an entry counts once it is in memory; ballot and keyring alone are on the disk

The ballot is on stable storage in every mode before a vote or a life is spoken of, and it says how the log of its life
was kept. What is only written lives in the page cache of one boot of the kernel: the boot's id tells whether that is
the same one. The mark of a clean stop is taken away, durably, before a new life appends anything.
Source: Raft thesis 3.8; a member without its log is *recovering* (raft/election.py, E3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from .ballot import Ballot

FSYNC: Final = "fsync"
BUFFERED: Final = "buffered"
MEMORY: Final = "memory"


def believed(ballot: Ballot, boot_id: str) -> bool:
    """Whether the log of the life that left this ballot can be whole, as far as its mode goes.

    `boot_id` is that of the running kernel; empty, it equals nothing. A mode that is not known is not believed.
    """
    if ballot.journal == BUFFERED:
        return ballot.clean_stop or (bool(boot_id) and ballot.boot_id == boot_id)
    return ballot.journal == FSYNC


def begun(ballot: Ballot, mode: str, boot_id: str) -> Ballot:
    """The ballot of a life that is about to append in this mode: its log exists, and no stop was clean since."""
    return msgspec.structs.replace(
        ballot, born=True, journal=mode, boot_id=boot_id if mode == BUFFERED else "", clean_stop=False
    )


def stopped(ballot: Ballot) -> Ballot:
    """The ballot after a clean stop: the whole log is on stable storage."""
    return msgspec.structs.replace(ballot, clean_stop=True)
