"""The salts of the state are known to the sealer, from the first one to each that is written.

It may touch the state's listeners and the sealer. Invariant: a record that is no salt stays without effect, because it
is committed, and raising would end every node for ever. Source: values.py, which writes them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .errors import DamagedError
from .state import records
from .state.tables import Table

if TYPE_CHECKING:
    from .keyring.sealing import Sealer
    from .state.machine import State

log = logging.getLogger("strongroom.member")


def follow_salts(state: State, sealer: Sealer) -> None:
    """The sealer knows every salt of this state, and will know each that is applied to it."""

    def learn(key: bytes, record: bytes) -> None:
        salt = records.readable(records.Salt, record) or records.Salt()
        try:
            sealer.learn_salt(int.from_bytes(key, "big"), salt.key_term, salt.salt)
        except DamagedError as error:
            log.error("values of one salt do not open: %s", error)  # noqa: TRY400 - no traceback with values

    def applied(_index: int, transaction: Any) -> None:
        for table, key, record in transaction.puts:
            if table == Table.SALT:
                learn(key, record)

    for key, _, record in state.items(Table.SALT):
        learn(key, record)
    state.listeners.append(applied)
