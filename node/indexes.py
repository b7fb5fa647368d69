"""Index headers: which state an answer reflects, and the states a client has seen.

`X-Vault-Index` is base64("v1:<cluster id>:<index>:0:<hex HMAC>"), the form Vault's Go client parses. Pure.
Invariant: an index without a valid HMAC of this cluster is 400; a valid one needs no waiting of its own, because a
strong read never reflects less than anything that was acknowledged before it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING

from .request import RawResponse, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Member

VERSION = "v1"


class IndexHeaders:
    """Makes and checks."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._keyring: object = None
        self._last: tuple[int, str] = (-1, "")
        self._lines: dict[str, bytes] = {}  # how it was served → the headers of the newest index, as on the wire

    def _mac(self) -> Callable[[bytes], bytes]:
        return self._member.running.sealer.keyring.index_mac

    def state(self, index: int) -> str:
        """The value of X-Vault-Index."""
        return self._state(index, self._member.running.sealer.keyring)

    def _state(self, index: int, keyring: object) -> str:
        if self._last[0] != index or self._keyring is not keyring:
            self._keyring = keyring
            text = f"{VERSION}:{self._cluster()}:{index}:0"
            mac = self._mac()(text.encode()).hex()
            self._last = (index, base64.b64encode(f"{text}:{mac}".encode()).decode())
            self._lines.clear()
        return self._last[1]

    def _cluster(self) -> str:
        raw = self._member.running.sealer.keyring.cluster_id.hex()
        return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"

    def check(self, states: tuple[str, ...]) -> int:
        """The highest index a client has seen. Raises Refusal(400) for a state that is not this cluster's."""
        highest = 0
        for state in states:
            try:
                text, _, mac = base64.b64decode(state, validate=True).decode("ascii").rpartition(":")
                version, cluster, index, _ = text.split(":")
                number = int(index)
            except (ValueError, binascii.Error):
                raise Refusal(400, "X-Vault-Index is not a state of this cluster") from None
            expected = self._mac()(text.encode()).hex()
            if version != VERSION or cluster != self._cluster() or not hmac.compare_digest(mac, expected):
                raise Refusal(400, "X-Vault-Index is not a state of this cluster")
            highest = max(highest, number)
        return highest

    def add(self, response: RawResponse, index: int, served: str) -> RawResponse:
        """The answer with the index it reflects, and who served it how."""
        response.lines += self.lines(index, served)
        return response

    def lines(self, index: int, served: str) -> bytes:
        """The headers that say so, as on the wire."""
        keyring = self._member.running.sealer.keyring
        known = self._last[0] == index and self._keyring is keyring
        lines = self._lines.get(served) if known else None
        if lines is None:
            state = self._state(index, keyring)
            node_id = self._member.settings.node_id
            lines = self._lines[served] = (
                f"X-Strongroom-Index: {index}\r\nX-Vault-Index: {state}\r\n"
                f"X-Strongroom-Node: {node_id}\r\nX-Strongroom-Served: {served}\r\n"
            ).encode("ascii")
        return lines
