"""From one type of seal to another: the keyring's envelope is written anew, as a fact that every member follows.

A shell over keyring/seal.py, for the leader. The root key stays, so each unsealed member opens the new envelope with
what it has (rotation.py), and one that was away opens the old envelope or the new one with the same shares.

Invariants
  G1  a migration is decided on the keyring in use, which is the applied one: beside a rotation or rekey it is refused
  G2  the seal epoch is the next one: a sealed member that looks around takes the new envelope for the newer
Source: Vault, "seal migration".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .errors import UnavailableError
from .keyring.envelope import read_seal
from .keyring.seal import reseal
from .rotation import KEY
from .state import records
from .state.tables import Table
from .state.transaction import Draft

if TYPE_CHECKING:
    from .keyring.seal import Wrap
    from .member import Member
    from .state.view import View

log = logging.getLogger("strongroom.security")

USED_S = 10.0


async def migrate_seal(member: Member, seal_type: str, wrap: Wrap | None) -> int:
    """The cluster is sealed with `seal_type` from the returned index on. Raises UnavailableError, as `Member.write`.

    `wrap` is used once at most; None for shamir, which must have shares (recovery keys until now).
    """
    envelope = b""
    keyrings = member.keyrings

    def decide(view: View, now_ns: int) -> tuple[Draft, None]:
        nonlocal envelope
        found = view.get(Table.KEYRING, KEY)
        record = None if found is None else records.readable(records.KeyringRecord, found[1])
        unsealed = member.unsealed
        if found is None or record is None or unsealed is None or record.envelope != keyrings.in_use:
            raise UnavailableError("the keys are being changed already")
        seal = read_seal(keyrings.in_use)[1]
        keyring, envelope = reseal(
            unsealed.root_key, unsealed.keyring, seal, member.random, now_ns, seal_type=seal_type, wrap=wrap
        )
        keyring.wipe()
        draft = Draft()
        draft.expect(Table.KEYRING, KEY, found[0])
        draft.put(Table.KEYRING, KEY, records.KeyringRecord(epoch=seal.epoch + 1, envelope=envelope))
        return draft, None

    index, _ = await member.write(decide)
    if not await keyrings.until_used(envelope, USED_S):
        log.error("the migration of the seal is committed, and not in use on this node yet")
    return index


__all__ = ["migrate_seal"]
