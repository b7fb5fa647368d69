"""Init in phases: promise, store, final. The member's half; pure but for its folder.

Every configured member must be present and willing. A member's promise is durable in its ballot before it is given;
a higher ballot replaces it. Keys exist only when all have promised, shares are returned only when all have stored.
Once final, never again.

Invariants
  N1  a member stores only for the highest ballot it promised
  N2  a member that is final refuses every promise
  N3  what is stored is the envelope and entry 1: nothing that opens without a threshold of shares
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .errors import StrongroomError
from .files import BOOTSTRAP, KEYRING, Bootstrap, read_file, write_bootstrap, write_file
from .journal.ballot import Ballot, read_ballot, write_ballot

if TYPE_CHECKING:
    from .seams import Disk


class AlreadyInitialisedError(StrongroomError):
    """Init is over for ever."""


class InitRefusedError(StrongroomError):
    """A higher ballot was promised meanwhile."""


class Store(msgspec.Struct, array_like=True, frozen=True):
    """Phase 2: what a member keeps."""

    number: int
    envelope: bytes
    bootstrap: Bootstrap


class InitState:
    """What this member promised and stored; everything it answers is durable first."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def _ballot(self) -> tuple[int, Ballot]:
        return read_ballot(self._disk) or (0, Ballot())

    @property
    def final(self) -> bool:
        """The cluster is initialised as far as this member knows."""
        return bool(self._ballot()[1].cluster_id)

    @property
    def stored(self) -> bool:
        """Keyring and entry 1 are here."""
        return read_file(self._disk, KEYRING) is not None and read_file(self._disk, BOOTSTRAP) is not None

    @property
    def promised(self) -> int:
        """Highest ballot promised."""
        return int.from_bytes(self._ballot()[1].init, "big")

    def promise(self, number: int) -> None:
        """Phase 1. Raises AlreadyInitialisedError or InitRefusedError."""
        sequence, ballot = self._ballot()
        if ballot.cluster_id:
            raise AlreadyInitialisedError("this member belongs to an initialised cluster")
        if number <= int.from_bytes(ballot.init, "big"):
            raise InitRefusedError("a higher ballot was promised")
        promised = msgspec.structs.replace(ballot, init=number.to_bytes(16, "big"))
        write_ballot(self._disk, sequence + 1, promised)

    def store(self, request: Store) -> None:
        """Phase 2. Raises as `promise`."""
        _, ballot = self._ballot()
        if ballot.cluster_id:
            raise AlreadyInitialisedError("this member belongs to an initialised cluster")
        if request.number != int.from_bytes(ballot.init, "big"):
            raise InitRefusedError("another ballot was promised")
        write_bootstrap(self._disk, request.bootstrap)
        write_file(self._disk, KEYRING, request.envelope)

    def finish(self, cluster_id: bytes, *, recovering: bool = False) -> None:
        """Phase 3: final. `recovering`: this member's folder was empty while the cluster already was."""
        sequence, ballot = self._ballot()
        if ballot.cluster_id == cluster_id:
            return
        if ballot.cluster_id:
            raise AlreadyInitialisedError("this member belongs to another cluster")
        ballot = msgspec.structs.replace(ballot, cluster_id=cluster_id, recovering=ballot.recovering or recovering)
        write_ballot(self._disk, sequence + 1, ballot)
