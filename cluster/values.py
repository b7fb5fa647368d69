"""Sealing of values for deciders: picks the small salt id, and puts its fact into the draft when it is new.

Pure but for the Sealer's own salts. Invariant: a box is never proposed before, or apart from, the fact that says
which salt its salt id means; the log orders them. A transaction carries the fact of a salt once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .state import records
from .state.tables import EVERYTHING, Table
from .state.view import View, look

if TYPE_CHECKING:
    from .keyring.sealing import Sealer
    from .state.transaction import Draft


class ValueSealing:
    """What engines use to seal and open what they store, and to hash what they look up."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._mine: tuple[tuple[bytes, bytes], int] | None = None  # (key term, salt) → its id, as last seen

    def __repr__(self) -> str:
        return "<ValueSealing>"

    def seal(
        self,
        view: View,
        draft: Draft,
        plaintext: bytes,
        *,
        table: Table,
        key: bytes,
        field: bytes,
        record_id: bytes,
        nonce: bytes,
    ) -> tuple[int, bytes]:
        """(salt id, box) of `plaintext`; `nonce` is 12 fresh random bytes. May add the salt's fact to `draft`."""
        salt_id = self._salt_id(view, draft)
        box = self._sealer.seal_value(nonce, plaintext, table=table, key=key, field=field, record_id=record_id)
        return salt_id, box

    def open(
        self, salt_id: int, box: bytes, *, table: Table, key: bytes, field: bytes, record_id: bytes
    ) -> bytes:
        """The plaintext; raises DamagedError if the box is not the one sealed for exactly this place."""
        return self._sealer.open_value(salt_id, box, table=table, key=key, field=field, record_id=record_id)

    def token_hash(self, token: str) -> bytes:
        """Key of the token's record (32 bytes)."""
        return self._sealer.keyring.token_hash(token.encode())

    def seal_token(self, nonce: bytes, payload: bytes) -> bytes:
        """What a batch token carries, sealed under a key made for nothing else; `nonce` is 12 fresh random bytes."""
        return self._sealer.seal_token(nonce, payload)

    def open_token(self, sealed: bytes) -> bytes:
        """What a batch token carries; raises DamagedError unless this cluster sealed it in this generation."""
        return self._sealer.open_token(sealed)

    def path_hash(self, secret_key: bytes) -> bytes:
        """Conflict hash (8 bytes) of one KV path or of one fresh random key."""
        return self._sealer.keyring.conflict_hash(secret_key)

    def request_hash(self, *parts: bytes) -> bytes:
        """16 bytes that tell one request (method, path, body) or (token, write id) from another."""
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return self._sealer.keyring.token_hash(message)[:16]

    def _salt_id(self, view: View, draft: Draft) -> int:
        mine = self._sealer.value_salt()
        if self._mine is not None and self._mine[0] == mine:
            found = look(view, Table.SALT, records.Salt, self._mine[1].to_bytes(4, "big"))
            if found is not None and (found[1].key_term, found[1].salt) == mine:
                return self._mine[1]
            if _is_put(draft, self._mine[1], mine):
                draft.hashes = (EVERYTHING,)
                return self._mine[1]
        taken = {int.from_bytes(key, "big") for key, _, _ in view.items(Table.SALT)}
        taken |= {int.from_bytes(key, "big") for table, key, _ in draft.puts if table == Table.SALT}
        salt_id = max(taken, default=0) + 1
        self._mine = (mine, salt_id)
        self._sealer.learn_salt(salt_id, *mine)
        key = salt_id.to_bytes(4, "big")
        draft.expect(Table.SALT, key, 0)
        draft.put(Table.SALT, key, records.Salt(key_term=mine[0], salt=mine[1]))
        draft.hashes = (EVERYTHING,)
        return salt_id


def _is_put(draft: Draft, salt_id: int, salt: tuple[bytes, bytes]) -> bool:
    """The draft carries the fact that this id means this salt."""
    wanted = (Table.SALT, salt_id.to_bytes(4, "big"))
    found = next((record for table, key, record in draft.puts if (table, key) == wanted), None)
    if found is None:
        return False
    fact = records.decode(records.Salt, found)
    return (fact.key_term, fact.salt) == salt
