"""What opens a backup: a threshold of shares, the key file of type static, or the other vault of type transit.

Reads the key file, and asks the other vault; touches nothing else. Invariants
  K1  shares and keys are in no text and no repr
  K2  that an envelope does not open with what was given is WrongKeyError, which says how many shares are missing
Source: docs/backup.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import (
    DamagedError,
    InvalidShareError,
    ShamirUnsealer,
    StrongroomError,
    SystemRandom,
    WrongKeyError,
    WrongSharesError,
    read_seal,
    static_seal,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster import Transit, Unsealed


class Keys:
    """See the module's paragraph."""

    def __init__(
        self, shares: Sequence[str] = (), key_file: str = "", key_text: str = "", transit: Transit | None = None
    ) -> None:
        self._shares = list(dict.fromkeys(shares))
        self._key_file = key_file
        self._key_text = key_text
        self._transit = transit

    def __repr__(self) -> str:
        return "<Keys>"

    def open(self, envelope: bytes) -> Unsealed:
        """Root key and keyring, which the caller wipes. Raises WrongKeyError, DamagedError, KeyFileError."""
        _, seal = read_seal(envelope)
        if seal.type == "static":
            return static_seal.unseal(self._static_key(), envelope)
        if seal.type == "transit" and self._transit is not None and not self._shares:
            return self._by_other_vault(self._transit, envelope)
        if not seal.shares:
            raise WrongKeyError(f"a seal of type {seal.type} cannot be opened here")
        return self._by_shares(envelope)

    def _static_key(self) -> bytearray:
        if self._key_text:
            return static_seal.parse_key(self._key_text.encode())
        if not self._key_file:
            raise WrongKeyError("this backup is sealed with a key file: give it with -key-file")
        try:
            return static_seal.read_key(self._key_file, static_seal.SystemKeyFile())
        except static_seal.KeyFileError as error:
            raise static_seal.KeyFileError(f"{error} ({self._key_file})") from None

    @staticmethod
    def _by_other_vault(transit: Transit, envelope: bytes) -> Unsealed:
        try:
            return transit.unseal(envelope)
        except (WrongKeyError, DamagedError):
            raise
        except StrongroomError as error:
            raise WrongKeyError(f"the other vault of the seal: {error}") from None

    def _by_shares(self, envelope: bytes) -> Unsealed:
        unsealer = ShamirUnsealer(envelope, SystemRandom())
        needed = unsealer.progress.threshold
        try:
            for share in self._shares:
                unsealed = unsealer.offer(share)
                if unsealed is not None:
                    return unsealed
        except InvalidShareError as error:
            raise WrongKeyError(f"what was given as an unseal key cannot be one: {error}") from None
        except WrongSharesError:
            raise WrongKeyError("the unseal keys given do not open this backup") from None
        finally:
            unsealer.reset()
        raise WrongKeyError(f"{needed} unseal keys are needed, {len(self._shares)} were given")
