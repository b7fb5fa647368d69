"""The `shamir` unsealer: a threshold of shares, given one at a time, opens the node's envelope.

Touches nothing. Invariant: the attempt belongs to one envelope; a newer one (rekey) begins a new attempt.
Source: Vault API, sys/unseal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import DamagedError
from cluster.keyring.envelope import read_seal
from cluster.keyring.seal import Unsealed, UnsealProgress, open_envelope
from cluster.keyring.secrecy import Secret

if TYPE_CHECKING:
    from cluster.seams import Random


class ShamirUnsealer(Secret):
    """Collects shares for `envelope`. Raises DamagedError for one that no shares were made of, or that is none."""

    __slots__ = ("_envelope", "progress", "seal")

    def __init__(self, envelope: bytes, random: Random) -> None:
        _, self.seal = read_seal(envelope)
        if not self.seal.shares:
            raise DamagedError("no shares were made of this root key")
        self._envelope = envelope
        self.progress = UnsealProgress(self.seal, random)

    def offer(self, text: str) -> Unsealed | None:
        """Root key and keyring once the threshold is complete, else None.

        Raises InvalidShareError and WrongSharesError as UnsealProgress, DamagedError for a damaged envelope.
        """
        root_key = self.progress.offer(text)
        return None if root_key is None else open_envelope(root_key, self._envelope)

    def is_of(self, envelope: bytes) -> bool:
        """Whether the shares are collected for this envelope."""
        return self._envelope == envelope

    def reset(self) -> None:
        """No share is remembered."""
        self.progress.reset()
