"""Limited uses: a request by a token with `num_uses` pays one, in the same transaction as what it pays for.

Pure. Invariants
  U1  the use is in the transaction, or nothing of the request is
  U2  the last use drops the token, and no record of the request brings it back
  U3  the request sees its token with the use already taken; on the last use with -1, as Vault shows it
Source: Vault API, "Token auth method" (num_uses); docs/threat-model.md, single use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Draft, Table, Token, View, records

from .token_revoke import revoke_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tokens import TokenView


class AfterUse:
    """A View in which one token has one use less."""

    __slots__ = ("_key", "_record", "_view")

    def __init__(self, view: View, key: bytes, record: bytes) -> None:
        self._view = view
        self._key = key
        self._record = record

    @property
    def time_ns(self) -> int:
        """Stamp of the view beneath."""
        return self._view.time_ns

    def get(self, table: Table, key: bytes) -> tuple[int, bytes] | None:
        """As the view beneath, but for the token."""
        found = self._view.get(table, key)
        if found is not None and table == Table.TOKEN and key == self._key:
            return found[0], self._record
        return found

    def items(self, table: Table) -> Iterator[tuple[bytes, int, bytes]]:
        """As the view beneath, but for the token."""
        for key, index, record in self._view.items(table):
            yield key, index, self._record if table == Table.TOKEN and key == self._key else record

    def token_children(self, token: bytes) -> Iterator[bytes]:
        """As the view beneath."""
        return self._view.token_children(token)

    def list_entries(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> list[bytes]:
        """As the view beneath."""
        return self._view.list_entries(folder, after=after, limit=limit)

    def list_leases(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> list[bytes]:
        """As the view beneath."""
        return self._view.list_leases(folder, after=after, limit=limit)

    def list_identity(self, start: bytes, *, after: bytes = b"", limit: int = 0) -> list[bytes]:
        """As the view beneath."""
        return self._view.list_identity(start, after=after, limit=limit)

    def list(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> list[bytes]:
        """As the view beneath."""
        return self._view.list(folder, after=after, limit=limit)


def use_token(view: View, token: TokenView) -> tuple[View, Draft]:
    """(view for deciding the request, facts of the use) of a valid token; no facts if it is unlimited."""
    draft = Draft()
    left = token.record.num_uses - 1
    if token.record.num_uses == 0:
        return view, draft
    found = view.get(Table.TOKEN, token.key)
    assert found is not None, "the token was found in this very view"
    if left == 0:
        revoke_token(view, draft, token)
    else:
        draft.expect(Table.TOKEN, token.key, found[0])
        draft.put(Table.TOKEN, token.key, records.change(Token, found[1], num_uses=left))
    return AfterUse(view, token.key, records.change(Token, found[1], num_uses=left or -1)), draft


def join(use: Draft, request: Draft) -> Draft:
    """One draft of a use and of the request it pays for, decided on the view that `use_token` gave.

    Drops win on both sides: puts come after drops in a transaction, and would otherwise undo them.
    """
    if use.empty:
        return request
    used_up, given_up = set(use.drops), set(request.drops)
    joined = Draft()
    joined.expects = list(dict.fromkeys([*use.expects, *request.expects]))
    joined.drops = list(dict.fromkeys([*use.drops, *request.drops]))
    joined.puts = [put for put in use.puts if put[:2] not in given_up]
    joined.puts += [put for put in request.puts if put[:2] not in used_up]
    return joined  # no hashes: a use changes a token, which touches everything
