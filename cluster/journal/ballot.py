"""The ballot: what a node must not forget whatever happens to its log.

Pure but for `read_ballot` and `write_ballot`, which go through a `seams.Disk`. A field is added at the end only, with a
default, so that an older file opens for ever and an older node reads a newer file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ..errors import DamagedError
from .ballot_file import BallotWriter, read_slots

if TYPE_CHECKING:
    from .. import seams

BALLOT_FORMAT: Final = 1
LIVES_MAX: Final = 16


class Ballot(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """`vote` belongs to `term`; `peers`: member id -> highest incarnation, term and durable index known of it.

    recovering: something acknowledged was lost; no vote until a leader has made it good.
    born: the log was created once, so a missing log is a lost one.
    sealed_by_operator: nothing but a threshold of shares opens this node.
    boot_id, clean_stop: whether a log that is not synced can have survived (modes.py).
    init: the opaque promise of the init protocol.
    journal: how the log of this life is kept (modes.py).
    lives: incarnations of this node, the newest ones, this life's last; the first is not later than any left out.
    held, held_term: an entry that was committed and on this node's disk: a log that ends before it, or has another
    one there, has lost its end. Term 0: whoever wrote the ballot did not say it.
    """

    format: int = BALLOT_FORMAT
    term: int = 0
    vote: str | None = None
    recovering: bool = False
    incarnation: int = 0
    born: bool = False
    sealed_by_operator: bool = False
    boot_id: str = ""
    clean_stop: bool = False
    peers: dict[str, tuple[int, int, int]] = {}
    init: bytes = b""
    cluster_id: bytes = b""
    journal: str = "fsync"
    lives: tuple[int, ...] = ()
    held: int = 0
    held_term: int = 0


def next_life(ballot: Ballot, incarnation: int) -> Ballot:
    """The ballot of a later life of the node."""
    lives = (*(ballot.lives or (ballot.incarnation,)), incarnation)[-LIVES_MAX:]
    return msgspec.structs.replace(ballot, incarnation=incarnation, lives=lives)


def forgotten(ballot: Ballot, life: int) -> bool:
    """Whether a peer has heard of a life of this node that this ballot never held: it is an older one, put back.

    Every life is durable in the ballot before it speaks, so nobody can have heard of one that the ballot never held.
    """
    lives = ballot.lives or (ballot.incarnation,)
    return life > lives[0] and life not in lives


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(Ballot).decode


def encode_ballot(ballot: Ballot) -> bytes:
    """The bytes of the ballot, the same for equal ballots."""
    return _encode(ballot)


def decode_ballot(value: bytes) -> Ballot:
    """The ballot; raises DamagedError if it is none or of a format that this version does not read."""
    try:
        ballot = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedError("the ballot cannot be decoded") from error
    if ballot.format != BALLOT_FORMAT:
        raise DamagedError(f"the ballot has format {ballot.format}, this version reads {BALLOT_FORMAT}")
    return ballot


def read_ballot(disk: seams.Disk) -> tuple[int, Ballot] | None:
    """(sequence, ballot), None only if none was ever completed; raises DamagedError if it was and cannot be read."""
    newest = read_slots(disk)
    return None if newest is None else (newest[0], decode_ballot(newest[1]))


def write_ballot(disk: seams.Disk, sequence: int, ballot: Ballot) -> None:
    """The ballot is on stable storage. For the start, while no child process writes the same file."""
    writer = BallotWriter(disk)
    writer.write(sequence, encode_ballot(ballot))
    writer.sync()
    writer.close()
